"""Progress is one line on a terminal, and a plain line now and then elsewhere."""

import io
import sys

import pytest
import tqdm.std

from tfstyle.core import progress


class Clock:
    """Replaces the time that progress bars read, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tqdm.std, "time", clock)
    return clock


def rewritten_by(monkeypatch, clock, steps, seconds) -> str:
    """Return what a terminal receives during so many steps of equal length."""
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        for _ in progress.track(range(steps), steps, "refining"):
            clock.now += seconds
    return terminal.getvalue()


def test_a_single_item_needs_no_bar(capsys):
    assert list(progress.track(["batch"], 16, "encoding", 16)) == ["batch"]
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_every_15_seconds_and_the_last_state(clock, capsys):
    """Items of 6 s: the first one past 15 s is the third, after 18 s."""
    for item in progress.track("abcdefgh", 8, "encoding"):
        assert item in "abcdefgh"
        clock.now += 6

    assert capsys.readouterr().err.splitlines() == [
        "encoding [=======             ] 3/8  0.167/s  0:00:30 left",
        "encoding [===============     ] 6/8  0.167/s  0:00:12 left",
        "encoding [====================] 8/8  0.167/s  0:00:00 left",
    ]


def test_the_rate_is_the_mean_of_all_steps(clock, capsys):
    """The first step takes 1 s, the second 19 s: 2 steps in 20 s, 2 to go."""
    with progress.progress_bar(4, "metric") as bar:
        for seconds in (1, 19):
            clock.now += seconds
            bar.update()

    assert capsys.readouterr().err == (
        "metric [==========          ] 2/4  0.1/s  0:00:20 left\n"
    )


def test_the_last_item_may_be_smaller(clock, capsys):
    """40 pictures in batches of 16 are 16 + 16 + 8."""
    for _ in progress.track(range(3), 40, "encoding", 16):
        clock.now += 1

    assert "40/40" in capsys.readouterr().err


def test_long_times_are_in_days(clock, capsys):
    """A step in 15 s, 99,999 to go: 1,499,985 s, or 17 days and 31,185 s."""
    with progress.progress_bar(100_000, "metric") as bar:
        clock.now += 15
        bar.update()

    line = capsys.readouterr().err.splitlines()[0]
    assert line.endswith("1/100000  0.0667/s  17 days, 8:39:45 left")


def test_a_resumed_loop_counts_its_own_steps_for_the_rate(clock, capsys):
    """2 steps of 5 s follow the first 6 of 10: the last 2 take 10 s."""
    with progress.progress_bar(10, "gan", initial=6) as bar:
        for _ in range(2):
            clock.now += 5
            bar.set_postfix_str("loss 0.5", refresh=False)
            bar.update()

    assert capsys.readouterr().err == (
        "gan [================    ] 8/10  0.2/s  0:00:10 left  loss 0.5\n"
    )


def test_a_failed_loop_shows_how_far_it_came(clock, capsys):
    with pytest.raises(RuntimeError), progress.progress_bar(4, "writing") as bar:
        bar.update()
        raise RuntimeError
    assert "writing [=====               ] 1/4" in capsys.readouterr().err


def test_a_terminal_gets_one_line_that_is_rewritten(monkeypatch, clock):
    text = rewritten_by(monkeypatch, clock, steps=3, seconds=1)

    assert text.count("\n") == 1 and text.endswith("\n")
    counts = [state.split("]")[1].split()[0] for state in text.split("\r")[1:]]
    assert counts == ["0/3", "1/3", "2/3", "3/3", "3/3"]


def test_a_terminal_is_updated_five_times_a_second_at_most(monkeypatch, clock):
    """10 s are at most 50 updates, after the first state and before the last."""
    text = rewritten_by(monkeypatch, clock, steps=1000, seconds=0.01)

    assert 45 <= text.count("refining") <= 52
