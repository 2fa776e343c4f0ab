"""How weights begin: as spread as their papers say, in float32, the same for the same seed."""

import numpy as np
import pytest

from scratchlv import initialisers


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("make", "shape", "deviation"),
    [
        (lambda: initialisers.uniform(rng(), 400, 300), (400, 300), 400**-0.5 / 3**0.5),
        (lambda: initialisers.normal(rng(), 400, 300, scale=0.3), (400, 300), 0.3),
        (lambda: initialisers.he(rng(), 3, 3, 64, 200), (3, 3, 64, 200), (2 / (9 * 64)) ** 0.5),
    ],
)
def test_spread(make, shape, deviation):
    weights = make()
    assert (weights.shape, weights.dtype) == (shape, np.float32)
    assert weights.std() == pytest.approx(deviation, rel=0.02)
    assert abs(weights.mean()) < 0.02 * deviation
    np.testing.assert_array_equal(weights, make())


def test_uniform_weights_are_bounded():
    assert np.abs(initialisers.uniform(rng(), 25, 1000)).max() <= 0.2


def test_at_first_the_cell_remembers():
    """Gates are in the order i, f, g, o."""
    np.testing.assert_array_equal(initialisers.lstm_bias(2), [0, 0, 1, 1, 0, 0, 0, 0])
