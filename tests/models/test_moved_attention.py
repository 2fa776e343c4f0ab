"""Attention that is moved: its gradient, and that it finds what lies so from where the one before was."""

import numpy as np
import pytest

from scratchlv.gradcheck import check
from scratchlv.models import moved_attention

GRID = (3, 4)
N, L, R = 2, 12, 5 * 7


def distributions(rng):
    return rng.dirichlet(np.ones(L), N)


def test_gradients():
    rng = np.random.default_rng(0)
    inputs = {"alpha": distributions(rng), "before": distributions(rng), "r": rng.standard_normal((N, R))}
    report = check(
        lambda alpha, before, r: moved_attention.forward(alpha, before, r, GRID), moved_attention.backward, inputs
    )
    assert report.ok, str(report)


def test_it_is_what_its_lines_say():
    rng = np.random.default_rng(1)
    alpha, before, r = distributions(rng), distributions(rng), rng.standard_normal((N, R))
    expected = np.zeros((N, L))
    for n in range(N):
        for to in range(L):
            for k in range(L):
                down, right = to // 4 - k // 4, to % 4 - k % 4
                expected[n, to] += alpha[n, to] * before[n, k] * np.exp(r[n].reshape(5, 7)[down + 2, right + 3])
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(moved_attention.forward(alpha, before, r, GRID, train=False)[0], expected, rtol=1e-6)


def test_a_kernel_that_is_even_changes_nothing():
    rng = np.random.default_rng(2)
    alpha, before = distributions(rng), distributions(rng)
    beta, cache = moved_attention.forward(alpha, before, np.full((N, R), 3.0), GRID, train=False)
    np.testing.assert_allclose(beta, alpha, rtol=1e-7)
    assert cache is None


def test_it_finds_the_one_of_two_that_lies_to_the_right():
    alpha = np.zeros((1, L))
    alpha[0, [4, 7]] = 0.5  # both ends of the middle row
    before = np.eye(L)[[6]]  # between them, nearer to the right
    to_the_right = np.full((5, 7), -20.0)
    to_the_right[:, 4:] = 0
    beta, _ = moved_attention.forward(alpha, before, to_the_right.reshape(1, R), GRID)
    assert beta[0].argmax() == 7
    np.testing.assert_allclose(beta[0, 7], 1, atol=1e-6)
    only_left = np.where(np.arange(L) == 4, 1.0, 0.0)[None]
    nothing, _ = moved_attention.forward(only_left, before, to_the_right.reshape(1, R) * 10, GRID)
    np.testing.assert_allclose(nothing, 0, atol=1e-6)


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 3)])
def test_every_pair_of_regions_has_its_displacement(grid):
    pairs = moved_attention.of_pairs(*grid)
    h, w = grid
    assert pairs.shape == (h * w, h * w)
    assert pairs.min() >= 0
    assert len(np.unique(pairs)) == moved_attention.displacements(h, w) == pairs.max() + 1
    assert (pairs + pairs.T == pairs.max()).all()  # there and back
