"""An edited backward is tried on fresh numbers and on other shapes."""

import functools

import numpy as np
import pytest

from scratchlv.gradcheck.calls import Pair
from scratchlv.gradcheck.inputs import Inputs
from scratchlv.gradcheck.trials import fresh_trials

from .operations import linear, normal

GIVEN = {"x": normal(5, 3), "W": normal(3, 2)}


def trials(forward, backward, given, remade=()):
    return list(fresh_trials(Pair(forward, backward), given, functools.partial(Inputs, forward), 0, list(remade)))


def right(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy


def by_coincidence(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy * (len(x) - 4)  # right for five rows


def spoils(dy, cache):
    x, W = cache
    dx, dW = dy @ W.T, x.T @ dy
    dy *= 2
    return dx, dW


def test_a_right_backward_passes_all_trials():
    found = trials(linear, right, GIVEN, [{"x": normal(2, 3), "W": normal(3, 2)}])
    assert len(found) >= 4
    assert all(trial() == {"x": True, "W": True} for trial in found)
    assert all(trial() == {"x": True, "W": True} for trial in found)  # once more


def test_what_fits_one_shape_by_coincidence_fails():
    results = [trial() for trial in trials(linear, by_coincidence, GIVEN)]
    assert {"x": True, "W": True} in results
    assert {"x": True, "W": False} in results


def test_a_backward_that_spoils_its_inputs_fails_and_they_are_put_back():
    found = trials(linear, spoils, GIVEN)
    assert not any(any(trial().values()) for trial in found)
    assert not any(any(trial().values()) for trial in found)


def infinite(dy, cache):
    return tuple(np.full_like(array, np.inf) for array in cache)


@pytest.mark.parametrize(
    "broken", [lambda dy, cache: None, lambda dy, cache: 1 / 0, lambda dy, cache: (dy, dy), infinite]
)
def test_whatever_an_edit_brings_about_is_not_right(broken):
    assert not any(any(trial().values()) for trial in trials(linear, broken, GIVEN))


def test_a_loss_does_not_have_the_output_gradient_one():
    """An edit that ignores it must not pass."""
    ignores = trials(lambda x: ((x**2).sum(), x), lambda dy, x: (2 * x,), {"x": normal(5)})
    follows = trials(lambda x: ((x**2).sum(), x), lambda dy, x: (2 * x * dy,), {"x": normal(5)})
    assert not any(trial()["x"] for trial in ignores)
    assert all(trial()["x"] for trial in follows)


def test_fresh_numbers_keep_their_signs():
    seen = []

    def forward(p):
        seen.append(p.copy())
        return np.log(p), p

    assert all(trial()["p"] for trial in trials(forward, lambda dy, p: (dy / p,), {"p": np.array([1e-4, 0.5, 0.4999])}))
    assert all((p > 0).all() for p in seen)


def test_a_cache_of_arrays_is_kept_and_put_back_and_no_other_is():
    runs = []

    def forward(x, W):
        runs.append(1)
        return x @ W, [x, W]

    def pops(dy, cache):
        W, x = cache.pop(), cache.pop()
        return dy @ W.T, x.T @ dy

    trial = trials(forward, pops, GIVEN)[0]
    trial()
    runs.clear()
    assert all(trial() == {"x": True, "W": True} for _ in range(3)) and not runs

    def remembers(x, W):
        runs.append(1)
        remembers.W = W
        return x @ W, [x]

    trial = trials(remembers, lambda dy, cache: (dy @ remembers.W.T, cache[0].T @ dy), GIVEN)[0]
    trial()
    runs.clear()
    assert all(trial() == {"x": True, "W": True} for _ in range(3)) and len(runs) == 3


def test_a_shape_that_backward_is_not_made_for_is_no_trial():
    def forward(p, A):  # p has two columns, and more would do no harm
        u, v = p[:, 0], p[:, 1]
        return np.stack([u, v, u * v], 1) @ A, (u, v, A)

    def backward(dy, cache):
        u, v, A = cache
        df = dy @ A.T
        du, dv = df[:, 0] + df[:, 2] * v, df[:, 1] + df[:, 2] * u
        return np.stack([dv, du], 1), np.stack([u, v, u * v], 1).T @ dy

    found = trials(forward, backward, {"p": normal(5, 2), "A": normal(3, 4)})
    assert len(found) > 2
    for trial in found:
        assert trial.returned() == {"p", "A"}


def test_an_edited_forward_must_give_the_same_outputs():
    offset = [2.0]

    def forward(x):
        return 3 * x + offset[0], 3.0

    trial = trials(forward, lambda dy, factor: factor * dy, {"x": normal(4)})[0]
    trial.forget()
    assert trial() == {"x": True}
    offset[0] = 1.0
    assert trial() == {"x": False}
