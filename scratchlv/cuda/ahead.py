"""Kernels are compiled for the GPU in the background, while the command still reads its data: the first step finds them there.

``python -m scratchlv.cuda.ahead`` compiles all, says how long each took, and what does not compile.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from scratchlv.cores import usable_cores
from scratchlv.cuda.launch import load
from scratchlv.cuda.sources import read_source, sources

_NOT_TRAINED_WITH = ("ceilings.cu",)


def _tell_nobody(path: Path, seconds: float, error: Exception | None) -> None:
    """A file that does not compile is told of where it is first launched."""


def compile_ahead(done: Callable[[Path, float, Exception | None], None] = _tell_nobody) -> list[threading.Thread]:
    """Threads that compile the project's CUDA C files, the longest first, on the current GPU, and leave the last core alone.

    NVRTC lets other threads run. CuPy keeps what was compiled on disk, so that a second start only reads it. ``done`` is called
    after each file, with the seconds that it took, and with what went wrong.
    """
    import cupy

    cupy.cuda.nvrtc.getVersion()  # it is loaded here: of two threads that load it, one compiles before all of it is there
    device = cupy.cuda.runtime.getDevice()
    files: queue.SimpleQueue[Path] = queue.SimpleQueue()
    texts = {path: read_source(path) for path in sources() if path.name not in _NOT_TRAINED_WITH}
    for path in sorted(texts, key=lambda path: len(texts[path]), reverse=True):
        files.put(path)

    def work() -> None:
        with cupy.cuda.Device(device):
            while True:
                try:
                    path = files.get_nowait()
                except queue.Empty:
                    return
                began, problem = time.perf_counter(), None
                try:
                    load(path).engine(on_gpu=True).compile()
                except Exception as error:
                    problem = error
                done(path, time.perf_counter() - began, problem)

    count = min(max(1, usable_cores().n - 1), len(texts))
    threads = [threading.Thread(target=work, name=f"compile-{k}", daemon=True) for k in range(count)]
    for thread in threads:
        thread.start()
    return threads


def main() -> int:
    """Compile all, and say so; the exit status is 1 if a file does not compile."""
    problems: list[Exception] = []

    def say(path: Path, seconds: float, error: Exception | None) -> None:
        print(f"{path.name}: {seconds:.1f} s{'' if error is None else f': FAILED: {error}'}", flush=True)
        problems.extend([] if error is None else [error])

    began = time.perf_counter()
    for thread in compile_ahead(say):
        thread.join()
    print(f"all: {time.perf_counter() - began:.1f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
