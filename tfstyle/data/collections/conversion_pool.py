"""Convert many pictures on all cores, in order, with few of them in memory.

The workers are fresh processes that import Pillow but not TensorFlow.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from typing import Any

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.data.collections import near_duplicates
from tfstyle.data.collections.sources import Source
from tfstyle.data.pictures import Conversion, PictureError

_CHUNK = 16  # pictures per message to a worker
_CHUNKS_AHEAD = 4  # per worker; bounds the memory of waiting pictures
_MIN_PER_WORKER = 64  # starting a process takes as long as converting this many


@dataclasses.dataclass(frozen=True)
class ConvertedPicture:
    """A picture as records hold it.

    Attributes:
        encoded: a JPEG or PNG file.
        fingerprint: see `near_duplicates.compute_fingerprint`.
    """

    encoded: bytes
    fingerprint: bytes


Converted = ConvertedPicture | PictureError


def convert_all(
    sources: Sequence[Source],
    conversion: Conversion,
    num_workers: int,
    max_skipped_fraction: float,
) -> Iterator[tuple[Source, Converted]]:
    """Convert pictures in order; see `record_writer.write_dataset`.

    Yields:
        Each source with its picture, or with the reason why it is unusable.

    Raises:
        UserError: too many pictures are unusable, or a worker died.
    """
    reasons: collections.Counter[str] = collections.Counter()
    first = ""
    num_workers = min(num_workers, len(sources) // _MIN_PER_WORKER)
    if num_workers > 1:
        results = _convert_in_pool(sources, conversion, num_workers)
    else:
        results = (_convert(source, conversion) for source in sources)
    for count, (source, result) in enumerate(zip(sources, results, strict=True), 1):
        if isinstance(result, PictureError):
            reasons[result.reason] += 1
            first = first or f"{names.show(source.path)} ({result})"
            if reasons.total() > max_skipped_fraction * len(sources):
                counts = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
                raise UserError(
                    f"{reasons.total()} of the first {count} pictures are unusable"
                    f" ({counts}), more than --max_skipped_fraction="
                    f"{max_skipped_fraction:g} of all {len(sources)}; the first is"
                    f" {first}"
                )
        yield source, result


@contextlib.contextmanager
def defer_interrupts() -> Iterator[None]:
    """Delay Ctrl-C until the end, and make processes started here ignore it.

    A terminal sends the signal to all its processes. Only this process handles it, by
    shutting the workers down.
    """
    pending: list[int] = []
    # Blocking a signal affects only this thread. Another thread, such as one of
    # NumPy's, may receive it, and Python would run the handler in the main thread.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread:
        handler = signal.signal(signal.SIGINT, lambda number, _: pending.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
        if pending:
            signal.raise_signal(signal.SIGINT)


def _convert_in_pool(
    sources: Sequence[Source], conversion: Conversion, num_workers: int
) -> Iterator[Converted]:
    pool = concurrent.futures.ProcessPoolExecutor(
        num_workers,
        # "fork" is unsafe: this process may run TensorFlow's threads.
        mp_context=multiprocessing.get_context("spawn"),
    )
    resource_tracker.ensure_running()  # it unblocks the signal when it starts
    chunks = iter([sources[i : i + _CHUNK] for i in range(0, len(sources), _CHUNK)])
    pending: collections.deque[Any] = collections.deque()  # chunks and their futures
    try:
        while True:
            num_free = num_workers * _CHUNKS_AHEAD - len(pending)
            with defer_interrupts():
                for chunk in itertools.islice(chunks, num_free):
                    future = pool.submit(_convert_chunk, chunk, conversion)
                    pending.append((chunk, future))
            if not pending:
                return
            chunk, future = pending.popleft()
            yield from future.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError(
            "a worker process died, perhaps out of memory, near"
            f" {names.show(chunk[0].path)}: lower --num_workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _convert_chunk(
    sources: Sequence[Source], conversion: Conversion
) -> list[Converted]:
    return [_convert(source, conversion) for source in sources]


def _convert(source: Source, conversion: Conversion) -> Converted:
    try:
        encoded = conversion.encode_file(source.path, source.face)
    except PictureError as error:
        return error
    return ConvertedPicture(encoded, near_duplicates.compute_fingerprint(encoded))
