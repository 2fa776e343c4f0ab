"""The launcher: ``load("lstm.cu")["lstm_cell_forward"](grid, block, *arguments)``."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scratchlv.cuda.signature import DTYPES, Signature, check_arguments, read_signatures
from scratchlv.cuda.sources import read_source, sources

MOST_SHARED = 227 * 1024  # bytes a block can have on the chips of compute capability 9.0; an older chip has less


class Engine(Protocol):
    """What launches a kernel: :mod:`scratchlv.cuda.on_gpu` or :mod:`scratchlv.cuda.emulator`, one object for a file."""

    def launch(
        self, name: str, grid: tuple, block: tuple, arguments: tuple, shared: int, cooperative: bool
    ) -> None: ...

    def blocks_at_once(self, name: str, block: tuple[int, ...], shared: int = 0) -> int: ...

    def compile(self) -> None: ...


class Module(Mapping[str, "Kernel"]):
    """The kernels of one CUDA C file, by name. Nothing is compiled before the first launch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signatures = read_signatures(read_source(path))
        self._kernels = {name: Kernel(self, signature) for name, signature in self.signatures.items()}
        self._engines: dict[str, Engine] = {}

    def __getitem__(self, name: str) -> Kernel:
        if name not in self._kernels:
            there = ", ".join(self._kernels) or 'none (extern "C" __global__ void NAME(…))'
            raise KeyError(f"{self.path.name} has no kernel {name!r}; it has {there}")
        return self._kernels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kernels)

    def __len__(self) -> int:
        return len(self._kernels)

    def engine(self, on_gpu: bool) -> Engine:
        """The file as it was compiled for the GPU, or for the CPU."""
        name = "gpu" if on_gpu else "cpu"
        if name not in self._engines:
            if on_gpu:
                from scratchlv.cuda.on_gpu import GpuModule

                self._engines[name] = GpuModule(self.path)
            else:
                from scratchlv.cuda.emulator import CpuModule

                self._engines[name] = CpuModule(self.path, tuple(self.signatures))
        return self._engines[name]


class Kernel:
    """One kernel. Calling it launches it: the types of its arguments are those that its source names."""

    def __init__(self, module: Module, signature: Signature) -> None:
        self.module, self.signature = module, signature
        self._right: dict[tuple, type] = {}  # kinds of arguments that were found right, and the type of their arrays

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any, shared: int = 0, cooperative: bool = False
    ) -> None:
        """Launch on ``grid`` blocks of ``block`` threads, each with ``shared`` bytes of dynamic shared memory.

        ``arguments`` are contiguous arrays, all CuPy's or all NumPy's (None is a null pointer), and NumPy scalars
        (``np.int32(n)``). A grid without blocks launches nothing. ``cooperative`` blocks run all at once and may meet in
        ``grid.sync()``.

        Raises:
            TypeError: an argument is not what the source names: see :func:`check_arguments`.
            ValueError: the block, the grid or the shared memory is larger than can be launched.
        """
        array_type = self._checked(arguments)
        grid, block = _three("grid", grid), _three("block", block)
        if math.prod(grid) == 0:
            return
        self._check_shape(grid, block, shared)
        engine = self.module.engine(on_gpu=array_type is not np.ndarray)
        engine.launch(self.signature.name, grid, block, arguments, shared, cooperative)

    def _checked(self, arguments: tuple) -> type:
        """The type of the arrays, once the arguments are found right.

        To read each against the signature takes as long as a small kernel: what was right once is right when it comes again.
        """
        kinds = tuple(map(_kind, arguments))
        array_type = self._right.get(kinds)
        if array_type is None:
            array_type = _array_type(arguments)
            check_arguments(self.signature, arguments, array_type)
            self._right[kinds] = array_type
        return array_type

    def _check_shape(self, grid: tuple, block: tuple, shared: int) -> None:
        name, threads = self.signature.name, math.prod(block)
        if not 1 <= threads <= self.signature.most_threads:
            raise ValueError(f"{name}: a block of {threads} threads; it may have 1 to {self.signature.most_threads}")
        if grid[1] > 65535 or grid[2] > 65535 or grid[0] > 2**31 - 1 or block[2] > 64:
            raise ValueError(f"{name}: no chip takes a grid of {grid} with blocks of {block}")
        if not 0 <= shared <= MOST_SHARED:
            raise ValueError(f"{name}: {shared} bytes of shared memory for a block; there are at most {MOST_SHARED}")


_in_place_of: dict[str, Path] = {}


@contextlib.contextmanager
def in_place_of(name: str, path: Path) -> Iterator[None]:
    """Inside, ``load(name)`` finds the kernels of the file ``path``."""
    _in_place_of[name] = path.resolve()
    try:
        yield
    finally:
        del _in_place_of[name]
        _load.cache_clear()  # the file may change


def load(name: str | Path) -> Module:
    """The kernels of a CUDA C file: ``"lstm.cu"`` stands in the room ``kernels/lstm/``; a path is taken as it is.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return _load(_in_place_of.get(str(name), name))


@functools.cache
def _load(name: str | Path) -> Module:
    path = Path(name)
    if not path.is_absolute():
        path = _find(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no CUDA C file {path}")
    return Module(path)


def _find(path: Path) -> Path:
    for source in sources():
        if source.name == path.name:
            return source
    return path


_BARE = {type(None), *(dtype.type for dtypes in DTYPES.values() for dtype in dtypes)}


def _kind(argument: Any) -> Any:
    """All that :func:`check_arguments` asks of an argument, in as few steps as may be."""
    kind = type(argument)
    if kind in _BARE:
        return kind
    flags = getattr(argument, "flags", None)
    if flags is None:
        return kind
    return argument.dtype, flags.num if kind is np.ndarray else (kind, flags.c_contiguous)


def _array_type(arguments: tuple) -> type:
    for argument in arguments:
        if hasattr(argument, "dtype") and not isinstance(argument, np.generic):
            return np.ndarray if isinstance(argument, np.ndarray) else type(argument)
    return np.ndarray


def _three(what: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 3 or any(n < 0 for n in sizes):
        raise ValueError(f"the {what} is a tuple of one to three sizes, not {sizes!r}")
    return (*(int(n) for n in sizes), 1, 1)[:3]
