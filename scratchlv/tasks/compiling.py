"""Two processes compile kernels together, where one would take twice as long."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from scratchlv.cores import usable_cores
from scratchlv.errors import KernelsUnavailable


@contextlib.contextmanager
def compiling_together(say: Callable[[str], None], *what: str) -> Iterator[None]:
    """When kernels must be compiled inside the ``with`` block, say so, and have a second process compile half of them.

    That one rehearses ``what`` (:func:`scratchlv.tasks.warmup.rehearse`) to learn which they are, and begins with the largest.
    What it has done is found on disk by this process, which compiles what it comes to first; it ends with the block.
    """
    try:
        from scratchlv.kernels.building_blocks.compiling import when_compiling
    except KernelsUnavailable as reason:
        say(str(reason))
        yield
        return

    helpers: list[subprocess.Popen] = []

    def begins() -> None:
        say("compiling kernels (once)")
        if usable_cores().n > 1 and sys.executable:
            command = [sys.executable, "-m", "scratchlv.tasks.warmup", *what]
            quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            with contextlib.suppress(OSError):  # one process does it all where no second one may run
                helpers.append(subprocess.Popen(command, **quiet))

    try:
        with when_compiling(begins):
            yield
    finally:
        for helper in helpers:
            helper.terminate()
            helper.wait()
