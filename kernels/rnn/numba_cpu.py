"""The recurrent layer in float32: one large product for all inputs, then every thread takes its rows of the batch along.

The product of the inputs is written where the states will stand; a step adds h Wh to it and applies f in place. Nothing
but the states is kept: the slope of f follows from its value.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, sigmoid, tanh
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.linear.numba_cpu import sum_rows
from scratchlv.kernels.matmul.micro_kernels import COLUMNS, ROWS
from scratchlv.kernels.matmul.numba_cpu import add_rows_product, float32_only, gemm, pack
from scratchlv.kernels.rnn.reference import check

Array = np.ndarray
ONE = np.float32(1)


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    Wx: Array  # (D, H)
    Wh: Array  # (H, H)
    lengths: Array  # (N,)
    nonlinearity: str


def limits(x, h0, Wx, Wh, b, lengths=None, *, nonlinearity="tanh", train=True) -> str | None:
    return float32_only(x, h0, Wx, Wh, b)


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
    T, (N, H) = x.shape[0], h0.shape
    x = np.ascontiguousarray(x)
    h = np.empty((T + 1, N, H), np.float32)
    h[0] = h0
    gemm(x.reshape(T * N, x.shape[2]), Wx, h[1:].reshape(T * N, H), bias=b)
    lengths = np.full(N, T) if lengths is None else np.ascontiguousarray(lengths, np.int64)
    _forward(h, pack(Wh), lengths, nonlinearity == "tanh", n_threads())
    return h[1:], Cache(x, h, Wx, Wh, lengths, nonlinearity) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    x, h, Wx, Wh, lengths, nonlinearity = cache
    T, N, H = dy.shape
    dh, da = np.zeros((N, H), np.float32), np.empty((T, N, H), np.float32)
    _backward(
        da, np.ascontiguousarray(dy), dh, pack(Wh, transpose=True), h, lengths, nonlinearity == "tanh", n_threads()
    )
    da2 = da.reshape(T * N, H)
    dx = gemm(da2, Wx, transpose_b=True).reshape(x.shape)
    dWx = gemm(x.reshape(T * N, x.shape[2]), da2, transpose_a=True)
    dWh = gemm(h[:T].reshape(T * N, H), da2, transpose_a=True)
    return dx, dh, dWx, dWh, sum_rows(da2)


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _forward(h, panels, lengths, f_is_tanh, threads):
    """``h[t + 1]`` enters as x_t Wx + b."""
    steps, N, H = h.shape[0] - 1, h.shape[1], h.shape[2]
    for thread in prange(threads):
        first, last = share(N, thread, threads)
        table, scratch = np.empty(ROWS, np.int64), np.empty((ROWS, COLUMNS), np.float32)
        for t in range(steps):
            add_rows_product(h[t], panels, h[t + 1], first, last, True, table, scratch)
            for n in range(first, last):
                state = h[t + 1, n]
                if t >= lengths[n]:
                    h[t + 1, n] = h[t, n]
                elif f_is_tanh:
                    for j in range(H):
                        state[j] = tanh(state[j])
                else:
                    for j in range(H):
                        state[j] = sigmoid(state[j])


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _backward(da, dy, dh, panels, h, lengths, f_is_tanh, threads):
    """``da`` becomes the gradient of what f was applied to; ``dh`` enters as zero and leaves as that of the first state."""
    T, N, H = dy.shape
    for thread in prange(threads):
        first, last = share(N, thread, threads)
        table, scratch = np.empty(ROWS, np.int64), np.empty((ROWS, COLUMNS), np.float32)
        for t in range(T - 1, -1, -1):
            for n in range(first, last):
                state, dh_n, da_n, dy_n = h[t + 1, n], dh[n], da[t, n], dy[t, n]
                for j in range(H):
                    dh_n[j] += dy_n[j]
                if t >= lengths[n]:  # dh stays, and the product below adds nothing to it
                    da[t, n] = 0
                    continue
                for j in range(H):
                    slope = ONE - state[j] * state[j] if f_is_tanh else state[j] * (ONE - state[j])
                    da_n[j] = dh_n[j] * slope
                    dh_n[j] = 0
            add_rows_product(da[t], panels, dh, first, last, True, table, scratch)
