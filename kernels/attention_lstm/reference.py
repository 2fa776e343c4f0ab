"""The LSTM that attends, the specification (Bahdanau et al. 2015; over pictures, Xu et al. 2015).

For every step t:

    query = h_{t-1} Wq
    e_l   = v · tanh(keys_l + query)       or, without v, e_l = keys_l · query
    α_t   = softmax(e)
    s_t   = α_t; or one region alone, where one is drawn: s_{t,l} is 1 for it, else 0
    z_t   = β_t Σ_l s_{t,l} x_l            β_t = σ(h_{t-1} · Wg + bg), or 1 without Wg
    h_t, c_t = LSTM([word_t, z_t], h_{t-1}, c_{t-1})

It is made of the rooms that attend and the LSTM; see there for what they do.

A region is drawn from α_t by the inverse of its cumulative distribution: of a number u in [0, 1), the first l with α_1 + … + α_l
> u. The caller gives u as an integer, u 2²⁴: who has the same integers draws the same. The region is then looked at whatever α
is, so that no gradient goes from z_t to α_t; what α_t is to be told, comes in as the gradient of the output α (REINFORCE's, -A /
α at the region drawn: :mod:`scratchlv.models.hard_attention`).
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.additive_attention import reference as additive_attention
from scratchlv.kernels.building_blocks.shapes import require, require_mask
from scratchlv.kernels.dot_product_attention import reference as dot_product_attention
from scratchlv.kernels.lstm import reference as lstm
from scratchlv.kernels.sigmoid import reference as sigmoid

OUTPUTS = ("h", "z", "alpha")  #: what ``forward`` returns, by name
DRAWS = 1 << 24  #: draws are integers from 0 to one less than this


class Step(NamedTuple):
    """What backward needs of one step."""

    h: Array  # (N, H), before it
    attention: Any  # the cache of the room that attends
    context: Array  # (N, D), before the gate
    gate: Any  # the cache of its σ, None without a gate
    cell: Any


class Cache(NamedTuple):
    words: Array  # (T, N, E)
    x: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    h0: Array  # (N, H)
    Wq: Array  # (H, A)
    v: Array | None  # (A,)
    Wx: Array  # (E + D, 4H)
    Wh: Array  # (H, 4H)
    Wg: Array | None  # (H,)
    draws: Array | None  # (T, N)
    looked: Array  # (T, N, L): s, which is α where no region was drawn
    steps: list[Step]
    need_dx: bool


class Gradients(NamedTuple):
    dwords: Array  # (T, N, E)
    dx: Array | None  # (N, L, D), None where nobody wants it
    dkeys: Array  # (N, L, A)
    dh0: Array  # (N, H)
    dc0: Array  # (N, H)
    dWq: Array  # (H, A)
    dv: Array | None  # (A,), None where there is no v
    dWx: Array  # (E + D, 4H)
    dWh: Array  # (H, 4H)
    db: Array  # (4H,)
    dWg: Array | None  # (H,), None where there is no gate
    dbg: Array | None  # (1,)


def forward(
    words: Array,
    x: Array,
    keys: Array,
    h0: Array,
    c0: Array,
    Wq: Array,
    v: Array | None,
    Wx: Array,
    Wh: Array,
    b: Array,
    mask: Array | None = None,
    Wg: Array | None = None,
    bg: Array | None = None,
    draws: Array | None = None,
    *,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[tuple[Array, Array, Array], Cache | None]:
    """Run over ``words`` (T, N, E), looking at ``x`` (N, L, D): all ``h`` (T, N, H), ``z`` (T, N, D), ``alpha`` (T, N, L).

    ``keys`` are (N, L, A); the state before is ``h0``, ``c0`` (N, H); ``Wq`` is (H, A), ``v`` (A,), or None for the dot
    product of key and query. ``Wx`` is (E + D, 4H): first the rows of the word, then those of z. ``Wh`` is (H, 4H), ``b``
    (4H,). Where ``mask`` (N, L), of bools or of 0 and 1, is False nobody looks; a row without a True may look nowhere, and its
    ``z`` and ``alpha`` are 0. ``Wg`` (H,) and ``bg`` (1,) are the gate of the context, if it has one. ``draws`` (T, N) are
    integers below 2²⁴: one of 0 or more draws the region that is looked at; where it is -1, all are, by their weights.
    ``need_dx=False`` says that nobody wants ``dx``: it is then None.

    Raises:
        ValueError: the shapes do not fit each other, there is no region, or the mask has other numbers than 0 and 1.
    """
    check(words, x, keys, h0, c0, Wq, v, Wx, Wh, b, mask, Wg, bg, draws)
    T, (N, L, D), H = words.shape[0], x.shape, h0.shape[1]
    h, c = h0, c0
    steps: list[Step] = []
    looked = []  # s
    hs, zs, alphas = (np.zeros_like(h0, shape=(T, N, size)) for size in (H, D, L))
    room: Any = dot_product_attention if v is None else additive_attention  # its W is None, as v is
    for t in range(T):
        query = h @ Wq  # (N, A)
        (z, alpha), attention = room.forward(x, keys, query, v, mask)
        looked.append(alpha)
        if draws is not None:
            looked[t] = pick(alpha, draws[t])
            z = (looked[t][:, None] @ x)[:, 0]  # (N, D)
        context, gate = z, None
        if Wg is not None:
            beta, gate = sigmoid.forward(h @ Wg + bg)  # (N,)
            z = beta[:, None] * context
        joined = np.concatenate([words[t], z], axis=1)  # (N, E + D)
        (out, c), cell = lstm.forward(joined[None], h, c, Wx, Wh, b)
        steps.append(Step(h, attention, context, gate, cell))
        h = out[0]
        hs[t], zs[t], alphas[t] = h, z, alpha
    s = np.stack(looked) if looked else alphas
    cache = Cache(words, x, keys, h0, Wq, v, Wx, Wh, Wg, draws, s, steps, need_dx)
    return (hs, zs, alphas), cache if train else None


def pick(alpha: Array, draws: Array) -> Array:
    """s (N, L): one-hot at the region that is drawn, α itself where none is; where α is 0 everywhere, so is s."""
    reached = np.cumsum(alpha, axis=1, dtype=np.float64)  # (N, L)
    passed = reached > draws[:, None] / DRAWS * reached[:, -1:]
    first = passed & (np.cumsum(passed, axis=1) == 1)
    one_hot = first.astype(alpha.dtype) + 0 * alpha.sum(axis=1, keepdims=True)  # of NaN, NaN
    return np.where(draws[:, None] >= 0, one_hot, alpha)


def backward(dy: tuple[Array | None, Array | None, Array | None], cache: Cache) -> Gradients:
    """``dwords, dx, dkeys, dh0, dc0, dWq, dv, dWx, dWh, db, dWg, dbg`` from ``dy``: ``dh``, ``dz``, ``dalpha``; None is zero.

    ``dv``, ``dWg`` and ``dbg`` are None where there was no v or no gate, ``dx`` where x was data.
    """
    words, x, keys, h0, Wq, v, Wx, Wh, Wg, draws, looked, steps, need_dx = cache
    dh_out, dz_out, dalpha_out = dy
    E = words.shape[2]
    dwords, dx, dkeys, dWq, dWx, dWh = (np.zeros_like(array) for array in (words, x, keys, Wq, Wx, Wh))
    dv, db = None if v is None else np.zeros_like(v), np.zeros_like(Wh, shape=Wh.shape[1:])
    dWg, dbg = (None, None) if Wg is None else (np.zeros_like(Wg), np.zeros_like(Wg, shape=1))
    dh, dc = np.zeros_like(h0), np.zeros_like(h0)
    room: Any = dot_product_attention if v is None else additive_attention
    for t in reversed(range(len(steps))):
        before, attention, context, gate, cell = steps[t]
        if dh_out is not None:
            dh = dh + dh_out[t]  # from what looks at h_t, and from the step after
        # in the forward pass this was h_t, c_t = LSTM([word_t, z_t], h_{t-1}, c_{t-1})
        of_cell = lstm.backward((dh[None], dc), cell)
        dwords[t], dz = of_cell.dx[0, :, :E], of_cell.dx[0, :, E:]
        if dz_out is not None:
            dz = dz + dz_out[t]
        dh = of_cell.dh0
        if gate is not None:  # in the forward pass this was z_t = β_t context, β_t = σ(h_{t-1} · Wg + bg)
            (da,) = sigmoid.backward((dz * context).sum(axis=1), gate)  # (N,)
            dWg += before.T @ da
            dbg += da.sum()
            dh = dh + da[:, None] * Wg
            dz = gate.y[:, None] * dz
        if draws is not None:  # in the forward pass this was context = Σ s x, whatever α is
            drawn = draws[t][:, None] >= 0  # (N, 1)
            dx += np.where(drawn, looked[t], 0)[:, :, None] * dz[:, None]
            dz = np.where(drawn, 0, dz)
        # in the forward pass this was context, α_t = attention(x, keys, query, v)
        of_attention = room.backward((dz, None if dalpha_out is None else dalpha_out[t]), attention)
        # in the forward pass this was query = h_{t-1} Wq
        dWq += before.T @ of_attention.dquery
        dh, dc = dh + of_attention.dquery @ Wq.T, of_cell.dc0  # h was used by the cell, to ask, and by the gate
        dx += of_attention.dx  # the same regions, keys and weights at every step: their gradients add up
        dkeys += of_attention.dkeys
        if dv is not None:
            dv += of_attention.dv
        dWx += of_cell.dWx
        dWh += of_cell.dWh
        db += of_cell.db
    return Gradients(dwords, dx if need_dx else None, dkeys, dh, dc, dWq, dv, dWx, dWh, db, dWg, dbg)


def check(
    words: Array,
    x: Array,
    keys: Array,
    h0: Array,
    c0: Array,
    Wq: Array,
    v: Array | None,
    Wx: Array,
    Wh: Array,
    b: Array,
    mask: Array | None,
    Wg: Array | None,
    bg: Array | None,
    draws: Array | None,
) -> None:
    (T, _, E), (N, L, A), D, H = words.shape, keys.shape, x.shape[-1], h0.shape[-1]
    additive_attention.check_regions(L)
    given = f"keys {keys.shape}, words of {E}, regions of {D} and a state of {H} numbers"
    require(given, words=(words, (T, N, E)), x=(x, (N, L, D)), h0=(h0, (N, H)), c0=(c0, (N, H)), mask=(mask, (N, L)))
    require_mask(mask)
    require(given, Wq=(Wq, (H, A)), v=(v, (A,)), Wx=(Wx, (E + D, 4 * H)), Wh=(Wh, (H, 4 * H)), b=(b, (4 * H,)))
    require(given, draws=(draws, (T, N)))
    if draws is not None and draws.dtype.kind not in "iu":
        raise ValueError(f"draws are integers below 2**24, and -1 where nothing is drawn; they are {draws.dtype}")
    if (Wg is None) != (bg is None):
        raise ValueError("a gate is Wg and bg together; one of them is missing")
    require(given, Wg=(Wg, (H,)), bg=(bg, (1,)))
