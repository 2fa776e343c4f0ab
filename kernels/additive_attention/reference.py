"""Additive attention, the specification (Bahdanau et al. 2015; over pictures, Xu et al. 2015; the lecture's f_att).

e_tl = v · tanh(keys_l + query_t)      keys = x W_x + b and query = h W_h are linear maps, made by the caller
α_t  = softmax(e_t)
z_t  = Σ_l α_tl x_l

for one query, or for T of them that look at the same keys.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add
from scratchlv.device import place
from scratchlv.kernels.building_blocks.shapes import require, require_mask
from scratchlv.kernels.softmax.reference import softmax

OUTPUTS = ("z", "alpha", "e")  #: what ``forward`` returns, by name; the last with ``scores=True``


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    query: Array  # (N, A) or (N, T, A)
    v: Array  # (A,)
    alpha: Array  # (N, L) or (N, T, L)


class Gradients(NamedTuple):
    dx: Array  # (N, L, D)
    dkeys: Array  # (N, L, A)
    dquery: Array  # (N, A) or (N, T, A)
    dv: Array  # (A,)


def forward(
    x: Array,
    keys: Array,
    query: Array,
    v: Array,
    mask: Array | None = None,
    *,
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
) -> tuple[tuple[Array, ...], Cache | None]:
    """Look at ``x`` (N, L, D): the context ``z`` (N, D) and the attention ``alpha`` (N, L), which sums to 1.

    ``keys`` are (N, L, A), ``query`` (N, A), ``v`` (A,). Where ``mask`` (N, L), of bools or of 0 and 1, is False nobody looks.
    A row without a True may look nowhere: its attention, its context and what it sends back are 0.

    Several queries for the same keys are (N, T, A): then z is (N, T, D), alpha (N, T, L), and a mask (N, L) holds for all of
    them, one (N, T, L) for each by itself. With ``causal`` query t looks at no key after t + ``offset``. The offset is 0 unless
    it is given: the first query stands at the first key, as in PyTorch's ``is_causal``, also where T and L differ
    ("top left"). Queries that are the last T of L positions have the offset L - T ("bottom right").

    With ``scores`` the outputs are ``z, alpha, e``: e (N, L) or (N, T, L) are the scores before the softmax, also of what
    nobody may look at.

    Raises:
        ValueError: the shapes do not fit each other, there is no region or no query, the mask has other numbers than 0 and 1,
            a single query is to be causal, or an offset is given though nothing is causal.
    """
    check(x, keys, query, v, mask, causal, offset)
    queries = each(query)  # (N, T, A)
    of_queries = [
        np.tanh(keys + queries[:, t, None]) @ v for t in range(queries.shape[1])
    ]  # (N, L), one after the other
    e = np.stack(of_queries, axis=1)  # (N, T, L)
    alpha = attention(e, mask, causal, offset)  # (N, T, L)
    z = alpha @ x  # (N, T, D)
    y = outputs(query, z, alpha, e)
    return y if scores else y[:2], Cache(x, keys, query, v, y[1]) if train else None


def backward(dy: tuple[Array | None, ...], cache: Cache, *, dx: Array | None = None) -> Gradients:
    """``dx, dkeys, dquery, dv`` from ``dy``: ``dz``, ``dalpha`` and, where the scores were an output, ``de``; None is zero.

    Where ``dx`` (N, L, D) is given, from other uses of x, the new one is added to it.
    """
    x, keys, query, v, alpha = cache
    require("x", dx=(dx, x.shape))
    new_dx, de = backward_to_scores(dy, x, alpha)  # (N, L, D), (N, T, L)
    # in the forward pass this was e_tl = v · s_l, s_l = tanh(keys_l + query_t); s is computed again rather than kept
    queries, dqueries, dkeys, dv = each(query), [], None, None
    for t in range(queries.shape[1]):  # one after the other: nothing is as large as (N, T, L, A)
        s, de_t = np.tanh(keys + queries[:, t, None]), de[:, t]  # (N, L, A), (N, L)
        dv = add(dv, np.tensordot(de_t, s, axes=((0, 1), (0, 1))))  # (A,)
        dpre = de_t[:, :, None] * v * (1 - s**2)  # (N, L, A)
        dqueries.append(dpre.sum(axis=1))  # (N, A): the same query was added to the key of every region
        dkeys = add(dkeys, dpre)  # and every query to the same key
    return Gradients(add(dx, new_dx), dkeys, np.stack(dqueries, axis=1).reshape(query.shape), dv)


# --- what every score shares -----------------------------------------------------------------------------------------


def each(a: Array) -> Array:
    """``a`` of each query, (N, T, ...): one query (N, ...) is the first of one."""
    return a if a.ndim == 3 else a[:, None]


def outputs(query: Array, *of_each: Array) -> tuple[Array, ...]:
    """What :func:`each` made of one query, as that of one query again."""
    return of_each if query.ndim == 3 else tuple(a[:, 0] for a in of_each)


def attention(e: Array, mask: Array | None, causal: bool, offset: int) -> Array:
    """``alpha`` (N, T, L) of the scores ``e`` (N, T, L)."""
    T, L = e.shape[1:]
    seen = None if mask is None else each(mask) != 0  # (N, 1 or T, L)
    if causal:
        up_to_here = place(np.tri(T, L, offset, dtype=bool), e)  # (T, L): l <= t + offset
        seen = up_to_here[None] if seen is None else seen & up_to_here
    return softmax(e, seen)


def backward_to_scores(dy: tuple[Array | None, ...], x: Array, alpha: Array) -> tuple[Array, Array]:
    """``dx`` (N, L, D) and ``de`` (N, T, L), from the gradients of z, of alpha, and of the scores."""
    dz, dalpha_out, de_out = (None if d is None else each(d) for d in (*dy, None)[:3])
    alpha = each(alpha)
    dalpha, dx = np.zeros_like(alpha), np.zeros_like(x)
    if dz is not None:
        # in the forward pass this was z_t = Σ_l α_tl x_l
        dalpha = dz @ x.swapaxes(1, 2)  # (N, T, L)
        dx = sum_of_outer(alpha, dz)  # (N, L, D): every query looked at the same x
    if dalpha_out is not None:
        dalpha = dalpha + dalpha_out  # α is an output, too
    # in the forward pass this was α = softmax(e): each α depends on every e of its row
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=-1, keepdims=True))  # (N, T, L): 0 where α is 0, so where masked
    if de_out is not None:
        de = de + de_out  # the scores are an output, too
    return dx, de


def sum_of_outer(a: Array, b: Array) -> Array:
    """``Σ_t a_t b_tᵀ`` (N, L, D) of ``a`` (N, T, L) and ``b`` (N, T, D); where T is 1 there is nothing to add up."""
    return a[:, 0, :, None] * b if a.shape[1] == 1 else a.swapaxes(1, 2) @ b


def check(
    x: Array, keys: Array, query: Array, v: Array, mask: Array | None, causal: bool = False, offset: int = 0
) -> None:
    N, L, A = keys.shape
    check_regions(L)
    given = f"keys {keys.shape}"
    shapes = shapes_of_queries(N, A, L, query, mask)
    require(given, x=(x, (N, L, x.shape[-1])), query=(query, shapes[0]), v=(v, (A,)), mask=(mask, shapes[1]))
    check_queries(query, causal, offset)
    require_mask(mask)


def check_regions(L: int) -> None:
    """A softmax over nothing has no value."""
    if L == 0:
        raise ValueError("there is nothing to look at: L, the number of regions, is 0")


def shapes_of_queries(
    N: int, width: int, L: int, query: Array, mask: Array | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the shapes of the query and of the mask must be: with T where there are several queries, and a mask for each."""
    T = query.shape[1:2] if query.ndim == 3 else ()
    return (N, *T, width), (N, *T, L) if mask is not None and T and mask.ndim == 3 else (N, L)


def check_queries(query: Array, causal: bool, offset: Any) -> None:
    if query.ndim == 3 and query.shape[1] == 0:
        raise ValueError("nobody looks: T, the number of queries, is 0")
    if isinstance(offset, bool) or not isinstance(offset, int | np.integer):
        raise ValueError(f"offset is {offset!r}; it must be a whole number of keys")
    if causal and query.ndim == 2:
        raise ValueError("causal is said of several queries; give them as (N, T, A), also if T is 1")
    if offset and not causal:
        raise ValueError(f"offset is {offset}, and says where queries stand among the keys if causal=True alone")
