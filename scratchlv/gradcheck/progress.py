"""How far a long check has come, on a terminal."""

from __future__ import annotations

import sys
import time

from scratchlv.output import styled

_SILENT = 1.0  # seconds: a check that is over by then says nothing
_EVERY = 0.2


class Progress:
    """Counts the runs of forward; a line on the terminal says how many of about how many, and the time left."""

    def __init__(self, expected: int) -> None:
        self._expected, self._done = expected, 0
        self._began = time.perf_counter()
        self._next = self._began + _SILENT
        self._shown = False

    def step(self) -> None:
        self._done += 1
        now = time.perf_counter()
        if now >= self._next and sys.stderr.isatty():
            self._next, self._shown = now + _EVERY, True
            left = (now - self._began) / self._done * max(self._expected - self._done, 0)
            styled(sys.stderr).write(
                f"\rgradcheck: {self._done:,} of about {self._expected:,} runs of forward, {left:.0f} s left "
            )
            sys.stderr.flush()

    def finish(self) -> None:
        if self._shown:
            styled(sys.stderr).write("\r\033[K")
            sys.stderr.flush()
