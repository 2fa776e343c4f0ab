"""Ctrl-C between two steps, never inside one."""

import os
import signal
import threading

import pytest

from scratchlv.training.interrupts import finish_the_step


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_is_noted_and_the_second_breaks_in(kind):
    were = signal.signal(kind, signal.default_int_handler)  # under nohup the third is ignored
    try:
        with finish_the_step() as interrupted:
            assert not interrupted.is_set()
            os.kill(os.getpid(), kind)
            assert interrupted.wait(10)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), kind)
        assert signal.getsignal(kind) is signal.default_int_handler
    finally:
        signal.signal(kind, were)


def test_a_closed_terminal_is_ignored_where_it_was_before():
    """``nohup scratchlv train …`` goes on when its terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with finish_the_step() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert not interrupted.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_was_there_before_is_there_again_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError), finish_the_step():
        raise ValueError
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_changed():
    """Python takes signals in the main thread only."""
    found = []

    def work():
        with finish_the_step() as interrupted:
            found.append((interrupted.is_set(), signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]
