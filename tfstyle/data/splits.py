"""Which pictures become examples, of which split and label, and in which order.

Everything here follows from a seed and from each picture's name (its path below
the input folder), so that adding an artist does not reshuffle the others.
"""

import collections
import dataclasses
import hashlib
import os
import shlex
from collections.abc import Collection, Iterable, Sequence

from tfstyle.core.cli import UserError
from tfstyle.data import pictures

SPLITS = ("train", "test", "holdout")
_NEARLY_ALL = 0.9  # of the folders


@dataclasses.dataclass(frozen=True)
class Source:
    """A picture file that may become an example.

    Attributes:
        path: where the file is.
        artist: whose picture it is.
        name: what the records call it: its path below the input folder.
        group: pictures of an artist with the same non-empty group (variants of one
            work) stay on one side of the split.
    """

    path: str
    artist: str
    name: str
    group: str = ""


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How pictures are divided; the fields are flags of tools/make_tfrecords.py.

    Attributes:
        min_images_per_artist: artists with fewer usable pictures are left out.
        test_fraction: share of each artist's pictures that goes to test ..
        min_test_images: .. but at least this many.
        holdout_artists: artists kept out of train and test altogether; a share
            below 1, a number from 1 on.
        seed: decides every random choice.
    """

    min_images_per_artist: int = 50
    test_fraction: float = 0.1
    min_test_images: int = 10
    holdout_artists: float = 0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Artist:
    """An artist of the train and test splits, or (all in `holdout`) of the third."""

    name: str
    label: int
    train: int = 0
    test: int = 0
    holdout: int = 0


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """The outcome of `plan_splits`; pictures are indices into its `sources`.

    Attributes:
        artists: in the order of their labels, which start at 0.
        holdout_artists: their labels go on where those of `artists` end.
        examples: per split, the pictures in the order of writing.
        dropped: pictures left out, with the reason.
        copies: for each of them that is `ambiguous`, one of its copies by another
            artist.
    """

    artists: tuple[Artist, ...]
    holdout_artists: tuple[Artist, ...]
    examples: dict[str, list[int]]
    dropped: list[tuple[int, str]]
    copies: dict[int, int] = dataclasses.field(default_factory=dict)


def scan_artist_folders(
    input_dir: str, exclude: Collection[str] = ()
) -> tuple[list[Source], list[tuple[str, str]]]:
    """List the pictures of a folder that holds one folder per artist.

    Files beside the artist folders and anything hidden are ignored. Folders inside
    an artist's folder are searched too.

    Args:
        input_dir: the folder.
        exclude: artists to leave out.

    Returns:
        The pictures, sorted by name; and (name, reason) of the files left out.

    Raises:
        UserError: the folder is missing, empty or has no artist folders.
    """
    if not os.path.isdir(input_dir):
        raise UserError(f"--input_dir={input_dir} is not a folder")
    visible = [e for e in os.scandir(input_dir) if not e.name.startswith(".")]
    artists = sorted(e.name for e in visible if e.is_dir())
    if not artists:
        loose = sum(is_picture(e.name) for e in visible)
        found = f"{loose} pictures but no folders" if loose else "no folders"
        raise UserError(
            f"{input_dir} holds {found}: give each artist a folder of their own,"
            f" as in {os.path.join(input_dir, 'ARTIST', 'picture.png')}"
        )
    sources, skipped = [], []
    for artist in artists:
        for path in walk(os.path.join(input_dir, artist)):
            name = os.path.relpath(path, input_dir).replace(os.sep, "/")
            if artist in exclude:
                skipped.append((name, "excluded_artist"))
            elif not is_picture(path):
                skipped.append((name, "not_a_picture"))
            else:
                sources.append(Source(path, artist, name))
    if not sources:
        raise UserError(
            f"the artist folders of {input_dir} hold no pictures"
            f" ({len(skipped)} other or excluded files)"
        )
    return sources, skipped


def nesting_note(input_dir: str, sources: Iterable[Source]) -> str | None:
    """Tell how folders were taken where they look like GROUP/ARTIST/picture.png.

    Args:
        input_dir: the folder that was scanned.
        sources: its pictures.

    Returns:
        The note, if nearly all artists' folders hold no pictures but several folders
        of pictures.
    """
    inner: dict[str, set[str]] = collections.defaultdict(set)
    for source in sources:
        folder, slash, _ = source.name.partition("/")[2].partition("/")
        inner[source.artist].add(folder if slash else "")
    nested = [each for each in inner.values() if len(each) > 1 and "" not in each]
    if len(nested) < _NEARLY_ALL * len(inner):
        return None
    folders = sum(map(len, nested))
    inner_folders = f"{shlex.quote(input_dir)}/*/*"
    return (
        f"note: {len(nested)} of the {len(inner)} folders of {input_dir} hold all their"
        f" pictures in {folders} folders of their own. The outer folders are taken for"
        " the artists. If the inner ones are, point --input_dir one level down, or"
        f" copy them into one folder: mkdir FLAT && cp -r {inner_folders} FLAT"
    )


def overlooked_notes(
    input_dir: str, sources: Iterable[Source], exclude: Collection[str] = ()
) -> list[str]:
    """Tell what `scan_artist_folders` took nothing from: loose pictures, empty folders.

    Args:
        input_dir: the folder that was scanned.
        sources: its pictures.
        exclude: artists who were left out.

    Returns:
        A note for each kind, if there are any.
    """
    visible = [e for e in os.scandir(input_dir) if not e.name.startswith(".")]
    loose = sum(e.is_file() and is_picture(e.name) for e in visible)
    known = {source.artist for source in sources}.union(exclude)
    empty = sorted(e.name for e in visible if e.is_dir() and e.name not in known)
    notes = []
    if loose:
        notes = [f"note: {loose} pictures beside the artists' folders are left out"]
    if empty:
        named = ", ".join([*empty[:5], *[".."][: len(empty) - 5]])
        notes.append(f"note: {len(empty)} folders hold no pictures: {named}")
    return notes


def sign_sources(sources: Sequence[Source]) -> str:
    """Return a digest of which files there are, without reading a picture.

    A file counts by name, artist, group, size and time of change.
    """
    digest = hashlib.sha256()
    for source in sorted(sources, key=lambda source: source.name):
        try:
            status = os.stat(source.path)
            state = (status.st_size, status.st_mtime_ns)
        except OSError:  # a dangling link: it will be skipped as unreadable
            state = (0, 0)
        fields = (source.name, source.artist, source.group, *state)
        digest.update(repr(fields).encode())
    return digest.hexdigest()


def plan_splits(
    sources: Sequence[Source],
    contents: Sequence[str],
    rule: SplitRule,
    left_out: Iterable[str] = (),
) -> SplitPlan:
    """Divide usable pictures into train, test and holdout.

    Args:
        sources: the usable pictures.
        contents: per picture, a digest of its pixels. Equal ones stay on one side;
            those found under two artists are dropped as `ambiguous`.
        rule: the numbers.
        left_out: the reasons of files that were left out before, for errors.

    Returns:
        The plan; it does not depend on the order of `sources`.

    Raises:
        UserError: fewer than two artists are left.
    """
    # Per content, the first picture of each artist.
    owners: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for index in sorted(range(len(sources)), key=lambda i: sources[i].name):
        owners[contents[index]].setdefault(sources[index].artist, index)
    by_artist = collections.defaultdict(list)
    dropped: list[tuple[int, str]] = []
    copies: dict[int, int] = {}
    for index, (source, content) in enumerate(zip(sources, contents, strict=True)):
        others = (i for who, i in owners[content].items() if who != source.artist)
        if (copy := next(others, None)) is not None:
            dropped.append((index, "ambiguous"))
            copies[index] = copy
        else:
            by_artist[source.artist].append(index)

    divided = {}
    for artist, members in by_artist.items():
        test = _choose_test(sources, contents, members, rule)
        if len(members) < rule.min_images_per_artist:
            dropped.extend((index, "artist_under_minimum") for index in members)
        elif len(test) == len(members):
            dropped.extend((index, "artist_without_training") for index in members)
        else:
            divided[artist] = test
    names = sorted(divided)
    reasons = [reason for _, reason in dropped]
    if not names:
        copied = reasons.count("ambiguous")
        require_enough_pictures(
            (sources[i] for group in by_artist.values() for i in group),
            rule,
            [*left_out, *["ambiguous"] * copied],
        )
    held_out = _choose_holdout(names, rule)
    names = [name for name in names if name not in held_out]
    if len(names) < 2:
        flags = ["min_images_per_artist", "holdout_artists", "exclude_artists"]
        if "artist_without_training" in reasons:  # all their pictures go to test
            flags = [f"test_fraction={rule.test_fraction:g}", "min_test_images", *flags]
        raise UserError(
            f"{len(names)} artist{'s' * (not names)} left to train on"
            + (f" ({names[0]}, {len(by_artist[names[0]])} pictures)" if names else "")
            + f", of {len(by_artist)} found: a style space needs at least two"
            f" (see {', '.join(f'--{flag}' for flag in flags)})"
        )

    examples: dict[str, list[int]] = {split: [] for split in SPLITS}
    artists = []
    for label, name in enumerate(names):
        test = divided[name]
        train = [index for index in by_artist[name] if index not in test]
        examples["train"] += train
        examples["test"] += test
        artists.append(Artist(name, label, train=len(train), test=len(test)))
    holdout_artists = []
    for label, name in enumerate(sorted(held_out), start=len(names)):
        examples["holdout"] += by_artist[name]
        holdout_artists.append(Artist(name, label, holdout=len(by_artist[name])))
    for split in SPLITS:
        examples[split].sort(key=lambda i: _rank(rule.seed, "order", sources[i].name))
    return SplitPlan(
        tuple(artists), tuple(holdout_artists), examples, sorted(dropped), copies
    )


def require_enough_pictures(
    sources: Iterable[Source], rule: SplitRule, left_out: Iterable[str] = ()
) -> None:
    """Raise UserError unless some artist has enough of `sources` to be kept.

    Args:
        sources: the pictures.
        rule: the numbers.
        left_out: the reasons of files that were left out.
    """
    counts = collections.Counter(source.artist for source in sources)
    most = max(counts.values(), default=0)
    reasons = collections.Counter(left_out)
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    if not most and told:
        raise UserError(f"no picture is usable, the files left out are: {told}")
    if most < rule.min_images_per_artist:
        raise UserError(
            f"no artist has {rule.min_images_per_artist} usable pictures, the most is"
            f" {most}{f' (left out: {told})' if told else ''}: lower"
            " --min_images_per_artist"
        )
    if most <= rule.min_test_images:
        raise UserError(
            f"no artist has more than {rule.min_test_images} usable pictures, which"
            f" all go to test, the most is {most}: lower --min_test_images"
        )


def walk(folder: str) -> list[str]:
    """Return the paths of all files below a folder, sorted, without hidden ones."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            os.path.join(parent, name)
            for name in sorted(files)
            if not name.startswith(".")
        ]
    return found


def is_picture(path: str) -> bool:
    """Tell by its name whether a file may be a picture."""
    return os.path.splitext(path)[1].lower() in pictures.SUFFIXES


def _choose_test(
    sources: Sequence[Source],
    contents: Sequence[str],
    members: Sequence[int],
    rule: SplitRule,
) -> set[int]:
    """Take whole groups in hash order while that comes nearer to the right number."""
    wanted = int(rule.test_fraction * len(members) + 0.5)
    wanted = max(rule.min_test_images, wanted)
    groups = sorted(
        (min(_rank(rule.seed, "test", sources[i].name) for i in group), group)
        for group in _join_groups(sources, contents, members)
    )
    test: set[int] = set()
    for _, group in groups:
        if abs(len(test) + len(group) - wanted) < abs(len(test) - wanted):
            test.update(group)
    return test


def _join_groups(
    sources: Sequence[Source], contents: Sequence[str], members: Sequence[int]
) -> list[list[int]]:
    """Join pictures that share a group or their pixels, also through a third one."""
    parent = {index: index for index in members}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    first_with: dict[tuple[str, str], int] = {}
    for index in members:
        keys = [("content", contents[index])]
        if sources[index].group:
            keys.append(("group", sources[index].group))
        for key in keys:
            parent[root(index)] = root(first_with.setdefault(key, index))
    groups = collections.defaultdict(list)
    for index in members:
        groups[root(index)].append(index)
    return list(groups.values())


def _choose_holdout(names: Sequence[str], rule: SplitRule) -> set[str]:
    count = rule.holdout_artists
    if count < 1:
        count = int(count * len(names) + 0.5)
    ranked = sorted(names, key=lambda name: _rank(rule.seed, "holdout", name))
    return set(ranked[: int(count)])


def _rank(seed: int, purpose: str, name: str) -> bytes:
    text = f"{seed}/{purpose}/{name}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
