"""Write a records folder: convert pictures, divide them into splits, write shards.

The pictures wait in a spool between the two passes, because the content of an example
depends on all pictures (duplicates, counts), and decoding the originals twice takes
far longer than reading the spool in another order.
"""

import collections
import dataclasses
import logging
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.core import names
from tfstyle.core.cli import UserError, summarize_error
from tfstyle.core.files import atomic_folder
from tfstyle.core.locks import folder_lock
from tfstyle.core.paths import for_tensorflow
from tfstyle.core.progress import progress_bar
from tfstyle.data import records
from tfstyle.data.collections import near_duplicates, splits
from tfstyle.data.collections.conversion_pool import convert_all
from tfstyle.data.collections.sources import (
    SkippedFile,
    Source,
    sign_source,
    sign_sources,
)
from tfstyle.data.collections.splits import SplitPlan, SplitRule
from tfstyle.data.conversion.spool import Spool, open_spool
from tfstyle.data.examples import (
    compute_digest,
    compute_split_digest,
    serialize_example,
)
from tfstyle.data.excluded_works import ExcludedWorks, log_near_copies
from tfstyle.data.pictures import Conversion, PictureError
from tfstyle.data.records import INDEX_FILE, SKIPPED_FILE, Dataset, Rights, Shard

logger = logging.getLogger(__name__)

# Near-identical pictures; only written if there are any.
NEAR_FILE = "near_duplicates.tsv"
_OWN_FILES = re.compile(
    rf"({'|'.join(splits.SPLITS)})-\d+-of-\d+\.tfrecord"
    rf"|{INDEX_FILE}|{SKIPPED_FILE}|{NEAR_FILE}"
)
_SPOOL_FOLDER = ".converted"  # hidden, because others may be beside the records
_EXAMPLES_PER_SHARD = 2048  # about 80 MB at 256x256


def make_settings(
    sources: Sequence[Source],
    conversion: Conversion,
    rule: SplitRule,
    num_shards: int,
    excluded: Sequence[Source] = (),
) -> dict[str, Any]:
    """Return what determines the content of the records, for `dataset.json`.

    `excluded` are works that must not be in the records, in no copy.
    """
    signature = {"excluded": sign_sources(excluded)} if excluded else {}
    return {
        **dataclasses.asdict(conversion),
        **dataclasses.asdict(rule),
        "num_shards": num_shards,
        "sources": sign_sources(sources),
        **signature,
    }


def write_dataset(
    records_dir: str,
    sources: Sequence[Source],
    conversion: Conversion,
    rule: SplitRule | None = None,
    *,
    num_shards: int = 0,
    num_workers: int = 1,
    max_skipped_fraction: float = 0.1,
    skipped: Iterable[SkippedFile] = (),
    excluded: Sequence[Source] = (),
    overwrite: bool = False,
    beam_options: Sequence[str] | None = None,
) -> Dataset:
    """Convert pictures, divide them into splits and write them as records.

    The same sources and settings give the same bytes, whatever `num_workers`, and
    whether or not an earlier call was interrupted. On any failure the files of
    `records_dir` are unchanged, except that a hidden folder keeps the converted
    pictures for the next call.

    Args:
        records_dir: the folder to write.
        sources: the pictures.
        conversion: how to convert them.
        rule: how to divide them; default `SplitRule()`.
        num_shards: files per split, at most one per example; 0 for one per 2,048
            examples.
        num_workers: processes that convert pictures; 1 converts in this process. With
            more, the calling script needs a `__name__ == "__main__"` guard.
        max_skipped_fraction: fail if a larger fraction of the pictures is unusable.
        skipped: files that were skipped before.
        excluded: works that must not be in the records: pictures with equal pixels are
            left out, and near-identical ones if `rule` joins these.
        overwrite: replace records in `records_dir`. A dataset.json that does not
            describe records is never replaced.
        beam_options: convert the pictures by an Apache Beam pipeline with these
            options; what it leaves out is converted here.

    Raises:
        UserError: `records_dir` cannot be written, is being written by another
            process, or holds other files, too many pictures are unusable, too few
            artists are left, or `num_shards` exceeds the number of pictures.
    """
    rule = rule or SplitRule()
    if num_shards > len(sources):
        raise UserError(
            f"a shard holds at least one picture, but there are {len(sources)}: lower"
            f" --num_shards={num_shards}"
        )
    _refuse_foreign_index(pathlib.Path(records_dir, INDEX_FILE))
    splits.require_enough_pictures(sources, rule)
    settings = make_settings(sources, conversion, rule, num_shards, excluded)
    sources, rare = _split_off_rare_artists(sources, rule)

    with (
        folder_lock(records_dir),
        open_spool(pathlib.Path(records_dir, _SPOOL_FOLDER), conversion) as spool,
        atomic_folder(
            records_dir, own_files=_OWN_FILES, last=INDEX_FILE, overwrite=overwrite
        ) as folder,
    ):
        works = ExcludedWorks(
            excluded, conversion, num_workers, rule.join_near_duplicates
        )
        spool.refuse = works.refuse
        keys = {sign_source(source): source for source in works.drop_copies(sources)}
        spool.resume(keys)
        if beam_options is not None:
            _convert_by_beam(spool, keys, conversion, beam_options)
        unusable = _fill_spool(
            spool, keys, conversion, num_workers, max_skipped_fraction
        )
        unusable += works.skipped
        unused = [*skipped, *rare, *unusable]
        reasons = [reason for _, reason in unused]
        near = _find_near_duplicates(spool) if rule.join_near_duplicates else []
        plan = splits.plan_splits(spool.sources, spool.contents, rule, reasons, near)
        filenames = [source.name for source in spool.sources]
        unused += [(filenames[index], reason) for index, reason in plan.skipped]
        contents = _number_contents(plan, spool)
        shards = _write_shards(folder, plan, spool, contents, conversion, num_shards)
        dataset = Dataset(
            records_dir=records_dir,
            image_size=conversion.image_size,
            fit=conversion.fit,
            background=conversion.background,
            artists=plan.artists,
            holdout_artists=plan.holdout_artists,
            shards=shards,
            skipped=dict(sorted(collections.Counter(r for _, r in unused).items())),
            settings=settings,
            digest=_compute_digest(plan, spool),
            split_digest=compute_split_digest(
                (filenames[index], split)
                for split, indices in plan.examples.items()
                for index in indices
            ),
            contents=tuple(contents),
            rights=_count_rights(plan, spool),
        )
        copies = {filenames[i]: filenames[copy] for i, copy in plan.copies.items()}
        copies |= works.copies
        _write_skipped(folder / SKIPPED_FILE, unused, copies)
        log_near_copies(unusable, copies)
        _write_near_duplicates(folder / NEAR_FILE, plan, spool, near)
        records.write_index(folder / INDEX_FILE, dataset)
    return dataset


def _refuse_foreign_index(path: pathlib.Path) -> None:
    if not os.path.lexists(path):
        return
    try:
        records.load_index(path)
    except (OSError, ValueError):
        raise UserError(
            f"{names.show(str(path))} is corrupt or not a tfstyle {INDEX_FILE} and is"
            " never overwritten: choose another folder, or delete it"
        ) from None


def _split_off_rare_artists(
    sources: Sequence[Source], rule: SplitRule
) -> tuple[list[Source], list[SkippedFile]]:
    """Return the pictures of large enough artists, sorted by name, and the others."""
    counts = collections.Counter(source.artist for source in sources)
    frequent, rare = [], []
    for source in sorted(sources, key=lambda source: source.name):
        if counts[source.artist] >= rule.min_images_per_artist:
            frequent.append(source)
        else:
            rare.append((source.name, "artist_under_minimum"))
    return frequent, rare


def _convert_by_beam(
    spool: Spool,
    sources: Mapping[str, Source],
    conversion: Conversion,
    options: Sequence[str],
) -> None:
    from tfstyle.data.conversion import beam_pipeline  # needs an extra

    left = {key: source for key, source in sources.items() if key not in spool.keys}
    before = len(spool.keys)
    beam_pipeline.fill_spool(spool, left, conversion, options)
    count = len(spool.keys) - before
    logger.info("Apache Beam has converted %d of %d pictures", count, len(left))


def _fill_spool(
    spool: Spool,
    sources: Mapping[str, Source],
    conversion: Conversion,
    num_workers: int,
    max_skipped_fraction: float,
) -> list[SkippedFile]:
    """Convert the pictures that the spool lacks; return the unusable files."""
    left = {key: source for key, source in sources.items() if key not in spool.keys}
    unusable: list[SkippedFile] = []
    first = ""
    results = convert_all([*left.values()], conversion, num_workers)
    with progress_bar(len(sources), "reading pictures", len(spool.keys)) as bar:
        for key, (source, result) in zip(left, results, strict=True):
            bar.update()
            if not isinstance(result, PictureError):
                spool.add(key, source, result)
                continue
            unusable.append((source.name, result.reason))
            first = first or f"{names.show(source.path)} ({result})"
            if len(unusable) > max_skipped_fraction * len(sources):
                _refuse_unusable(unusable, max_skipped_fraction, len(sources), first)
    return unusable


def _refuse_unusable(
    unusable: Sequence[SkippedFile], allowed: float, total: int, first: str
) -> None:
    reasons = collections.Counter(reason for _, reason in unusable)
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    raise UserError(
        f"{len(unusable)} of {total} pictures unusable ({counts}), more than"
        f" --max_skipped_fraction={allowed:g}; the first is {first}"
    )


def _find_near_duplicates(spool: Spool) -> list[tuple[int, int]]:
    """Find pairs of near-identical pictures whose pixels are not the same."""
    firsts = {content: i for i, content in reversed([*enumerate(spool.contents)])}
    if not firsts:
        return []
    rows = np.array(sorted(firsts.values()))
    return near_duplicates.find_pairs(spool.map_fingerprints(), rows)


def _write_shards(
    folder: pathlib.Path,
    plan: SplitPlan,
    spool: Spool,
    contents: Mapping[str, int],
    conversion: Conversion,
    num_shards: int,
) -> dict[str, tuple[Shard, ...]]:
    labels, shards = plan.labels, {}
    total = sum(map(len, plan.examples.values()))
    with progress_bar(total, "writing") as bar:

        def serialize(index: int) -> bytes:
            bar.update()
            source = spool.sources[index]
            return serialize_example(
                spool.read(index),
                source,
                labels[source.artist],
                conversion,
                contents.get(source.content, -1),
            )

        for split, indices in plan.examples.items():
            target = num_shards or -(-len(indices) // _EXAMPLES_PER_SHARD)
            count = min(target, len(indices))
            written = []
            for number in range(count):
                begin = number * len(indices) // count
                end = (number + 1) * len(indices) // count
                path = folder / records.format_shard_name(split, number, count)
                _write_shard(path, map(serialize, indices[begin:end]))
                written.append(records.describe_shard(path, end - begin))
            shards[split] = tuple(written)
    return shards


def _write_shard(path: pathlib.Path, examples: Iterable[bytes]) -> None:
    try:
        with tf.io.TFRecordWriter(for_tensorflow(path)) as writer:
            for example in examples:
                writer.write(example)
    except tf.errors.OpError as error:
        raise UserError(f"cannot write {path}: {summarize_error(error)}") from None


def _list_used(plan: SplitPlan, spool: Spool) -> list[Source]:
    return [spool.sources[i] for indices in plan.examples.values() for i in indices]


def _number_contents(plan: SplitPlan, spool: Spool) -> dict[str, int]:
    """Return a label for each content that works show."""
    contents = {source.content for source in _list_used(plan, spool)} - {""}
    return {content: label for label, content in enumerate(sorted(contents))}


def _count_rights(plan: SplitPlan, spool: Spool) -> tuple[Rights, ...]:
    """Count works by licence and creator; none if no work has either."""
    counts = collections.Counter(
        (source.licence, source.creator) for source in _list_used(plan, spool)
    )
    if set(counts) <= {("", "")}:
        return ()
    return tuple(Rights(*rights, count) for rights, count in sorted(counts.items()))


def _compute_digest(plan: SplitPlan, spool: Spool) -> str:
    labels = plan.labels
    return compute_digest(
        (spool.sources[i].name, labels[spool.sources[i].artist], spool.contents[i])
        for indices in plan.examples.values()
        for i in indices
    )


def _write_skipped(
    path: pathlib.Path, skipped: Sequence[SkippedFile], copies: Mapping[str, str]
) -> None:
    rows = [(name, reason, copies.get(name, "")) for name, reason in sorted(skipped)]
    _write_table(path, ("path", "reason", "copy"), rows)


def _write_near_duplicates(
    path: pathlib.Path,
    plan: SplitPlan,
    spool: Spool,
    pairs: Iterable[tuple[int, int]],
) -> None:
    """List the near-identical pictures of the records, and log how many there are."""
    splits_of = {i: split for split, members in plan.examples.items() for i in members}
    rows, joined, foreign = [], set[int](), set[int]()
    for i, j in pairs:
        if not {i, j} <= splits_of.keys():
            continue
        first, second = sorted(
            (spool.sources[k].name, spool.sources[k].artist, splits_of[k])
            for k in (i, j)
        )
        same = first[1] == second[1]
        (joined if same else foreign).update((i, j))
        relation = "same_artist" if same else "other_artist"
        rows.append((first[0], second[0], relation, first[2], second[2]))
    if not rows:
        return
    head = ("path", "near", "relation", "split", "near_split")
    _write_table(path, head, sorted(rows))
    if joined:
        logger.info(
            "note: %d pictures are nearly identical to another by the same artist and"
            " stay in one split with it (listed in %s)",
            *(len(joined), NEAR_FILE),
        )
    if foreign:
        logger.info(
            "note: %d pictures are nearly identical to one by another artist, which"
            " makes artists harder to tell apart (listed in %s)",
            *(len(foreign), NEAR_FILE),
        )


def _write_table(
    path: pathlib.Path, head: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Write tab-separated values; `names.read` restores names from their cells."""
    lines = ["\t".join(map(names.show, row)) for row in (head, *rows)]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
