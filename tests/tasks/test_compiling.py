"""A second process compiles half of what a model needs."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from scratchlv.cores import Cores
from scratchlv.kernels.building_blocks import compiling as kernels
from scratchlv.kernels.building_blocks import kernel_cache
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
    def when_compiling(begins, at_once):
        calls.append(begins)
        if at_once is not None:
            at_once()
        yield

    monkeypatch.setattr(kernels, "when_compiling", when_compiling)
    monkeypatch.setattr(kernel_cache, "kept", lambda: {Path("here"): 1})
    return lambda: calls[0]()


def test_it_begins_with_the_first_kernel_and_ends_with_the_block(helpers, first_kernel):
    said = []
    with pytest.raises(RuntimeError), compiling_together(said.append, "lm", "rnn"):
        assert not said
        first_kernel()
        assert said == ["compiling kernels (once)"]
        (helper,) = helpers
        assert helper.command == [sys.executable, "-P", "-m", "scratchlv.tasks.warmup", "lm", "rnn"]
        assert not helper.ended
        raise RuntimeError
    assert helper.ended == ["told to end", "ended"]


def test_where_no_kernel_is_kept_it_begins_at_once(helpers, first_kernel, monkeypatch):
    monkeypatch.setattr(kernel_cache, "kept", lambda: {Path("shared"): 0, Path("here"): 0})
    said = []
    with compiling_together(said.append, "lm", "rnn"):
        assert (len(helpers), said) == (1, [])
        first_kernel()
        assert (len(helpers), said) == (1, ["compiling kernels (once)"])
    monkeypatch.setattr(compiling, "backend", lambda: "cuda")  # whose training may call no kernel of the CPU
    with compiling_together(lambda line: None, "lm", "rnn"):
        assert len(helpers) == 1


def test_one_core_compiles_alone(helpers, first_kernel, monkeypatch):
    monkeypatch.setattr(compiling, "usable_cores", lambda: Cores(1, ""))
    said = []
    with compiling_together(said.append, "lm", "rnn"):
        first_kernel()
    assert said
    assert not helpers


@pytest.mark.parametrize(("cores", "processes"), [(3, 3), (64, 4)])
def test_more_cores_compile_in_more_processes_but_not_in_many(helpers, first_kernel, monkeypatch, cores, processes):
    monkeypatch.setattr(compiling, "usable_cores", lambda: Cores(cores, ""))
    with compiling_together(lambda line: None, "lm", "rnn"):
        first_kernel()
        assert len(helpers) == processes - 1
    assert [helper.ended for helper in helpers] == [["told to end", "ended"]] * (processes - 1)


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
