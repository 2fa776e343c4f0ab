"""Attention without its softmax: how a memory network may begin to learn ("linear start", Sukhbaatar et al. 2015, section 5).

    a_l = keys_l · query          z = Σ_l a_l x_l

A softmax that begins nearly uniform passes little of the gradient on to the scores; a product passes all of it. So a
network learns without the softmax at first, and with it as soon as that brings no more. Backwards, with dz and da:

    da_l += x_l · dz          dx_l = a_l dz          dkeys_l = da_l query          dquery = Σ_l da_l keys_l

Shapes: as those of :mod:`scratchlv.kernels.dot_product_attention`: x (N, L, D), keys (N, L, K), query (N, K), mask (N, L).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from scratchlv.arrays import Array


class Gradients(NamedTuple):
    dx: Array  # (N, L, D)
    dkeys: Array  # (N, L, K)
    dquery: Array  # (N, K)


def forward(x: Array, keys: Array, query: Array, mask: Array | None = None) -> tuple[tuple[Array, Array], Any]:
    """``z`` (N, D) and ``a`` (N, L), which may be of any size and sign; 0 where ``mask`` is False."""
    a = (keys @ query[:, :, None])[:, :, 0]
    if mask is not None:
        a = a * mask
    z = (a[:, None] @ x)[:, 0]
    return (z, a), (x, keys, query, mask, a)


def backward(dy: tuple[Array, Array | None], cache: Any) -> Gradients:
    """``dx, dkeys, dquery`` from ``dz`` and ``da``, which is None for zero."""
    x, keys, query, mask, a = cache
    dz, da = dy
    from_z = (x @ dz[:, :, None])[:, :, 0]
    da = from_z if da is None else da + from_z
    if mask is not None:
        da = da * mask
    dquery = (da[:, None] @ keys)[:, 0]
    return Gradients(a[:, :, None] * dz[:, None], da[:, :, None] * query[:, None], dquery)
