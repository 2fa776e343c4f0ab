"""What the generic tests of the rooms do not see of batch normalisation: running statistics, inference."""

import numpy as np
import pytest

from scratchlv.kernels.batch_norm2d import cuda, numba_cpu, reference


@pytest.fixture(params=[reference, numba_cpu, cuda], ids=["reference", "numba_cpu", "cuda"])
def variant(request):
    return request.param


@pytest.fixture
def inputs():
    rng = np.random.default_rng(3)
    x = rng.normal(2, 3, (4, 5, 3, 6)).astype(np.float32)
    gamma, beta, mean, var = (rng.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4))
    return x, gamma, beta, {"running_mean": mean, "running_var": var}


def test_running_statistics_move_towards_the_batch(variant, inputs):
    x, gamma, beta, running = inputs
    before = {name: array.copy() for name, array in running.items()}
    _, cache = variant.forward(x, gamma, beta, **running, momentum=0.25)
    exact = x.astype(np.float64).reshape(-1, 6)
    assert np.allclose(cache.running_mean, 0.75 * running["running_mean"] + 0.25 * exact.mean(0), rtol=1e-6)
    assert np.allclose(cache.running_var, 0.75 * running["running_var"] + 0.25 * exact.var(0, ddof=1), rtol=1e-5)
    assert cache.running_mean.dtype == cache.running_var.dtype == np.float32
    assert all(np.array_equal(running[name], before[name]) for name in running), "nothing is overwritten"


def test_training_does_not_look_at_running_statistics(variant, inputs):
    x, gamma, beta, running = inputs
    y, _ = variant.forward(x, gamma, beta, **running)
    alone, cache = variant.forward(x, gamma, beta)
    assert np.array_equal(y, alone)
    assert cache.running_mean is None
    assert cache.running_var is None


def test_inference_applies_running_statistics(variant, inputs):
    x, gamma, beta, running = inputs
    y, cache = variant.forward(x, gamma, beta, **running, eps=0.1, train=False)
    exact = (x.astype(np.float64) - running["running_mean"]) / np.sqrt(running["running_var"] + 0.1) * gamma + beta
    assert cache is None
    assert y.dtype == np.float32
    assert np.allclose(y, exact, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_normalised(variant, inputs):
    x, gamma, beta, running = inputs
    with pytest.raises(ValueError, match="need running_mean and running_var"):
        variant.forward(x, gamma, beta, train=False)
    with pytest.raises(ValueError, match="two numbers per channel"):
        variant.forward(x[:1, :1, :1], gamma, beta)
