"""The processor that kernels are cut for: its name, its caches, and the vectors that are used of it.

``SCRATCHLV_VECTORS=8`` (or 4) makes all kernels as a processor with narrower vectors would have them: LLVM, too, is told that
there are no wider ones, so that the loops that it vectorises, and the registers that it counts on, are those of such a
processor.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from numba.core import config
from numba.core.codegen import get_host_cpu_features
from numba.core.registry import cpu_target

from scratchlv.errors import UserError

VARIABLE = "SCRATCHLV_VECTORS"
_KIBI, _MEBI = 1 << 10, 1 << 20

# --- vectors -----------------------------------------------------------------------------------------------------------

_WIDTHS = (16, 8, 4)
#: What a processor lacks whose vectors hold at most so many floats: with it goes all that builds on it.
_HIDDEN = {8: "avx512f", 4: "avx"}


def width_of(features: str) -> int:
    """Floats in the widest vector, of LLVM's names of what a processor has: ``+avx2,+fma,-avx512f``. The last of one counts."""
    has = {each[1:]: each[0] == "+" for each in features.split(",") if each}
    if has.get("avx") is False:
        return 4
    return 16 if has.get("avx512f") else 8 if has.get("avx2") and has.get("fma") else 4


def use_vectors(said: str | None) -> tuple[int, int]:
    """Have Numba compile for vectors of the width that was ``said``, or for those that there are; the width, and registers.

    Raises:
        UserError: there is no such width, this processor lacks it, or it comes too late.
    """
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    width = widest = width_of(features)
    if said:
        if said not in map(str, _WIDTHS):
            raise UserError(f"{VARIABLE}={said}: give 16, 8 or 4, the floats that a vector holds")
        width = int(said)
    if width > widest:
        lower = " or ".join(str(each) for each in _WIDTHS if each <= widest)
        raise UserError(f"{VARIABLE}={said}: the vectors of this processor hold {widest} floats; give {lower}")
    if width < widest:
        config.CPU_FEATURES = f"{features},-{_HIDDEN[width]}"
        if cpu_target.target_context.codegen().magic_tuple()[2] != config.CPU_FEATURES:
            raise UserError(
                f"{VARIABLE}={said}: Numba has started before scratchlv was imported; import scratchlv first"
            )
    return width, 32 if width == 16 or llvm.get_process_triple().startswith(("aarch64", "arm64")) else 16


#: Floats in a vector, and vector registers, as kernels use them.
WIDTH, REGISTERS = use_vectors(os.environ.get(VARIABLE))

# --- caches ------------------------------------------------------------------------------------------------------------


class Caches(NamedTuple):
    """Bytes."""

    first: int  #: a core's own, of data
    second: int  #: a core's share
    last: int  #: what all cores together can count on of the largest
    whole: int  #: the largest cache, as the system tells it

    @property
    def told(self) -> str:
        more = "" if self.whole == self.last else f" (of {_size(self.whole)}, shared with strangers)"
        return f"{_size(self.first)} and {_size(self.second)} a core, {_size(self.last)} together{more}"


class _Cache(NamedTuple):
    size: int  # bytes
    cores: int  # that share it


#: Where the system does not say: what a processor of the last ten years has at least.
UNKNOWN = {1: _Cache(32 * _KIBI, 1), 2: _Cache(256 * _KIBI, 1), 3: _Cache(8 * _MEBI, 1)}
#: A virtual machine is told of the whole cache of its host, and gets a part. No core has more to itself where it does not.
_MOST_OF_A_CORE = 16 * _MEBI


@functools.cache
def caches() -> Caches:
    """The caches as the system tells them, of its first core; what it does not tell is that of a small processor."""
    return _counted(_SYSTEMS.get(sys.platform, dict)())


def _counted(found: dict[int, _Cache]) -> Caches:
    """What kernels can count on of the caches ``found``, by their level."""
    first, second = (found.get(level, UNKNOWN[level]) for level in (1, 2))
    beyond = [found[level] for level in found if level > 2]
    last = max(beyond) if beyond else second if 2 in found else UNKNOWN[3]
    of_core = max(first.size // first.cores, second.size // second.cores)
    counted = max(of_core, min(last.size, last.cores * _MOST_OF_A_CORE))
    return Caches(first.size // first.cores, of_core, counted, max(counted, last.size))


def _linux(cpu: Path = Path("/sys/devices/system/cpu/cpu0")) -> dict[int, _Cache]:
    """Of files that are not there in some containers: then as the C library found out, if it did."""
    threads = _count(_read(cpu / "topology/thread_siblings_list"))
    found = {}
    for index in (cpu / "cache").glob("index*"):
        kind, level, size, sharing = (_read(index / name) for name in ("type", "level", "size", "shared_cpu_list"))
        if kind in ("Data", "Unified") and level.isdecimal() and size[:-1].isdecimal() and size[-1] in _UNITS:
            found[int(level)] = _Cache(int(size[:-1]) * _UNITS[size[-1]], max(_count(sharing) // threads, 1))
    return found or _c_library()


_UNITS = {"K": _KIBI, "M": _MEBI, "G": _KIBI * _MEBI}


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _count(cpus: str) -> int:
    """How many a list as ``0-3,8`` names; 1 of what is none."""
    ends = [each.split("-") for each in cpus.split(",")]
    if not all(end.isdecimal() for pair in ends for end in pair):
        return 1
    return sum(int(pair[-1]) - int(pair[0]) + 1 for pair in ends)


def _c_library() -> dict[int, _Cache]:
    """Of glibc, whose numbers for them (``bits/confname.h``) Python does not name; any other library knows of none there."""
    found = {}
    for level, number in ((1, 188), (2, 191), (3, 194)):
        try:
            size = os.sysconf(number)
        except (OSError, ValueError):
            continue
        if size >= 4 * _KIBI:
            found[level] = _Cache(size, (os.cpu_count() or 1) if level == 3 else 1)
    return found


def _mac() -> dict[int, _Cache]:
    """Of a processor with two kinds of cores, those of its fast ones."""
    found = {}
    for level, name in ((1, "l1dcachesize"), (2, "l2cachesize"), (3, "l3cachesize")):
        size = _sysctl(f"hw.perflevel0.{name}") or _sysctl(f"hw.{name}")
        if size:
            found[level] = _Cache(size, (_sysctl("hw.perflevel0.cpusperl2") if level == 2 else level == 3) or 1)
    return found


def _sysctl(name: str) -> int:
    """A number that macOS knows by name; 0 if there is none."""
    library = ctypes.CDLL(ctypes.util.find_library("c"))
    number, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    told = library.sysctlbyname(name.encode(), ctypes.byref(number), ctypes.byref(size), None, 0)
    return max(number.value, 0) if told == 0 else 0


def _windows() -> dict[int, _Cache]:
    kernel32: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]  # there alone
    size = ctypes.c_uint32(0)
    kernel32.GetLogicalProcessorInformation(None, ctypes.byref(size))
    records = ctypes.create_string_buffer(size.value)
    told = kernel32.GetLogicalProcessorInformation(records, ctypes.byref(size))
    return _caches_in(records.raw[: size.value]) if told else {}


_RECORD = struct.Struct("@NI4xBBHII4x" if struct.calcsize("P") == 8 else "@NIBBHII4x")
_OF_A_CORE, _OF_A_CACHE, _INSTRUCTIONS = 0, 2, 1


def _caches_in(records: bytes) -> dict[int, _Cache]:
    """From Windows' array of ``SYSTEM_LOGICAL_PROCESSOR_INFORMATION``: masks of the threads of a core, and of a cache."""
    usable = len(records) // _RECORD.size * _RECORD.size
    told = list(_RECORD.iter_unpack(records[:usable]))
    threads = max((mask.bit_count() for mask, what, *_ in told if what == _OF_A_CORE), default=1)
    found: dict[int, _Cache] = {}
    for mask, what, level, _, _, size, kind in told:
        if what == _OF_A_CACHE and kind != _INSTRUCTIONS and size:
            found.setdefault(level, _Cache(size, max(mask.bit_count() // threads, 1)))
    return found


_SYSTEMS = {"linux": _linux, "darwin": _mac, "win32": _windows}


def _size(size: int) -> str:
    return f"{size / _MEBI:.3g} MiB" if size >= _MEBI else f"{size // _KIBI} KiB"


# --- its name ----------------------------------------------------------------------------------------------------------


@functools.cache
def name() -> str:
    """What it calls itself, and what LLVM takes it for: a virtual machine often hides the one, as in ``Xeon (emeraldrapids)``."""
    by_llvm = llvm.get_host_cpu_name()
    return f"{_own_name() or platform.processor() or platform.machine()} ({by_llvm})"


def _own_name(info: Path = Path("/proc/cpuinfo")) -> str:
    try:
        with open(info, encoding="utf-8", errors="replace") as lines:  # of a large machine it is long, and slow to read
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return ""
