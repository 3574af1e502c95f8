"""tools/danbooru_manifest.py: from metadata to a manifest, end to end."""

import gzip
import json

import pytest

from helpers import commands
from helpers.commands import read_output, tool


def make_post(number, artist="ana", rating="g", **changes):
    return {
        "id": number,
        "rating": rating,
        "file_ext": "png",
        "tag_string": f"1girl {artist}",
        "tag_string_artist": artist,
        **changes,
    }


def make_manifest(tmp_path, posts, *flags):
    metadata = tmp_path / "posts.json.gz"
    metadata.write_bytes(gzip.compress("\n".join(map(json.dumps, posts)).encode()))
    output = tmp_path / "manifest.jsonl"
    paths = (f"--metadata={metadata}", f"--output={output}")
    minimum = "--min_images_per_artist=2"
    result = commands.run(tool("danbooru_manifest"), *paths, minimum, *flags)
    entries = []
    if output.exists():
        entries = [json.loads(line) for line in output.read_text().splitlines()]
    return result, entries


def test_works_of_artists_with_enough_are_listed(tmp_path):
    posts = [
        *(make_post(number) for number in (1, 4000123)),
        make_post(3, "ben"),
        make_post(4, "ben", rating="s"),
        make_post(1),
        make_post(5, "ana ben"),
    ]
    result, entries = make_manifest(tmp_path, posts)

    assert entries == [
        {"path": "original/0001/1.png", "artist": "ana"},
        {"path": "original/0123/4000123.png", "artist": "ana"},
    ]
    output = read_output(result)
    for part in ("1 rating", "1 artist_under_minimum", "1 read_twice"):
        assert part in output
    assert "1 several_artists" in output


def test_safe_changed_its_letter_in_2022(tmp_path):
    """Without a post rated "g", "s" is safe; with one, "s" is sensitive."""
    old = [make_post(number, rating="s") for number in (1, 2)]
    _, entries = make_manifest(tmp_path, old)
    assert len(entries) == 2
    new = [*old, make_post(3), make_post(4)]
    _, entries = make_manifest(tmp_path, new)
    assert [entry["path"] for entry in entries] == [
        "original/0003/3.png",
        "original/0004/4.png",
    ]
    _, entries = make_manifest(tmp_path, new, "--ratings=sensitive")
    assert len(entries) == 2


def test_variants_of_a_work_are_one_group(tmp_path):
    """2 and 3 are variants of 1, 4 of 3; 5 and 6 name each other; 7 stands alone."""
    parents = {1: None, 2: 1, 3: 1, 4: 3, 5: 6, 6: 5, 7: None}
    posts = [
        make_post(number, parent_id=parent, has_children=number in parents.values())
        for number, parent in parents.items()
    ]
    _, entries = make_manifest(tmp_path, posts)
    assert [entry.get("group") for entry in entries] == [*"1111", "5", "5", None]


def test_a_parent_that_was_not_read_still_joins_its_children(tmp_path):
    posts = [make_post(number, parent_id=9) for number in (1, 2)]
    _, entries = make_manifest(tmp_path, posts)
    assert [entry["group"] for entry in entries] == ["9", "9"]


@pytest.mark.parametrize(
    "line",
    ["some_artist", "Some Artist", "some_artist/", '"some artist"', "- some_artist"],
)
def test_excluded_artists_are_out_however_they_are_written(tmp_path, line):
    names = tmp_path / "no.txt"
    names.write_text(f"{line}\n")
    artists = enumerate(["some_artist", "ben"] * 2, 1)
    posts = [make_post(number, artist) for number, artist in artists]
    result, entries = make_manifest(tmp_path, posts, f"--exclude_artists={names}")
    assert {entry["artist"] for entry in entries} == {"ben"}
    output = read_output(result)
    assert "2 excluded_artist" in output
    assert "excluded   some_artist, 2 works\n" in output
    assert "stays in" not in output


def test_a_line_that_excludes_nobody_is_an_error(tmp_path):
    names = tmp_path / "no.txt"
    names.write_text("anna\nzoe\n")
    posts = [make_post(number, "ana") for number in (1, 2)]
    result, entries = make_manifest(tmp_path, posts, f"--exclude_artists={names}")
    assert result.returncode == 1 and not entries
    assert "'anna' matches no artist of the manifest (the nearest is 'ana')" in (
        result.stderr
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ratings=nice"], "--ratings must be of safe, general"),
        (["--path={name}.png"], "--path={name}.png must hold {id}"),
        (["--path=plain.jpg"], "--path=plain.jpg must hold {id}"),
        (["--path={id.__class__}"], "--path={id.__class__} must hold {id}"),
        (["--path={id:100000000}"], "--path={id:100000000} must hold {id}"),
        (["--path={id!r}"], "--path={id!r} must hold {id}"),
        (["--path={id}{"], "--path={id}{ must hold {id}"),
        (["--exclude_tags=missing.txt"], "--exclude_tags=missing.txt cannot be read"),
        (["--metadata=nowhere"], "--metadata=nowhere does not exist"),
        (["--min_images_per_artist=9"], "no artist has 9 works, the most is 2"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(flags, message, tmp_path):
    result, entries = make_manifest(tmp_path, [make_post(1), make_post(2)], *flags)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]  # there may be a progress bar before it
    assert line.startswith("error: ") and message in line
    assert not entries
