"""The LSTM that attends, the specification (Bahdanau et al. 2015; over pictures, Xu et al. 2015).

For every step t:

    query = h_{t-1} Wq
    e_l   = v · tanh(keys_l + query)       or, without v, e_l = keys_l · query
    α_t   = softmax(e)
    z_t   = Σ_l α_{t,l} x_l
    h_t, c_t = LSTM([word_t, z_t], h_{t-1}, c_{t-1})

It is made of the rooms that attend and the LSTM; see there for what they do.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.additive_attention import reference as additive_attention
from scratchlv.kernels.building_blocks.shapes import require, require_mask
from scratchlv.kernels.dot_product_attention import reference as dot_product_attention
from scratchlv.kernels.lstm import reference as lstm

OUTPUTS = ("h", "z", "alpha")  #: what ``forward`` returns, by name


class Step(NamedTuple):
    """What backward needs of one step."""

    h: Array  # (N, H), before it
    attention: Any  # the cache of the room that attends
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
    *,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[tuple[Array, Array, Array], Cache | None]:
    """Run over ``words`` (T, N, E), looking at ``x`` (N, L, D): all ``h`` (T, N, H), ``z`` (T, N, D), ``alpha`` (T, N, L).

    ``keys`` are (N, L, A); the state before is ``h0``, ``c0`` (N, H); ``Wq`` is (H, A), ``v`` (A,), or None for the dot
    product of key and query. ``Wx`` is (E + D, 4H): first the rows of the word, then those of z. ``Wh`` is (H, 4H), ``b``
    (4H,). Where ``mask`` (N, L), of bools or of 0 and 1, is False nobody looks; a row without a True may look nowhere, and its
    ``z`` and ``alpha`` are 0. ``need_dx=False`` says that nobody wants ``dx``: it is then None.

    Raises:
        ValueError: the shapes do not fit each other, there is no region, or the mask has other numbers than 0 and 1.
    """
    check(words, x, keys, h0, c0, Wq, v, Wx, Wh, b, mask)
    T, (N, L, D), H = words.shape[0], x.shape, h0.shape[1]
    h, c = h0, c0
    steps: list[Step] = []
    hs, zs, alphas = (np.zeros_like(h0, shape=(T, N, size)) for size in (H, D, L))
    room: Any = dot_product_attention if v is None else additive_attention  # its W is None, as v is
    for t in range(T):
        query = h @ Wq  # (N, A)
        (z, alpha), attention = room.forward(x, keys, query, v, mask)
        joined = np.concatenate([words[t], z], axis=1)  # (N, E + D)
        (out, c), cell = lstm.forward(joined[None], h, c, Wx, Wh, b)
        steps.append(Step(h, attention, cell))
        h = out[0]
        hs[t], zs[t], alphas[t] = h, z, alpha
    return (hs, zs, alphas), Cache(words, x, keys, h0, Wq, v, Wx, Wh, steps, need_dx) if train else None


def backward(dy: tuple[Array | None, Array | None, Array | None], cache: Cache) -> Gradients:
    """``dwords, dx, dkeys, dh0, dc0, dWq, dv, dWx, dWh, db`` from ``dy``: ``dh``, ``dz`` and ``dalpha``; None is zero.

    ``dv`` is None where there was no v, ``dx`` where x was data.
    """
    words, x, keys, h0, Wq, v, Wx, Wh, steps, need_dx = cache
    dh_out, dz_out, dalpha_out = dy
    E = words.shape[2]
    dwords, dx, dkeys, dWq, dWx, dWh = (np.zeros_like(array) for array in (words, x, keys, Wq, Wx, Wh))
    dv, db = None if v is None else np.zeros_like(v), np.zeros_like(Wh, shape=Wh.shape[1:])
    dh, dc = np.zeros_like(h0), np.zeros_like(h0)
    room: Any = dot_product_attention if v is None else additive_attention
    for t in reversed(range(len(steps))):
        before, attention, cell = steps[t]
        if dh_out is not None:
            dh = dh + dh_out[t]  # from what looks at h_t, and from the step after
        # in the forward pass this was h_t, c_t = LSTM([word_t, z_t], h_{t-1}, c_{t-1})
        of_cell = lstm.backward((dh[None], dc), cell)
        dwords[t], dz = of_cell.dx[0, :, :E], of_cell.dx[0, :, E:]
        if dz_out is not None:
            dz = dz + dz_out[t]
        # in the forward pass this was z_t, α_t = attention(x, keys, query, v)
        of_attention = room.backward((dz, None if dalpha_out is None else dalpha_out[t]), attention)
        # in the forward pass this was query = h_{t-1} Wq
        dWq += before.T @ of_attention.dquery
        dh, dc = of_cell.dh0 + of_attention.dquery @ Wq.T, of_cell.dc0  # h was used by the cell, and to ask
        dx += of_attention.dx  # the same regions, keys and weights at every step: their gradients add up
        dkeys += of_attention.dkeys
        if dv is not None:
            dv += of_attention.dv
        dWx += of_cell.dWx
        dWh += of_cell.dWh
        db += of_cell.db
    return Gradients(dwords, dx if need_dx else None, dkeys, dh, dc, dWq, dv, dWx, dWh, db)


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
) -> None:
    (T, _, E), (N, L, A), D, H = words.shape, keys.shape, x.shape[-1], h0.shape[-1]
    additive_attention.check_regions(L)
    given = f"keys {keys.shape}, words of {E}, regions of {D} and a state of {H} numbers"
    require(given, words=(words, (T, N, E)), x=(x, (N, L, D)), h0=(h0, (N, H)), c0=(c0, (N, H)), mask=(mask, (N, L)))
    require_mask(mask)
    require(given, Wq=(Wq, (H, A)), v=(v, (A,)), Wx=(Wx, (E + D, 4 * H)), Wh=(Wh, (H, 4 * H)), b=(b, (4 * H,)))
