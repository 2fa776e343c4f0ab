"""What the generic tests of the rooms do not see of batch normalisation: running statistics, inference."""

import threading
from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.parametrize("variant", [reference, numba_cpu], ids=["reference", "numba_cpu"], indirect=False)
def test_processes_that_share_a_batch_normalise_by_the_whole(variant):
    """Each part in a thread of its own, with a gather that waits for all: y, dx and statistics are the whole batch's."""
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(1, 2, (7, 4, 6, 5)).astype(np.float32) for _ in range(2))
    dy = dy[:, :2, :3]
    gamma, beta, mean, var = (rng.uniform(0.5, 2, 5).astype(np.float32) for _ in range(4))
    how = {"running_mean": mean, "running_var": var, "relu": True, "pool": True}
    y, cache = variant.forward(x, gamma, beta, **how)
    whole = variant.backward(dy, cache)
    parts, barrier, shared = [slice(0, 1), slice(1, 5), slice(5, 7)], threading.Barrier(3), {}

    def run(k):
        def gather(array):
            shared[k] = array
            barrier.wait()
            found = np.stack([shared[i] for i in range(3)])
            barrier.wait()
            return found

        y, cache = variant.forward(x[parts[k]], gamma, beta, **how, gather=gather)
        return y, cache, variant.backward(dy[parts[k]], cache)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(run, range(3)))
    close = {"rtol": 1e-5, "atol": 2e-6}
    np.testing.assert_allclose(np.concatenate([part[0] for part in found]), y, **close)
    np.testing.assert_allclose(np.concatenate([part[2].dx for part in found]), whole.dx, **close)
    for name in ("dgamma", "dbeta"):
        np.testing.assert_allclose(sum(getattr(part[2], name) for part in found), getattr(whole, name), rtol=1e-4)
    for part in found:
        np.testing.assert_allclose(part[1].running_mean, cache.running_mean, rtol=1e-6)
        np.testing.assert_allclose(part[1].running_var, cache.running_var, rtol=1e-6)
    with pytest.raises(ValueError, match="two numbers per channel"):
        variant.forward(x[:1, :1, :1], gamma, beta, gather=lambda array: array[None])
