"""The engine without a GPU: the CUDA C file, compiled unchanged by g++ against ``cuda_on_cpu.h``, on NumPy arrays.

It checks and teaches; it is no fast way to compute. The header says what it finds and what it cannot see.

    with turns("shuffled", seed=3): …                     threads and blocks take their turns in another order
    with without_barrier("softmax.cu", 41): …             as if the __syncthreads() of that line were deleted
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchlv.cache import folders_for
from scratchlv.cuda.sources import headers

ORDERS = ("forward", "reverse", "shuffled", "warp by warp")
_FLAGS = ("-std=gnu++17", "-O2", "-g1", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-fwrapv", "-w")
_SANITIZERS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fsanitize-sections=cuda_shared")


_C_TYPES = {"f": ctypes.c_float, "d": ctypes.c_double, "?": ctypes.c_bool, "H": ctypes.c_uint16, "B": ctypes.c_uint8}
_C_TYPES |= {"i": ctypes.c_int32, "I": ctypes.c_uint32, "l": ctypes.c_int64, "L": ctypes.c_uint64}


class LaunchError(RuntimeError):
    """A kernel did what no chip allows: a deadlock, threads of a block at different barriers, a lane outside its mask."""


class _Options(NamedTuple):
    order: str = "forward"
    seed: int = 0
    left_out: tuple[str, int] | None = None  # file and line of a barrier


_options = _Options()


@contextlib.contextmanager
def turns(order: str, seed: int = 0) -> Iterator[None]:
    """Inside, threads and blocks take their turns in this order, one of :data:`ORDERS`."""
    if order not in ORDERS:
        raise ValueError(f"threads take turns in one of the orders {', '.join(ORDERS)}, not {order!r}")
    with _with(order=order, seed=seed):
        yield


@contextlib.contextmanager
def without_barrier(file: str, line: int) -> Iterator[None]:
    """Inside, the barrier on this line of this file does nothing, as if it had been deleted."""
    with _with(left_out=(file, line)):
        yield


@contextlib.contextmanager
def _with(**changes) -> Iterator[None]:
    global _options
    before, _options = _options, _options._replace(**changes)
    try:
        yield
    finally:
        _options = before


def why_not() -> str | None:
    """Why CUDA C cannot be compiled for this CPU, or None."""
    if _compiler():
        return None
    named = os.environ.get("CXX")
    if named:
        return f"CXX={named} is no program, and CUDA C cannot be compiled for the CPU; set it to a C++ compiler, or unset it"
    return "there is no g++ to compile CUDA C for the CPU; install g++ (or set CXX)"


def sanitized() -> bool:
    """Whether kernels are compiled with the address and undefined-behaviour sanitizers: SCRATCHLV_SANITIZE=1 was set."""
    return bool(os.environ.get("SCRATCHLV_SANITIZE"))


class CpuModule:
    """The kernels of one file, compiled for the CPU; the result is kept on disk."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self.path, self.names = path, names
        self.library = ctypes.CDLL(str(_compiled(path, names)))
        self.library.barriers_met.restype = ctypes.c_char_p

    def launch(self, name: str, grid: tuple, block: tuple, arguments: tuple, shared: int, cooperative: bool) -> None:
        file, line = _options.left_out or ("", 0)
        self.library.set_options(ORDERS.index(_options.order), ctypes.c_uint64(_options.seed), os.fsencode(file), line)
        held = [_c_value(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(value) for value in held))
        message = ctypes.create_string_buffer(512)
        run = getattr(self.library, f"launch_{name}")
        three = ctypes.c_uint * 3
        if run(pointers, three(*grid), three(*block), ctypes.c_uint(shared), int(cooperative), message, len(message)):
            raise LaunchError(message.value.decode())

    def blocks_at_once(self, name: str, block: tuple[int, ...], shared: int = 0) -> int:
        """How many blocks a cooperative grid had better have: they take turns, so few will do, and be soon played."""
        return 3

    def compile(self) -> None:
        """Nothing is left to do: the file was compiled when this was made."""

    def barriers_met(self) -> set[tuple[str, int]]:
        """File and line of every barrier that a thread has come to since this was last asked."""
        lines = self.library.barriers_met().decode().splitlines()
        return {(file, int(number)) for file, _, number in (line.rpartition(":") for line in lines)}


def _c_value(argument):
    """What a kernel's parameter points to: an array's address, or a number."""
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, np.generic):
        return _C_TYPES[argument.dtype.char](argument.item())
    return ctypes.c_void_p(argument.ctypes.data)


@functools.cache
def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX") or "g++")


def _compiled(path: Path, names: tuple[str, ...]) -> Path:
    """The shared library of a file; compiled anew when the file or a header has changed."""
    compiler = _compiler()
    if compiler is None:
        raise LaunchError(f"{path.name}: {why_not()}")
    flags = (*_FLAGS, *(_SANITIZERS if sanitized() else ()))
    code = f'#define ON_CPU\n#include "{path}"\n'
    code += "".join(f"ON_CPU_EXPORT({name})\n" for name in names) + "ON_CPU_EXPORT_OPTIONS\n"
    included = [file.read_text(encoding="utf-8") for file in sorted([*headers().glob("*.cuh"), *headers().glob("*.h")])]
    content = "\0".join([compiler, *flags, code, path.read_text(encoding="utf-8"), *included])
    name = f"{path.stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.so"
    for library in (folder / name for folder in _folders()):
        if library.exists():
            return library
    _compile(compiler, flags, code, path, library)
    return library


@functools.cache
def _folders() -> list[Path]:
    """Where compiled files are looked for; new ones are kept in the last."""
    return folders_for("cuda_on_cpu")


def _compile(compiler: str, flags: tuple[str, ...], code: str, path: Path, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        source, made = Path(folder) / f"{path.stem}.cpp", Path(folder) / "library.so"
        source.write_text(code, encoding="utf-8", errors="surrogateescape")  # it names files
        command = [compiler, *flags, f"-I{headers()}", str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise LaunchError(f"{path.name} does not compile for the CPU:\n{done.stderr}")
        os.replace(made, library)  # another process may have made it meanwhile: it is the same
