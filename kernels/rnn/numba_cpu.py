"""The recurrent layer in float32: one large product for all inputs, then every thread takes its rows of the batch along.

The product of the inputs is written where the states will stand; a step adds h Wh to it and applies f in place. Nothing
but the states is kept: the slope of f follows from its value.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, sigmoid, tanh
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item
from scratchlv.kernels.matmul.micro_kernels import TILE_ROWS
from scratchlv.kernels.matmul.numba_cpu import (
    PackedMatrix,
    add_rows_product,
    as_packed,
    float32_only,
    for_backward,
    gemm,
    multiply,
    work_space,
)
from scratchlv.kernels.rnn.reference import Gradients, check
from scratchlv.memory import as_contiguous, empty, zeros

ONE = np.float32(1)


class Cache(NamedTuple):
    x: np.ndarray  # (T, N, D)
    h: np.ndarray  # (T + 1, N, H)
    Wx: np.ndarray  # (D, H)
    Wh: np.ndarray  # (H, H)
    lengths: np.ndarray  # (N,)
    nonlinearity: str


def limits(
    x: Any, h0: Any, Wx: Any, Wh: Any, b: Any, lengths: Any = None, *, nonlinearity: str = "tanh", train: bool = True
) -> str | None:
    return float32_only(x, h0, Wx, Wh, b)


def forward(
    x: np.ndarray,
    h0: np.ndarray,
    Wx: np.ndarray | PackedMatrix,
    Wh: np.ndarray | PackedMatrix,
    b: np.ndarray,
    lengths: np.ndarray | None = None,
    *,
    nonlinearity: str = "tanh",
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    check(x, h0, Wx, Wh, b, lengths, nonlinearity)
    T, (N, H), threads = x.shape[0], h0.shape, n_threads()
    h = empty((T + 1, N, H))
    h[0] = h0
    gemm(x.reshape(T * N, x.shape[2]), Wx, h[1:].reshape(T * N, H), bias=b)
    lengths = np.full(N, T) if lengths is None else np.array(lengths, np.int64)
    f_is_tanh = nonlinearity == "tanh"
    if parallel_within_step(T, N, threads):
        for t in range(T):
            gemm(h[t], Wh, h[t + 1], accumulate=True)
            _step(h, t, lengths, f_is_tanh, 0, N)
    else:
        work, at_once = empty((threads, work_space(N, H))), sequences_at_once(N, threads)
        _forward(multiply.address, h, as_packed(Wh).panels, lengths, f_is_tanh, work, at_once, threads)
    return h[1:], Cache(x, h, for_backward(Wx), for_backward(Wh), lengths, nonlinearity) if train else None


def backward(dy: np.ndarray, cache: Cache) -> Gradients:
    x, h, Wx, Wh, lengths, nonlinearity = cache
    (T, N, H), threads = dy.shape, n_threads()
    dh, da, dy, f_is_tanh = zeros((N, H)), empty((T, N, H)), as_contiguous(dy), nonlinearity == "tanh"
    Wh_T = PackedMatrix(Wh.T)
    if parallel_within_step(T, N, threads):
        for t in range(T - 1, -1, -1):
            _step_backward(da, dy, dh, h, t, lengths, f_is_tanh, 0, N)
            gemm(da[t], Wh_T, dh, accumulate=True)
    else:
        work, at_once = empty((threads, work_space(N, H))), sequences_at_once(N, threads)
        _backward(multiply.address, da, dy, dh, Wh_T.panels, h, lengths, f_is_tanh, work, at_once, threads)
    da2 = da.reshape(T * N, H)
    dx = gemm(da2, Wx, transpose_b=True).reshape(x.shape)
    db = empty(Wh.shape[1])
    dWx = gemm(x.reshape(T * N, x.shape[2]), da2, transpose_a=True, column_sums=db)
    dWh = gemm(h[:T].reshape(T * N, H), da2, transpose_a=True)
    return Gradients(dx, dh, dWx, dWh, db)


def parallel_within_step(T: int, N: int, threads: int) -> bool:
    """Whether threads rather share the columns of each step than take their sequences through all steps."""
    return T == 1 or threads > N


def sequences_at_once(N: int, threads: int) -> int:
    """How many sequences a thread takes at a time: the rows of a product's tile, or where those are too few, its share."""
    return TILE_ROWS if 2 * TILE_ROWS * threads <= N else -(-N // threads)


@kernel(parallel=True, fastmath=FLAGS)
def _forward(multiply, h, panels, lengths, f_is_tanh, work, at_once, threads):
    N, counter = h.shape[1], new_counter()
    for thread in prange(threads):
        first = at_once * next_item(counter)
        while first < N:
            last = min(first + at_once, N)
            for t in range(h.shape[0] - 1):
                add_rows_product(multiply, h[t], panels, h[t + 1], first, last, work[thread])
                _step(h, t, lengths, f_is_tanh, first, last)
            first = at_once * next_item(counter)


@kernel(fastmath=FLAGS)
def _step(h, t, lengths, f_is_tanh, first, last):
    """``h[t + 1]`` enters as x_t Wx + b + h_t Wh."""
    for n in range(first, last):
        state = h[t + 1, n]
        if t >= lengths[n]:
            for j in range(state.size):
                state[j] = h[t, n, j]
        elif f_is_tanh:
            for j in range(state.size):
                state[j] = tanh(state[j])
        else:
            for j in range(state.size):
                state[j] = sigmoid(state[j])


@kernel(parallel=True, fastmath=FLAGS)
def _backward(multiply, da, dy, dh, panels, h, lengths, f_is_tanh, work, at_once, threads):
    """``da`` becomes the gradient of what f was applied to; ``dh`` enters as zero and leaves as that of the first state."""
    N, counter = dy.shape[1], new_counter()
    for thread in prange(threads):
        first = at_once * next_item(counter)
        while first < N:
            last = min(first + at_once, N)
            for t in range(dy.shape[0] - 1, -1, -1):
                _step_backward(da, dy, dh, h, t, lengths, f_is_tanh, first, last)
                add_rows_product(multiply, da[t], panels, dh, first, last, work[thread])
            first = at_once * next_item(counter)


@kernel(fastmath=FLAGS)
def _step_backward(da, dy, dh, h, t, lengths, f_is_tanh, first, last):
    """``da[t]``; where a sequence goes on, ``dh`` is left as zero: da Whᵀ is added to it next."""
    for n in range(first, last):
        state, dh_n, da_n, dy_n = h[t + 1, n], dh[n], da[t, n], dy[t, n]
        for j in range(state.size):
            dh_n[j] += dy_n[j]
        if t >= lengths[n]:  # dh stays, and the product adds nothing to it
            da[t, n] = 0
            continue
        for j in range(state.size):
            slope = ONE - state[j] * state[j] if f_is_tanh else state[j] * (ONE - state[j])
            da_n[j] = dh_n[j] * slope
            dh_n[j] = 0
