import os
import signal
import threading
import time

import pytest

from helpers.commands import read_output, run_code
from tfstyle.data.collections import conversion_pool


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
