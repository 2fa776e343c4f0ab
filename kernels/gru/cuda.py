"""The GRU on a GPU: the launches of ``gru.cu``. What is a product over all steps is one product."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty, zeros
from scratchlv.kernels.building_blocks.recurrent_plan import lengths_of
from scratchlv.kernels.gru.reference import Gradients, check, only_after
from scratchlv.kernels.linear.cuda import sum_rows
from scratchlv.kernels.matmul.cuda import Bf16Matrix, gemm, unpacked

VERSIONS = {1: "a product and a cell kernel for each step"}


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    gates: Array  # (T, N, 3H), after σ and tanh
    q: Array  # (T, N, H)
    Wx: Array  # (D, 3H)
    Wh: Array  # (H, 3H)
    lengths: Array | None  # (N,)


def limits(
    x: Any, h0: Any, Wx: Any, Wh: Any, b: Any, lengths: Any = None, *, reset: str = "after", train: bool = True
) -> str | None:
    return only_after(reset) or cannot_serve(x, h0, unpacked(Wx), unpacked(Wh), b)


def forward(
    x: Array,
    h0: Array,
    Wx: Array | Bf16Matrix,
    Wh: Array | Bf16Matrix,
    b: Array,
    lengths: Array | None = None,
    *,
    reset: str = "after",
    train: bool = True,
) -> tuple[Array, Cache | None]:
    check(x, h0, Wx, Wh, b, lengths, reset)
    (T, N, D), H = x.shape, h0.shape[1]
    x, b, lengths = as_contiguous(x), as_contiguous(b), lengths_of(lengths, x)
    h, q, from_h = empty((T + 1, N, H), x), empty((T if train else 0, N, H), x), empty((N, 3 * H), x)
    gates = gemm(x.reshape(T * N, D), Wx, bias=b[: 3 * H]).reshape(T, N, 3 * H)
    h[0] = h0
    for t in range(T):
        gemm(h[t], Wh, from_h)
        _cell_forward(gates[t], from_h, b[3 * H :], q[t] if train else None, h[t], h[t + 1], lengths, t)
    return h[1:], Cache(x, h, gates, q, unpacked(Wx), unpacked(Wh), lengths) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    x, h, gates, q, Wx, Wh, lengths = cache
    (T, N, D), H = x.shape, h.shape[2]
    dy, dh = as_contiguous(dy), zeros((N, H), h)
    dfrom_x, dfrom_h = empty((T, N, 3 * H), h), empty((T, N, 3 * H), h)
    for t in reversed(range(T)):
        _cell_backward(dfrom_x[t], dfrom_h[t], gates[t], q[t], h[t], dy[t], dh, lengths, t)
        gemm(dfrom_h[t], Wh, dh, transpose_b=True, accumulate=True)
    dfrom_x, dfrom_h = dfrom_x.reshape(T * N, 3 * H), dfrom_h.reshape(T * N, 3 * H)
    dx = gemm(dfrom_x, Wx, transpose_b=True).reshape(x.shape)
    dWx = gemm(x.reshape(T * N, D), dfrom_x, transpose_a=True)
    dWh = gemm(h[:T].reshape(T * N, H), dfrom_h, transpose_a=True)
    db = np.concatenate([sum_rows(dfrom_x), sum_rows(dfrom_h)[2 * H :]])
    return Gradients(dx, dh, dWx, dWh, db)


def _cell_forward(
    gates: Array,
    from_h: Array,
    b_q: Array,
    q: Array | None,
    h_before: Array,
    h_after: Array,
    lengths: Array | None,
    t: int,
) -> None:
    """One step: ``gates`` (N, 3H), x Wx + b, become the gates; ``h_after`` (N, H) is written, and ``q`` (N, H) if it is kept.

    Past its length (``lengths`` (N,) int64) the state of a sequence is copied.
    """
    N, H = h_before.shape
    cell, sizes = load("gru.cu")["gru_cell_forward"], (np.int32(t), np.int32(N), np.int32(H))
    cell(blocks(N * H, 256), (256,), gates, from_h, b_q, q, h_before, h_after, lengths, *sizes)


def _cell_backward(
    dfrom_x: Array,
    dfrom_h: Array,
    gates: Array,
    q: Array,
    h_before: Array,
    dh_out: Array,
    dh: Array,
    lengths: Array | None,
    t: int,
) -> None:
    """One step: ``dfrom_x`` and ``dfrom_h`` (N, 3H), the gradients of the two products, are written.

    ``dh`` (N, H) is that of the state after the step; it becomes that of the state before it when ``dfrom_h Whᵀ`` is added.
    """
    N, H = h_before.shape
    cell, sizes = load("gru.cu")["gru_cell_backward"], (np.int32(t), np.int32(N), np.int32(H))
    cell(blocks(N * H, 256), (256,), dfrom_x, dfrom_h, gates, q, h_before, dh_out, dh, lengths, *sizes)
