"""The report's section of the generator's numbers, each with its references."""

import dataclasses
import json

import pytest
from PIL import Image

from tfstyle.analysis.evaluation.content import Content, Leak
from tfstyle.analysis.evaluation.generator import Consistency, Generator
from tfstyle.analysis.evaluation.run import Evaluation
from tfstyle.analysis.reporting.generator import draw_frechet_curve, measures_section
from tfstyle.runs.folder import StageFolder


def spread(mean, deviation=0.01):
    return {"mean": mean, "deviation": deviation}


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        format=4,
        artists=12,
        train_pictures=600,
        test_pictures=120,
        steps={},
        digests={},
        content=Content(
            dims=[1],
            errors=[342.6],
            kept_dims=1,
            kept_error=342.6,
            mean_picture_error=1061.2,
            recommended_dims=1,
            unseen=True,
            kl=[1.0],
            active_units=1,
            active_kept=1,
            normalized=False,
            deviations=[1.0],
            leak=Leak(
                linear=0.1,
                mlp=0.2,
                linear_before=0.1,
                style_linear=0.9,
                style_mlp=0.9,
                chance=0.1,
                by_dims=[0.1],
            ),
        ),
        generator=Generator(
            generated_pictures=240,
            seeds=[0, 1, 2],
            classifier_accuracy=0.65,
            classifier_accuracy_real=0.975,
            classifier_accuracy_vae=0.928,
            style_encoder_accuracy=0.886,
            style_error=1.66,
            content_error=21.3,
            deviation={
                "classifier_accuracy": 0.015,
                "style_encoder_accuracy": 0.01,
                "style_error": 0.08,
                "content_error": 0.19,
            },
            style_error_of_zeros=7.99,
            content_error_of_zeros=32,
            reconstruction_error=390.7,
            test_pictures_unseen=True,
            consistency=Consistency(
                protocol="",
                contents=16,
                styles=12,
                seeds=[0, 1, 2],
                retrieval=spread(0.99),
                distance_ratio=spread(0.1),
                diversity=spread(0.32, 0.004),
                diversity_real=0.335,
                chance=1 / 16,
                real_pictures=120,
            ),
        ),
    )


def change(evaluation, **changes) -> Evaluation:
    generator = dataclasses.replace(evaluation.generator, **changes)
    return dataclasses.replace(evaluation, generator=generator)


def test_every_number_has_its_value_its_references_and_a_meaning(evaluation):
    head, *rows = measures_section(evaluation).table

    assert head == ["measured", "value", "to compare with", "meaning"]
    assert rows[0][:3] == [
        "classifier accuracy on generated pictures",
        "65.0% +- 1.5%",
        "real pictures 97.5%, VAE pictures 92.8%, chance 8.3%",
    ]
    values = {row[0]: row[1:3] for row in rows}
    assert values["style-code reconstruction error"] == [
        "1.66 +- 0.08",
        "code of zeros 7.99, 0 is perfect",
    ]
    assert values["reconstruction error of test pictures"] == [
        "390.7",
        "VAE 342.6, mean picture 1061.2",
    ]
    assert values["content retrieval across styles"] == [
        "99.0% +- 1.0%",
        "chance 6.2%, 100% is perfect",
    ]
    assert values["difference between pictures in a style"] == [
        "0.320 +- 0.004",
        "real pictures of an artist 0.335",
    ]
    assert len(rows) == 8
    assert all(row[3].endswith(".") for row in rows)


def test_what_was_not_measured_is_skipped(evaluation):
    section = measures_section(
        dataclasses.replace(
            change(evaluation, consistency=None, classifier_accuracy=None),
            content=None,
        )
    )

    assert len(section.table) == 1 + 4
    assert section.table[-1][2] == ""


def write_log(folder, *lines):
    folder.path.mkdir(parents=True)
    folder.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def distance(step, value):
    return {"name": "frechet_distance", "step": step, "value": value}


def test_the_frechet_curve_is_drawn_from_the_log(tmp_path):
    folder = StageFolder(tmp_path / "run", "gan")
    figures = tmp_path / "figures"
    write_log(folder, distance(10, 30.0), {"name": "loss", "step": 10, "value": 1.0})
    assert draw_frechet_curve(folder, figures) == []  # one point is no curve

    with folder.metrics_file.open("a") as log:
        log.write(json.dumps(distance(20, 20.0)) + "\n")
    (picture,) = draw_frechet_curve(folder, figures)

    assert "less is better" in picture.caption
    assert picture.path == "figures/frechet_distance.png"
    with Image.open(tmp_path / picture.path) as drawn:
        assert min(drawn.size) > 100
