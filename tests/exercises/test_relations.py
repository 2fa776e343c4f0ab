"""How wrong numbers are related to the right ones."""

import numpy as np
import pytest

from scratchlv.exercises.relations import between

A = np.random.default_rng(0).standard_normal((3, 4))
S = A[:, :3]
SIZES = {"N": 3, "D": 4}


@pytest.mark.parametrize(
    ("came", "sentence"),
    [
        (-A, "every number has the wrong sign"),
        (3 * A, "every number is 3 times what it should be, and N is 3: a sum where a mean is meant?"),
        (A / 4, "every number is 1/4 of what it should be, and D is 4: a mean where a sum is meant?"),
        (2.5 * A, "every number is 2.5 times what it should be"),
        (A + 0.5, "every number is off by 0.5"),
        (np.roll(A, 1, axis=0), "the numbers stand one place too late along axis 0"),
        (np.roll(A, -1, axis=1), "the numbers stand one place too early along axis 1"),
        (A[:, ::-1], "the numbers stand in reverse along axis 1"),
    ],
)
def test_a_relation_is_told(came, sentence):
    assert between(A, came, SIZES).sentence == sentence


def test_a_transpose_is_told_where_the_shapes_are_the_same():
    assert between(S, S.T, SIZES).sentence == "the numbers are those of the transpose"


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        (A, A**2),
        (A, np.where(A > 0, A, np.nan)),
        (A, A.T),
        (np.array([1.0]), np.array([2.0])),
        (np.zeros(3), np.ones(3) * np.arange(3)),
        (A, 0 * A),
        (A, None),
        (1.0, 2.0),
        (A > 0, A < 0),
        ((A, A), (A,)),
        ({"a": A}, {"b": A}),
        (A, A),
        (A, A * (1 + 1e-8)),
    ],
)
def test_where_none_fits_none_is_told(expected, came):
    assert between(expected, came, SIZES) is None


def test_of_several_results_the_first_that_differs_is_looked_at():
    assert between((A, A), (A, -A), SIZES).sentence == "every number has the wrong sign"
    assert between({"a": A, "b": [A]}, {"b": [-A], "a": A}, SIZES).sentence == "every number has the wrong sign"


def test_equal_numbers_are_not_taken_for_a_shift():
    assert between(np.ones((4, 4)), np.ones((4, 4)) + 1e-3 * np.eye(4), {}) is None
