"""Attention that empty memories have a share of: of S memories, those that hold nothing are zeros, and asked like the others.

A zero has the score 0 and the value 0. With c of them, and α' the attention among those that hold something,

    Z = Σ_l exp(e_l)          g = Z / (Z + c)          α = g α'          z = g Σ_l α'_l x_l

so that they need not be there: g is what they leave. Backwards, with dz and dα:

    dg = dz · z' + dα · α'          dz' = g dz          dα' = g dα          de = g (1 - g) dg α'

the last since ∂ ln Z / ∂ e_l = α'_l; the rest is that of :mod:`scratchlv.kernels.dot_product_attention`.

Shapes: x (N, L, D), keys (N, L, K), query (N, K), mask (N, L).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.ops import dot_product_attention


def forward(
    x: Array, keys: Array, query: Array, mask: Array, memories: int, *, train: bool = True
) -> tuple[tuple[Array, Array], Any]:
    """``z`` (N, D) and ``alpha`` (N, L), which sums to g; of all ``memories`` those of ``mask`` hold something."""
    (z, alpha, e), attention = dot_product_attention.forward(x, keys, query, mask=mask, scores=True, train=train)
    e = np.where(mask, e, -np.inf)
    c = (memories - mask.sum(axis=1, keepdims=True)).astype(e.dtype)  # (N, 1)
    top = e.max(axis=1, keepdims=True)
    top = np.where(c > 0, np.maximum(top, 0), top)  # of all scores, the zeros' among them
    empty = c * np.exp(-np.maximum(top, 0))
    full = np.exp(e - top).sum(axis=1, keepdims=True)
    g = full / (full + empty)  # (N, 1)
    return (g * z, g * alpha), (z, alpha, g, attention)


def backward(dy: tuple[Array, Array | None], cache: Any) -> Any:
    """The gradients of x, keys and query, by the names of dot_product_attention, from ``dz`` and ``dalpha``, None for zero."""
    z, alpha, g, attention = cache
    dz, dalpha = dy
    dg = (dz * z).sum(axis=1, keepdims=True)
    if dalpha is not None:
        dg = dg + (dalpha * alpha).sum(axis=1, keepdims=True)
        dalpha = g * dalpha
    return dot_product_attention.backward((g * dz, dalpha, g * (1 - g) * dg * alpha), attention)
