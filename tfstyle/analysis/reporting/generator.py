"""The generator in numbers: each beside what it is to be compared with, in words."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.page import Picture, Section
from tfstyle.analysis.evaluation.fidelity import KINDS
from tfstyle.metrics.repeats import said
from tfstyle.runs import folder as runs

_COLUMNS = {
    "generated": "generated",
    "real": "real pictures",
    "vae": "the vae's own",
    "shuffled": "shuffled pixels",
}
# Number, its name, its format, what it says.
_LIKENESS = (
    (
        "frechet_distance",
        "Frechet distance",
        ".1f",
        "How far the pictures as a whole are from the real ones, by the classifier's "
        "features (FID); less is better.",
    ),
    (
        "kernel_distance",
        "kernel distance",
        ".3f",
        "The same in a way that few pictures do not enlarge (KID); less is better, "
        "real pictures lie at 0 or a little below.",
    ),
    (
        "precision",
        "precision",
        ".0%",
        "The share that could pass for a real picture, being as near one as its "
        "neighbours are.",
    ),
    (
        "density",
        "density",
        ".2f",
        "How crowded with real pictures the places of these are; around 1 where they "
        "are as good as real ones.",
    ),
    ("recall", "recall", ".0%", "The share of the real pictures that these could be."),
    (
        "coverage",
        "coverage",
        ".0%",
        "The share of the real pictures that have one of these nearby.",
    ),
)


def frechet_curve(folder: runs.StageFolder, figures: pathlib.Path) -> list[Picture]:
    """Draw how far pictures were from real ones while the gan stage was trained.

    Args:
        folder: of that stage.
        figures: where to write the curve.

    Returns:
        The curve, for the report; nothing if no classifier was there to measure it.
    """
    found: dict[int, float] = {}
    for line in folder.metrics_file.read_text().splitlines():
        one = json.loads(line)
        if one["name"] == "frechet_distance":
            found[one["step"]] = one["value"]  # a resumed run may repeat a step
    if len(found) < 2:
        return []
    steps = sorted(found)
    grids.curves(
        figures / "frechet_distance.png",
        {"generated pictures": (steps, [found[step] for step in steps])},
        xlabel="steps trained",
        ylabel="Frechet distance",
        title="How far generated pictures are from training pictures",
        log_x=False,
    )
    caption = (
        "The Frechet distance by the classifier's features while the generator was "
        "trained; less is better. The random codes are the same at every step."
    )
    return [Picture("figures/frechet_distance.png", caption)]


def generator_section(
    numbers: Mapping[str, Any], pictures: Sequence[Picture] = ()
) -> Section:
    """Write the section.

    Args:
        numbers: evaluation.json, with "generator".
        pictures: to show in it.
    """
    generator = numbers["generator"]
    seeds = len(generator["seeds"])
    text = (
        f"{generator['generated_pictures']} pictures were generated with the artists' "
        f"mean styles and random contents, {seeds} times with other random numbers; "
        "+- is the deviation over these. A network that took part in the training can "
        "be fooled; the classifier was trained apart."
    )
    if "fidelity" in generator:
        text += "\n\n" + _likeness_said(generator)
    return Section(
        "The generator in numbers",
        text,
        table=_single_rows(numbers),
        more=_likeness_rows(generator.get("fidelity")),
        pictures=pictures,
    )


def _single_rows(numbers) -> list[list[object]]:
    generator = numbers["generator"]
    chance = f"{1 / numbers['artists']:.1%}"

    def value(name: str, spec: str) -> str:
        one = {"mean": generator[name], "deviation": generator["deviation"][name]}
        return said(one, spec)

    rows: list[list[object]] = [["measured", "value", "to compare with", "in words"]]
    if "classifier_accuracy" in generator:
        others = f"{generator['classifier_accuracy_real']:.1%} real pictures"
        if "classifier_accuracy_vae" in generator:
            others += f", {generator['classifier_accuracy_vae']:.1%} the vae's own"
        rows.append(
            [
                "artist right, by the classifier",
                value("classifier_accuracy", ".1%"),
                f"{others}, {chance} chance",
                "How often a network that names artists, and that the generator never "
                "met, takes a picture for the artist whose style was asked for.",
            ]
        )
    rows += [
        [
            "artist right, by the style encoder",
            value("style_encoder_accuracy", ".1%"),
            f"{chance} chance",
            "The same by the network that the generator was trained to please.",
        ],
        [
            "error of the style code given back",
            value("style_error", ".2f"),
            f"{generator['style_error_of_zeros']:.2f} for knowing nothing, 0 perfect",
            "How far the style read from a picture is from the one asked for: squared "
            "distance between codes, mean over pictures.",
        ],
        [
            "error of the content code given back",
            value("content_error", ".2f"),
            f"{generator['content_error_of_zeros']} for knowing nothing, 0 perfect",
            "The same of the content code.",
        ],
        [
            "error of rebuilt test pictures",
            f"{generator['reconstruction_error']:.1f}",
            _reconstruction_reference(numbers.get("content")),
            "How much a real picture changes when generated again from its own codes: "
            "squared differences in Lab, each channel scaled to about -1 to 1, summed "
            "over a picture; mean over pictures.",
        ],
    ]
    return rows + _consistency_rows(generator.get("consistency"))


def _reconstruction_reference(content) -> str:
    if content is None:
        return "0 perfect"
    return (
        f"{content['kept_error']:.1f} the vae, {content['mean_picture_error']:.1f} the "
        "mean picture"
    )


def _consistency_rows(kept) -> list[list[object]]:
    if kept is None:
        return []
    real = kept["diversity_real"]
    made = f"{kept['contents']} contents, each in {kept['styles']} artists' styles"
    return [
        [
            "content found again in other styles",
            said(kept["retrieval"], ".1%"),
            f"{kept['chance']:.1%} chance, 100% perfect",
            f"Of {made}: how often the picture of another style with the most similar "
            "content code is of the same content.",
        ],
        [
            "content changed by the style",
            said(kept["distance_ratio"], ".0%"),
            "0% not at all, 100% as much as by another content",
            "How far apart one content's codes are in two styles, against two "
            "contents'. Both are read by the content encoder, which took part in the "
            "training.",
        ],
        [
            "difference of pictures in one style",
            said(kept["diversity"], ".3f"),
            "not measured"
            if real is None
            else f"{real:.3f} real pictures of an artist",
            "How different the pictures of one style look, pixel by pixel; far less "
            "than real ones would mean that the generator repeats itself.",
        ],
    ]


def _likeness_said(generator) -> str:
    kept = generator["fidelity"]
    unseen = "" if generator["test_pictures_unseen"] else " (which were trained on)"
    against = f"the {kept['train_pictures']} training pictures"
    if "against_test" in kept:
        against += f" and the {kept['pictures']} test pictures{unseen}"
    return (
        f"The second table compares {kept['pictures']} pictures of each kind, of the "
        f"same artists, with {against}. Of the two ends, real pictures (test pictures "
        "against training pictures, and the other way round) are the best to hope for, "
        "and test pictures with their pixels shuffled the worst; where a number hardly "
        "tells these two apart, it says little of the others. The vae's own are what "
        "its decoder makes of the same styles and contents. The numbers depend on how "
        "many pictures are compared, and hold for this table only."
    )


def _likeness_rows(kept) -> list[list[object]]:
    if kept is None:
        return []
    kinds = [kind for kind in KINDS if kind in kept["against_train"]]
    rows: list[list[object]] = [
        ["number", "compared with", *(_COLUMNS[kind] for kind in kinds), "in words"]
    ]
    for against, pictures in (
        ("train", "training pictures"),
        ("test", "test pictures"),
    ):
        compared = kept.get(f"against_{against}", {})
        for number, name, spec, words in _LIKENESS:
            if compared and number in compared["generated"]:
                values = [said(compared[kind][number], spec) for kind in kinds]
                rows.append([name, pictures, *values, words])
    return rows
