"""Work on many pictures on all cores, in order, with few of them in memory.

The workers are fresh processes that import Pillow but not TensorFlow.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.data.collections import near_duplicates
from tfstyle.data.collections.sources import Source
from tfstyle.data.pictures import Conversion, PictureError, encode_picture

_CHUNKS_AHEAD = 4  # per worker; bounds the memory of waiting pictures
_INTERRUPTS = (signal.SIGINT, signal.SIGHUP)  # of a terminal
_MIN_PER_WORKER = 64  # starting a process takes as long as converting this many

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    sources: Sequence[Source], conversion: Conversion, num_workers: int
) -> Iterator[tuple[Source, Converted]]:
    """Convert pictures in order.

    Yields:
        Each source with its picture, or with the reason why it is unusable.

    Raises:
        UserError: a worker died.
    """
    results = map_in_processes(
        functools.partial(convert, conversion),
        sources,
        min(num_workers, len(sources) // _MIN_PER_WORKER),
        lambda source: source.path,
    )
    yield from zip(sources, results, strict=True)


def convert(conversion: Conversion, source: Source) -> Converted:
    """Convert a picture, or return the reason why it is unusable."""
    try:
        picture = conversion.convert_file(source.path, source.face)
    except PictureError as error:
        return error
    encoded = encode_picture(picture, conversion.format)
    if conversion.format == "png":  # no need to decode what is still there
        fingerprint = near_duplicates.shrink_to_fingerprint(picture)
    else:
        fingerprint = near_duplicates.compute_fingerprint(encoded)
    return ConvertedPicture(encoded, fingerprint)


def count_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # of Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    name: Callable[[Item], str],
    chunk: int = 16,
    prepare: Callable[[int], None] | None = None,
) -> Iterator[Result]:
    """Apply a function to items in new processes, with few results in memory.

    Args:
        function: that processes can import.
        items: its arguments.
        num_workers: the number of processes. With less than 2, and nothing to prepare,
            this process applies the function.
        name: returns the path of an item, for errors.
        chunk: items that a process is given at a time.
        prepare: called first in each process, with its number.

    Yields:
        The results, in order.

    Raises:
        UserError: a process died.
    """
    if num_workers < 2 and prepare is None:
        yield from map(function, items)
        return
    # "fork" is unsafe: this process may run TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    # First, as it unblocks Ctrl-C when it starts. It is a process, too.
    with defer_interrupts():
        resource_tracker.ensure_running()
    thread = threading.current_thread()
    num_workers = max(1, num_workers)
    numbers = context.SimpleQueue()
    for number in range(num_workers):
        numbers.put(number)
    pool = concurrent.futures.ProcessPoolExecutor(
        num_workers, context, _prepare_process, (prepare, numbers)
    )
    starts = iter(range(0, len(items), chunk))
    pending: collections.deque[Any] = collections.deque()  # chunks and their futures
    try:
        while True:
            num_free = num_workers * _CHUNKS_AHEAD - len(pending)
            with defer_interrupts():
                for start in itertools.islice(starts, num_free):
                    part = items[start : start + chunk]
                    pending.append((part, pool.submit(_map_chunk, function, part)))
            if not pending:
                return
            part, future = pending.popleft()
            yield from future.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError(
            "a worker process died, perhaps out of memory, near"
            f" {names.show(name(part[0]))}: lower --num_workers"
        ) from None
    finally:
        # After an interrupt, the garbage collector may end this generator in the
        # pool's own thread, which cannot wait for itself.
        is_same_thread = threading.current_thread() is thread
        pool.shutdown(wait=is_same_thread, cancel_futures=True)


@contextlib.contextmanager
def defer_interrupts() -> Iterator[None]:
    """Delay interrupts until the end, and make processes started here ignore them.

    A terminal sends Ctrl-C, and that it is closed, to all its processes. Only this
    process handles these signals, by shutting the workers down.
    """
    pending: list[int] = []
    # Blocking a signal affects only this thread. Another thread, such as one of
    # NumPy's, may receive it, and Python would run the handler in the main thread.
    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers: dict[int, Any] = {}
    if in_main_thread:
        for kind in _INTERRUPTS:
            if signal.getsignal(kind) is not signal.SIG_IGN:  # as nohup leaves it
                handlers[kind] = signal.signal(kind, lambda n, _: pending.append(n))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


def _map_chunk(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> list[Result]:
    return [function(item) for item in items]


def _prepare_process(prepare: Callable[[int], None] | None, numbers: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    number = numbers.get()
    if prepare:
        prepare(number)


def _end_with_parent() -> None:
    """End this process when the one that started it has died, however it died."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
