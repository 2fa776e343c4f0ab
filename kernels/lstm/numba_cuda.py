"""The LSTM cell as CUDA kernels in Python, forward and backward: the twins of the cells in ``lstm.cu``.

They run on a GPU, or anywhere, slowly, under Numba's simulator: ``NUMBA_ENABLE_CUDASIM=1``.
"""

import math

import numpy as np
from numba import cuda, float32

from scratchlv.arrays import Array

THREADS = 32


def cell_forward(a: Array, c_before: Array) -> tuple[Array, Array, Array]:
    """The gates (N, 4H), c and h (N, H) from the pre-activations ``a`` (N, 4H) and the cell before (N, H), float32."""
    gates, c, h = np.zeros_like(a), np.zeros_like(c_before), np.zeros_like(c_before)
    if h.size:
        _cell_forward[-(-h.size // THREADS), THREADS](a, c_before, gates, c, h)
    return gates, c, h


def cell_backward(dh: Array, dc: Array, gates: Array, c_before: Array, c: Array) -> tuple[Array, Array]:
    """``da`` (N, 4H), of the pre-activations, and the gradient of the cell before (N, H); all as in the forward pass."""
    da, dc_before = np.zeros_like(gates), np.zeros_like(c)
    if c.size:
        _cell_backward[-(-c.size // THREADS), THREADS](dh, dc, gates, c_before, c, da, dc_before)
    return da, dc_before


@cuda.jit(device=True)
def _sigmoid(x):
    return float32(1) / (float32(1) + math.exp(-x))


@cuda.jit
def _cell_forward(a, c_before, gates, c, h):
    """A thread for a number of the state: its four gates stand H apart."""
    H = h.shape[1]
    k = cuda.grid(1)
    if k >= h.size:
        return
    n, j = k // H, k % H
    i, f = _sigmoid(a[n, j]), _sigmoid(a[n, H + j])
    g, o = math.tanh(a[n, 2 * H + j]), _sigmoid(a[n, 3 * H + j])
    c[n, j] = f * c_before[n, j] + i * g
    h[n, j] = o * math.tanh(c[n, j])
    gates[n, j], gates[n, H + j], gates[n, 2 * H + j], gates[n, 3 * H + j] = i, f, g, o


@cuda.jit
def _cell_backward(dh, dc, gates, c_before, c, da, dc_before):
    H = c.shape[1]
    k = cuda.grid(1)
    if k >= c.size:
        return
    n, j = k // H, k % H
    i, f, g, o = gates[n, j], gates[n, H + j], gates[n, 2 * H + j], gates[n, 3 * H + j]
    tanh_c = math.tanh(c[n, j])
    dc_here = dc[n, j] + dh[n, j] * o * (float32(1) - tanh_c * tanh_c)
    da[n, j] = dc_here * g * i * (float32(1) - i)
    da[n, H + j] = dc_here * c_before[n, j] * f * (float32(1) - f)
    da[n, 2 * H + j] = dc_here * i * (float32(1) - g * g)
    da[n, 3 * H + j] = dh[n, j] * tanh_c * o * (float32(1) - o)
    dc_before[n, j] = dc_here * f
