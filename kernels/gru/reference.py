"""The GRU, the specification (Cho et al. 2014).

r, z = σ, σ of the first two parts of  x_t Wx + h_{t-1} Wh + b
q    = the last part of  h_{t-1} Wh + b             what is remembered
n    = tanh(the last part of x_t Wx, + r q)         what would be written
h_t  = (1 - z) n + z h_{t-1}

So the reset gate r comes after the product, as in cuDNN and PyTorch. Before it, as Cho et al. wrote it, h_{t-1} itself is reset,
r q is the last part of (r h_{t-1}) Wh, and there is no bias inside.
"""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.shapes import require, require_lengths
from scratchlv.kernels.rnn.reference import sigmoid

RESETS = ("after", "before")  #: the product with Wh


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H), h[0] is the initial state
    gates: Array  # (T, N, 3H), after σ and tanh
    q: Array  # (T, N, H); where h is reset before the product, r h_{t-1}
    Wx: Array  # (D, 3H)
    Wh: Array  # (H, 3H)
    lengths: Array | None  # (N,)
    reset: str


class Gradients(NamedTuple):
    dx: Array  # (T, N, D)
    dh0: Array  # (N, H)
    dWx: Array  # (D, 3H)
    dWh: Array  # (H, 3H)
    db: Array  # (4H,), or (3H,)


def forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    lengths: Array | None = None,
    *,
    reset: str = "after",
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """Run over ``x`` (T, N, D) from the state ``h0`` (N, H); returns all ``h`` (T, N, H).

    ``Wx`` is (D, 3H), ``Wh`` (H, 3H), both in the order r, z, n. ``b`` is (4H,): the biases of r, z and n, and that of q, which r
    scales; with ``reset`` "before" it is (3H,). Past its length (``lengths``, (N,) integers from 0 to T) the state of a
    sequence stands still, so the last row of ``h`` is the final state of each.

    Raises:
        ValueError: there is no such reset, the shapes do not fit each other, or lengths are no integers from 0 to T.
    """
    check(x, h0, Wx, Wh, b, lengths, reset)
    (T, N), H = x.shape[:2], h0.shape[1]
    h = np.zeros_like(h0, shape=(T + 1, N, H))
    gates, q = np.zeros_like(h0, shape=(T, N, 3 * H)), np.zeros_like(h0, shape=(T, N, H))
    h[0] = h0
    for t in range(T):
        from_x, from_h = x[t] @ Wx + b[: 3 * H], h[t] @ Wh  # (N, 3H)
        rz = sigmoid(from_x[:, : 2 * H] + from_h[:, : 2 * H])  # (N, 2H)
        r, z = rz[:, :H], rz[:, H:]  # (N, H)
        if reset == "after":
            q[t] = from_h[:, 2 * H :] + b[3 * H :]
            remembered = r * q[t]
        else:
            q[t] = r * h[t]
            remembered = (q[t] @ Wh)[:, 2 * H :]
        n = np.tanh(from_x[:, 2 * H :] + remembered)
        h[t + 1] = (1 - z) * n + z * h[t]
        if lengths is not None:
            over = lengths <= t
            h[t + 1, over] = h[t, over]
        gates[t] = np.concatenate([rz, n], axis=1)
    return h[1:], Cache(x, h, gates, q, Wx, Wh, lengths, reset) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    """``dx, dh0, dWx, dWh, db`` from ``dy`` (T, N, H), the gradient of every h."""
    x, h, gates, q, Wx, Wh, lengths, reset = cache
    T, H = x.shape[0], h.shape[2]
    Wrz, Wn = Wh[:, : 2 * H], Wh[:, 2 * H :]
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros_like(Wh, shape=((4 if reset == "after" else 3) * H,))
    dh = np.zeros_like(h[0])
    for t in reversed(range(T)):
        dh = dh + dy[t]  # from the step after, and from what looks at h_t
        r, z, n = (gates[t, :, k * H : (k + 1) * H] for k in range(3))
        dn = dh * (1 - z) * (1 - n**2)  # (N, H) each, before σ and tanh: σ' = s (1 - s), tanh' = 1 - n²
        dz = dh * (h[t] - n) * z * (1 - z)
        dh_before = dh * z
        if lengths is not None:
            over = lengths <= t  # the state was copied: so is its gradient, and nothing else was touched
            dn[over], dz[over], dh_before[over] = 0, 0, dh[over]
        if reset == "after":
            dq = dn * r
            dr = dn * q[t] * r * (1 - r)
            dh_before += dq @ Wn.T
            dWh[:, 2 * H :] += h[t].T @ dq
            db[3 * H :] += dq.sum(0)
        else:
            dq = dn @ Wn.T
            dr = dq * h[t] * r * (1 - r)
            dh_before += dq * r
            dWh[:, 2 * H :] += q[t].T @ dn
        drz = np.concatenate([dr, dz], axis=1)  # (N, 2H)
        dh_before += drz @ Wrz.T
        dWh[:, : 2 * H] += h[t].T @ drz
        da = np.concatenate([drz, dn], axis=1)  # (N, 3H)
        dx[t] = da @ Wx.T
        dWx += x[t].T @ da
        db[: 3 * H] += da.sum(0)
        dh = dh_before
    return Gradients(dx, dh, dWx, dWh, db)


def only_after(reset: str) -> str | None:
    """What a variant says that cannot reset before the product."""
    return None if reset == "after" else "it resets after the product with Wh, not before"


def check(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array, lengths: Array | None, reset: str) -> None:
    if reset not in RESETS:
        raise ValueError(f"reset must be one of {', '.join(RESETS)}; it is {reset!r}")
    (T, N, D), H = x.shape, h0.shape[-1]
    given = f"x {x.shape} and a state of {H} numbers"
    require(given, h0=(h0, (N, H)), Wx=(Wx, (D, 3 * H)), Wh=(Wh, (H, 3 * H)), lengths=(lengths, (N,)))
    require(f"{given}, reset {reset} the product,", b=(b, ((4 if reset == "after" else 3) * H,)))
    require_lengths(lengths, T)
