"""The SavedModels of an export folder are found, loaded and called."""

import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.pictures import encode_picture
from tfstyle.core.cli import UserError
from tfstyle.serving import servables


def test_only_integer_folders_with_a_model_are_versions(tiny_models):
    models = servables.find_models(tiny_models)

    assert list(models["line"]) == [1, 2]
    assert "pictures" not in models


def test_versions_are_ordered_as_numbers(tiny_models, tmp_path):
    for version in ("9", "10"):
        shutil.copytree(tiny_models / "line" / "1", tmp_path / "line" / version)

    assert list(servables.find_models(tmp_path)["line"]) == [9, 10]


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_the_error_about_missing_models_has_the_command_that_writes_them(
    tmp_path, folder
):
    (tmp_path / "empty").mkdir()

    with pytest.raises(UserError, match="python -m tfstyle.export --run_dir=RUN_DIR"):
        servables.find_models(tmp_path / folder)


@pytest.mark.parametrize("damage", ["graph", "variables"])
def test_the_error_about_a_corrupt_model_names_it(tiny_models, tmp_path, damage):
    folder = tmp_path / "line" / "1"
    shutil.copytree(tiny_models / "line" / "1", folder)
    if damage == "graph":
        (folder / "saved_model.pb").write_bytes(b"\xff not a protobuf")
    else:
        shutil.rmtree(folder / "variables")

    with pytest.raises(UserError) as caught:
        servables.find_models(tmp_path)

    assert f"no model in {tmp_path} can be loaded ({folder}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def cut(path, keep):
    """Keep the first part of a file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "an empty graph": lambda folder: cut(folder / "saved_model.pb", 0),
    "half a graph": lambda folder: cut(folder / "saved_model.pb", 0.5),
    "no variables": lambda folder: shutil.rmtree(folder / "variables"),
    "no index": lambda folder: (folder / "variables" / "variables.index").unlink(),
    "half an index": lambda folder: cut(folder / "variables" / "variables.index", 0.5),
    "half the data": lambda folder: cut(
        folder / "variables" / "variables.data-00000-of-00001", 0.5
    ),
    "a flipped byte": lambda folder: flip(
        folder / "variables" / "variables.data-00000-of-00001"
    ),
    "a folder": lambda folder: (
        (folder / "saved_model.pb").unlink(),
        (folder / "saved_model.pb").mkdir(),
    ),
    "a foreign model": lambda folder: (folder / "saved_model.pb").write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_newest_version_that_loads_is_served(tiny_models, tmp_path, damage, caplog):
    for version in (1, 2, 3):
        source = tiny_models / "line" / str(min(version, 2))
        shutil.copytree(source, tmp_path / "line" / str(version))
    shutil.copytree(tiny_models / "pair", tmp_path / "pair")
    damage(tmp_path / "line" / "3")

    models = servables.find_models(tmp_path)

    assert servables.get_servable(models, "line").version == 2
    assert list(servables.list_available(models)["line"]) == [1, 2]
    assert list(models["line"]) == [1, 2, 3] and models["line"][3].fault
    fault, served = caplog.messages
    assert fault.startswith("version 3 of line cannot be loaded: ")
    assert str(tmp_path / "line" / "3") in fault and "\n" not in fault
    assert served == "version 2 of line is served instead"


def test_a_version_without_a_graph_is_noted(tiny_models, tmp_path, caplog):
    shutil.copytree(tiny_models / "line", tmp_path / "line")
    (tmp_path / "pictures" / "2020").mkdir(parents=True)

    assert servables.get_servable(servables.find_models(tmp_path), "line").version == 2

    assert caplog.messages == [
        f"{tmp_path / 'line' / '3'} has no saved_model.pb: skipped"
    ]


def test_other_models_are_served_if_one_has_no_version_that_loads(
    tiny_models, tmp_path, caplog
):
    shutil.copytree(tiny_models / "pair", tmp_path / "pair")
    for version in (1, 2):
        shutil.copytree(tiny_models / "line" / "1", tmp_path / "line" / str(version))
        cut(tmp_path / "line" / str(version) / "saved_model.pb", 0)

    models = servables.find_models(tmp_path)

    assert list(servables.list_available(models)) == ["pair"]
    assert len(caplog.messages) == 3
    assert caplog.messages[-1] == "model line is not served: no version can be loaded"


# Batches.


@pytest.fixture(scope="module")
def models(tiny_models):
    return servables.find_models(tiny_models)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 50])
def test_batches_change_no_answer(models, count):
    rows = {
        "a": np.arange(2 * count, dtype=np.float32).reshape(count, 2),
        "seed": np.arange(count),
    }
    outputs = models["pair"][1].predict("", rows)

    np.testing.assert_array_equal(outputs["sum"], rows["a"].sum(axis=1))
    np.testing.assert_array_equal(outputs["seed"], rows["seed"])


def test_rows_whose_outputs_are_not_rows_are_computed_together(models):
    outputs = models["pair"][1].predict("twice", {"seed": np.arange(20)})

    np.testing.assert_array_equal(outputs["twice"], [*range(20), *range(20)])
    np.testing.assert_array_equal(outputs["seed"], range(20))


def test_strings_stay_strings_in_batches(models):
    data = encode_picture(Image.new("RGB", (2, 3), "red"))
    pictures = np.array([data] * 17, np.object_)

    outputs = models["style_encoder"][1].predict("", {"image_bytes": pictures})

    assert outputs["nearest_artists"].shape == (17, 2)
    assert set(outputs["nearest_artists"].ravel()) == {b"ann", b"bob"}
    assert outputs["style"].shape == (17, 3)


@pytest.mark.parametrize(("count", "row"), [(2, 1), (3, 0), (8, 7), (20, 9), (20, 19)])
def test_a_faulty_row_is_named(models, count, row):
    data = encode_picture(Image.new("RGB", (2, 3), "red"))
    pictures = np.array([data] * count, np.object_)
    pictures[row] = b"text"

    with pytest.raises(servables.ServingError, match=f"^row {row}: Unknown") as caught:
        models["style_encoder"][1].predict("", {"image_bytes": pictures})
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_single_row_has_no_number(models):
    pictures = np.array([b"text"], np.object_)

    with pytest.raises(servables.ServingError, match="^Unknown image file format"):
        models["style_encoder"][1].predict("", {"image_bytes": pictures})


def test_inputs_of_different_sizes_are_not_divided(models):
    rows = {"a": np.zeros([20, 2], np.float32), "seed": np.arange(9)}
    outputs = models["pair"][1].predict("", rows)

    assert (len(outputs["sum"]), len(outputs["seed"])) == (20, 9)
