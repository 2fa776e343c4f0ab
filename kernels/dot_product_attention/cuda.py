"""Dot-product attention on a GPU: the launches of ``dot_product_attention.cu``; W is a product for the whole batch."""

from typing import Any, NamedTuple

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, as_strided_rows, cannot_serve
from scratchlv.kernels.additive_attention.cuda import VERSIONS, as_mask, attend, attend_backward, attend_by_queries
from scratchlv.kernels.dot_product_attention.reference import Gradients, as_rows, check
from scratchlv.kernels.matmul.cuda import gemm

__all__ = ["VERSIONS", "Cache", "backward", "forward", "limits"]


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, K)
    query: Array  # (N, Q) or (N, T, Q)
    W: Array | None  # (Q, K)
    through_W: Array  # (N, K) or (N, T, K), query W
    alpha: Array  # (N, L) or (N, T, L)
    scale: float


def limits(
    x: Any,
    keys: Any,
    query: Any,
    W: Any = None,
    mask: Any = None,
    *,
    scale: float = 1.0,
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
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
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
) -> tuple[tuple[Array, ...], Cache | None]:
    check(x, keys, query, W, mask, causal, offset)
    x, keys, query = as_strided_rows(x), as_contiguous(keys), as_contiguous(query)
    q = query if W is None else _through(query, W)
    given = load("dot_product_attention.cu"), x, keys, q, None, scale, as_mask(mask, x)
    y = attend(*given) if query.ndim == 2 and not scores else attend_by_queries(*given, causal, offset, scores)
    return y, Cache(x, keys, query, W, q, y[1], scale) if train else None


def backward(dy: tuple[Array | None, ...], cache: Cache) -> Gradients:
    x, keys, query, W, q, alpha, scale = cache
    module = load("dot_product_attention.cu")
    dx, dkeys, dq, _ = attend_backward(module, x, keys, q, None, scale, alpha, dy)
    if W is None:
        return Gradients(dx, dkeys, dq, None)
    dW = gemm(as_rows(query), as_rows(dq), transpose_a=True)
    return Gradients(dx, dkeys, _through(dq, W, transpose_b=True), dW)


def _through(rows: Array, W: Array, transpose_b: bool = False) -> Array:
    """The rows (..., Q) times W, or its transpose."""
    y = gemm(as_rows(rows), W, transpose_b=transpose_b)
    return y.reshape(*rows.shape[:-1], y.shape[-1])
