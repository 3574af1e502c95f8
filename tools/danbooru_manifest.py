"""Make a manifest of works by artist from Danbooru's metadata.

    python tools/danbooru_manifest.py --metadata=metadata/ --output=manifest.jsonl
    python tools/make_tfrecords.py --manifest=manifest.jsonl --input_dir=danbooru \
      --output_dir=records

Takes still pictures by exactly one artist that are neither deleted nor banned, with
the ratings asked for, by artists with enough of them. Metadata are files of JSON lines,
plain or compressed, in the format used up to 2020 or that used since. Variants of one
work (a parent and its children) get the same `group`, so that they stay on one side of
the train/test split. Memory grows with the number of artists, and by four bytes per
post.
"""

import array
import collections
import contextlib
import json
import pathlib
import pickle
import re
import string
import tempfile
from collections.abc import Collection, Iterator
from typing import IO

from absl import flags

from tfstyle.core import cli, files, names
from tfstyle.core.cli import UserError
from tfstyle.core.progress import progress_bar
from tfstyle.data.catalogs import danbooru
from tfstyle.data.catalogs.danbooru import Post, PostError
from tfstyle.data.refusals import exclusions

_METADATA = cli.define_paths(
    "metadata",
    None,
    "File of metadata, or a folder of such files; may be given several times.",
)
_OUTPUT = cli.define_path("output", None, "Manifest to write (.jsonl).")
_RATINGS = flags.DEFINE_list(
    "ratings",
    ["safe", "general"],
    f"Ratings to take, of {', '.join(danbooru.RATINGS)}. Until 2021 everything safe had"
    " one rating; since 2022 it is either general or sensitive.",
)
_MIN_IMAGES = flags.DEFINE_integer(
    "min_images_per_artist", 50, "Skip artists with fewer works.", 1
)
_EXCLUDE_TAGS = cli.define_path(
    "exclude_tags", None, "File of tags, one per line; posts with one are skipped."
)
_EXCLUDE_ARTISTS, _ALLOW_UNMATCHED = exclusions.define_flags()
_PATH = flags.DEFINE_string(
    "path",
    "original/{bucket:04d}/{id}.{ext}",
    "Path of a picture below make_tfrecords' --input_dir; for the set of small pictures"
    " 512px/{bucket:04d}/{id}.jpg.",
)


_WIDTH = re.compile(r"(0?[1-9]?[0-9]d)?")  # of numbers, in --path


def main() -> None:
    """Read metadata twice over: posts first, then the works of artists with enough."""
    output = _OUTPUT.value or ""
    cli.check_output(output, ".jsonl")
    paths = _list_files(_METADATA.value)
    ratings = _check_ratings(_RATINGS.value)
    exclude_tags = _read_names("exclude_tags", _EXCLUDE_TAGS.value)
    _format_path(Post(1, "", "png", "s", None, False))  # refuses a wrong --path

    works = Works()
    with tempfile.TemporaryFile() as candidates:
        count = 0
        for post in _read_posts(paths, exclude_tags, works):
            works.add(post)
            pickle.dump((*vars(post).values(),), candidates)  # faster than JSON
            count += 1
        meanings = works.rating_meanings
        counts = works.count_by_artist(ratings, meanings)
        candidates.seek(0)
        kept = {a for a, n in counts.items() if n >= _MIN_IMAGES.value}
        if not kept:
            most = max(counts.values(), default=0)
            raise UserError(
                f"no artist has {names.format_count(_MIN_IMAGES.value, 'work')}, the"
                f" most is {most} ({works.describe_skipped()}): lower"
                " --min_images_per_artist, or see --ratings"
            )
        excluded = _match_artists(kept)
        written = _write_manifest(
            output, (candidates, count), works, (kept, excluded), ratings, meanings
        )
    print(f"artists    {len(kept - excluded)}")
    print(f"works      {written}")
    print(f"skipped    {works.describe_skipped()}")
    for artist in sorted(excluded):
        count = names.format_count(counts[artist], "work")
        print(f"excluded   {names.show(artist)}, {count}")
    print(f"manifest   {names.show(output)}")


class Works:
    """Counts of the posts read, and each post's parent.

    Attributes:
        skipped: number of posts by reason.
    """

    def __init__(self) -> None:
        self.skipped: collections.Counter[str] = collections.Counter()
        self._by_artist: collections.Counter[tuple[str, str]] = collections.Counter()
        # By post: its parent, 0 for none, -1 for a post that was not read.
        self._parents = array.array("i")

    def add(self, post: Post) -> None:
        """Count a candidate and remember its parent."""
        self._by_artist[post.artist, post.rating] += 1
        self._reserve(post.number)
        self._parents[post.number] = post.parent or 0

    def knows(self, number: int) -> bool:
        """Return whether a post was added."""
        return number < len(self._parents) and self._parents[number] >= 0

    @property
    def rating_meanings(self) -> dict[str, str]:
        """The meaning of the letters: new if any post has one of the new ones."""
        letters = {letter for _, letter in self._by_artist}
        return danbooru.NEW_RATINGS if "g" in letters else danbooru.OLD_RATINGS

    def count_by_artist(
        self, ratings: Collection[str], meanings: dict[str, str]
    ) -> collections.Counter[str]:
        """Count each artist's works with the given ratings."""
        counts: collections.Counter[str] = collections.Counter()
        for (artist, letter), count in self._by_artist.items():
            if meanings.get(letter) in ratings:
                counts[artist] += count
        return counts

    def find_group(self, post: Post) -> str:
        """Return the first ancestor of a variant, or "" for a work without variants."""
        if post.parent is None and not post.has_children:
            return ""
        seen = {post.number}
        number = post.number
        while self.knows(number) and self._parents[number] > 0:
            number = self._parents[number]
            if number in seen:  # parents in a circle
                return str(min(seen))
            seen.add(number)
        return str(number)

    def describe_skipped(self) -> str:
        """Format the number of skipped posts by reason, the most frequent first."""
        reasons = self.skipped.most_common()
        return ", ".join(f"{n} {reason}" for reason, n in reasons) or "nothing"

    def _reserve(self, number: int) -> None:
        missing = number + 1 - len(self._parents)
        if missing > 0:
            # Twice as much as needed, so that the copies do not add up.
            self._parents.extend(array.array("i", [-1]) * max(missing, number // 2))


def _list_files(given: Collection[str] | None) -> list[pathlib.Path]:
    if not given:
        raise UserError("--metadata is missing: a file of Danbooru's metadata")
    paths = []
    for name in given:
        path = pathlib.Path(name)
        if not path.exists():
            raise UserError(f"--metadata={name} does not exist")
        inside = sorted(p for p in path.glob("*") if not p.name.startswith("."))
        paths += [p for p in inside if p.is_file()] if path.is_dir() else [path]
    if not paths:
        raise UserError(f"--metadata={', '.join(given)} holds no files")
    return paths


def _check_ratings(ratings: Collection[str]) -> set[str]:
    unknown = sorted(set(ratings) - set(danbooru.RATINGS))
    if unknown or not ratings:
        raise UserError(
            f"--ratings must be of {', '.join(danbooru.RATINGS)}, got"
            f" {', '.join(unknown) or 'none'}"
        )
    return set(ratings)


def _read_names(flag: str, path: str | None) -> set[str]:
    if path is None:
        return set()
    if not files.is_regular(path):
        raise UserError(f"--{flag}={names.show(path)} is not a file")
    try:
        lines = pathlib.Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--{flag}={names.show(path)} cannot be read: {error}"
        ) from None
    # Tags have underscores for spaces.
    return {"_".join(line.split()) for line in lines if line.strip()}


def _match_artists(artists: Collection[str]) -> set[str]:
    """Return the artists that the lists name, with underscores or spaces."""
    spellings = {artist.replace("_", " "): artist for artist in artists}
    spellings |= {artist: artist for artist in artists}
    excluded = exclusions.exclude_names(
        *(_EXCLUDE_ARTISTS.value or [], spellings, _ALLOW_UNMATCHED.value, spellings)
    )
    for note in excluded.notes:
        print(note)
    return {spellings[name] for name in excluded.names}


def _format_path(post: Post) -> str:
    """Return a picture's path; only plain fields are replaced.

    Raises:
        UserError: `--path` has other fields, or the same path for all pictures.
    """
    values = {"bucket": post.number % 1000, "id": post.number, "ext": post.extension}
    # Of brackets that do not match, or hold nothing.
    with contextlib.suppress(IndexError, ValueError):
        fields = [field for field in string.Formatter().parse(_PATH.value) if field[1]]
        known = all(
            name in values and not conversion and _WIDTH.fullmatch(width or "")
            for _, name, width, conversion in fields
        )
        if known and any(name == "id" for _, name, *_ in fields):
            return _PATH.value.format(**values)
    raise UserError(
        f"--path={names.show(_PATH.value)} must hold {{id}}, may hold {{bucket:04d}} "
        "and {ext}, and no other brackets"
    )


def _read_posts(
    paths: Collection[pathlib.Path], exclude_tags: Collection[str], works: Works
) -> Iterator[Post]:
    """Read the posts of all files that can be used, each once; count the others."""
    total = sum(path.stat().st_size for path in paths)
    with progress_bar(total, "reading metadata") as bar:
        for path in paths:
            position = 0
            for read, line in danbooru.read_lines(path):
                if read > position:
                    bar.update(read - position)
                    position = read
                if not line.strip():
                    continue
                try:
                    post = danbooru.parse_post(line, exclude_tags)
                except PostError as reason:
                    works.skipped[str(reason)] += 1
                    continue
                if works.knows(post.number):
                    works.skipped["read_twice"] += 1
                else:
                    yield post
            bar.update(max(0, path.stat().st_size - position))


def _write_manifest(
    output: str,
    posts: tuple[IO[bytes], int],
    works: Works,
    artists: tuple[Collection[str], Collection[str]],
    ratings: Collection[str],
    meanings: dict[str, str],
) -> int:
    """Write the works of artists that have enough and are not excluded.

    `posts` are the candidates' file and number; `artists` those with enough works, and
    those excluded. Returns the number of
    works written.
    """
    (candidates, count), (kept, excluded) = posts, artists
    written = 0
    with (
        files.atomic_file(output) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape") as manifest,
    ):
        for _ in range(count):
            post = Post(*pickle.load(candidates))
            if meanings.get(post.rating) not in ratings:
                works.skipped["rating"] += 1
            elif post.artist not in kept:
                works.skipped["artist_under_minimum"] += 1
            elif post.artist in excluded:
                works.skipped["excluded_artist"] += 1
            else:
                entry = {"path": _format_path(post), "artist": post.artist}
                group = works.find_group(post)
                if group:
                    entry["group"] = group
                manifest.write(json.dumps(entry, ensure_ascii=False) + "\n")
                written += 1
    return written


if __name__ == "__main__":
    cli.run(main)
