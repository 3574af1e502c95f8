"""Gin is parsed strictly: each mistake is one error that names its place."""

import inspect
import os
import pathlib

import gin
import pytest
from absl import logging as absl_logging

from helpers.commands import ROOT
from tfstyle.core import gin_config
from tfstyle.core.cli import UserError
from tfstyle.training import settings as train_settings
from tfstyle.training import trainer

SHIPPED = sorted(ROOT.glob("gin/**/*.gin"))

pytestmark = pytest.mark.usefixtures("clean_gin")


def parse(*files, bindings=()):
    gin_config.parse(
        [str(file) for file in files], bindings, trainer.list_configurables()
    )


def refusal(*files, bindings=()) -> str:
    """Return the message of the error, which is one line."""
    with pytest.raises(UserError) as caught:
        parse(*files, bindings=bindings)
    text = str(caught.value)
    assert "\n" not in text
    return text


def write(path, text) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("binding", "meant"),
    [
        ("trian.steps = 100", "train"),
        ("metrik.t = 0.9", "metric"),
        ("train_batchs.parallelism = 2", "train_batches"),
        ("train.stepz = 100", "steps"),
        ("train.evaluation_interval = 5", "eval_interval"),
        ("adam.learnig_rate = 1e-3", "learning_rate"),
        ("train_batches.shufle_buffer = 9", "shuffle_buffer"),
        ("metric.optimizer = @rmsprob", "rmsprop"),
    ],
)
@pytest.mark.parametrize("place", ["a file", "a flag"])
def test_the_valid_name_nearest_to_a_misspelled_one_is_suggested(
    binding, meant, place, tmp_path
):
    if place == "a flag":
        text = refusal(bindings=[binding])
        assert binding in text
    else:
        file = write(tmp_path / "stage.gin", f"train.steps = 1\n{binding}\n")
        text = refusal(file)
        assert str(file) in text and "line 2" in text
    suggestion = text.split("Did you mean ")[1]
    assert meant in suggestion.rstrip("?").split(" or ")


def test_without_a_near_name_all_are_listed():
    text = refusal(bindings=["zzzzzz.steps = 1"])

    known = text.split("Known: ")[1].rstrip(".").split(", ")
    assert known == list(trainer.list_configurables())


def test_parameters_that_the_code_passes_are_not_suggested():
    """The style encoder is an argument of `vae` without a default, never bound."""
    text = refusal(bindings=["vae.stile_encoder = 1"])

    assert "Did you mean style_encoder" not in text
    text = refusal(bindings=["vae.zzzzzz = 1"])
    known = text.split("Known: ")[1].rstrip(".").split(", ")
    assert "kl_weight" in known and "style_encoder" not in known


def test_every_suggested_name_can_be_bound():
    for name in trainer.list_configurables():
        with pytest.raises(ValueError, match=f"'{name}' doesn't have a parameter"):
            gin.bind_parameter(f"{name}.no_such_parameter", 1)


@pytest.mark.parametrize(
    "text", ["train.steps", "train.steps = (1,", "train.steps = 1)", "train.steps = ="]
)
def test_a_syntax_error_names_the_file(text, tmp_path):
    file = write(tmp_path / "broken.gin", text)

    assert str(file) in refusal(file)
    assert text in refusal(bindings=[text])


def test_an_error_about_a_word_without_quotes_asks_for_quotes():
    text = refusal(bindings=["train.stage = metric"])

    assert "'metric' is not a value: text needs quotes" in text
    assert "malformed node" not in text


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("metric.t", '"x"', "a number above 0 and at most 1"),
        ("metric.t", "None", "a number above 0 and at most 1"),
        (
            "generator.blocks",
            "None",
            "a tuple of 1 to 12 entries, each a whole number from 1 to 64",
        ),
        ("style_encoder.dims", "(8,)", "a whole number from 1 to 65536"),
        ("metric.optimizer", '"adam"', "the @name of a function of type Optimizer"),
        ("adam.fall", "(5, 1)", "a tuple of 2 ascending entries, each a whole number"),
        ("train.deterministic", '"yes"', "True or False"),
        ("classifier.t", "None", None),
        ("adam.learning_rate", "1", None),
        ("judge/rmsprop.rho", '"x"', "a number from 0 to 0.999999"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_type(setting, value, expected):
    bindings = [f"{setting} = {value}", "gan.discriminator_optimizer = @judge/rmsprop"]
    if expected is None:
        parse(bindings=bindings)
    else:
        text = refusal(bindings=bindings)
        assert f"{setting} must be {expected}" in text
        assert text.endswith(f", got {value}".replace('"', "'"))


SETTINGS = [
    f"{name}.{parameter}"
    for name, configurable in trainer.list_configurables().items()
    for parameter in inspect.signature(configurable).parameters
]
OPTIONAL = (
    *("train.steps", "train.epochs", "train.checkpoint", "train.jit_compile"),
    *("metric.start_distance", "classifier.t", "adam.fall", "rmsprop.fall"),
    *("pruning.style_dims", "pruning.content_dims"),
)
# Any text is read, and checked when the stage is known.
TEXTS = ("train.stage", "train.checkpoint")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    "value",
    [
        *("'x'", "('x', 1)", "()", "{}", "@metric", "@metric()", "@gin.singleton()"),
        *("1e400", "-1e400", "1e300", "-7", "1" * 4000, "1" * 5000),
        *("%first", "%text", "None"),
    ],
    ids=lambda value: value[:20],
)
def test_no_setting_takes_a_value_of_another_kind_or_size(setting, value):
    takes = value == "None" and setting in OPTIONAL
    takes |= value in ("'x'", "%text") and setting in TEXTS
    takes |= value == "()" and setting == "train.splits"  # asks for "train" later
    bindings = ["first = %second", "second = %first", "text = 'x'"]
    bindings.append(f"{setting} = {value}")
    if takes:
        parse(bindings=bindings)
    else:
        text = refusal(bindings=bindings)
        assert setting in text
        assert len(text) < 450


def test_a_macro_may_stand_for_a_number_and_inside_a_tuple():
    parse(
        bindings=[
            *("wide = 8", "style_encoder.features = (%wide, 16)"),
            *("many = 1e1", "train.steps = %many"),
        ]
    )

    assert gin.query_parameter("train.steps") == 10


@pytest.mark.parametrize(
    "binding",
    [
        "adam.learning_rate = 1e-320",  # 0 in float32
        "adam.beta_1 = 1",
        "rmsprop.rho = 0.99999999",  # 1 in float32
        "style_encoder.blocks = (100000, 1)",
        "style_encoder.blocks = (True, 1)",
        "style_encoder.features = (16.5, 8)",
        "metric.optimizer = @style_encoder",
        "metric.optimizer = @adam()",
        "metric.augmentation = @augmentation",
        "train.deterministic = 1",
        "train.splits = 'train'",
        "train_batches.parallelism = 0",
    ],
)
def test_what_cannot_be_trained_with_is_refused(binding):
    assert f"{binding.split()[0]} must be " in refusal(bindings=[binding])


@pytest.mark.parametrize(
    "binding",
    [
        "metric.optimizer = @rmsprop",
        "metric.augmentation = @augmentation()",
        "train_batches.parallelism = -1",
        "adam.fall = [1, 2]",
        "adam.beta_1 = 0",
    ],
)
def test_what_can_be_trained_with_is_accepted(binding):
    parse(bindings=[binding])


def test_a_scope_that_no_reference_uses_is_an_error():
    reference = "gan.discriminator_optimizer = @judge/fast/rmsprop"
    text = refusal(bindings=[reference, "jugde/rmsprop.rho = 0.8"])

    assert "nothing refers to @jugde/rmsprop. Did you mean judge" in text
    assert "Did you mean" not in refusal(bindings=["judge/rmsprop.rho = 0.8"])


@pytest.mark.parametrize("scope", ["judge", "judge/fast"])
def test_a_scope_that_a_reference_uses_is_accepted(scope):
    reference = "gan.discriminator_optimizer = @judge/fast/rmsprop"
    parse(bindings=[reference, f"{scope}/rmsprop.rho = 0.8"])

    assert gin.query_parameter(f"{scope}/rmsprop.rho") == 0.8


@pytest.mark.parametrize(
    ("make", "problem"),
    [(os.mkdir, "is a folder: name a file in it"), (os.mkfifo, "is no regular file")],
)
def test_an_included_path_that_is_no_file_is_named(make, problem, tmp_path):
    make(tmp_path / "inner")
    file = tmp_path / "outer.gin"
    file.write_text('include "inner"\n')
    assert refusal(file).endswith(f": {tmp_path / 'inner'} {problem}")


def test_macros_are_not_taken_for_scopes():
    parse(bindings=["rate = 1e-3", "unused = 2", "rmsprop.learning_rate = %rate"])

    assert gin.query_parameter("rmsprop.learning_rate").scoped_configurable_fn() == 1e-3


def test_a_missing_file_is_named_with_its_flag(tmp_path):
    file = tmp_path / "none.gin"

    assert refusal(file) == f"--gin_file={file} does not exist"


@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "is a folder: name a file in it"), ("/dev/zero", "is not a regular file")],
)
def test_what_is_not_a_file_is_named_as_what_it_is(name, problem, tmp_path):
    path = tmp_path / name
    assert refusal(path) == f"--gin_file={path} {problem}"


@pytest.mark.parametrize("text", ["", "\n", "# only\n# comments\n"])
def test_a_file_may_hold_no_settings(text, tmp_path):
    empty = write(tmp_path / "empty.gin", text)
    parse(empty, write(tmp_path / "own.gin", f'include "empty.gin"\n{text}'))


@pytest.mark.parametrize("binding", ["", "  "])
def test_an_empty_binding_names_its_flag(binding):
    assert "--gin_param is empty" in refusal(bindings=[binding])


def test_files_that_include_each_other_twice_are_refused(tmp_path):
    """24 of them would be 2^24 files."""
    for number in range(24):
        write(tmp_path / f"{number}.gin", f'include "{number + 1}.gin"\n' * 2)
    write(tmp_path / "24.gin", "train.seed = 1\n")

    text = refusal(tmp_path / "0.gin")

    assert "more than 200 included files" in text and "include each file once" in text


def test_a_missing_include_names_both_files(tmp_path):
    file = write(tmp_path / "stage.gin", 'include "nowhere.gin"\n')

    text = refusal(file)

    assert str(file) in text and "nowhere.gin" in text


@pytest.mark.parametrize("how", ["absolute", "relative"])
def test_includes_are_found_beside_their_file_from_any_folder(
    how, tmp_path, monkeypatch
):
    write(tmp_path / "gin" / "common.gin", "adam.learning_rate = 0.25\n")
    file = write(tmp_path / "gin" / "stage.gin", 'include "common.gin"\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    parse(file if how == "absolute" else pathlib.Path("..") / "gin" / "stage.gin")

    assert gin.query_parameter("adam.learning_rate") == 0.25


def test_flags_override_files_and_later_files_override_earlier_ones(tmp_path):
    first = write(tmp_path / "a.gin", "train.steps = 1\ntrain.seed = 1\nvae.t = 0.1\n")
    second = write(tmp_path / "b.gin", "train.steps = 2\ntrain.seed = 2\n")

    parse(first, second, bindings=["train.steps = 3"])

    assert gin.query_parameter("train.steps") == 3
    assert gin.query_parameter("train.seed") == 2
    assert gin.query_parameter("vae.t") == 0.1


def test_an_error_leaves_the_verbosity_of_logs_unchanged():
    before = absl_logging.get_verbosity()
    refusal(bindings=["train.stepz = 1"])

    assert absl_logging.get_verbosity() == before


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_file_parses_and_binds_known_names(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    parse(file)

    bound = {selector.split(".")[-1] for _, selector in gin.config._CONFIG}
    assert bound and bound <= set(trainer.list_configurables())
    if file.name != "common.gin":
        settings = train_settings.TrainSettings()
        assert settings.stage == file.stem


# What a file includes, and what it may not do.


@pytest.mark.parametrize("place", ["beside it", "in a folder below", "elsewhere"])
def test_an_included_file_finds_what_it_includes_beside_itself(
    place, tmp_path, monkeypatch
):
    """Also a shipped recipe that an own file in any folder includes."""
    monkeypatch.chdir(tmp_path)
    shipped = ROOT / "gin" / "quickstart" / "metric.gin"
    folder = tmp_path / "recipes"
    if place == "elsewhere":
        name = str(shipped)
    else:
        folder = tmp_path / ("mine" if place == "beside it" else "mine/below")
        folder.mkdir(parents=True)
        for file in shipped.parent.glob("*.gin"):
            write(folder / file.name, file.read_text())
        name = "metric.gin" if place == "beside it" else "below/metric.gin"
    own = write(
        tmp_path / "mine" / "own.gin", f'include "{name}"\ntrain.batch_size = 3\n'
    )

    parse(own)

    assert gin.query_parameter("train.stage") == "metric"
    assert gin.query_parameter("train.batch_size") == 3


def test_a_file_beside_comes_before_one_of_the_same_name_in_the_working_directory(
    tmp_path, monkeypatch
):
    write(tmp_path / "common.gin", "train.steps = 1\n")
    write(tmp_path / "mine" / "common.gin", "train.steps = 2\n")
    write(tmp_path / "other.gin", "train.seed = 5\n")
    own = write(
        tmp_path / "mine" / "own.gin", 'include "common.gin"\ninclude "other.gin"\n'
    )
    monkeypatch.chdir(tmp_path)

    parse(own)

    assert gin.query_parameter("train.steps") == 2
    assert gin.query_parameter("train.seed") == 5


def test_settings_and_includes_take_effect_in_their_order(tmp_path):
    write(tmp_path / "b.gin", "train.steps = 2\ntrain.seed = 2\n")
    own = write(
        tmp_path / "a.gin",
        "train.steps = 1\n\ninclude 'b.gin'  # a comment\n\n"
        "train:\n  seed = 3\n  splits = (\n    'train',\n  )\n",
    )

    parse(own)

    assert gin.query_parameter("train.steps") == 2
    assert gin.query_parameter("train.seed") == 3
    assert gin.query_parameter("train.splits") == ("train",)


def test_an_error_behind_an_include_names_its_own_line(tmp_path):
    write(tmp_path / "b.gin", "train.steps = 2\n")
    own = write(tmp_path / "a.gin", 'include "b.gin"\n\ntrain.stepz = 1\n')

    text = refusal(own)

    assert "line 3" in text and str(own) in text


def test_a_file_that_includes_itself_is_an_error(tmp_path):
    write(tmp_path / "b.gin", 'include "a.gin"\n')

    assert "includes itself" in refusal(write(tmp_path / "a.gin", 'include "b.gin"\n'))


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "import os.path as path",
        "from os import path",
        "from __gin__ import dynamic_registration",
        "\n\n  # a comment\nimport antigravity",
        "train.steps = 1\nimport harmful",
    ],
)
@pytest.mark.parametrize("place", ["a file", "an included file", "a flag"])
def test_lines_that_would_run_code_are_refused(place, line, tmp_path, monkeypatch):
    """Before anything of the text takes effect."""
    write(tmp_path / "harmful.py", f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    if place == "a flag":
        text = refusal(bindings=[line])
        assert "--gin_param" in text
    else:
        file = write(tmp_path / "harm.gin", f"{line}\n")
        if place == "an included file":
            file = write(tmp_path / "own.gin", 'include "harm.gin"\n')
        text = refusal(file)
        assert "harm.gin, line " in text
    assert "not allowed" in text
    assert not (tmp_path / "ran").exists()


def test_a_reference_to_anything_but_a_configurable_is_refused():
    assert "os.system" in refusal(bindings=["metric.optimizer = @os.system"])


# What editors and people write.


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_of_any_editor_is_read(encoding, newline, tmp_path):
    file = tmp_path / "ü.gin"
    file.write_bytes(f"# Ünïcode{newline}train.steps = 7{newline}".encode(encoding))

    parse(file)

    assert gin.query_parameter("train.steps") == 7


def test_another_encoding_is_an_error_that_names_the_file(tmp_path):
    file = tmp_path / "a.gin"
    file.write_bytes("train.steps = 1  # ü".encode("utf-16"))

    assert f"{file} must be UTF-8 text" in refusal(file)


@pytest.mark.parametrize(
    ("setting", "value", "number"),
    [
        ("train.steps", "1e1", 10),
        ("train.batch_size", "8.0", 8),
        ("train.seed", "-0.0", 0),
        ("style_encoder.dims", "1.6e1", 16),
        ("pruning.style_dims", "4.", 4),
        ("adam.learning_rate", "1.0", 1.0),
        ("train.epochs", "2.0", 2.0),
    ],
)
def test_a_whole_number_may_be_written_like_any_number(setting, value, number):
    parse(bindings=[f"{setting} = {value}"])

    bound = gin.query_parameter(setting)
    assert bound == number and type(bound) is type(number)


@pytest.mark.parametrize("setting", ["train.steps", "style_encoder.dims"])
@pytest.mark.parametrize("value", ["1.5", "1e-3"])
def test_a_fraction_is_no_whole_number(setting, value):
    text = refusal(bindings=[f"{setting} = {value}"])

    assert f"{setting} must be a whole number" in text
    assert f"got {float(value)}" in text
