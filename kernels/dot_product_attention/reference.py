"""Dot-product attention, the specification (Luong et al. 2015: "dot", and "general" with W; scaled, Vaswani et al. 2017).

e_tl = scale · keys_l · (query_t W)     query W is query where there is no W
α_t  = softmax(e_t)
z_t  = Σ_l α_tl x_l

for one query, or for T of them that look at the same keys.
"""

import math
from typing import NamedTuple

from scratchlv.arrays import Array
from scratchlv.kernels.additive_attention.reference import (
    attention,
    backward_to_scores,
    check_queries,
    check_regions,
    each,
    outputs,
    shapes_of_queries,
    sum_of_outer,
)
from scratchlv.kernels.building_blocks.shapes import require, require_mask

OUTPUTS = ("z", "alpha", "e")  #: what ``forward`` returns, by name; the last with ``scores=True``


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, K)
    query: Array  # (N, Q) or (N, T, Q)
    W: Array | None  # (Q, K)
    alpha: Array  # (N, L) or (N, T, L)
    scale: float


class Gradients(NamedTuple):
    dx: Array  # (N, L, D)
    dkeys: Array  # (N, L, K)
    dquery: Array  # (N, Q) or (N, T, Q)
    dW: Array | None  # (Q, K), None without W


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
    """Look at ``x`` (N, L, D): the context ``z`` (N, D) and the attention ``alpha`` (N, L), which sums to 1.

    ``keys`` are (N, L, K), ``query`` (N, Q), ``W`` (Q, K); without W, Q must be K. The scaled form has ``scale`` = 1/√K.
    Where ``mask`` (N, L), of bools or of 0 and 1, is False nobody looks. A row without a True may look nowhere: its attention,
    its context and what it sends back are 0.

    Several queries for the same keys are (N, T, Q): then z is (N, T, D), alpha (N, T, L), and a mask (N, L) holds for all of
    them, one (N, T, L) for each by itself. With ``causal`` query t looks at no key after t + ``offset``. The offset is 0 unless
    it is given: the first query stands at the first key, as in PyTorch's ``is_causal``, also where T and L differ
    ("top left"). Queries that are the last T of L positions have the offset L - T ("bottom right").

    With ``scores`` the outputs are ``z, alpha, e``: e (N, L) or (N, T, L) are the scores before the softmax, also of what
    nobody may look at.

    Raises:
        ValueError: the shapes do not fit each other, there is no region or no query, the mask has other numbers than 0 and 1,
            a single query is to be causal, or an offset is given though nothing is causal.
    """
    check(x, keys, query, W, mask, causal, offset)
    scale = float(scale)  # a NumPy number would make float64 of float32
    q = each(query if W is None else query @ W)  # (N, T, K)
    e = scale * (q @ keys.swapaxes(1, 2))  # (N, T, L)
    alpha = attention(e, mask, causal, offset)  # (N, T, L)
    z = alpha @ x  # (N, T, D)
    y = outputs(query, z, alpha, e)
    return y if scores else y[:2], Cache(x, keys, query, W, y[1], scale) if train else None


def backward(dy: tuple[Array | None, ...], cache: Cache) -> Gradients:
    """``dx, dkeys, dquery, dW`` (None without W) from ``dy``: ``dz``, ``dalpha`` and, where the scores were an output, ``de``.

    Each may be None for zero.
    """
    x, keys, query, W, alpha, scale = cache
    dx, de = backward_to_scores(dy, x, alpha)  # (N, L, D), (N, T, L)
    # in the forward pass this was e_tl = scale keys_l · q_t; q is computed again rather than kept
    q = each(query if W is None else query @ W)  # (N, T, K)
    dkeys = sum_of_outer(scale * de, q)  # (N, L, K): every query met the same key
    dq = scale * (de @ keys)  # (N, T, K): and every key the same query
    (dq,) = outputs(query, dq)
    if W is None:
        return Gradients(dx, dkeys, dq, None)
    # in the forward pass this was q = query W
    dW = as_rows(query).T @ as_rows(dq)  # (Q, K)
    return Gradients(dx, dkeys, dq @ W.T, dW)


def as_rows(queries: Array) -> Array:
    """(N, Q) or (N, T, Q) as a matrix: through W all queries go alike."""
    return queries.reshape(math.prod(queries.shape[:-1]), queries.shape[-1])


def check(
    x: Array, keys: Array, query: Array, W: Array | None, mask: Array | None, causal: bool = False, offset: int = 0
) -> None:
    (N, L, K), Q = keys.shape, query.shape[-1]
    if W is None and Q != K:
        raise ValueError(f"keys have {K} numbers and the query {Q}: without W they must be equally many")
    check_regions(L)
    given = f"keys {keys.shape} and a query of {Q} numbers"
    shapes = shapes_of_queries(N, Q, L, query, mask)
    require(given, x=(x, (N, L, x.shape[-1])), query=(query, shapes[0]), W=(W, (Q, K)), mask=(mask, shapes[1]))
    check_queries(query, causal, offset)
    require_mask(mask)
