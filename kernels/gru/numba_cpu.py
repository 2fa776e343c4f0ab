"""The GRU in float32: one large product for all inputs, then every thread takes its rows of the batch through all steps.

As in the LSTM's room, which has what the two share. What differs: r scales one part of h Wh alone, so that product is not
added to x Wx but stands beside it, one step of it; for the way back its part q is kept.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, sigmoid, tanh
from scratchlv.kernels.building_blocks.simd import address
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item
from scratchlv.kernels.gru.reference import Gradients, check, only_after
from scratchlv.kernels.lstm.numba_cpu import are_few, columns_of_step, weights_of_step
from scratchlv.kernels.matmul.numba_cpu import (
    PackedMatrix,
    add_rows_product,
    as_packed,
    float32_only,
    for_backward,
    gemm,
    multiply,
    threads_for,
    work_space,
)
from scratchlv.kernels.rnn.numba_cpu import parallel_within_step, sequences_at_once
from scratchlv.memory import as_contiguous, empty, zeros

ONE = np.float32(1)


class Cache(NamedTuple):
    x: np.ndarray  # (T, N, D)
    h: np.ndarray  # (T + 1, N, H)
    gates: np.ndarray  # (T, N, 3H), after σ and tanh
    q: np.ndarray  # (T, N, H)
    Wx: np.ndarray  # (D, 3H)
    Wh: np.ndarray  # (H, 3H)
    lengths: np.ndarray  # (N,)


def limits(
    x: Any, h0: Any, Wx: Any, Wh: Any, b: Any, lengths: Any = None, *, reset: str = "after", train: bool = True
) -> str | None:
    return only_after(reset) or float32_only(x, h0, Wx, Wh, b)


def forward(
    x: np.ndarray,
    h0: np.ndarray,
    Wx: np.ndarray | PackedMatrix,
    Wh: np.ndarray | PackedMatrix,
    b: np.ndarray,
    lengths: np.ndarray | None = None,
    *,
    reset: str = "after",
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    check(x, h0, Wx, Wh, b, lengths, reset)
    T, (N, H), threads = x.shape[0], h0.shape, n_threads()
    h, q, from_h = empty((T + 1, N, H)), empty((T if train else 0, N, H)), empty((N, 3 * H))
    h[0] = h0
    bias, bias_h = as_contiguous(b[: 3 * H]), zeros(3 * H)  # that of h Wh: of q alone
    bias_h[2 * H :] = b[3 * H :]
    lengths = np.full(N, T) if lengths is None else np.array(lengths, np.int64)
    if T == 1 and are_few(Wx, N) and are_few(Wh, N):
        gates = empty((1, N, 3 * H))
        arrays = as_contiguous(x), bias, bias_h, gates, from_h, q, h, lengths
        threads = threads_for(N * 3 * H * (x.shape[2] + H))
        if threads == 1:
            _step_alone(*weights_of_step(Wx, Wh), *arrays)
        else:
            _step(*weights_of_step(Wx, Wh), *arrays, threads)
    else:
        gates = gemm(x.reshape(T * N, x.shape[2]), Wx, bias=bias).reshape(T, N, 3 * H)
        if parallel_within_step(T, N, threads):
            for t in range(T):
                gemm(h[t], Wh, from_h, bias=bias_h)
                _cells(gates, from_h, q, h, t, lengths, 0, N)
        else:
            work, at_once = empty((threads, work_space(N, H))), sequences_at_once(N, threads)
            panels = as_packed(Wh).panels
            _forward(multiply.address, gates, panels, bias_h, from_h, q, h, lengths, work, at_once, threads)
    return h[1:], Cache(x, h, gates, q, for_backward(Wx), for_backward(Wh), lengths) if train else None


def backward(dy: np.ndarray, cache: Cache) -> Gradients:
    x, h, gates, q, Wx, Wh, lengths = cache
    (T, N, H), threads = dy.shape, n_threads()
    dy, dh, (dfrom_x, dfrom_h) = as_contiguous(dy), zeros((N, H)), empty((2, T, N, 3 * H))
    Wh_T = PackedMatrix(Wh.T)
    if parallel_within_step(T, N, threads):
        for t in range(T - 1, -1, -1):
            _cells_backward(dfrom_x, dfrom_h, gates, q, h, dy, dh, t, lengths, 0, N)
            gemm(dfrom_h[t], Wh_T, dh, accumulate=True)
    else:
        work, at_once = empty((threads, work_space(N, 3 * H))), sequences_at_once(N, threads)
        _backward(
            multiply.address, dfrom_x, dfrom_h, gates, q, Wh_T.panels, h, dy, dh, lengths, work, at_once, threads
        )  # fmt: skip
    dfrom_x, dfrom_h = dfrom_x.reshape(T * N, 3 * H), dfrom_h.reshape(T * N, 3 * H)
    dx = gemm(dfrom_x, Wx, transpose_b=True).reshape(x.shape)
    db, db_h = empty(4 * H), empty(3 * H)
    dWx = gemm(x.reshape(T * N, x.shape[2]), dfrom_x, transpose_a=True, column_sums=db[: 3 * H])
    dWh = gemm(h[:T].reshape(T * N, H), dfrom_h, transpose_a=True, column_sums=db_h)
    db[3 * H :] = db_h[2 * H :]
    return Gradients(dx, dh, dWx, dWh, db)


@kernel(parallel=True, fastmath=FLAGS)
def _step(products, sizes, weights, scales, segments, x, b, bias_h, gates, from_h, q, h, lengths, threads):
    """Both products, by columns, and the cell."""
    N, n, a = gates.shape[1], gates.shape[2], address(gates)
    before, of_h = address(bias_h), address(from_h)
    for thread in prange(threads):
        columns_of_step(products, sizes, weights, scales, segments, x, b, a, h, before, 0, of_h, N, n, thread, threads)
    _cells(gates, from_h, q, h, 0, lengths, 0, N)


@kernel(fastmath=FLAGS)
def _step_alone(products, sizes, weights, scales, segments, x, b, bias_h, gates, from_h, q, h, lengths):
    """The same within this thread."""
    N, n, a = gates.shape[1], gates.shape[2], address(gates)
    before, of_h = address(bias_h), address(from_h)
    columns_of_step(products, sizes, weights, scales, segments, x, b, a, h, before, 0, of_h, N, n, 0, 1)
    _cells(gates, from_h, q, h, 0, lengths, 0, N)


@kernel(parallel=True, fastmath=FLAGS)
def _forward(multiply, gates, panels, bias_h, from_h, q, h, lengths, work, at_once, threads):
    N, counter = gates.shape[1], new_counter()
    for thread in prange(threads):
        first = at_once * next_item(counter)
        while first < N:
            last = min(first + at_once, N)
            for t in range(gates.shape[0]):
                for n in range(first, last):
                    row = from_h[n]
                    for j in range(row.size):
                        row[j] = bias_h[j]
                add_rows_product(multiply, h[t], panels, from_h, first, last, work[thread])
                _cells(gates, from_h, q, h, t, lengths, first, last)
            first = at_once * next_item(counter)


@kernel(fastmath=FLAGS)
def _cells(gates, from_h, q, h, t, lengths, first, last):
    """``gates[t]`` enters as x_t Wx + b, ``from_h`` as h_t Wh and the bias of q; ``q``, if it has steps, keeps that part."""
    H = h.shape[2]
    for n in range(first, last):
        before, after = h[t, n], h[t + 1, n]
        if t >= lengths[n]:
            for j in range(after.size):
                after[j] = before[j]
            continue
        gate, own = gates[t, n], from_h[n]
        rz, r, z, candidate, q_n = gate[: 2 * H], gate[:H], gate[H : 2 * H], gate[2 * H :], own[2 * H :]
        for j in range(rz.size):
            rz[j] = sigmoid(rz[j] + own[j])
        for j in range(candidate.size):
            candidate[j] = tanh(candidate[j] + r[j] * q_n[j])
        for j in range(after.size):
            after[j] = (ONE - z[j]) * candidate[j] + z[j] * before[j]
        if q.shape[0]:
            kept = q[t, n]
            for j in range(kept.size):
                kept[j] = q_n[j]


@kernel(parallel=True, fastmath=FLAGS)
def _backward(multiply, dfrom_x, dfrom_h, gates, q, panels, h, dy, dh, lengths, work, at_once, threads):
    """``dfrom_x`` and ``dfrom_h`` become the gradients of the two products, ``dh``, which enters as zero, that of h0."""
    N, counter = dy.shape[1], new_counter()
    for thread in prange(threads):
        first = at_once * next_item(counter)
        while first < N:
            last = min(first + at_once, N)
            for t in range(dy.shape[0] - 1, -1, -1):
                _cells_backward(dfrom_x, dfrom_h, gates, q, h, dy, dh, t, lengths, first, last)
                add_rows_product(multiply, dfrom_h[t], panels, dh, first, last, work[thread])
            first = at_once * next_item(counter)


@kernel(fastmath=FLAGS)
def _cells_backward(dfrom_x, dfrom_h, gates, q, h, dy, dh, t, lengths, first, last):
    """``dfrom_x[t]`` and ``dfrom_h[t]``, which differ in the last part; ``dh`` is left as z dh: dfrom_h Whᵀ is added next."""
    H = dh.shape[1]
    for n in range(first, last):
        dh_n, dy_n, dfrom_x_n, dfrom_h_n = dh[n], dy[t, n], dfrom_x[t, n], dfrom_h[t, n]
        for j in range(dh_n.size):
            dh_n[j] += dy_n[j]
        if t >= lengths[n]:  # dh stays, and the product adds nothing to it
            dfrom_x[t, n] = 0
            dfrom_h[t, n] = 0
            continue
        gate, q_n, before = gates[t, n], q[t, n], h[t, n]
        r, z, candidate = gate[:H], gate[H : 2 * H], gate[2 * H :]
        dr, dz, dcandidate, dq = dfrom_x_n[:H], dfrom_x_n[H : 2 * H], dfrom_x_n[2 * H :], dfrom_h_n[2 * H :]
        for j in range(dcandidate.size):
            dcandidate[j] = dh_n[j] * (ONE - z[j]) * (ONE - candidate[j] * candidate[j])
        for j in range(dz.size):
            dz[j] = dh_n[j] * (before[j] - candidate[j]) * z[j] * (ONE - z[j])
        for j in range(dr.size):
            dr[j] = dcandidate[j] * q_n[j] * r[j] * (ONE - r[j])
        for j in range(dq.size):
            dq[j] = dcandidate[j] * r[j]
        for j in range(dh_n.size):
            dh_n[j] *= z[j]
        both = dfrom_x_n[: 2 * H]
        for j in range(both.size):
            dfrom_h_n[j] = both[j]
