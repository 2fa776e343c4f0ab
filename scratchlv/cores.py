"""How many processor cores this process may use: those of the machine, but for what its affinity and its cgroups forbid."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Cores(NamedTuple):
    """How many cores, and what says so."""

    n: int
    why: str


@functools.cache
def usable_cores() -> Cores:
    """The smallest of the machine's cores, those this process may run on, and the limit of its cgroups on time, rounded up."""
    found = [Cores(os.cpu_count() or 1, "the machine's")]
    if hasattr(os, "sched_getaffinity"):
        found.append(Cores(len(os.sched_getaffinity(0)), "those that this process may run on (affinity)"))
    for limit in cgroup_limits():
        found.append(Cores(max(1, math.ceil(limit)), f"the limit of its cgroup, {limit:g} cores' time"))
    return min(found, key=lambda cores: cores.n)


def cgroup_limits(root: Path = Path("/")) -> Iterator[float]:
    """The limits on this process's time, in cores: of its cgroup (version 1 or 2) and of each that contains it.

    In a container the system may show a path from outside it: of that, what is there is looked at, up to the mount.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in _mounts(root, controllers):
            group = mount / path.lstrip("/")
            for folder in (group, *group.parents):
                if not folder.is_relative_to(mount):
                    break
                limit = _limit(folder)
                if limit is not None:
                    yield limit


def _mounts(root: Path, controllers: str) -> Iterator[Path]:
    """Where the tree of cgroups is mounted that has the ``controllers``; version 2 has one tree, and names none."""
    for line in _lines(root / "proc/self/mounts"):
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" if not controllers else kind == "cgroup" and "cpu" in options.split(","):
            yield root / where.lstrip("/")


def _limit(folder: Path) -> float | None:
    """Time over period: ``cpu.max`` of version 2 holds both, version 1 has a file for each; "max" and -1 are none."""
    numbers = [text for line in _lines(folder / "cpu.max") for text in line.split()]
    if not numbers:
        numbers = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    if len(numbers) == 2 and all(text.isdecimal() for text in numbers) and 0 not in map(int, numbers):
        return int(numbers[0]) / int(numbers[1])
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
