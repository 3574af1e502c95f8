"""run.json is read as written; other versions and corrupt files are one-line errors."""

import dataclasses
import json

import numpy as np
import pytest

from helpers.pictures import list_portraits
from tfstyle.core.cli import UserError
from tfstyle.data import record_writer
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.pictures import Conversion
from tfstyle.modeling.networks.networks import StyleEncoder
from tfstyle.modeling.objectives.artist_layers import ArtistLogits
from tfstyle.runs.description import (
    FORMAT_VERSION,
    Collection,
    StageDescription,
    describe_networks,
    list_differences,
)

RULE = SplitRule(4, min_test_images=2, validation_fraction=0.25)
DESCRIPTION = StageDescription(
    stage="metric",
    steps=10,
    strategy="mirrored",
    replicas=2,
    dataset=Collection("/records", "abc", 32, "crop", "#ffffff", ["Zoé", "a, b"]),
    networks={
        "style_encoder": {
            "class": "StyleEncoder",
            "config": {"dims": 8},
            "parameters": 9,
        }
    },
    code_sizes=[],
    identity={
        "seed": 0,
        "objective": {"t": 0.97, "start_distance": None},
        "dataset": "abc",
        "earlier_stages": {},
        "networks": {"style_encoder": {"dims": 8}},
        "splits": ["train"],
    },
    init_from="runs/other",
    gin_dir="my gin",
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "metric" / "run.json"
    DESCRIPTION.write(path)
    return path


def test_a_description_is_read_as_written(path):
    assert StageDescription.read(path) == DESCRIPTION
    assert DESCRIPTION.objective == {"t": 0.97, "start_distance": None}
    stored = json.loads(path.read_text())
    assert stored["format_version"] == FORMAT_VERSION
    assert stored["dataset"]["artists"] == ["Zoé", "a, b"]


def test_numbers_of_numpy_become_json(path):
    objective = {"rate": np.float32(0.5), "shape": np.arange(2)}
    identity = {**DESCRIPTION.identity, "objective": objective}
    StageDescription(**{**vars(DESCRIPTION), "identity": identity}).write(path)

    assert StageDescription.read(path).objective == {"rate": 0.5, "shape": [0, 1]}


def test_another_format_version_is_refused_with_the_remedy(path):
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "format_version": 1, "code_dims": []}))

    with pytest.raises(UserError) as caught:
        StageDescription.read(path)

    message = f"{path} has format version 1, this version of tfstyle reads"
    assert str(caught.value).startswith(f"{message} {FORMAT_VERSION}: ")
    assert str(caught.value).endswith("train the stage again with --restart")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dataset": None}, ""),
        ({"dataset": {"digest": "abc"}}, "records_dir"),
        ({"steps": None}, "steps"),
        ({"identity": None}, "identity"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_corrupt_entry_is_one_line_that_names_file_and_entry(change, reason, path):
    """None deletes an entry."""
    stored = {**json.loads(path.read_text()), **change}
    stored = {name: value for name, value in stored.items() if value is not None}
    path.write_text(json.dumps(stored))

    with pytest.raises(UserError, match=f"run.json is corrupt: .*{reason}") as caught:
        StageDescription.read(path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '"text"', "{}"])
def test_a_file_that_is_no_description_is_corrupt(text, path):
    path.write_text(text)

    with pytest.raises(UserError, match=f"{path} is corrupt"):
        StageDescription.read(path)


def test_records_are_described_by_their_absolute_path(small_records):
    described = Collection.of_dataset(small_records)

    assert described.records_dir == str(small_records.records_dir)
    assert (described.image_size, described.fit) == (32, small_records.fit)
    assert described.artists == small_records.artist_names
    assert described.digest == small_records.digest
    assert described.split_digest == small_records.split_digest
    assert described.split_rule["min_test_images"] == 4


def test_networks_are_described_so_that_they_can_be_made_again():
    encoder = StyleEncoder((4,), (1,), dims=3)
    encoder.build_variables(16)

    described = describe_networks({"style_encoder": encoder, "x": ArtistLogits(2, 3)})

    assert described == {
        "style_encoder": {
            "class": "StyleEncoder",
            "config": encoder.get_config(),
            "parameters": sum(v.shape.num_elements() for v in encoder.variables),
        }
    }


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"seed": 0, "a": 1}, {"a": 1, "seed": 7}, ["seed: 0 -> 7"]),
        (
            {"optimizers": [{"rate": 1, "rho": 0.9}], "seed": 0},
            {"optimizers": [{"rate": 2, "rho": 0.9}], "seed": 0},
            ["optimizers[0].rate: 1 -> 2"],
        ),
        (
            {"splits": ["train"]},
            {"splits": ["train", "test"]},
            ['splits: ["train"] -> ["train", "test"]'],
        ),
        ({"t": 0.9}, {}, ["t: 0.9 -> null"]),
        ({"t": None}, {}, []),
        ({"shape": (1, 2)}, {"shape": [1, 2]}, []),
        ({"n": np.int64(3)}, {"n": 3}, []),
        (
            {"b": 1, "a": {"d": "x", "c": 2}},
            {"b": 2, "a": 3},
            ['a: {"d": "x", "c": 2} -> 3', "b: 1 -> 2"],
        ),
    ],
)
def test_differences_name_single_entries(old, new, lines):
    """Entries in order; a missing entry is null; lists of other lengths are whole."""
    assert list_differences(old, new) == lines


def make_variant(folder, rule=RULE, count=8, groups=False, num_shards=0) -> Collection:
    """Describe records of the same pictures by two artists, by other settings."""
    sources = [
        dataclasses.replace(source, group=source.name[:3] if groups else "")
        for source in list_portraits(artists=range(2), count=count)
    ]
    dataset = record_writer.write_dataset(
        str(folder), sources, Conversion(8), rule, num_shards=num_shards
    )
    return Collection.of_dataset(dataset)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({}, None),
        ({"num_shards": 2}, None),
        ({"seed": 1}, "--seed=1, not --seed=0"),
        ({"test_fraction": 0.5}, "--test_fraction=0.5, not --test_fraction=0.1"),
        (
            {"validation_fraction": 0.0},
            "--validation_fraction=0.0, not --validation_fraction=0.25",
        ),
        (
            {"min_test_images": 3, "seed": 2},
            "--min_test_images=3, --seed=2, not --min_test_images=2, --seed=0",
        ),
        ({"groups": True}, "have other groups"),
        ({"count": 7}, "holds other pictures"),
    ],
)
def test_records_are_the_same_with_the_same_pictures_in_the_same_splits(
    changes, difference, tmp_path
):
    trained = make_variant(tmp_path / "records")
    fields = {field.name for field in dataclasses.fields(SplitRule)}
    rule = {name: value for name, value in changes.items() if name in fields}
    others = {name: value for name, value in changes.items() if name not in fields}

    again = make_variant(
        tmp_path / "again", dataclasses.replace(RULE, **rule), **others
    )

    described = trained.describe_difference(again)
    if difference is None:
        assert described is None
    else:
        assert difference in described and str(tmp_path / "again") in described


def test_splits_that_an_older_version_did_not_record_are_not_compared(tmp_path, caplog):
    older = dataclasses.replace(DESCRIPTION.dataset, records_dir="/old")
    newer = dataclasses.replace(older, records_dir="/new", split_digest="c")

    assert older.describe_difference(newer) is newer.describe_difference(older) is None
    older.note_unknown_splits(newer)
    assert "that /new has the same training and test pictures" in caplog.messages[0]
    caplog.clear()
    newer.note_unknown_splits(newer)
    assert not caplog.messages
