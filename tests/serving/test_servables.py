"""The SavedModels of an export folder are found, loaded and called."""

import shutil

import pytest

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

    assert f"the model in {folder} cannot be loaded: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Graph execution error:\n\nDetected at node 'Add' defined at (most recent"
            " call last):\n    File \"a.py\", line 1, in f\nNode: 'Add'\nToo bad."
            "\n\t [[{{node Add}}]] [Op:__inference_f_1]",
            "Too bad.",
        ),
        (
            "Graph execution error:\n\n2 root error(s) found.\n  (0)"
            " INVALID_ARGUMENT:  Too bad.\n\t [[{{node Add}}]]\n  (1) CANCELLED: x",
            "Too bad.",
        ),
        (
            "{{function_node __wrapped__DecodePng_device_CPU:0}} Too bad."
            " [Op:DecodePng] name: ",
            "Too bad.",
        ),
        ("", ""),
    ],
)
def test_an_error_of_tensorflow_is_reduced_to_the_line_that_describes_it(message, line):
    assert servables.summarize_error(message) == line
