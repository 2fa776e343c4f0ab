"""The LSTM on a GPU: the launches of ``lstm.cu``. What is a product over all steps is one product."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.cuda import load
from scratchlv.cuda.arrays import blocks, cannot_serve, empty, place, plain, zeros
from scratchlv.kernels.lstm.reference import check
from scratchlv.kernels.matmul.cuda import gemm

Array = Any
VERSIONS = {1: "a product and a cell kernel for each step"}


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    c: Array  # (T + 1, N, H)
    gates: Array  # (T, N, 4H), after σ and tanh
    Wx: Array  # (D, 4H)
    Wh: Array  # (H, 4H)
    lengths: Array | None  # (N,)


def limits(
    x: Any, h0: Any, c0: Any, Wx: Any, Wh: Any, b: Any, lengths: Any = None, *, train: bool = True
) -> str | None:
    return cannot_serve(x, h0, c0, Wx, Wh, b)


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
    check(x, h0, c0, Wx, Wh, b, lengths)
    (T, N, D), H = x.shape, h0.shape[1]
    x, lengths = plain(x), lengths_of(lengths, x)
    gates = gemm(x.reshape(T * N, D), Wx, bias=b).reshape(T, N, 4 * H)
    h, c = empty((T + 1, N, H), x), empty((T + 1, N, H), x)
    h[0], c[0] = h0, c0
    for t in range(T):
        gemm(h[t], Wh, gates[t], accumulate=True)
        cell_forward(gates[t], c[t], c[t + 1], h[t], h[t + 1], lengths, t)
    return (h[1:], c[T]), Cache(x, h, c, gates, Wx, Wh, lengths) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> tuple[Array, ...]:
    x, h, c, gates, Wx, Wh, lengths = cache
    (T, N, D), H = x.shape, h.shape[2]
    dh_above, dc_last = dy
    above = None if dh_above is None else plain(dh_above)
    dh, dc, da = zeros((N, H), h), empty((N, H), h), empty((T, N, 4 * H), h)
    dc[...] = 0 if dc_last is None else dc_last
    for t in reversed(range(T)):
        cell_backward(da[t], gates[t], c[t], c[t + 1], None if above is None else above[t], dh, dc, lengths, t)
        gemm(da[t], Wh, dh, transpose_b=True, accumulate=True)
    da = da.reshape(T * N, 4 * H)
    dx = gemm(da, Wx, transpose_b=True).reshape(x.shape)
    dWx = gemm(x.reshape(T * N, D), da, transpose_a=True)
    dWh = gemm(h[:T].reshape(T * N, H), da, transpose_a=True)
    return dx, dh, dc, dWx, dWh, column_sums(da)


def lengths_of(lengths: Array | None, like: Array) -> Array | None:
    """``lengths`` as the kernels read them: int64, where ``like`` is."""
    return None if lengths is None else plain(place(lengths, like), np.int64)


def cell_forward(
    gates: Array, c_before: Array, c_after: Array, h_before: Array, h_after: Array, lengths: Array | None, t: int
) -> None:
    """One step: ``gates`` (N, 4H), pre-activations, become the gates; ``c_after`` and ``h_after`` (N, H) are written.

    Past its length (``lengths`` (N,) int64) the state of a sequence is copied.
    """
    N, H = c_before.shape
    cell, sizes = load("lstm.cu")["lstm_cell_forward"], (np.int32(t), np.int32(N), np.int32(H))
    cell(blocks(N * H, 256), (256,), gates, c_before, c_after, h_before, h_after, lengths, *sizes)


def cell_backward(
    da: Array,
    gates: Array,
    c_before: Array,
    c_after: Array,
    dh_above: Array | None,
    dh: Array,
    dc: Array,
    lengths: Array | None,
    t: int,
) -> None:
    """One step: ``da`` (N, 4H), the gradient of the pre-activations, is written.

    ``dh`` and ``dc`` (N, H) are those of the state after the step; ``dc`` becomes that of the state before it, and so
    does ``dh`` when ``da Whᵀ`` is added to it.
    """
    N, H = c_before.shape
    cell, sizes = load("lstm.cu")["lstm_cell_backward"], (np.int32(t), np.int32(N), np.int32(H))
    cell(blocks(N * H, 256), (256,), da, gates, c_before, c_after, dh_above, dh, dc, lengths, *sizes)


def column_sums(matrix: Array) -> Array:
    """The sum of the rows of ``matrix`` (M, N): (N,)."""
    (rows, columns), sums = matrix.shape, empty(matrix.shape[1], matrix)
    kernel = load("lstm.cu")["lstm_column_sums"]
    kernel(blocks(columns, 32), (32, 32), matrix, sums, np.int32(rows), np.int32(columns))
    return sums
