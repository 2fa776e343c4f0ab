"""The plain recurrent layer on a GPU: the launches of ``rnn.cu``. What is a product over all steps is one product."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.cuda import load
from scratchlv.cuda.arrays import blocks, cannot_serve, empty, plain, zeros
from scratchlv.kernels.lstm.cuda import column_sums, lengths_of
from scratchlv.kernels.matmul.cuda import gemm
from scratchlv.kernels.rnn.reference import check

Array = Any
VERSIONS = {1: "a product and a cell kernel for each step"}


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    Wx: Array  # (D, H)
    Wh: Array  # (H, H)
    lengths: Array | None  # (N,)
    nonlinearity: str


def limits(
    x: Any,
    h0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    lengths: Any = None,
    *,
    nonlinearity: str = "tanh",
    train: bool = True,
) -> str | None:
    return cannot_serve(x, h0, Wx, Wh, b)


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
    check(x, h0, Wx, Wh, b, lengths, nonlinearity)
    (T, N, D), H = x.shape, h0.shape[1]
    x, lengths = plain(x), lengths_of(lengths, x)
    h = empty((T + 1, N, H), x)
    gemm(x.reshape(T * N, D), Wx, h[1:].reshape(T * N, H), bias=b)
    h[0] = h0
    cell, use_sigmoid = load("rnn.cu")["rnn_cell_forward"], np.int32(nonlinearity == "sigmoid")
    for t in range(T):
        gemm(h[t], Wh, h[t + 1], accumulate=True)
        cell(blocks(N * H, 256), (256,), h[t], h[t + 1], lengths, use_sigmoid, np.int32(t), np.int32(N), np.int32(H))
    return h[1:], Cache(x, h, Wx, Wh, lengths, nonlinearity) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    x, h, Wx, Wh, lengths, nonlinearity = cache
    (T, N, D), H = x.shape, h.shape[2]
    dy, dh, da = plain(dy), zeros((N, H), h), empty((T, N, H), h)
    cell, use_sigmoid = load("rnn.cu")["rnn_cell_backward"], np.int32(nonlinearity == "sigmoid")
    for t in reversed(range(T)):
        sizes = np.int32(t), np.int32(N), np.int32(H)
        cell(blocks(N * H, 256), (256,), da[t], h[t + 1], dy[t], dh, lengths, use_sigmoid, *sizes)
        gemm(da[t], Wh, dh, transpose_b=True, accumulate=True)
    da = da.reshape(T * N, H)
    dx = gemm(da, Wx, transpose_b=True).reshape(x.shape)
    dWx = gemm(x.reshape(T * N, D), da, transpose_a=True)
    dWh = gemm(h[:T].reshape(T * N, H), da, transpose_a=True)
    return dx, dh, dWx, dWh, column_sums(da)
