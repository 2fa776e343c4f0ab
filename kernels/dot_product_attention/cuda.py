"""Dot-product attention on a GPU: the launches of ``dot_product_attention.cu``; W is a product for the whole batch."""

from typing import Any, NamedTuple

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, cannot_serve
from scratchlv.kernels.additive_attention.cuda import VERSIONS, as_mask, attend, attend_backward
from scratchlv.kernels.dot_product_attention.reference import Gradients, check
from scratchlv.kernels.matmul.cuda import gemm

__all__ = ["VERSIONS", "Cache", "backward", "forward", "limits"]


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, K)
    query: Array  # (N, Q)
    W: Array | None  # (Q, K)
    through_W: Array  # (N, K), query W
    alpha: Array  # (N, L)
    scale: float


def limits(
    x: Any, keys: Any, query: Any, W: Any = None, mask: Any = None, *, scale: float = 1.0, train: bool = True
) -> str | None:
    return cannot_serve(x, keys, query, W)


def forward(
    x: Array,
    keys: Array,
    query: Array,
    W: Array | None = None,
    mask: Array | None = None,
    *,
    scale: float = 1.0,
    train: bool = True,
) -> tuple[tuple[Array, Array], Cache | None]:
    check(x, keys, query, W, mask)
    x, keys, query = as_contiguous(x), as_contiguous(keys), as_contiguous(query)
    q = query if W is None else gemm(query, W)
    module = load("dot_product_attention.cu")
    z, alpha = attend(module, x, keys, q, None, scale, as_mask(mask, x))
    return (z, alpha), Cache(x, keys, query, W, q, alpha, scale) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> Gradients:
    x, keys, query, W, q, alpha, scale = cache
    module = load("dot_product_attention.cu")
    dx, dkeys, dq, _ = attend_backward(module, x, keys, q, None, scale, alpha, dy)
    if W is None:
        return Gradients(dx, dkeys, dq, None)
    return Gradients(dx, dkeys, gemm(dq, W, transpose_b=True), gemm(query, dq, transpose_a=True))
