"""The report's section of the generator's numbers: each with words and references."""

import json

import pytest
from PIL import Image

from tfstyle.analysis.reporting.generator import frechet_curve, generator_section
from tfstyle.runs import folder as runs


def over(mean, deviation=0.01):
    return {"mean": mean, "deviation": deviation}


def likeness(frechet, neighbours=True):
    found = {"frechet_distance": over(frechet), "kernel_distance": over(0.1)}
    if neighbours:
        found |= {
            name: over(0.5) for name in ("precision", "recall", "density", "coverage")
        }
    return found


@pytest.fixture
def numbers():
    kinds = {"generated": 12.6, "vae": 11.9, "shuffled": 81.2, "real": 3.16}
    against_train = {kind: likeness(value) for kind, value in kinds.items()}
    against_train["real"]["frechet_distance"]["deviation"] = None
    return {
        "artists": 12,
        "content": {"kept_error": 342.6, "mean_picture_error": 1061.2},
        "generator": {
            "generated_pictures": 240,
            "seeds": [0, 1, 2],
            "classifier_accuracy": 0.65,
            "classifier_accuracy_real": 0.975,
            "classifier_accuracy_vae": 0.928,
            "style_encoder_accuracy": 0.886,
            "style_error": 1.66,
            "content_error": 21.3,
            "deviation": {
                "classifier_accuracy": 0.015,
                "style_encoder_accuracy": 0.01,
                "style_error": 0.08,
                "content_error": 0.19,
            },
            "style_error_of_zeros": 7.99,
            "content_error_of_zeros": 32,
            "reconstruction_error": 390.7,
            "test_pictures_unseen": True,
            "consistency": {
                "contents": 16,
                "styles": 12,
                "retrieval": over(0.99),
                "distance_ratio": over(0.1),
                "diversity": over(0.32, 0.004),
                "diversity_real": 0.335,
                "chance": 1 / 16,
            },
            "fidelity": {
                "pictures": 120,
                "train_pictures": 600,
                "against_train": against_train,
                "against_test": {
                    kind: likeness(value, neighbours=False)
                    for kind, value in kinds.items()
                },
            },
        },
    }


def test_every_number_has_its_value_its_references_and_words(numbers):
    head, *rows = generator_section(numbers).table

    assert head == ["measured", "value", "to compare with", "in words"]
    assert rows[0][:3] == [
        "artist right, by the classifier",
        "65.0% +- 1.5%",
        "97.5% real pictures, 92.8% the vae's own, 8.3% chance",
    ]
    values = {row[0]: row[1:3] for row in rows}
    assert values["error of rebuilt test pictures"] == [
        "390.7",
        "342.6 the vae, 1061.2 the mean picture",
    ]
    assert values["content found again in other styles"][0] == "99.0% +- 1.0%"
    assert values["difference of pictures in one style"] == [
        "0.320 +- 0.004",
        "0.335 real pictures of an artist",
    ]
    assert len(rows) == 8
    assert all(row[3].endswith(".") for row in rows)


def test_likeness_stands_beside_its_best_and_its_worst(numbers):
    section = generator_section(numbers)
    head, *rows = section.more

    assert head[:2] == ["number", "compared with"]
    assert head[2:6] == [
        "generated",
        "real pictures",
        "the vae's own",
        "shuffled pixels",
    ]
    assert [row[1] for row in rows] == ["training pictures"] * 6 + ["test pictures"] * 2
    assert rows[0][0] == "Frechet distance"
    assert rows[0][2:6] == ["12.6 +- 0.0", "3.2", "11.9 +- 0.0", "81.2 +- 0.0"]
    assert all(row[6].endswith(".") for row in rows)
    assert "120 pictures of each kind" in section.text
    assert "600 training pictures and the 120 test pictures." in section.text


def test_test_pictures_that_were_trained_on_are_said(numbers):
    numbers["generator"]["test_pictures_unseen"] = False

    assert "test pictures (which were trained on)" in generator_section(numbers).text


def test_what_was_not_measured_is_left_out(numbers):
    del numbers["content"]
    for name in ("consistency", "fidelity", "classifier_accuracy"):
        del numbers["generator"][name]

    section = generator_section(numbers)

    assert len(section.table) == 1 + 4
    assert not section.more
    assert "second table" not in section.text


def logged(folder, *lines):
    folder.path.mkdir(parents=True)
    folder.metrics_file.write_text("".join(json.dumps(one) + "\n" for one in lines))


def distance(step, value):
    return {"name": "frechet_distance", "step": step, "value": value}


def test_the_curve_of_likeness_is_drawn_from_the_log(tmp_path):
    folder = runs.StageFolder(tmp_path / "run", "gan")
    logged(folder, distance(10, 30.0), {"name": "loss", "step": 10, "value": 1.0})
    assert frechet_curve(folder, tmp_path) == []  # one point is no curve

    with folder.metrics_file.open("a") as log:
        log.write(json.dumps(distance(20, 20.0)) + "\n")
    (picture,) = frechet_curve(folder, tmp_path)

    assert "less is better" in picture.caption
    with Image.open(tmp_path / "frechet_distance.png") as drawn:
        assert min(drawn.size) > 100
