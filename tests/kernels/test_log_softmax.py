"""The logarithm of a softmax: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.ops import log_softmax, softmax_cross_entropy

cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
rng = np.random.default_rng(0)


def run(variant, logits):
    with np.errstate(invalid="ignore"):
        return log_softmax.variant(variant).forward(np.asarray(logits, np.float32), train=False)[0]


@variants
@pytest.mark.parametrize(("N", "V"), [(1, 1), (1, 10_007), (2, 31), (5, 97), (0, 3), (3, 1025)])
@pytest.mark.parametrize("scale", [1, 30, 200, 1e4])  # a wrong maximum is not seen in tame numbers: softmax forgives it
def test_it_follows_its_definition(variant, N, V, scale):
    logits = (scale * rng.standard_normal((N, V))).astype(np.float32)
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    expected = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    log_p = run(variant, logits)
    np.testing.assert_allclose(log_p, expected, rtol=1e-6, atol=2e-6)
    assert (log_p <= 0).all()


@variants
@pytest.mark.parametrize("V", [40, 13_001])  # a longer row does not fit into shared memory
def test_nan_and_infinities_spoil_their_own_row(variant, V):
    logits = np.zeros((5, V), np.float32)
    logits[0, 3], logits[1, 39], logits[2, 7], logits[3] = np.nan, np.inf, -np.inf, -np.inf
    log_p = run(variant, logits)
    spoiled = np.isnan(log_p).all(axis=1)
    np.testing.assert_array_equal(spoiled, [True, True, False, True, False])
    assert log_p[2, 7] == -np.inf
    np.testing.assert_allclose(np.delete(log_p[2], 7), -np.log(V - 1), rtol=1e-6)
    np.testing.assert_allclose(log_p[4], -np.log(V), rtol=1e-6)


def test_a_row_does_not_depend_on_the_rows_beside_it():
    logits = rng.standard_normal((6, 101)).astype(np.float32)
    together = run("numba_cpu", logits)
    for n in range(6):
        assert run("numba_cpu", logits[n : n + 1]).tobytes() == together[n].tobytes()


@variants
def test_each_row_of_the_gradient_adds_up_to_zero(variant):
    module = log_softmax.variant(variant)
    _, cache = module.forward(rng.standard_normal((4, 37)).astype(np.float32))
    (dlogits,) = module.backward(rng.standard_normal((4, 37)).astype(np.float32), cache)
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-5)


@variants
def test_with_minus_one_at_the_target_it_is_cross_entropy(variant):
    logits, targets = rng.standard_normal((6, 11)).astype(np.float32), rng.integers(0, 11, 6)
    y, cache = log_softmax.variant(variant).forward(logits)
    loss, loss_cache = softmax_cross_entropy.forward(logits, targets)
    rows = np.arange(6)
    assert -y[rows, targets].mean() == pytest.approx(float(loss), rel=1e-6)
    dy = np.zeros_like(y)
    dy[rows, targets] = -1 / 6
    (dlogits,) = log_softmax.variant(variant).backward(dy, cache)
    np.testing.assert_allclose(dlogits, softmax_cross_entropy.backward(1.0, loss_cache)[0], atol=1e-7)


@variants
def test_no_class_is_named(variant):
    with pytest.raises(ValueError, match="no class: V is 0"):
        run(variant, np.zeros((3, 0)))
