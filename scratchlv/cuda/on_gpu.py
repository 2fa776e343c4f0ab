"""The engine on a GPU: the CUDA C file, compiled by NVRTC through CuPy, on CuPy arrays."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.cuda.arrays import MOST_UNASKED
from scratchlv.cuda.sources import headers

_NULL = np.uint64(0)  # early releases of CuPy do not pass None on as a null pointer
OPTIONS = ("-std=c++17", f"-I{headers()}")


class GpuModule:
    """The kernels of one file, compiled for the GPU; CuPy keeps the result on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._code = path.read_text(encoding="utf-8")
        self._functions: dict[tuple[str, bool, int], Any] = {}
        self._most: dict[tuple[str, int, int], int] = {}

    def launch(self, name: str, grid: tuple, block: tuple, arguments: tuple, shared: int, cooperative: bool) -> None:
        function = self._function(name, cooperative, shared)
        if cooperative:
            self._check_cooperative(name, grid, block, shared)
        function(grid, block, tuple(_NULL if a is None else a for a in arguments), shared_mem=shared)

    def blocks_at_once(self, name: str, block: tuple[int, ...], shared: int = 0) -> int:
        """How many blocks of this kernel the GPU holds at the same time: the largest cooperative grid."""
        key = name, math.prod(block), shared
        if key not in self._most:
            self._most[key] = _blocks_at_once(self._function(name, True, shared), *key[1:])
        return self._most[key]

    def _check_cooperative(self, name: str, grid: tuple, block: tuple, shared: int) -> None:
        most = self.blocks_at_once(name, block, shared)
        if math.prod(grid) > most:
            raise ValueError(
                f"{name}: a cooperative grid of {math.prod(grid)} blocks; this GPU holds {most} at once, of "
                f"{math.prod(block)} threads and {shared} bytes of shared memory each: use fewer blocks"
            )

    @functools.cached_property
    def _modules(self) -> dict[bool, Any]:
        """CuPy launches all kernels of a module cooperatively or none, so there may be two of it."""
        import cupy

        return {
            cooperative: cupy.RawModule(code=self._code, options=OPTIONS, enable_cooperative_groups=cooperative)
            for cooperative in (False, True)
        }

    def _function(self, name: str, cooperative: bool, shared: int) -> Any:
        """The kernel, allowed so much shared memory: without being asked, a chip gives a block no more than ``MOST_UNASKED``."""
        key = name, cooperative, shared
        if key not in self._functions:
            function = self._modules[cooperative].get_function(name)
            if shared > MOST_UNASKED and function.max_dynamic_shared_size_bytes < shared:
                function.max_dynamic_shared_size_bytes = shared
            self._functions[key] = function
        return self._functions[key]


def _blocks_at_once(function: Any, threads: int, shared: int) -> int:
    import cupy

    per_processor = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(function.kernel.ptr, threads, shared)
    return per_processor * cupy.cuda.Device().attributes["MultiProcessorCount"]
