import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from helpers.commands import read_output, run_code
from helpers.pictures import make_pictures
from tfstyle.core.cli import UserError
from tfstyle.data.collections import conversion_pool, near_duplicates
from tfstyle.data.collections.sources import Source
from tfstyle.data.pictures import Conversion


@pytest.fixture
def default_interrupts():
    # A shell starts background jobs with the signal ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def test_an_interrupt_waits_while_workers_start(default_interrupts):
    done = threading.Event()
    # This thread does not block the signal, so it may receive it.
    other = threading.Thread(target=done.wait)
    other.start()
    steps = []
    try:
        with pytest.raises(KeyboardInterrupt), conversion_pool.defer_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            steps.append("started")
    finally:
        done.set()
        other.join()
    assert steps == ["started"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_workers_do_not_load_tensorflow():
    module = "tfstyle.data.collections.conversion_pool"
    check = f"import sys, {module}; 'tensorflow' in sys.modules and 1/0"
    read_output(run_code(check))


def test_without_an_interrupt_nothing_is_raised(default_interrupts):
    with conversion_pool.defer_interrupts():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_threads_other_than_the_main_one_may_convert(default_interrupts):
    # Only the main thread may set handlers.
    handlers = []

    def hold():
        with conversion_pool.defer_interrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_fingerprints_are_those_of_the_encoded_pictures(tmp_path, format):
    folder = make_pictures(tmp_path, ["a"], count=1, size=40)
    source = Source(str(folder / "a" / "0.png"), "a", "a/0.png")
    converted = conversion_pool.convert(Conversion(32, format=format), source)
    expected = near_duplicates.compute_fingerprint(converted.encoded)
    assert converted.fingerprint == expected


def double(value):
    return 2 * value


def fail_process(value):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_results_come_in_order(num_workers):
    results = conversion_pool.map_in_processes(
        double, range(50), num_workers, name=str, chunk=3
    )
    assert list(results) == list(range(0, 100, 2))


def note_number(number):
    os.environ["NUMBER"] = str(number)


def read_number(_):
    time.sleep(0.01)
    return os.environ["NUMBER"], os.getpid()


def test_processes_are_prepared_with_their_numbers():
    results = conversion_pool.map_in_processes(
        read_number, range(40), 2, name=str, chunk=1, prepare=note_number
    )
    numbers = dict(set(results))
    assert numbers.keys() <= {"0", "1"}
    assert str(os.getpid()) not in map(str, numbers.values())
    assert "NUMBER" not in os.environ


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_started_them(number):
    program = (
        "import time\n"
        "from tfstyle.data.collections.conversion_pool import map_in_processes\n"
        "results = map_in_processes(time.sleep, [0, 99, 99], 2, str, chunk=1)\n"
        "print(next(results), flush=True)\n"
        "time.sleep(99)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"None\n"
    process.send_signal(number)
    # The pipe ends when the last process that may write to it does.
    process.communicate(timeout=20)


def test_a_terminal_that_is_closed_interrupts_once_workers_have_started():
    program = (
        "import os, signal\n"
        "from tfstyle.core import cli\n"
        "from tfstyle.data.collections.conversion_pool import defer_interrupts\n"
        "def main():\n"
        "    with defer_interrupts():\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        print('started', flush=True)\n"
        "    print('not reached')\n"
        "cli.run(main)\n"
    )
    # The tests themselves may run under nohup, which ignores the signal.
    heeding = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    done = run_code(heeding + program)
    assert (done.returncode, done.stdout) == (130, "started\n")
    assert done.stderr == "interrupted\n"
    # As under nohup.
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    assert run_code(ignoring + program).stdout == "started\nnot reached\n"


def test_a_dead_process_is_an_error_that_names_the_place():
    results = conversion_pool.map_in_processes(
        fail_process, ["a.png"], 2, name=str, prepare=note_number
    )
    with pytest.raises(UserError, match="a worker process died, .* near a.png: lower"):
        list(results)


def test_processors_are_counted_where_the_system_does_not_tell_them(monkeypatch):
    allowed = len(os.sched_getaffinity(0))
    assert conversion_pool.count_processors() == allowed
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert conversion_pool.count_processors() == 1
