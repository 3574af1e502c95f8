"""Splits: which pictures become examples, with which label and in which order.

Everything here follows from a seed and from each picture's name (its path below the
input folder), so adding an artist does not move the pictures of others.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from tfstyle.core.cli import UserError
from tfstyle.core.names import encode, format_count, show
from tfstyle.data.collections.sources import Source

# Of the artists that are trained on.
ARTIST_SPLITS = ("train", "validation", "test")
SPLITS = (*ARTIST_SPLITS, "holdout")


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How pictures are divided; the fields are flags of tools/make_tfrecords.py.

    Attributes:
        min_images_per_artist: artists with fewer usable pictures are skipped.
        test_fraction: fraction of each artist's pictures in the test split.
        min_test_images: least number of pictures per artist in the test split.
        validation_fraction: fraction of each artist's other pictures in the validation
            split.
        holdout_artists: artists excluded from training and testing; a fraction below
            1, a number from 1 on.
        seed: determines every random choice.
        join_near_duplicates: whether near-identical pictures of an artist stay in one
            split (`near_duplicates`).
    """

    min_images_per_artist: int = 50
    test_fraction: float = 0.1
    min_test_images: int = 10
    holdout_artists: float = 0
    seed: int = 0
    validation_fraction: float = 0.1
    join_near_duplicates: bool = True


@dataclasses.dataclass(frozen=True)
class Artist:
    """An artist and the number of pictures in each split; all or none in holdout."""

    name: str
    label: int
    train: int = 0
    validation: int = 0
    test: int = 0
    holdout: int = 0


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """The result of `plan_splits`; pictures are indices into its `sources`.

    Attributes:
        artists: the artists of train and test; artists[i].label is i.
        holdout_artists: the held-out artists; their labels continue after `artists`.
        examples: the pictures of each split in the order of the records.
        skipped: pictures in no split, with the reason.
        copies: for each picture skipped as `ambiguous`, a copy by another artist.
    """

    artists: tuple[Artist, ...]
    holdout_artists: tuple[Artist, ...]
    examples: dict[str, list[int]]
    skipped: list[tuple[int, str]]
    copies: dict[int, int]

    @property
    def labels(self) -> dict[str, int]:
        """The label of each artist, by name."""
        artists = (*self.artists, *self.holdout_artists)
        return {artist.name: artist.label for artist in artists}


def plan_splits(
    sources: Sequence[Source],
    contents: Sequence[str],
    rule: SplitRule,
    skipped: Iterable[str] = (),
    near: Iterable[tuple[int, int]] = (),
) -> SplitPlan:
    """Divide usable pictures into train, validation, test and holdout.

    Args:
        sources: the usable pictures.
        contents: a digest of each picture's pixels. Pictures of an artist with equal
            pixels stay in one split; equal pixels under two artists are skipped as
            `ambiguous`.
        rule: how to divide.
        skipped: the reasons of files that were skipped before, for error messages.
        near: pairs of near-identical pictures; those of an artist stay in one split.

    Returns:
        The plan; it does not depend on the order of `sources`.

    Raises:
        UserError: fewer than two artists are left.
    """
    copies = _find_copies(sources, contents)
    by_artist: dict[str, list[int]] = collections.defaultdict(list)
    for index, source in enumerate(sources):
        if index not in copies:
            by_artist[source.artist].append(index)
    neighbors: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
    for i, j in near:
        if sources[i].artist == sources[j].artist and not {i, j} & copies.keys():
            neighbors[sources[i].artist].append((i, j))
    parts, reasons = {}, {}
    for artist, members in by_artist.items():
        groups = _join_groups(sources, contents, members, neighbors[artist])
        parts[artist] = _divide(sources, groups, rule)
        if len(members) < rule.min_images_per_artist:
            reasons[artist] = "artist_under_minimum"
        elif not parts[artist]["train"]:
            reasons[artist] = "artist_without_training"
    names = sorted(parts.keys() - reasons.keys())
    if not names:
        left = [source for i, source in enumerate(sources) if i not in copies]
        require_enough_pictures(left, rule, [*skipped, *["ambiguous"] * len(copies)])
    held_out = _choose_holdout(names, rule)
    names = [name for name in names if name not in held_out]
    if len(names) < 2:
        _refuse_too_few_artists(names, by_artist, reasons, rule)

    artists = []
    examples: dict[str, list[int]] = {split: [] for split in SPLITS}
    for label, name in enumerate([*names, *sorted(held_out)]):
        if name in held_out:
            parts[name] = {"holdout": by_artist[name]}
        counts = {split: len(members) for split, members in parts[name].items()}
        artists.append(Artist(name, label, **counts))
        for split, members in parts[name].items():
            examples[split] += members
    for members in examples.values():
        members.sort(key=lambda i: _rank(rule.seed, "order", sources[i].name))
    unused = [(i, why) for artist, why in reasons.items() for i in by_artist[artist]]
    return SplitPlan(
        artists=tuple(artists[: len(names)]),
        holdout_artists=tuple(artists[len(names) :]),
        examples=examples,
        skipped=sorted([(index, "ambiguous") for index in copies] + unused),
        copies=copies,
    )


def require_enough_pictures(
    sources: Iterable[Source], rule: SplitRule, skipped: Iterable[str] = ()
) -> None:
    """Raise UserError unless some artist has enough pictures for both splits.

    `skipped` has the reasons of skipped files, for the message.
    """
    counts = collections.Counter(source.artist for source in sources)
    most = max(counts.values(), default=0)
    reasons = ", ".join(
        f"{count} {reason}"
        for reason, count in collections.Counter(skipped).most_common()
    )
    if not most and reasons:
        raise UserError(f"no picture is usable; skipped files: {reasons}")
    if most < rule.min_images_per_artist:
        raise UserError(
            f"no artist has {rule.min_images_per_artist} usable pictures, the most is"
            f" {most}{f' (skipped files: {reasons})' if reasons else ''}: lower"
            " --min_images_per_artist"
        )
    if most <= rule.min_test_images:
        raise UserError(
            f"no artist has more than {rule.min_test_images} usable pictures, the most"
            f" is {most}, so all would be test pictures: lower --min_test_images"
        )


def describe_empty_splits(artists: Iterable[Artist], rule: SplitRule) -> list[str]:
    """Return notes on artists without test or validation pictures.

    There are none where the works of an artist are few large groups, for groups stay
    whole.
    """
    empty: dict[str, list[str]] = {"test": [], "validation": []}
    for artist in artists:
        count = artist.train + artist.validation + artist.test
        if not artist.test and _count_test(rule, count):
            empty["test"].append(artist.name)
        if not artist.validation and _count_validation(rule, count - artist.test):
            empty["validation"].append(artist.name)
    return [
        f"note: no {split} pictures of {format_count(len(names), 'artist')},"
        f" whose works form few large groups: {', '.join(map(show, names[:5]))}"
        f"{', ..' * (len(names) > 5)}. Groups stay whole: make them smaller, leave the"
        " column out, or add --nojoin_near_duplicates"
        for split, names in empty.items()
        if names
    ]


def _count_test(rule: SplitRule, count: int) -> int:
    """Return how many of an artist's pictures should be test pictures."""
    return max(rule.min_test_images, int(rule.test_fraction * count + 0.5))


def _count_validation(rule: SplitRule, rest: int) -> int:
    """Return how many of the others should be validation pictures."""
    return int(rule.validation_fraction * rest + 0.5)


def _find_copies(sources: Sequence[Source], contents: Sequence[str]) -> dict[int, int]:
    """Map each picture that another artist has too to the first such copy by name."""
    # The first picture of each artist, by content.
    owners: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for index in sorted(range(len(sources)), key=lambda i: sources[i].name):
        owners[contents[index]].setdefault(sources[index].artist, index)
    copies = {}
    for index, (source, content) in enumerate(zip(sources, contents, strict=True)):
        others = [i for a, i in owners[content].items() if a != source.artist]
        if others:
            copies[index] = others[0]
    return copies


def _divide(
    sources: Sequence[Source], groups: list[list[int]], rule: SplitRule
) -> dict[str, list[int]]:
    """Divide an artist's pictures into splits, whole groups each."""
    count = sum(map(len, groups))

    def choose(purpose: str, target: int) -> list[int]:
        """Take groups out, in hash order, while that approaches the target number."""
        chosen: list[int] = []
        for group in sorted(
            groups,
            key=lambda g: min(_rank(rule.seed, purpose, sources[i].name) for i in g),
        ):
            if abs(len(chosen) + len(group) - target) < abs(len(chosen) - target):
                chosen += group
                groups.remove(group)
        return chosen

    test = choose("test", _count_test(rule, count))
    validation = choose("validation", _count_validation(rule, count - len(test)))
    train = [index for group in groups for index in group]
    return {"train": train, "validation": validation, "test": test}


def _join_groups(
    sources: Sequence[Source],
    contents: Sequence[str],
    members: Sequence[int],
    near: Iterable[tuple[int, int]],
) -> list[list[int]]:
    """Join pictures that share a group, a file, or pixels, or are near-identical.

    Pictures that are joined through others are in one group, too.
    """
    parent = {index: index for index in members}

    def find_root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    first_with: dict[tuple[str, str], int] = {}
    for index in members:
        keys = [("content", contents[index]), ("file", sources[index].path)]
        if sources[index].group:
            keys.append(("group", sources[index].group))
        for key in keys:
            parent[find_root(index)] = find_root(first_with.setdefault(key, index))
    for i, j in near:
        parent[find_root(i)] = find_root(j)
    groups = collections.defaultdict(list)
    for index in members:
        groups[find_root(index)].append(index)
    return list(groups.values())


def _choose_holdout(names: Sequence[str], rule: SplitRule) -> set[str]:
    number = rule.holdout_artists
    count = int(number * len(names) + 0.5 if number < 1 else number)
    ranked = sorted(names, key=lambda name: _rank(rule.seed, "holdout", name))
    return set(ranked[:count])


def _refuse_too_few_artists(
    names: Sequence[str],
    by_artist: Mapping[str, Sequence[int]],
    reasons: Mapping[str, str],
    rule: SplitRule,
) -> None:
    flags = ["min_images_per_artist", "holdout_artists", "exclude_artists"]
    if "artist_without_training" in reasons.values():
        fractions = (
            f"{name}={getattr(rule, name):g}"
            for name in ("test_fraction", "validation_fraction")
        )
        flags = [*fractions, "min_test_images", *flags]
    only = ""
    if names:
        pictures = format_count(len(by_artist[names[0]]), "picture")
        only = f" ({show(names[0])}, {pictures})"
    raise UserError(
        f"{format_count(len(names), 'artist')} left to train on{only}, of"
        f" {len(by_artist)} found: a style space needs at least two"
        f" (see {', '.join(f'--{flag}' for flag in flags)})"
    )


def _rank(seed: int, purpose: str, name: str) -> bytes:
    """Return a sort key that is random but fixed for (seed, purpose, name)."""
    return hashlib.sha256(encode(f"{seed}/{purpose}/{name}")).digest()
