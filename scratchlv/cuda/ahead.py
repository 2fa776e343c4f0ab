"""Kernels are compiled for the GPU in the background, while the command still reads its data: the first step finds them there."""

from __future__ import annotations

import contextlib
import queue
import threading
from pathlib import Path

from scratchlv.cores import usable_cores
from scratchlv.cuda.launch import load
from scratchlv.cuda.sources import read_source, sources

_NOT_TRAINED_WITH = ("ceilings.cu",)


def compile_ahead() -> list[threading.Thread]:
    """Threads that compile the project's CUDA C files, the longest first, on the current GPU, and leave the last core alone.

    NVRTC lets other threads run. A file that does not compile is told of where it is first launched. CuPy keeps what was
    compiled on disk, so that a second start only reads it.
    """
    import cupy

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
                with contextlib.suppress(Exception):
                    load(path).engine(on_gpu=True).compile()

    count = min(max(1, usable_cores().n - 1), len(texts))
    threads = [threading.Thread(target=work, name=f"compile-{k}", daemon=True) for k in range(count)]
    for thread in threads:
        thread.start()
    return threads
