"""A second process compiles half of what a model needs."""

import contextlib
import subprocess
import sys

import pytest

from scratchlv.cores import Cores
from scratchlv.kernels.building_blocks import compiling as kernels
from scratchlv.tasks import compiling
from scratchlv.tasks.compiling import compiling_together


@pytest.fixture
def helpers(monkeypatch):
    """The processes that were started, none of which does anything; on a machine of two cores."""
    started = []

    class Helper:
        def __init__(self, command, **streams):
            self.command, self.ended = command, []
            assert set(streams.values()) == {subprocess.DEVNULL}
            started.append(self)

        def terminate(self):
            self.ended.append("told to end")

        def wait(self):
            self.ended.append("ended")

    monkeypatch.setattr(compiling.subprocess, "Popen", Helper)
    monkeypatch.setattr(compiling, "usable_cores", lambda: Cores(2, ""))
    return started


@pytest.fixture
def first_kernel(monkeypatch):
    """What compiling the first kernel calls."""
    calls = []

    @contextlib.contextmanager
    def when_compiling(begins):
        calls.append(begins)
        yield

    monkeypatch.setattr(kernels, "when_compiling", when_compiling)
    return lambda: calls[0]()


def test_it_begins_with_the_first_kernel_and_ends_with_the_block(helpers, first_kernel):
    said = []
    with pytest.raises(RuntimeError), compiling_together(said.append, "lm", "rnn"):
        assert not said
        first_kernel()
        assert said == ["compiling kernels (once)"]
        (helper,) = helpers
        assert helper.command == [sys.executable, "-m", "scratchlv.tasks.warmup", "lm", "rnn"]
        assert not helper.ended
        raise RuntimeError
    assert helper.ended == ["told to end", "ended"]


def test_one_core_compiles_alone(helpers, first_kernel, monkeypatch):
    monkeypatch.setattr(compiling, "usable_cores", lambda: Cores(1, ""))
    said = []
    with compiling_together(said.append, "lm", "rnn"):
        first_kernel()
    assert said
    assert not helpers


def test_where_all_is_there_nothing_is_said(helpers, first_kernel):
    with compiling_together(pytest.fail, "lm", "rnn"):
        pass
    assert not helpers


def test_where_no_second_process_can_start_one_compiles_all(helpers, first_kernel, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", sys.executable)

    monkeypatch.setattr(compiling.subprocess, "Popen", refused)
    said = []
    with compiling_together(said.append, "lm", "rnn"):
        first_kernel()
    assert said == ["compiling kernels (once)"]
