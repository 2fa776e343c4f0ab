"""What kernels are cut for: the processor's vectors, as they are used, and its caches."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import platform
import sys
from pathlib import Path
from typing import NamedTuple

_KIBI, _MEBI = 1 << 10, 1 << 20


class Caches(NamedTuple):
    """Bytes: the first- and second-level caches of a core, and the largest cache, which cores share."""

    first: int
    second: int
    last: int

    @property
    def told(self) -> str:
        return ", ".join(_size(size) for size in self)


#: Where the system does not say: what a processor of the last ten years has at least.
UNKNOWN = Caches(32 * _KIBI, 256 * _KIBI, 8 * _MEBI)


@functools.cache
def caches() -> Caches:
    """The caches of the first core, as the system tells them; :data:`UNKNOWN` for each that it does not tell."""
    found = {"linux": _linux, "darwin": _mac}.get(sys.platform, dict)()
    first, second = found.get(1) or UNKNOWN.first, found.get(2) or UNKNOWN.second
    last = max([size for level, size in found.items() if level > 2], default=UNKNOWN.last if 2 not in found else second)
    return Caches(first, max(first, second), max(second, last))


def _linux(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[int, int]:
    """Bytes by level, of the caches that hold data."""
    units, found = {"K": _KIBI, "M": _MEBI, "G": 1 << 30}, {}
    for index in folder.glob("index*"):
        try:
            kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        if kind != "Instruction" and size[:-1].isdecimal() and size[-1] in units and level.isdecimal():
            found[int(level)] = int(size[:-1]) * units[size[-1]]
    return found


def _mac() -> dict[int, int]:
    """Bytes by level; of a processor with two kinds of cores, those of its fast ones."""
    library = ctypes.CDLL(ctypes.util.find_library("c"))
    found = {}
    for level, name in ((1, "l1dcachesize"), (2, "l2cachesize"), (3, "l3cachesize")):
        for whose in ("hw.perflevel0.", "hw."):
            value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
            told = library.sysctlbyname((whose + name).encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
            if told == 0 and value.value > 0:
                found[level] = value.value
                break
    return found


def _size(size: int) -> str:
    return f"{size / _MEBI:g} MiB" if size >= _MEBI else f"{size // _KIBI} KiB"


@functools.cache
def name() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
