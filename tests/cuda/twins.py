"""The CUDA kernels in Python against the references: run by test_numba_cuda.py under Numba's simulator, or on a GPU."""

import numpy as np
import pytest

from scratchlv.kernels.embedding import numba_cuda as embedding
from scratchlv.kernels.embedding.reference import backward as scatter_add
from scratchlv.kernels.embedding.reference import forward as gather
from scratchlv.kernels.lstm import numba_cuda as lstm
from scratchlv.kernels.lstm import reference as lstm_reference
from scratchlv.kernels.matmul import numba_cuda as matmul
from scratchlv.kernels.max_pool2d import numba_cuda as max_pool2d
from scratchlv.kernels.max_pool2d import reference as max_pool2d_reference
from scratchlv.kernels.softmax_cross_entropy import numba_cuda as softmax_cross_entropy

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 1, 1), (9, 17, 8), (3, 0, 4), (0, 5, 4)])
def test_matmul(shape):
    M, K, N = shape
    a, b = normal(M, K), normal(K, N)
    np.testing.assert_allclose(matmul.matmul(a, b), a.astype(np.float64) @ b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 200, 1e4])
@pytest.mark.parametrize("shape", [(3, 5), (2, 37), (1, 1), (0, 5)])
def test_softmax(shape, scale):
    z = (scale * normal(*shape)).astype(np.float32)
    exact = z.astype(np.float64)
    e = np.exp(exact - exact.max(1, keepdims=True, initial=-np.inf))
    np.testing.assert_allclose(softmax_cross_entropy.softmax(z), e / e.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (7, 11), (0, 5)])
def test_the_lstm_cell_forward_and_backward(shape):
    """A sequence of one step, whose weights are the identity: what goes in are the pre-activations."""
    N, H = shape
    a, c0, dh, dc = normal(N, 4 * H), normal(N, H), normal(N, H), normal(N, H)
    eye, none, zero = np.eye(4 * H), np.zeros((H, 4 * H)), np.zeros((N, H))
    (h, c), cache = lstm_reference.forward(
        a[None].astype(np.float64), zero, c0.astype(np.float64), eye, none, np.zeros(4 * H)
    )
    da, _, dc0, *_ = lstm_reference.backward((dh[None].astype(np.float64), dc.astype(np.float64)), cache)
    gates, c_found, h_found = lstm.cell_forward(a, c0)
    da_found, dc0_found = lstm.cell_backward(dh, dc, gates, c0, c_found)
    for found, exact in ((h_found, h[0]), (c_found, c), (gates, cache.gates[0]), (da_found, da[0]), (dc0_found, dc0)):
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "ceil_mode"),
    [(2, 2, 0, False), (3, 1, 0, False), (3, 2, 1, True), (2, 3, 0, False), ((3, 2), (2, 1), ((2, 0), (0, 1)), True)],
)
def test_max_pooling_forward_and_backward(size, stride, padding, ceil_mode):
    x = np.round(normal(2, 6, 5, 3))  # with ties
    x[0, 1, 1, 0] = np.nan
    windows = {"size": size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    y, cache = max_pool2d_reference.forward(x, **windows)
    dy = normal(*y.shape)
    found, argmax = max_pool2d.forward(x, **windows)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(argmax, cache.argmax)
    dx = max_pool2d.backward(dy, argmax, cache.windows)
    np.testing.assert_allclose(dx, max_pool2d_reference.backward(dy, cache)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("M", "V", "E"), [(7, 4, 5), (1, 1, 1), (5, 3, 37), (0, 3, 2)])
def test_gather_and_scatter_add(M, V, E):
    tokens, W, dy = rng.integers(0, V, M), normal(V, E), normal(M, E)
    y, cache = gather(tokens, W)
    np.testing.assert_array_equal(embedding.gather(tokens, W), y)
    np.testing.assert_array_equal(embedding.scatter_add(dy, tokens, V), scatter_add(dy, cache)[0])
