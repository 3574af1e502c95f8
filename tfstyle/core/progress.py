"""Progress bars on stderr: one line rewritten on a terminal, plain lines elsewhere."""

import datetime
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_TERMINAL_INTERVAL = 0.2  # seconds between two updates
_LOG_INTERVAL = 15.0
_BAR_WIDTH = 20


def track(
    items: Iterable[Item], total: int, description: str, step: int = 1
) -> Iterator[Item]:
    """Pass items on and show how much is done, if there is more than one.

    Args:
        items: such as batches of pictures.
        total: the amount of work, such as the number of pictures.
        description: what is being done, such as "encoding".
        step: the share of `total` that an item stands for; the last item may be less.
    """
    if total <= step:
        yield from items
        return
    with progress_bar(total, description) as bar:
        for item in items:
            yield item
            bar.update(min(step, total - bar.n))


def progress_bar(
    total: int, description: str, initial: int = 0, shown: bool = True
) -> "ProgressBar":
    """Return a bar for a loop that counts its steps; `initial` are done before."""
    return ProgressBar(total, description, initial, shown)


class ProgressBar(tqdm):
    """A tqdm bar that writes whole lines where stderr is not a terminal.

    Use it as a context manager and call `update`. `set_postfix_str(text, False)` sets
    the text after the numbers of the next update.
    """

    monitor_interval = 0  # no thread that wakes slow bars

    def __init__(
        self, total: int, description: str, initial: int = 0, shown: bool = True
    ) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._shown = initial
        super().__init__(
            total=total,
            desc=description,
            initial=initial,
            file=sys.stderr,
            mininterval=_TERMINAL_INTERVAL if self._on_terminal else _LOG_INTERVAL,
            miniters=1,
            dynamic_ncols=True,
            leave=self._on_terminal,
            disable=not shown,
        )

    @staticmethod
    def format_meter(
        n: int,
        total: int,
        elapsed: float,
        *,
        ncols: int | None,
        prefix: str,
        postfix: str | None,
        initial: int,
        **_: Any,
    ) -> str:
        """Return the line, such as `encoding [==  ] 4/8  2/s  0:00:02 left  note`."""
        rate = (n - initial) / max(elapsed, 1e-3)  # the mean: tqdm's is of one update
        left = datetime.timedelta(seconds=int((total - n) / rate)) if rate else "?"
        speed = f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"
        bar = "=" * (_BAR_WIDTH * n // total)
        line = f"{prefix} [{bar:<{_BAR_WIDTH}}] {n}/{total}  {speed}/s  {left} left"
        return (f"{line}  {postfix}" if postfix else line)[: ncols or None]

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show the current state; tqdm calls this at most once per interval."""
        if self._on_terminal:
            return super().display(msg, pos)
        if msg is None and self.n != self._shown:
            self._shown = self.n
            self.fp.write(f"{self}\n")
            self.fp.flush()
        return False

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar from the terminal while something else is written."""
        if self._on_terminal:
            super().clear(nolock)

    def close(self) -> None:
        """Show the last state and end the bar."""
        if not getattr(self, "disable", True) and not self._on_terminal:
            self.display()
        super().close()
