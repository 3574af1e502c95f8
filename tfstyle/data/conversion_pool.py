"""Convert many pictures on all cores, in order, holding few of them at a time.

The workers are fresh processes that import Pillow but not TensorFlow.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker

from tfstyle.core.cli import UserError
from tfstyle.data.pictures import Conversion, PictureError
from tfstyle.data.splits import Source

_CHUNK = 16  # pictures per message to a worker
_CHUNKS_AHEAD = 4  # per worker: bounds what waits in memory
_MIN_PER_WORKER = 64  # starting a process takes as long as converting about so many

Converted = bytes | PictureError
Progress = Callable[[str, int, int], None]


def convert_all(
    sources: Sequence[Source],
    conversion: Conversion,
    num_workers: int,
    max_skipped_fraction: float,
    progress: Progress,
) -> Iterator[tuple[Source, Converted]]:
    """Yield every source with its encoded picture, or why it cannot be used.

    Args:
        sources: the pictures.
        conversion: what to do with each.
        num_workers: processes to use; 1 works in this one.
        max_skipped_fraction: the share of unusable pictures to put up with.
        progress: called as progress("reading pictures", done, total).

    Raises:
        UserError: as soon as more than `max_skipped_fraction` of all pictures have
            proved unusable, or a worker died.
    """
    reasons: collections.Counter[str] = collections.Counter()
    first = ""
    num_workers = min(num_workers, len(sources) // _MIN_PER_WORKER)
    if num_workers > 1:
        results = _convert_in_pool(sources, conversion, num_workers)
    else:
        results = (_convert(source, conversion) for source in sources)
    for done, (source, result) in enumerate(zip(sources, results, strict=True), 1):
        if isinstance(result, PictureError):
            reasons[result.reason] += 1
            first = first or f"{source.path} ({result})"
            if reasons.total() > max_skipped_fraction * len(sources):
                listed = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
                raise UserError(
                    f"{reasons.total()} of the first {done} pictures cannot be used"
                    f" ({listed}), more than --max_skipped_fraction="
                    f"{max_skipped_fraction:g} of all {len(sources)}; the first is"
                    f" {first}"
                )
        yield source, result
        progress("reading pictures", done, len(sources))


def _convert_in_pool(
    sources: Sequence[Source], conversion: Conversion, num_workers: int
) -> Iterator[Converted]:
    pool = concurrent.futures.ProcessPoolExecutor(
        num_workers,
        # Not "fork": this process may run TensorFlow's threads.
        mp_context=multiprocessing.get_context("spawn"),
    )
    resource_tracker.ensure_running()  # unblocks the signal when it starts
    chunks = iter([sources[i : i + _CHUNK] for i in range(0, len(sources), _CHUNK)])
    pending: collections.deque = collections.deque()
    try:
        while True:
            room = num_workers * _CHUNKS_AHEAD - len(pending)
            with _interrupts_held_back():
                for chunk in itertools.islice(chunks, room):
                    future = pool.submit(_convert_chunk, chunk, conversion)
                    pending.append((chunk, future))
            if not pending:
                return
            chunk, future = pending.popleft()
            try:
                converted = future.result()
            except concurrent.futures.process.BrokenProcessPool:
                raise UserError(
                    "a worker process died, perhaps out of memory, near"
                    f" {chunk[0].path}: lower --num_workers"
                ) from None
            yield from converted
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait, and let processes that start here never see it.

    It reaches all processes of a terminal; this one alone answers, by shutting down.
    """
    waiting: list[int] = []
    # A blocked signal is blocked for this thread alone: another one, NumPy's for
    # instance, may take it, and Python would call the handler here all the same.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread:
        handler = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
        if waiting:
            signal.raise_signal(signal.SIGINT)


def _convert_chunk(
    sources: Sequence[Source], conversion: Conversion
) -> list[Converted]:
    return [_convert(source, conversion) for source in sources]


def _convert(source: Source, conversion: Conversion) -> Converted:
    try:
        return conversion.encode_file(source.path)
    except PictureError as error:
        return error
