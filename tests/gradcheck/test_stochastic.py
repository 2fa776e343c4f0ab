"""Stochastic rounding: what it leaves alone, and that its errors are those of float32."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.gradcheck.stochastic import UNIT_ROUNDOFF, StochasticArray, stochastic
from scratchlv.gradcheck.trees import leaves, map_leaves

ROOMS = [name for name in ops.OPERATIONS if hasattr(getattr(ops, name).variant("reference"), "forward")]


def array(value, seed=0):
    return stochastic(np.asarray(value, float), np.random.default_rng(seed))


def test_a_result_is_one_of_the_two_neighbours_and_right_on_average():
    x = array(np.full(20_000, 1.0))
    third = np.asarray(x / 3, np.float64)
    below = np.float64(np.nextafter(np.float32(1 / 3), np.float32(0)))
    assert set(third) == {below, float(np.float32(1 / 3))}
    assert third.mean() - 1 / 3 == pytest.approx(0, abs=0.02 * 2.0**-25)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x + x,
        lambda x: x * x,
        lambda x: x.sum(),
        lambda x: x @ x.T,
        lambda x: np.tensordot(x, x, axes=((0, 1), (0, 1))),
        lambda x: np.maximum(x, 0) - x,
        lambda x: np.exp(0 * x) + np.tanh(1000 * x),
        lambda x: np.where(x > 0, x, -np.inf),
        lambda x: np.exp(np.where(x > 0, 0 * x, -np.inf)),
    ],
)
def test_what_float32_holds_is_exact(compute):
    x = np.random.default_rng(0).integers(-9, 10, (7, 50)).astype(float)
    got = compute(array(x))
    assert isinstance(got, StochasticArray)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, compute(x))


def test_in_place_and_scattered_sums_are_rounded_too():
    x, places = np.random.default_rng(0).random((500, 3)), np.zeros(500, int)
    total = np.zeros((2, 3))
    np.add.at(total, places, x)
    sums = array(np.zeros((2, 3)))
    np.add.at(sums, places, array(x))
    off = np.abs(sums - total).max()
    assert 0 < off < 100 * UNIT_ROUNDOFF * total.max()
    y = array(np.ones(1000))
    y += 1e-9
    assert 0 < np.count_nonzero(y != 1) < 100


@pytest.mark.parametrize("function", [np.exp, np.log, np.tanh])
def test_elementary_functions_err_by_two_units_in_the_last_place(function):
    x = np.linspace(0.1, 3, 5000).astype(np.float32)
    exact = function(x.astype(np.float64))
    off = np.abs(function(array(x)) - exact) / np.spacing(exact.astype(np.float32))
    assert 2 < off.max() < 3


def test_float64_beside_it_stays_float64():
    weights = np.full(3, 1 / 3)
    assert (weights * array(np.ones(3))).dtype == np.float64
    np.testing.assert_array_equal(weights * array(np.ones(3)), weights)


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(TypeError, match="accumulate"):
        np.add.accumulate(array(np.ones(3)))


def scattered(x, y):
    """The sums of the rows of x, into a place for each."""
    totals = np.zeros_like(x[:, 0])
    np.add.at(totals, np.repeat(np.arange(len(x)), x.shape[1]), x.reshape(-1))
    return totals


WAYS = {
    "sum": lambda x, y: x.sum(1),
    "product": lambda x, y: (x[:, None] @ y[:, :, None])[:, 0, 0],
    "tensordot": lambda x, y: np.array([np.tensordot(a, b, axes=1) for a, b in zip(x, y, strict=True)]),
    "scattered": scattered,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mean", [0, 1])
@pytest.mark.parametrize("K", [3, 30, 1000])
def test_a_sum_errs_as_one_that_is_added_term_by_term(K, mean, way):
    """Root mean squares, over many sums: stochastic rounding errs 1.4 times as much as rounding to nearest."""
    rng = np.random.default_rng(K)
    x = (mean + rng.standard_normal((400, K))).astype(np.float32)
    y = 1 + rng.random((400, K), np.float32) if way in ("product", "tensordot") else np.ones_like(x)
    exact = (x.astype(float) * y).sum(1)
    real, drawn = np.cumsum(x * y, axis=1)[:, -1], WAYS[way](array(x), array(y))
    rms = [np.sqrt(np.mean(np.square(np.asarray(got, float) - exact))) for got in (drawn, real)]
    assert rms[0] / rms[1] == pytest.approx(1.4, abs=0.35)


def test_products_are_rounded_before_they_are_added():
    """It shows where they cancel."""
    x = np.random.default_rng(0).standard_normal((1000, 1)).astype(np.float32)
    y = np.random.default_rng(1).standard_normal((1000, 1)).astype(np.float32)
    pairs, others = np.concatenate([x, -x], axis=1), np.concatenate([y, np.nextafter(y, np.float32(9))], axis=1)
    off = np.asarray(WAYS["product"](array(pairs), array(others)), float) - (pairs.astype(float) * others).sum(1)
    assert 0.3 < np.sqrt(np.mean(np.square(off / (x * y)[:, 0]))) / UNIT_ROUNDOFF < 1


@pytest.mark.parametrize("name", ROOMS)
def test_no_room_s_reference_leaves_it(name):
    """An array that became NumPy's own would be rounded by the machine from there on."""
    operation, rng = getattr(ops, name), np.random.default_rng(0)
    reference = operation.variant("reference")
    for inputs in operation.room.cases(rng).values():
        y, cache = reference.forward(**map_leaves(lambda value: stochastic(value, rng), inputs))
        dy = map_leaves(lambda part: stochastic(rng.standard_normal(np.shape(part)), rng), y)
        for result in leaves((y, reference.backward(dy, cache))):
            assert np.ndim(result) == 0 or isinstance(result, StochasticArray)
