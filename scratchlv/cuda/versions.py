"""Which of a room's numbered versions of its CUDA kernels runs: the last one, unless another was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

_chosen: int | None = None


@contextlib.contextmanager
def use_version(number: int | None) -> Iterator[None]:
    """Inside, every room runs version ``number`` of its CUDA kernels, or its last one where it has fewer."""
    global _chosen
    before, _chosen = _chosen, number
    try:
        yield
    finally:
        _chosen = before


def version(versions: Mapping[int, str]) -> int:
    """The number of the version to run, of those that a room has."""
    last = max(versions)
    return last if _chosen is None else min(_chosen, last)
