"""The LSTM in float32: one large product for all inputs, then every thread takes its rows of the batch through all steps.

Rows of a batch never meet inside the recurrence, so threads need not wait for each other between steps. The recurrent
weights are packed once. The gates overwrite their pre-activations, and on the way back their gradients overwrite a
copy of the gates: the weight gradients are then single products over all T N rows.
"""

from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, sigmoid, tanh
from scratchlv.kernels.building_blocks.simd import address
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item
from scratchlv.kernels.lstm.reference import Gradients, check
from scratchlv.kernels.matmul.few_rows import BYTES, MOST_ROWS, PRODUCTS, columns_product
from scratchlv.kernels.matmul.numba_cpu import (
    PackedMatrix,
    add_rows_product,
    address_of,
    as_packed,
    float32_only,
    for_backward,
    gemm,
    multiply,
    segments_of,
    threads_for,
    work_space,
)
from scratchlv.kernels.rnn.numba_cpu import parallel_within_step, sequences_at_once
from scratchlv.memory import as_contiguous, empty, zeros

ONE = np.float32(1)


class Cache(NamedTuple):
    x: np.ndarray  # (T, N, D)
    h: np.ndarray  # (T + 1, N, H)
    c: np.ndarray  # (T + 1, N, H)
    gates: np.ndarray  # (T, N, 4H), after σ and tanh
    Wx: np.ndarray  # (D, 4H)
    Wh: np.ndarray  # (H, 4H)
    lengths: np.ndarray  # (N,)


def limits(
    x: Any, h0: Any, c0: Any, Wx: Any, Wh: Any, b: Any, lengths: Any = None, *, train: bool = True
) -> str | None:
    return float32_only(x, h0, c0, Wx, Wh, b)


def forward(
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    Wx: np.ndarray | PackedMatrix,
    Wh: np.ndarray | PackedMatrix,
    b: np.ndarray,
    lengths: np.ndarray | None = None,
    *,
    train: bool = True,
) -> tuple[tuple[np.ndarray, np.ndarray], Cache | None]:
    check(x, h0, c0, Wx, Wh, b, lengths)
    T, (N, H), threads = x.shape[0], h0.shape, n_threads()
    h, c = empty((2, T + 1, N, H))
    h[0], c[0] = h0, c0
    lengths = np.full(N, T) if lengths is None else np.array(lengths, np.int64)
    if T == 1 and are_few(Wx, N) and are_few(Wh, N):
        gates = _step_of_few(x, h, c, lengths, Wx, Wh, b)
    else:
        gates = gemm(x.reshape(T * N, x.shape[2]), Wx, bias=b).reshape(T, N, 4 * H)
        if parallel_within_step(T, N, threads):
            for t in range(T):
                gemm(h[t], Wh, gates[t], accumulate=True)
                cells(gates, h, c, t, lengths, 0, N)
        else:
            work, at_once = empty((threads, work_space(N, H))), sequences_at_once(N, threads)
            _forward(multiply.address, gates, as_packed(Wh).panels, h, c, lengths, work, at_once, threads)
    return (h[1:], c[T]), Cache(x, h, c, gates, for_backward(Wx), for_backward(Wh), lengths) if train else None


def are_few(W: np.ndarray | PackedMatrix, N: int) -> TypeGuard[PackedMatrix]:
    """Whether so many rows are multiplied by this weight in a tile, or two."""
    return isinstance(W, PackedMatrix) and 0 < N <= MOST_ROWS


def backward(dy: tuple[np.ndarray | None, np.ndarray | None], cache: Cache) -> Gradients:
    x, h, c, gates, Wx, Wh, lengths = cache
    T, N, H, threads = gates.shape[0], h.shape[1], h.shape[2], n_threads()
    dh_out, dc_last = dy
    dh_out = zeros((T, N, H)) if dh_out is None else as_contiguous(dh_out)
    dh, dc, da = zeros((N, H)), zeros((N, H)), empty((T, N, 4 * H))
    if dc_last is not None:
        dc[:] = dc_last
    Wh_T = PackedMatrix(Wh.T)
    if parallel_within_step(T, N, threads):
        for t in range(T - 1, -1, -1):
            cells_backward(da, gates, c, dh_out, dh, dc, t, lengths, 0, N)
            gemm(da[t], Wh_T, dh, accumulate=True)
    else:
        work, at_once = empty((threads, work_space(N, 4 * H))), sequences_at_once(N, threads)
        _backward(multiply.address, da, gates, Wh_T.panels, c, dh_out, dh, dc, lengths, work, at_once, threads)
    da2 = da.reshape(T * N, 4 * H)
    dx = gemm(da2, Wx, transpose_b=True).reshape(x.shape)
    db = empty(Wh.shape[1])
    dWx = gemm(x.reshape(T * N, x.shape[2]), da2, transpose_a=True, column_sums=db)
    dWh = gemm(h[:T].reshape(T * N, H), da2, transpose_a=True)
    return Gradients(dx, dh, dc, dWx, dWh, db)


def _step_of_few(
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    lengths: np.ndarray,
    Wx: PackedMatrix,
    Wh: PackedMatrix,
    b: np.ndarray,
) -> np.ndarray:
    """The gates (1, N, 4H) of a single step of few sequences; it writes ``h[1]`` and ``c[1]``."""
    N, n = h.shape[1], 4 * h.shape[2]
    gates = empty((1, N, n))
    arrays = as_contiguous(x), as_contiguous(b), gates, h, c, lengths
    threads = threads_for(N * n * (x.shape[2] + h.shape[2]))
    if threads == 1:
        _step_alone(*weights_of_step(Wx, Wh), *arrays)
    else:
        _step(*weights_of_step(Wx, Wh), *arrays, threads)
    return gates


def weights_of_step(*pair: PackedMatrix) -> tuple[tuple, ...]:
    """Wx and Wh as :func:`columns_of_step` takes them: pairs, of which the first is that of Wx."""
    return (
        tuple(PRODUCTS[W.kind].address for W in pair),
        tuple(BYTES[W.kind] for W in pair),
        tuple(address_of(W.of_few_rows) for W in pair),
        tuple(address_of(W.scales) for W in pair),
        tuple(segments_of(W.shape[0]) for W in pair),
    )


@kernel(parallel=True, fastmath=FLAGS)
def _step(products, sizes, weights, scales, segments, x, b, gates, h, c, lengths, threads):
    """Both products, by columns, and the cell."""
    N, n, a = gates.shape[1], gates.shape[2], address(gates)
    for thread in prange(threads):
        columns_of_step(products, sizes, weights, scales, segments, x, b, a, h, a, n, a, N, n, thread, threads)
    cells(gates, h, c, 0, lengths, 0, N)


@kernel(fastmath=FLAGS)
def _step_alone(products, sizes, weights, scales, segments, x, b, gates, h, c, lengths):
    """The same within this thread."""
    N, n, a = gates.shape[1], gates.shape[2], address(gates)
    columns_of_step(products, sizes, weights, scales, segments, x, b, a, h, a, n, a, N, n, 0, 1)
    cells(gates, h, c, 0, lengths, 0, N)


@kernel(fastmath=FLAGS)
def columns_of_step(
    products, sizes, weights, scales, segments, x, b, of_x, h, before, before_row, of_h, N, n, thread, threads
):  # fmt: skip
    """The ``n`` columns of ``of_x = b + x Wx`` and of ``of_h = before + h Wh`` that one of several threads takes.

    Both are (N, n) at addresses, and may be one; so is ``before``, whose rows are ``before_row`` floats apart.
    """
    D, H = x.shape[2], h.shape[2]
    columns_product(
        products[0], sizes[0], address(x), D, weights[0], scales[0], address(b), 0, 1, of_x, n, N, n, D, segments[0],
        thread, threads,
    )  # fmt: skip
    columns_product(
        products[1], sizes[1], address(h), H, weights[1], scales[1], before, before_row, 1, of_h, n, N, n, H, segments[1],
        thread, threads,
    )  # fmt: skip


@kernel(parallel=True, fastmath=FLAGS)
def _forward(multiply, gates, panels, h, c, lengths, work, at_once, threads):
    N, counter = gates.shape[1], new_counter()
    for thread in prange(threads):
        first = at_once * next_item(counter)
        while first < N:
            last = min(first + at_once, N)
            for t in range(gates.shape[0]):
                add_rows_product(multiply, h[t], panels, gates[t], first, last, work[thread])
                cells(gates, h, c, t, lengths, first, last)
            first = at_once * next_item(counter)


@kernel(fastmath=FLAGS)
def cells(gates, h, c, t, lengths, first, last):
    """``gates[t]`` enters as pre-activations. Short loops of few arrays: LLVM vectorises those, and no longer ones."""
    H = h.shape[2]
    for n in range(first, last):
        if t >= lengths[n]:
            for j in range(H):  # a copy of the row at once would have Numba compile its error message, for a second
                h[t + 1, n, j] = h[t, n, j]
                c[t + 1, n, j] = c[t, n, j]
            continue
        gate, c_before, c_after, h_after = gates[t, n], c[t, n], c[t + 1, n], h[t + 1, n]
        gate_i, gate_f, gate_g, gate_o = gate[:H], gate[H : 2 * H], gate[2 * H : 3 * H], gate[3 * H :]
        for sigmoids in (gate[: 2 * H], gate_o):
            for j in range(sigmoids.size):
                sigmoids[j] = sigmoid(sigmoids[j])
        for j in range(gate_g.size):
            gate_g[j] = tanh(gate_g[j])
        for j in range(c_after.size):
            c_after[j] = gate_f[j] * c_before[j] + gate_i[j] * gate_g[j]
        for j in range(h_after.size):
            h_after[j] = gate_o[j] * tanh(c_after[j])


@kernel(parallel=True, fastmath=FLAGS)
def _backward(multiply, da, gates, panels, c, dh_out, dh, dc, lengths, work, at_once, threads):
    """``da`` becomes the gradient of the pre-activations; ``dh`` and ``dc`` enter as those of the last state."""
    N, counter = gates.shape[1], new_counter()
    for thread in prange(threads):
        first = at_once * next_item(counter)
        while first < N:
            last = min(first + at_once, N)
            for t in range(gates.shape[0] - 1, -1, -1):
                cells_backward(da, gates, c, dh_out, dh, dc, t, lengths, first, last)
                add_rows_product(multiply, da[t], panels, dh, first, last, work[thread])
            first = at_once * next_item(counter)


@kernel(fastmath=FLAGS)
def cells_backward(da, gates, c, dh_out, dh, dc, t, lengths, first, last):
    """``da[t]``; where a sequence goes on, ``dh`` is left as zero: da Whᵀ is added to it next."""
    H = dh.shape[1]
    for n in range(first, last):
        dh_n, dc_n, dh_out_n, gate, da_n = dh[n], dc[n], dh_out[t, n], gates[t, n], da[t, n]
        for j in range(H):
            dh_n[j] += dh_out_n[j]
        if t >= lengths[n]:  # dh stays, and the product adds nothing to it
            da[t, n] = 0
            continue
        c_before, c_after = c[t, n], c[t + 1, n]
        da_i, da_f, da_g, da_o = da_n[:H], da_n[H : 2 * H], da_n[2 * H : 3 * H], da_n[3 * H :]
        gate_i, gate_f, gate_g, gate_o = gate[:H], gate[H : 2 * H], gate[2 * H : 3 * H], gate[3 * H :]
        for j in range(H):
            da_g[j] = tanh(c_after[j])  # it will do for a moment
        for j in range(H):
            da_o[j] = dh_n[j] * da_g[j] * gate_o[j] * (ONE - gate_o[j])
        for j in range(H):
            dc_n[j] += dh_n[j] * gate_o[j] * (ONE - da_g[j] * da_g[j])
            dh_n[j] = 0
        for j in range(H):
            da_i[j] = dc_n[j] * gate_g[j] * gate_i[j] * (ONE - gate_i[j])
        for j in range(H):
            da_f[j] = dc_n[j] * c_before[j] * gate_f[j] * (ONE - gate_f[j])
        for j in range(H):
            da_g[j] = dc_n[j] * gate_i[j] * (ONE - gate_g[j] * gate_g[j])
        for j in range(H):
            dc_n[j] *= gate_f[j]
