"""Danbooru's posts in both formats, and why some are not used."""

import bz2
import gzip
import json
import lzma

import pytest

from tfstyle.core.cli import UserError
from tfstyle.data.catalogs import danbooru
from tfstyle.data.catalogs.danbooru import Post, PostError

# As in the dumps up to 2020: numbers and categories are text, flags are not.
OLD = {
    "id": "263167",
    "rating": "s",
    "file_ext": "png",
    "parent_id": "0",
    "has_children": False,
    "is_deleted": False,
    "is_banned": False,
    "tags": [
        {"id": "1", "name": "1girl", "category": "0"},
        {"id": "2", "name": "some_artist", "category": "1"},
        {"id": "3", "name": "some_artist", "category": "1"},
    ],
}
# As in the dumps since 2021.
NEW = {
    "id": 263167,
    "rating": "g",
    "file_ext": "png",
    "parent_id": None,
    "has_children": False,
    "is_deleted": False,
    "is_banned": False,
    "tag_string": "1girl some_artist",
    "tag_string_artist": "some_artist",
}


def parse(post, **changes):
    return danbooru.parse_post(json.dumps({**post, **changes}).encode(), {"loli"})


@pytest.mark.parametrize(("post", "rating"), [(OLD, "s"), (NEW, "g")])
def test_both_formats_say_the_same(post, rating):
    expected = Post(263167, "some_artist", "png", rating, None, False)
    assert parse(post) == expected
    family = parse(post, parent_id="12", has_children="true", file_ext="JPG")
    assert (family.parent, family.has_children, family.extension) == (12, True, "jpg")


def tagged(post, *names):
    """Add general tags to a post of either format."""
    if "tags" in post:
        tags = [{"name": name, "category": "0"} for name in names]
        return {"tags": post["tags"] + tags}
    return {"tag_string": " ".join([post["tag_string"], *names])}


def by_artists(post, *names):
    if "tags" in post:
        return {"tags": [{"name": name, "category": 1} for name in names]}
    return {"tag_string_artist": " ".join(names)}


@pytest.mark.parametrize("post", [OLD, NEW], ids=["old", "new"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": None}, "no_id"),
        ({"id": "x"}, "no_id"),
        ({"id": -4}, "no_id"),
        ({"id": 10**12}, "no_id"),
        ({"is_deleted": True}, "deleted"),
        ({"is_deleted": "1"}, "deleted"),
        ({"is_banned": "true"}, "banned"),
        ({"file_ext": "zip"}, "animated"),
        ({"file_ext": "mp4"}, "animated"),
        ({"file_ext": None}, "animated"),
        (["animated_gif"], "animated"),
        (["cosplay_photo"], "photo"),
        (["loli"], "excluded_tag"),
        ((), "no_artist"),
        (("banned_artist",), "banned"),
        (("some_artist", "other_artist"), "several_artists"),
        (("artist_request",), "no_artist"),
    ],
)
def test_a_post_that_is_not_used_has_a_reason(post, changes, reason):
    if isinstance(changes, list):
        changes = tagged(post, *changes)
    elif isinstance(changes, tuple):
        changes = by_artists(post, *changes)
    with pytest.raises(PostError, match=f"^{reason}$"):
        parse(post, **changes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[1]", "not_a_post"),
        (b'{"name": "some_artist", "category": 1}', "not_a_post"),
        (b'{"id": 3, "tags": 7}', "not_a_post"),
    ],
)
def test_a_line_of_something_else_is_named(line, reason):
    with pytest.raises(PostError, match=f"^{reason}$"):
        danbooru.parse_post(line)


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress]
)
def test_lines_are_read_whatever_the_compression(compress, tmp_path):
    path = tmp_path / "posts"
    path.write_bytes(compress(b'{"id": 1}\n{"id": 2}'))
    lines = list(danbooru.read_lines(path))
    assert [line for _, line in lines] == [b'{"id": 1}\n', b'{"id": 2}']
    assert 0 < lines[-1][0] <= path.stat().st_size


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_that_ends_early_is_named(compress, tmp_path):
    path = tmp_path / "posts.json"
    path.write_bytes(compress(b'{"id": 1}\n' * 1000)[:-9])
    with pytest.raises(UserError, match=r"posts.json is cut short or corrupt"):
        list(danbooru.read_lines(path))


def test_half_a_character_is_no_artist():
    post = {
        "id": 1,
        "file_ext": "png",
        "tag_string": "a",
        "tag_string_artist": "\ud800",
    }
    with pytest.raises(PostError, match="bad_artist"):
        danbooru.parse_post(json.dumps(post).encode())
