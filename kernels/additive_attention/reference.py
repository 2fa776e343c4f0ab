"""Additive attention, the specification (Bahdanau et al. 2015; over pictures, Xu et al. 2015; the lecture's f_att).

e_l = v · tanh(keys_l + query)        keys = x W_x + b and query = h W_h are linear maps, made by the caller
α   = softmax(e)
z   = Σ_l α_l x_l
"""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array, add
from scratchlv.kernels.building_blocks.shapes import require, require_mask
from scratchlv.kernels.softmax.reference import softmax

OUTPUTS = ("z", "alpha")  #: what ``forward`` returns, by name


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    query: Array  # (N, A)
    v: Array  # (A,)
    alpha: Array  # (N, L)


class Gradients(NamedTuple):
    dx: Array  # (N, L, D)
    dkeys: Array  # (N, L, A)
    dquery: Array  # (N, A)
    dv: Array  # (A,)


def forward(
    x: Array, keys: Array, query: Array, v: Array, mask: Array | None = None, *, train: bool = True
) -> tuple[tuple[Array, Array], Cache | None]:
    """Look at ``x`` (N, L, D): the context ``z`` (N, D) and the attention ``alpha`` (N, L), which sums to 1.

    ``keys`` are (N, L, A), ``query`` (N, A), ``v`` (A,). Where ``mask`` (N, L), of bools or of 0 and 1, is False nobody looks.
    A row without a True may look nowhere: its attention, its context and what it sends back are 0.

    Raises:
        ValueError: the shapes do not fit each other, there is no region, or the mask has other numbers than 0 and 1.
    """
    check(x, keys, query, v, mask)
    e = np.tanh(keys + query[:, None]) @ v  # (N, L)
    alpha = softmax(e, mask)  # (N, L)
    z = (alpha[:, None] @ x)[:, 0]  # (N, D)
    return (z, alpha), Cache(x, keys, query, v, alpha) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache, *, dx: Array | None = None) -> Gradients:
    """``dx, dkeys, dquery, dv`` from ``dy``: ``dz`` (N, D) and ``dalpha`` (N, L), either of which may be None for zero.

    Where ``dx`` (N, L, D) is given, from other uses of x, the new one is added to it.
    """
    x, keys, query, v, alpha = cache
    require("x", dx=(dx, x.shape))
    dz, dalpha_out = dy
    dalpha = np.zeros_like(alpha)
    if dz is None:
        dx = add(dx, np.zeros_like(x))
    else:
        # in the forward pass this was z = Σ_l α_l x_l
        dalpha = (x @ dz[:, :, None])[:, :, 0]  # (N, L)
        dx = add(dx, alpha[:, :, None] * dz[:, None])  # (N, L, D)
    if dalpha_out is not None:
        dalpha = dalpha + dalpha_out  # α is an output, too
    # in the forward pass this was α = softmax(e): each α depends on every e of its row
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))  # (N, L): 0 where α is 0, so where masked
    # in the forward pass this was e_l = v · s_l, s_l = tanh(keys_l + query); s is computed again rather than kept
    s = np.tanh(keys + query[:, None])  # (N, L, A)
    dv = np.tensordot(de, s, axes=((0, 1), (0, 1)))  # (A,)
    dkeys = de[:, :, None] * v * (1 - s**2)  # (N, L, A)
    dquery = dkeys.sum(axis=1)  # (N, A): the same query was added to the key of every region
    return Gradients(dx, dkeys, dquery, dv)


def check(x: Array, keys: Array, query: Array, v: Array, mask: Array | None) -> None:
    N, L, A = keys.shape
    check_regions(L)
    given = f"keys {keys.shape}"
    require(given, x=(x, (N, L, x.shape[-1])), query=(query, (N, A)), v=(v, (A,)), mask=(mask, (N, L)))
    require_mask(mask)


def check_regions(L: int) -> None:
    """A softmax over nothing has no value."""
    if L == 0:
        raise ValueError("there is nothing to look at: L, the number of regions, is 0")
