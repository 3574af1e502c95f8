"""The content code in the report: what it rebuilds, says and gives away."""

import pathlib

import numpy as np

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.examples import FixedPictures
from tfstyle.analysis.drawing.page import Picture, Section
from tfstyle.analysis.evaluation.content import Numbers, deviations_in_words
from tfstyle.data import records
from tfstyle.modeling.networks.codes import decode_codes, encode_pictures
from tfstyle.modeling.objectives.passes import ACTIVE_VARIANCE
from tfstyle.runs import folder as runs


def content_section(
    content: Numbers,
    folder: pathlib.Path,
    run_dir: pathlib.Path,
    fixed: FixedPictures,
    dataset: records.Dataset,
) -> Section:
    """Draw the content code.

    Args:
        content: of `measuring_content.measure_content`.
        folder: for the pictures.
        run_dir: the run.
        fixed: pictures to rebuild.
        dataset: the records.
    """
    _draw_reconstructions(content, folder, run_dir, fixed, dataset)
    dims, kept = content["dims"], content["kept_dims"]
    grids.curves(
        folder / "content_error.png",
        {
            "vae": (dims, content["errors"]),
            "mean picture": (dims, [content["mean_picture_error"]] * len(dims)),
        },
        xlabel="content dimensions used",
        ylabel="squared error, scaled Lab",
        title="Reconstruction error (less is better)",
        kept=kept,
    )
    kl = content["kl"]
    grids.curves(
        folder / "content_kl.png",
        {"the dimension's own": (range(1, len(kl) + 1), kl)},
        xlabel="content dimension",
        ylabel="KL divergence, nats",
        title="What each content dimension says of a picture",
        kept=kept,
    )
    leak = content["leak"]
    grids.curves(
        folder / "content_leak.png",
        {
            "the encoder's code, linear probe": (dims, leak["by_dims"]),
            "style, linear probe": (dims, [leak["style_linear"]] * len(dims)),
            "chance": (dims, [leak["chance"]] * len(dims)),
        },
        xlabel="content dimensions used",
        ylabel="share of artists named right",
        title="What the content code gives away of the artist (less is better)",
        kept=kept,
    )
    return Section(
        "The content code",
        _text(content),
        table=[
            ["artist told from", "linear probe", "mlp probe"],
            ["content code", f"{leak['linear']:.1%}", f"{leak['mlp']:.1%}"],
            ["style code", f"{leak['style_linear']:.1%}", f"{leak['style_mlp']:.1%}"],
            ["nothing (chance)", f"{leak['chance']:.1%}", f"{leak['chance']:.1%}"],
        ],
        pictures=[
            Picture(
                "figures/vae_reconstructions.png", "Test pictures and what is rebuilt."
            ),
            Picture("figures/content_error.png", "The error by content dimensions."),
            Picture(
                "figures/content_kl.png",
                "KL divergence of each content dimension from N(0, 1), mean over test "
                "pictures. A dimension at 0 says nothing.",
            ),
            Picture(
                "figures/content_leak.png",
                "How often a linear probe names the artist of a test picture by its "
                "first content dimensions, as the encoder gives them.",
            ),
        ],
    )


def _text(content: Numbers) -> str:
    seen = "unseen" if content["unseen"] else "seen in training"
    share = content["kept_error"] / content["mean_picture_error"]
    kept, leak = content["kept_dims"], content["leak"]
    told = max(leak["linear"], leak["mlp"])
    silent = (
        "" if content["active_kept"] == kept else "The others say next to nothing. "
    )
    return (
        "A variational autoencoder is given the style for free, so that its own code "
        f"holds the rest. Its error on test pictures ({seen}) with the kept {kept} "
        f"dimensions is {share:.0%} of the mean picture's.\n\n"
        f"{content['active_kept']} of the kept {kept} dimensions are active: their "
        f"code's mean varies by more than {ACTIVE_VARIANCE} over pictures. {silent}"
        f"{deviations_in_words(content).capitalize()}.\n\n"
        "Content should not tell who made a picture. A probe that sees nothing but the "
        f"content code names the artist of {told:.0%} of the test pictures; one that "
        f"guesses, of {leak['chance']:.0%}; one that sees the style code, of "
        f"{max(leak['style_linear'], leak['style_mlp']):.0%}."
    )


def _draw_reconstructions(content, folder, run_dir, fixed, dataset) -> None:
    vae = runs.StageFolder(run_dir, "vae")
    encoder = runs.load_network(vae, "content_encoder")
    decoder = runs.load_network(vae, "content_decoder")
    styles = encode_pictures(runs.load_style_encoder(run_dir), fixed.pictures)
    means = encode_pictures(encoder, fixed.pictures)
    kept = means * (np.arange(means.shape[1]) < content["kept_dims"])
    grids.write_picture(
        grids.picture_grid(
            np.stack([fixed.pictures, decode_codes(decoder, styles, kept)]),
            row_captions=["picture", "vae"],
            column_captions=[dataset.artist_names[one] for one in fixed.artist_ids],
        ),
        folder / "vae_reconstructions.png",
    )
