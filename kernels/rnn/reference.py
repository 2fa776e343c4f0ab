"""The recurrent layer, the specification (Elman 1990; the lecture writes σ for f).

h_t = f(x_t Wx + h_{t-1} Wh + b)        f = tanh or σ
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.shapes import require, require_lengths


def sigmoid(a: Array) -> Array:
    """1 / (1 + e^-a) by way of tanh, which cannot overflow."""
    return 0.5 * (1 + np.tanh(0.5 * a))


Function = Callable[[Array], Array]
#: f, and its slope as a function of h = f(a)
NONLINEARITIES: dict[str, tuple[Function, Function]] = {
    "tanh": (np.tanh, lambda h: 1 - h**2),
    "sigmoid": (sigmoid, lambda h: h * (1 - h)),
}


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H), h[0] is the initial state
    Wx: Array  # (D, H)
    Wh: Array  # (H, H)
    lengths: Array | None  # (N,)
    nonlinearity: str


class Gradients(NamedTuple):
    dx: Array  # (T, N, D)
    dh0: Array  # (N, H)
    dWx: Array  # (D, H)
    dWh: Array  # (H, H)
    db: Array  # (H,)


def forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    lengths: Array | None = None,
    *,
    nonlinearity: str = "tanh",
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """Run over ``x`` (T, N, D) from the state ``h0`` (N, H); returns all ``h`` (T, N, H).

    ``Wx`` is (D, H), ``Wh`` (H, H), ``b`` (H,); ``nonlinearity`` is "tanh" or "sigmoid". Past its length (``lengths``,
    (N,) integers from 0 to T) the state of a sequence stands still, so the last row of ``h`` is the final state of each.

    Raises:
        ValueError: there is no such nonlinearity, the shapes do not fit each other, or lengths are no integers from 0 to T.
    """
    check(x, h0, Wx, Wh, b, lengths, nonlinearity)
    f, _ = NONLINEARITIES[nonlinearity]
    T = x.shape[0]
    h = np.zeros_like(h0, shape=(T + 1, *h0.shape))
    h[0] = h0
    for t in range(T):
        h[t + 1] = f(x[t] @ Wx + h[t] @ Wh + b)  # (N, H)
        if lengths is not None:
            over = lengths <= t
            h[t + 1, over] = h[t, over]
    return h[1:], Cache(x, h, Wx, Wh, lengths, nonlinearity) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    """``dx, dh0, dWx, dWh, db`` from ``dy`` (T, N, H), the gradient of every h."""
    x, h, Wx, Wh, lengths, nonlinearity = cache
    _, slope = NONLINEARITIES[nonlinearity]
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros_like(Wh, shape=(Wh.shape[1],))
    dh = np.zeros_like(h[0])
    for t in reversed(range(x.shape[0])):
        dh = dh + dy[t]  # from the step after, and from what looks at h_t
        da = dh * slope(h[t + 1])  # (N, H)
        dh_before = da @ Wh.T
        if lengths is not None:
            over = lengths <= t  # the state was copied: so is its gradient, and nothing else was touched
            da[over], dh_before[over] = 0, dh[over]
        dx[t] = da @ Wx.T
        dWx += x[t].T @ da
        dWh += h[t].T @ da
        db += da.sum(0)
        dh = dh_before
    return Gradients(dx, dh, dWx, dWh, db)


def check(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array, lengths: Array | None, nonlinearity: str) -> None:
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(f"nonlinearity must be one of {', '.join(NONLINEARITIES)}; it is {nonlinearity!r}")
    (T, N, D), H = x.shape, h0.shape[-1]
    require(
        f"x {x.shape} and a state of {H} numbers",
        **{"h0": (h0, (N, H)), "Wx": (Wx, (D, H)), "Wh": (Wh, (H, H)), "b": (b, (H,)), "lengths": (lengths, (N,))},
    )
    require_lengths(lengths, T)
