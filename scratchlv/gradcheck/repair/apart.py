"""Runs code that may crash, hang, print or eat memory: in a forked process, which is killed when its time is up."""

from __future__ import annotations

import mmap
import os
import pickle
import select
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

MEMORY = 2 << 30  # bytes more than the process has when it is forked
PATIENCE = 3.0  # times the seconds that a search may take: after so many it is stopped, however busy the machine is
_OVER = 3  # exit status of a process whose time is up
Emit = Callable[[Any], None]


class Overdue(BaseException):
    """A run takes too long; not an Exception, so that the code that runs does not catch it."""


class Stopwatch:
    """What a search has spent: what other programs take of a busy machine counts little, and a wait counts a third."""

    def __init__(self) -> None:
        self._thread, self._clock = time.thread_time(), time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds of this thread's processor time, but at least a share of those that have passed."""
        return max(time.thread_time() - self._thread, (time.monotonic() - self._clock) / PATIENCE)


class Counter:
    """A number that a forked process and its parent share."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return struct.unpack("q", self._shared[:8])[0]

    @value.setter
    def value(self, number: int) -> None:
        self._shared[:8] = struct.pack("q", number)


def apart(work: Callable[[Emit], None], seconds: float) -> tuple[list[Any], bool]:
    """What ``work`` emits within ``seconds`` of processor time, and whether it ran to its end or until its time was up.

    It is stopped after :data:`PATIENCE` times as much in any case. Without fork it runs here.
    """
    if not hasattr(os, "fork"):
        return _here(work, seconds)
    return _forked(work, seconds)


def _here(work: Callable[[Emit], None], seconds: float) -> tuple[list[Any], bool]:
    found: list[Any] = []
    with open(os.devnull, "w") as null:
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = null
        try:
            with _traced_deadline(seconds):
                work(found.append)
        except Overdue:
            pass
        except Exception:
            return found, False
        finally:
            sys.stdout, sys.stderr = streams
    return found, True


def _forked(work: Callable[[Emit], None], seconds: float) -> tuple[list[Any], bool]:
    deadline = time.monotonic() + PATIENCE * seconds
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: the child uses none of them
        child = os.fork()
    if child == 0:
        _child(work, writing, seconds)
    os.close(writing)
    status = 0
    try:
        found, ended = _received(reading, deadline)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return found, ended or (os.WIFEXITED(status) and os.WEXITSTATUS(status) == _OVER)


def _child(work: Callable[[Emit], None], pipe: int, seconds: float) -> None:
    """Never returns."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        _limit_memory()
        signal.signal(signal.SIGPROF, lambda number, frame: os._exit(_OVER))
        signal.setitimer(signal.ITIMER_PROF, seconds)

        def emit(item: Any) -> None:
            data = pickle.dumps(item)
            data = struct.pack("q", len(data)) + data
            while data:
                data = data[os.write(pipe, data) :]

        work(emit)
        emit(None)
    except BaseException:  # whatever it is, it is the end of this process
        os._exit(1)
    finally:
        os._exit(0)


def _limit_memory() -> None:
    try:
        import resource

        with open("/proc/self/statm") as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, OSError, ValueError):  # not on this platform
        pass


def _received(pipe: int, deadline: float) -> tuple[list[Any], bool]:
    found: list[Any] = []
    data = b""
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([pipe], [], [], left)
        if not ready:
            break
        piece = os.read(pipe, 1 << 16)
        if not piece:
            return found, False
        data += piece
        while len(data) >= 8 and len(data) >= 8 + (size := struct.unpack("q", data[:8])[0]):
            item, data = pickle.loads(data[8 : 8 + size]), data[8 + size :]
            if item is None:
                return found, True
            found.append(item)
    return found, True


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises Overdue in what takes longer, if it is Python's own code."""
    if not hasattr(signal, "setitimer"):
        with _traced_deadline(seconds):
            yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise Overdue

    try:
        before = signal.signal(signal.SIGALRM, ring)
    except ValueError:  # not in the main thread
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _traced_deadline(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if time.monotonic() > deadline:
            raise Overdue
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
