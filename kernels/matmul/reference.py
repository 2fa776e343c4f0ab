"""Matrix product, the specification: C = A B."""

from typing import NamedTuple

from scratchlv.arrays import Array


class Cache(NamedTuple):
    a: Array  # (M, K)
    b: Array  # (K, N)


def forward(a: Array, b: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """``a`` (M, K) times ``b`` (K, N): (M, N)."""
    return a @ b, Cache(a, b) if train else None


def backward(dc: Array, cache: Cache) -> tuple[Array, Array]:
    """``da = dc bᵀ`` (M, K) and ``db = aᵀ dc`` (K, N)."""
    a, b = cache
    return dc @ b.T, a.T @ dc
