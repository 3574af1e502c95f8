import os
import signal
import threading
import time

import pytest

from tfstyle.data import conversion_pool


@pytest.fixture
def ordinary_interrupts():
    # Background jobs of a script ignore the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def test_an_interrupt_waits_while_workers_start(ordinary_interrupts):
    done = threading.Event()
    # It does not block the signal, so that it may take it.
    other = threading.Thread(target=done.wait)
    other.start()
    steps = []
    try:
        with pytest.raises(KeyboardInterrupt), conversion_pool._interrupts_held_back():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            steps.append("started")
    finally:
        done.set()
        other.join()
    assert steps == ["started"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_without_an_interrupt_nothing_is_raised(ordinary_interrupts):
    with conversion_pool._interrupts_held_back():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_other_threads_may_convert_too(ordinary_interrupts):
    # Only the main thread may set handlers.
    seen = []

    def hold():
        with conversion_pool._interrupts_held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
