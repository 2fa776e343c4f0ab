"""The LSTM in float32: one large product for all inputs, then every thread takes its rows of the batch through all steps.

Rows of a batch never meet inside the recurrence, so threads need not wait for each other between steps. The recurrent
weights are packed once. The gates overwrite their pre-activations, and on the way back their gradients overwrite a
copy of the gates: the weight gradients are then single products over all T N rows.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, sigmoid, tanh
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.linear.numba_cpu import sum_rows
from scratchlv.kernels.lstm.reference import check
from scratchlv.kernels.matmul.micro_kernels import COLUMNS, ROWS
from scratchlv.kernels.matmul.numba_cpu import add_rows_product, float32_only, gemm, pack

Array = np.ndarray
ONE = np.float32(1)


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    c: Array  # (T + 1, N, H)
    gates: Array  # (T, N, 4H), after σ and tanh
    Wx: Array  # (D, 4H)
    Wh: Array  # (H, 4H)
    lengths: Array  # (N,)


def limits(x, h0, c0, Wx, Wh, b, lengths=None, *, train=True) -> str | None:
    return float32_only(x, h0, c0, Wx, Wh, b)


def forward(
    x: Array, h0: Array, c0: Array, Wx: Array, Wh: Array, b: Array, lengths: Array | None = None, *, train: bool = True
) -> tuple[tuple[Array, Array], Cache | None]:
    check(x, h0, c0, Wx, Wh, b, lengths)
    T, (N, H) = x.shape[0], h0.shape
    x = np.ascontiguousarray(x)
    gates = gemm(x.reshape(T * N, x.shape[2]), Wx, bias=b).reshape(T, N, 4 * H)
    h, c = np.empty((T + 1, N, H), np.float32), np.empty((T + 1, N, H), np.float32)
    h[0], c[0] = h0, c0
    lengths = np.full(N, T) if lengths is None else np.ascontiguousarray(lengths, np.int64)
    _forward(gates, pack(Wh), h, c, lengths, n_threads())
    return (h[1:], c[T]), Cache(x, h, c, gates, Wx, Wh, lengths) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> tuple[Array, ...]:
    x, h, c, gates, Wx, Wh, lengths = cache
    T, N, H = gates.shape[0], h.shape[1], h.shape[2]
    dh_above, dc_last = dy
    dh_above = np.zeros((T, N, H), np.float32) if dh_above is None else np.ascontiguousarray(dh_above)
    dh, dc = np.zeros((N, H), np.float32), np.zeros((N, H), np.float32)
    if dc_last is not None:
        dc[:] = dc_last
    da = np.empty_like(gates)
    _backward(da, gates, pack(Wh, transpose=True), c, dh_above, dh, dc, lengths, n_threads())
    da2 = da.reshape(T * N, 4 * H)
    dx = gemm(da2, Wx, transpose_b=True).reshape(x.shape)
    dWx = gemm(x.reshape(T * N, x.shape[2]), da2, transpose_a=True)
    dWh = gemm(h[:T].reshape(T * N, H), da2, transpose_a=True)
    return dx, dh, dc, dWx, dWh, sum_rows(da2)


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _forward(gates, panels, h, c, lengths, threads):
    T, N, H = gates.shape[0], h.shape[1], h.shape[2]
    for thread in prange(threads):
        first, last = share(N, thread, threads)
        table, scratch = np.empty(ROWS, np.int64), np.empty((ROWS, COLUMNS), np.float32)
        for t in range(T):
            add_rows_product(h[t], panels, gates[t], first, last, True, table, scratch)
            for n in range(first, last):
                if t >= lengths[n]:
                    h[t + 1, n] = h[t, n]
                    c[t + 1, n] = c[t, n]
                    continue
                gate_i, gate_f = gates[t, n, :H], gates[t, n, H : 2 * H]
                gate_g, gate_o = gates[t, n, 2 * H : 3 * H], gates[t, n, 3 * H :]
                c_before, c_after, h_after = c[t, n], c[t + 1, n], h[t + 1, n]
                for j in range(H):
                    i, f = sigmoid(gate_i[j]), sigmoid(gate_f[j])
                    g, o = tanh(gate_g[j]), sigmoid(gate_o[j])
                    new = f * c_before[j] + i * g
                    c_after[j] = new
                    h_after[j] = o * tanh(new)
                    gate_i[j], gate_f[j], gate_g[j], gate_o[j] = i, f, g, o


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _backward(da, gates, panels, c, dh_above, dh, dc, lengths, threads):
    """``da`` becomes the gradient of the pre-activations; ``dh`` and ``dc`` enter as those of the last state."""
    T, N, H = dh_above.shape
    for thread in prange(threads):
        first, last = share(N, thread, threads)
        table, scratch = np.empty(ROWS, np.int64), np.empty((ROWS, COLUMNS), np.float32)
        kept = np.empty((N, H), np.float32)  # dh of the sequences that are over
        for t in range(T - 1, -1, -1):
            for n in range(first, last):
                dh_n, dc_n = dh[n], dc[n]
                for j in range(H):
                    dh_n[j] += dh_above[t, n, j]
                if t >= lengths[n]:
                    da[t, n] = 0
                    kept[n] = dh_n
                    continue
                gate_i, gate_f = gates[t, n, :H], gates[t, n, H : 2 * H]
                gate_g, gate_o = gates[t, n, 2 * H : 3 * H], gates[t, n, 3 * H :]
                da_i, da_f = da[t, n, :H], da[t, n, H : 2 * H]
                da_g, da_o = da[t, n, 2 * H : 3 * H], da[t, n, 3 * H :]
                c_before, c_after = c[t, n], c[t + 1, n]
                for j in range(H):
                    i, f, g, o = gate_i[j], gate_f[j], gate_g[j], gate_o[j]
                    tanh_c = tanh(c_after[j])
                    dc_here = dc_n[j] + dh_n[j] * o * (ONE - tanh_c * tanh_c)
                    da_i[j] = dc_here * g * i * (ONE - i)
                    da_f[j] = dc_here * c_before[j] * f * (ONE - f)
                    da_g[j] = dc_here * i * (ONE - g * g)
                    da_o[j] = dh_n[j] * tanh_c * o * (ONE - o)
                    dc_n[j] = dc_here * f
            add_rows_product(da[t], panels, dh, first, last, False, table, scratch)
            for n in range(first, last):
                if t >= lengths[n]:
                    dh[n] = kept[n]
