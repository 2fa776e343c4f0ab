"""The engine on a GPU: the CUDA C file, compiled by NVRTC through CuPy, on CuPy arrays."""

from __future__ import annotations

import functools
import hashlib
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.cuda.arrays import MOST_UNASKED
from scratchlv.cuda.sources import headers, read_source

_NULL = np.uint64(0)  # early releases of CuPy do not pass None on as a null pointer


def compile_options(path: Path) -> tuple[str, ...]:
    """What NVRTC is told besides a file's text: CuPy adds more.

    CuPy's cache on disk knows a kernel by its text and its options, and not by the headers that it includes: a macro that
    nobody reads tells it of them, so that a changed header is compiled.
    """
    digest = hashlib.blake2b(read_source(path).encode(), digest_size=8).hexdigest()
    return "-std=c++17", f"-I{headers()}", f"-DSCRATCHLV_SOURCES=0x{digest}"


class GpuModule:
    """The kernels of one file, compiled for the GPU; CuPy keeps the result on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._code = path.read_text(encoding="utf-8")
        self._lock = threading.Lock()
        self._functions: dict[tuple[int, str, bool, int], Any] = {}
        self._most: dict[tuple[int, str, int, int], int] = {}

    def launch(self, name: str, grid: tuple, block: tuple, arguments: tuple, shared: int, cooperative: bool) -> None:
        function = self._function(name, cooperative, shared)
        if cooperative:
            self._check_cooperative(name, grid, block, shared)
        function(grid, block, tuple(_NULL if a is None else a for a in arguments), shared_mem=shared)

    def blocks_at_once(self, name: str, block: tuple[int, ...], shared: int = 0) -> int:
        """How many blocks of this kernel the GPU holds at the same time: the largest cooperative grid."""
        key = _device(), name, math.prod(block), shared
        if key not in self._most:
            self._most[key] = _blocks_at_once(self._function(name, True, shared), *key[2:])
        return self._most[key]

    def _check_cooperative(self, name: str, grid: tuple, block: tuple, shared: int) -> None:
        most = self.blocks_at_once(name, block, shared)
        if math.prod(grid) > most:
            raise ValueError(
                f"{name}: a cooperative grid of {math.prod(grid)} blocks; this GPU holds {most} at once, of "
                f"{math.prod(block)} threads and {shared} bytes of shared memory each: use fewer blocks"
            )

    def compile(self) -> None:
        """Compile the file now, or wait for the thread that is at it."""
        for cooperative in (True, False) if "cooperative_groups" in read_source(self.path) else (False,):
            with self._lock:
                self._modules[cooperative].compile()

    @functools.cached_property
    def _modules(self) -> dict[bool, Any]:
        """CuPy launches all kernels of a module cooperatively or none, so there may be two of it, compiled when they are used."""
        import cupy

        options = compile_options(self.path)
        return {
            cooperative: cupy.RawModule(code=self._code, options=options, enable_cooperative_groups=cooperative)
            for cooperative in (False, True)
        }

    def _function(self, name: str, cooperative: bool, shared: int) -> Any:
        """The kernel, allowed so much dynamic shared memory on the device that is current.

        A chip gives a block no more than ``MOST_UNASKED`` without being asked, and what the kernel declares counts, too.
        """
        key = _device(), name, cooperative, shared
        if key not in self._functions:
            with self._lock:
                function = self._modules[cooperative].get_function(name)
            needed = function.shared_size_bytes + shared
            if needed > MOST_UNASKED and function.max_dynamic_shared_size_bytes < shared:
                self._check_shared(name, function.shared_size_bytes, shared)
                function.max_dynamic_shared_size_bytes = shared
            self._functions[key] = function
        return self._functions[key]

    def _check_shared(self, name: str, static: int, shared: int) -> None:
        import cupy

        most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
        if static + shared > most:
            raise ValueError(
                f"{name}: {static} bytes of shared memory that it declares and {shared} more for a block; this GPU gives "
                f"a block {most}"
            )


def _device() -> int:
    """The number of the device that launches go to."""
    import cupy

    return cupy.cuda.runtime.getDevice()


def _blocks_at_once(function: Any, threads: int, shared: int) -> int:
    import cupy

    per_processor = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(function.kernel.ptr, threads, shared)
    return per_processor * cupy.cuda.Device().attributes["MultiProcessorCount"]
