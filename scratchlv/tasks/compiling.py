"""Processes compile kernels together, where one would take several times as long."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from scratchlv.cores import usable_cores
from scratchlv.device import backend
from scratchlv.errors import KernelsUnavailable

_PROCESSES = 4  # at the most: of a model's kernels, one takes a tenth of the time of all


@contextlib.contextmanager
def compiling_together(say: Callable[[str], None], *what: str) -> Iterator[None]:
    """When kernels must be compiled inside the ``with`` block, say so, and have a process on each other core help.

    They rehearse ``what`` (:func:`scratchlv.tasks.warmup.rehearse`) to learn which kernels, and begin with the largest. What
    they have done is found on disk by this process, which compiles what it comes to first; they end with the block. Where no
    kernel is kept yet they begin at once, while this process still reads or draws its data.
    """
    try:
        from scratchlv.kernels.building_blocks.compiling import when_compiling
        from scratchlv.kernels.building_blocks.kernel_cache import kept
    except KernelsUnavailable as reason:
        say(str(reason))
        yield
        return

    helpers: list[subprocess.Popen] = []

    def start() -> None:
        for _ in range(min(usable_cores().n, _PROCESSES) - 1 if sys.executable else 0):
            # -P: of this package's modules, not of what happens to lie in the current folder
            command = [sys.executable, "-P", "-m", "scratchlv.tasks.warmup", *what]
            quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            with contextlib.suppress(OSError):  # one process does it all where no second one may run
                helpers.append(subprocess.Popen(command, **quiet))

    def begins() -> None:
        say("compiling kernels (once)")
        if not helpers:
            start()

    nothing_is_kept = backend() == "cpu" and not any(kept().values())
    try:
        with when_compiling(begins, start if nothing_is_kept else None):
            yield
    finally:
        for helper in helpers:
            helper.terminate()
            helper.wait()
