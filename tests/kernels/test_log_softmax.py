"""The log of a softmax, as decoding takes it."""

import numpy as np
import pytest

import scratchlv
from scratchlv.models.decoder import log_softmax

rng = np.random.default_rng(0)
ways = pytest.mark.parametrize("way", ["numba_cpu", "reference"])


def run(way, logits):
    with scratchlv.use(way), np.errstate(invalid="ignore"):
        return log_softmax(np.asarray(logits, np.float32))


@ways
@pytest.mark.parametrize(("N", "V"), [(1, 1), (1, 10_007), (2, 31), (5, 97), (0, 3)])
@pytest.mark.parametrize("scale", [1, 30, 1e4])
def test_it_follows_its_definition(way, N, V, scale):
    logits = (scale * rng.standard_normal((N, V))).astype(np.float32)
    before = logits.copy()
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    expected = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    log_p = run(way, logits)
    np.testing.assert_allclose(log_p, expected, rtol=1e-6, atol=2e-6)
    assert (log_p <= 0).all()
    np.testing.assert_array_equal(logits, before)


@ways
def test_nan_and_infinities_spoil_their_own_row(way):
    logits = np.zeros((5, 40), np.float32)
    logits[0, 3], logits[1, 39], logits[2, 7], logits[3] = np.nan, np.inf, -np.inf, -np.inf
    log_p = run(way, logits)
    spoiled = np.isnan(log_p).all(axis=1)
    np.testing.assert_array_equal(spoiled, [True, True, False, True, False])
    assert log_p[2, 7] == -np.inf
    np.testing.assert_allclose(np.delete(log_p[2], 7), -np.log(39), rtol=1e-6)
    np.testing.assert_allclose(log_p[4], -np.log(40), rtol=1e-6)


def test_any_layout_and_a_row_does_not_depend_on_the_rows_beside_it():
    logits = rng.standard_normal((6, 101)).astype(np.float32)
    together = run("numba_cpu", logits)
    for n in range(6):
        assert run("numba_cpu", logits[n : n + 1]).tobytes() == together[n].tobytes()
    roomy = np.full((6, 202), np.nan, np.float32)
    roomy[:, ::2] = logits
    logits.flags.writeable = False
    for given in (roomy[:, ::2], np.asfortranarray(logits), logits):
        np.testing.assert_array_equal(log_softmax(given), together)
