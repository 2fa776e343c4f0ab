"""The LSTM, the specification (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

i, f, g, o = σ, σ, tanh, σ of the four parts of  x_t Wx + h_{t-1} Wh + b
c_t = f c_{t-1} + i g
h_t = o tanh(c_t)
"""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.shapes import require, require_lengths
from scratchlv.kernels.rnn.reference import sigmoid

OUTPUTS = ("h", "c")  #: what ``forward`` returns, by name


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H), h[0] is the initial state
    c: Array  # (T + 1, N, H)
    gates: Array  # (T, N, 4H), after σ and tanh
    Wx: Array  # (D, 4H)
    Wh: Array  # (H, 4H)
    lengths: Array | None  # (N,)


class Gradients(NamedTuple):
    dx: Array  # (T, N, D)
    dh0: Array  # (N, H)
    dc0: Array  # (N, H)
    dWx: Array  # (D, 4H)
    dWh: Array  # (H, 4H)
    db: Array  # (4H,)


def forward(
    x: Array,
    h0: Array,
    c0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    lengths: Array | None = None,
    *,
    train: bool = True,
) -> tuple[tuple[Array, Array], Cache | None]:
    """Run over ``x`` (T, N, D) from the state ``h0``, ``c0`` (N, H); returns all ``h`` (T, N, H) and the last ``c`` (N, H).

    ``Wx`` is (D, 4H), ``Wh`` (H, 4H), ``b`` (4H,). Past its length (``lengths``, (N,) integers from 0 to T) the state of a
    sequence stands still, so the last row of ``h`` is the final state of every sequence.

    Raises:
        ValueError: the shapes do not fit each other, or lengths are no integers from 0 to T.
    """
    check(x, h0, c0, Wx, Wh, b, lengths)
    T, H = x.shape[0], h0.shape[1]
    h, c = np.zeros_like(h0, shape=(T + 1, *h0.shape)), np.zeros_like(c0, shape=(T + 1, *c0.shape))
    gates = np.zeros_like(h0, shape=(T, h0.shape[0], 4 * H))
    h[0], c[0] = h0, c0
    for t in range(T):
        a = x[t] @ Wx + h[t] @ Wh + b  # (N, 4H)
        i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 3 * H :])  # (N, H) each
        g = np.tanh(a[:, 2 * H : 3 * H])
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
        if lengths is not None:
            over = lengths <= t
            h[t + 1, over], c[t + 1, over] = h[t, over], c[t, over]
        gates[t] = np.concatenate([i, f, g, o], axis=1)
    return (h[1:], c[T]), Cache(x, h, c, gates, Wx, Wh, lengths) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> Gradients:
    """``dx, dh0, dc0, dWx, dWh, db`` from ``dy``: ``dh`` (T, N, H) and the gradient of the last c (N, H); None is zero."""
    x, h, c, gates, Wx, Wh, lengths = cache
    T, H = x.shape[0], h.shape[2]
    dh_out, dc_last = dy
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros_like(Wh, shape=(4 * H,))
    dh = np.zeros_like(h[0])
    dc = np.zeros_like(c[0]) if dc_last is None else dc_last.copy()
    for t in reversed(range(T)):
        if dh_out is not None:
            dh = dh + dh_out[t]  # from what looks at h_t, and from the step after
        i, f, g, o = (gates[t, :, k * H : (k + 1) * H] for k in range(4))
        tanh_c = np.tanh(c[t + 1])
        dc_here = dc + dh * o * (1 - tanh_c**2)
        di = dc_here * g * i * (1 - i)  # (N, H) each, before σ and tanh: σ' = s (1 - s), tanh' = 1 - g²
        df = dc_here * c[t] * f * (1 - f)
        dg = dc_here * i * (1 - g**2)
        do = dh * tanh_c * o * (1 - o)
        da = np.concatenate([di, df, dg, do], axis=1)  # (N, 4H)
        dc_before, dh_before = dc_here * f, da @ Wh.T
        if lengths is not None:
            over = lengths <= t  # the state was copied: so is its gradient, and nothing else was touched
            da[over] = 0
            dc_before[over], dh_before[over] = dc[over], dh[over]
        dx[t] = da @ Wx.T
        dWx += x[t].T @ da
        dWh += h[t].T @ da
        db += da.sum(0)
        dh, dc = dh_before, dc_before
    return Gradients(dx, dh, dc, dWx, dWh, db)


def check(x: Array, h0: Array, c0: Array, Wx: Array, Wh: Array, b: Array, lengths: Array | None) -> None:
    (T, N, D), H = x.shape, h0.shape[-1]
    given = f"x {x.shape} and a state of {H} numbers"
    require(given, h0=(h0, (N, H)), c0=(c0, (N, H)), lengths=(lengths, (N,)))
    require(given, Wx=(Wx, (D, 4 * H)), Wh=(Wh, (H, 4 * H)), b=(b, (4 * H,)))
    require_lengths(lengths, T)
