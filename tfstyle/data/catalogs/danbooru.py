"""Danbooru's metadata: which posts are works by one artist, with the reason if not.

Two formats are in use. Up to 2020 a post holds its tags as objects with a category, and
its numbers and flags as text; from 2021 on it holds one text of tags per category, and
`id` may be missing. Posts are JSON lines, plain or compressed.
"""

import dataclasses
import json
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.data.collections import archives

# Until 2021 "s" was everything safe; since 2022 there is "g", and "s" is sensitive.
OLD_RATINGS = {"s": "safe", "q": "questionable", "e": "explicit"}
NEW_RATINGS = {
    **{"g": "general", "s": "sensitive"},
    **{"q": "questionable", "e": "explicit"},
}
RATINGS = ("safe", *NEW_RATINGS.values())

# Ten times as many as Danbooru has; memory is reserved by the largest.
_LARGEST_ID = 100_000_000
_LINES_PER_POSITION = 1000  # asking the file each time takes as long as a line
_ARTIST_CATEGORY = "1"
# Stand beside the artist's name, or in its place, in the artist category.
_NO_ARTISTS = frozenset({"banned_artist", "artist_request", "artist_unknown"})
_STILL = frozenset({"jpg", "jpeg", "png", "gif", "webp", "bmp", "avif"})
_ANIMATED = frozenset({"animated", "animated_gif", "animated_png", "ugoira", "video"})
_PHOTOS = frozenset({"photo", "photo_(medium)", "cosplay_photo"})


@dataclasses.dataclass(frozen=True)
class Post:
    """A still picture by exactly one artist.

    Attributes:
        number: the post's id.
        artist: the artist's tag.
        extension: of the file, such as "png".
        rating: Danbooru's letter, see `OLD_RATINGS` and `NEW_RATINGS`.
        parent: id of the post of which this is a variant, or None.
        has_children: whether others are variants of this post.
    """

    number: int
    artist: str
    extension: str
    rating: str
    parent: int | None
    has_children: bool


class PostError(ValueError):
    """A post that is not used; the text is the reason, such as "several_artists"."""


def read_lines(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a plain, gzip, bzip2, or xz file, with bytes read so far.

    The bytes are those of the file as it is stored, for a progress bar.

    Raises:
        UserError: the file cannot be read, or ends early.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file")
    try:
        with path.open("rb") as stored:
            position = 0
            for number, line in enumerate(archives.open_compressed(stored)):
                if number % _LINES_PER_POSITION == 0:
                    position = stored.tell()
                yield position, line
    except archives.COMPRESSION_ERRORS as error:
        raise UserError(f"{path} is cut short or corrupt: {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def parse_post(line: bytes, exclude_tags: Collection[str] = ()) -> Post:
    """Parse a line of metadata in either format.

    Args:
        line: a JSON object.
        exclude_tags: posts with one of these are not used.

    Raises:
        PostError: the post is not used.
    """
    try:
        post = json.loads(line)
    except ValueError:  # of JSON or UTF-8
        raise PostError("not_json") from None
    if not isinstance(post, Mapping):
        raise PostError("not_a_post")
    if "tags" in post and isinstance(post["tags"], list):
        artists, tags = _split_tag_objects(post["tags"])
    elif "tag_string" in post or "tag_string_artist" in post:
        artists = str(post.get("tag_string_artist") or "").split()
        tags = str(post.get("tag_string") or "").split()
    else:
        raise PostError("not_a_post")
    number, extension = _read_number(post.get("id")), str(post.get("file_ext") or "")
    reason = _find_reason(post, number, extension.lower(), artists, tags, exclude_tags)
    if reason:
        raise PostError(reason)
    assert number is not None
    (artist,) = set(artists) - _NO_ARTISTS
    return Post(
        number=number,
        artist=artist,
        extension=extension.lower(),
        rating=str(post.get("rating") or "")[:1].lower(),
        parent=_read_number(post.get("parent_id")),
        has_children=_read_flag(post.get("has_children")),
    )


def _find_reason(
    post: Mapping[str, Any],
    number: int | None,
    extension: str,
    artists: Collection[str],
    tags: Collection[str],
    exclude_tags: Collection[str],
) -> str | None:
    """Return the first reason not to use a post."""
    if number is None:
        return "no_id"
    if _read_flag(post.get("is_deleted")):
        return "deleted"
    if _read_flag(post.get("is_banned")) or "banned_artist" in artists:
        return "banned"
    if extension not in _STILL or not _ANIMATED.isdisjoint(tags):
        return "animated"
    if not _PHOTOS.isdisjoint(tags):
        return "photo"
    named = set(artists) - _NO_ARTISTS
    if len(named) != 1:
        return "several_artists" if named else "no_artist"
    try:
        names.encode(*named)
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON can spell it
        return "bad_artist"
    if exclude_tags and not set(exclude_tags).isdisjoint(tags):
        return "excluded_tag"
    return None


def _split_tag_objects(tags: list[Any]) -> tuple[list[str], list[str]]:
    """Return the artists, and all tags."""
    named = [tag for tag in tags if isinstance(tag, Mapping) and "name" in tag]
    artists = [
        str(tag["name"])
        for tag in named
        if str(tag.get("category")) == _ARTIST_CATEGORY
    ]
    return artists, [str(tag["name"]) for tag in named]


def _read_number(value: Any) -> int | None:
    """Read a post's id, a number that may be text; None for anything else."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < _LARGEST_ID else None


def _read_flag(value: Any) -> bool:
    """Read a flag that may be text or a number."""
    if value is None or isinstance(value, bool):
        return bool(value)
    return str(value).lower() in ("true", "1", "t")
