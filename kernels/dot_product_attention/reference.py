"""Dot-product attention, the specification (Luong et al. 2015: "dot", and "general" with W; scaled, Vaswani et al. 2017).

e_l = scale · keys_l · (query W)        query W is query where there is no W
α   = softmax(e)
z   = Σ_l α_l x_l
"""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.additive_attention.reference import check_regions
from scratchlv.kernels.building_blocks.shapes import require, require_mask
from scratchlv.kernels.softmax.reference import softmax

OUTPUTS = ("z", "alpha")  #: what ``forward`` returns, by name


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, K)
    query: Array  # (N, Q)
    W: Array | None  # (Q, K)
    alpha: Array  # (N, L)
    scale: float


class Gradients(NamedTuple):
    dx: Array  # (N, L, D)
    dkeys: Array  # (N, L, K)
    dquery: Array  # (N, Q)
    dW: Array | None  # (Q, K), None without W


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
    """Look at ``x`` (N, L, D): the context ``z`` (N, D) and the attention ``alpha`` (N, L), which sums to 1.

    ``keys`` are (N, L, K), ``query`` (N, Q), ``W`` (Q, K); without W, Q must be K. The scaled form has ``scale`` = 1/√K.
    Where ``mask`` (N, L), of bools or of 0 and 1, is False nobody looks. A row without a True may look nowhere: its attention,
    its context and what it sends back are 0.

    Raises:
        ValueError: the shapes do not fit each other, there is no region, or the mask has other numbers than 0 and 1.
    """
    check(x, keys, query, W, mask)
    scale = float(scale)  # a NumPy number would make float64 of float32
    q = query if W is None else query @ W  # (N, K)
    e = scale * (keys @ q[:, :, None])[:, :, 0]  # (N, L)
    alpha = softmax(e, mask)  # (N, L)
    z = (alpha[:, None] @ x)[:, 0]  # (N, D)
    return (z, alpha), Cache(x, keys, query, W, alpha, scale) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> Gradients:
    """``dx, dkeys, dquery, dW`` (None without W) from ``dy``: ``dz`` (N, D) and ``dalpha`` (N, L), either None for zero."""
    x, keys, query, W, alpha, scale = cache
    dz, dalpha_out = dy
    dalpha, dx = np.zeros_like(alpha), np.zeros_like(x)
    if dz is not None:
        # in the forward pass this was z = Σ_l α_l x_l
        dalpha = (x @ dz[:, :, None])[:, :, 0]  # (N, L)
        dx = alpha[:, :, None] * dz[:, None]  # (N, L, D)
    if dalpha_out is not None:
        dalpha = dalpha + dalpha_out  # α is an output, too
    # in the forward pass this was α = softmax(e): each α depends on every e of its row
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))  # (N, L): 0 where α is 0, so where masked
    # in the forward pass this was e_l = scale keys_l · q; q is computed again rather than kept
    q = query if W is None else query @ W  # (N, K)
    dkeys = scale * de[:, :, None] * q[:, None]  # (N, L, K)
    dq = scale * (de[:, None] @ keys)[:, 0]  # (N, K): every key met the same q
    if W is None:
        return Gradients(dx, dkeys, dq, None)
    # in the forward pass this was q = query W
    return Gradients(dx, dkeys, dq @ W.T, query.T @ dq)


def check(x: Array, keys: Array, query: Array, W: Array | None, mask: Array | None) -> None:
    (N, L, K), Q = keys.shape, query.shape[-1]
    if W is None and Q != K:
        raise ValueError(f"keys have {K} numbers and the query {Q}: without W they must be equally many")
    check_regions(L)
    given = f"keys {keys.shape} and a query of {Q} numbers"
    require(given, x=(x, (N, L, x.shape[-1])), query=(query, (N, Q)), W=(W, (Q, K)), mask=(mask, (N, L)))
    require_mask(mask)
