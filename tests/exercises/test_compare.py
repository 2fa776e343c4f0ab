"""What differs in two results, and how it is told."""

import numpy as np
import pytest

from scratchlv.exercises.compare import as_text, compare, describe, same, wrong_elements
from scratchlv.exercises.wire import Opaque


def told(expected, came, tolerance=1e-10, **more):
    found = compare(expected, came, tolerance, "y", **more)
    return None if found is None else (found.stage, found.sentence)


A = np.arange(6.0).reshape(2, 3)
AXIS = ": the same numbers, with an axis of one too many or too few; NumPy would broadcast it"
GOES_OUT = ": the dtype of what comes in is the dtype of what goes out"


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        (A, A.copy()),
        (A, A + 1e-11 * A.max()),
        (A.astype("f4"), A.astype("f4") * (1 + 1e-6)),
        (np.array([np.nan, np.inf, -np.inf]), np.array([np.nan, np.inf, -np.inf])),
        (np.zeros(3), np.full(3, 1e-14)),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.arange(3), np.arange(3, dtype="i4")),
        (1.5, np.float64(1.5)),
        (np.float32(1.5), 1.5),
        (np.array(1.5), 1.5),
        (2, 2.0),
        (True, np.bool_(True)),
        ("text", "text"),
        (None, None),
        ((A, None), (A, None)),
        ((A, A), [A, A]),
        ({"a": A, "b": (1, [2])}, {"b": (1, [2]), "a": A}),
        ([0, 1, 2], np.arange(3)),
        (np.array([True, False]), np.array([True, False])),
    ],
)
def test_what_is_the_same(expected, came):
    assert told(expected, came) is None and same(expected, came, 1e-10)


@pytest.mark.parametrize(
    ("expected", "came", "stage", "sentence"),
    [
        (np.ones(3), np.ones((3, 1)), "shape", f"y has the shape (3, 1), and should have (3,){AXIS}"),
        (A, A.T, "shape", "y has the shape (3, 2), and should have (2, 3): the transpose"),
        (A, A.ravel(), "shape", "y has the shape (6,), and should have (2, 3)"),
        (A, A[:1], "shape", "y has the shape (1, 3), and should have (2, 3)"),
        (A, 1.0, "shape", "y is the number 1.0, and should be an array of shape (2, 3)"),
        (A, None, "shape", "y is None, and should be an array of shape (2, 3)"),
        (A, A.tolist(), "shape", "y is a list of 2, and should be an array of shape (2, 3)"),
        (A, Opaque("a generator"), "shape", "y is a generator, and should be an array of shape (2, 3)"),
        (1.0, A, "shape", "y is an array of shape (2, 3), and should be the number 1.0"),
        (1.0, np.ones(1), "shape", "y is an array of shape (1,), and should be the number 1.0"),
        (1.0, "1.0", "shape", "y is the text '1.0', and should be the number 1.0"),
        (None, 0, "shape", "y is the number 0, and should be None"),
        ((A, A), (A,), "shape", "y is a tuple of 1, and should be a tuple of 2"),
        ((A, A), A, "shape", "y is an array of shape (2, 3), and should be a tuple of 2"),
        ([1, 2], [1, 2, 3], "shape", "y is a list of 3, and should be a list of 2"),
        ({"a": 1}, {"b": 1}, "shape", "y is a dict with 'b', and should be a dict with 'a'"),
        ({"a": 1}, [1], "shape", "y is a list of 1, and should be a dict with 'a'"),
        ((A, {"a": A}), (A, {"a": A.T}), "shape", "y[1]['a'] has the shape (3, 2), and should have (2, 3): the transpose"),
        (A, A.astype("f4"), "dtype", f"y is of float32, and should be of float64{GOES_OUT}"),
        (A, A.astype(int), "dtype", "y is of int64, and should be of float64: fractions are cut off"),
        (A, A + 0j, "dtype", "y is of complex128, and should be of float64: imaginary parts are left in it"),
        (np.arange(3), np.arange(3.0), "dtype", "y is of float64, and should be of int64"),
        (np.array([True]), np.array([1]), "dtype", "y is of int64, and should be of bool"),
        (A, A + np.eye(2, 3), "value", "y is wrong in 2 of 6 places: y[0, 0] is 1, and should be 0"),
        (A, A + 1, "value", "y is wrong everywhere: y[0, 0] is 1, and should be 0"),
        (A, np.where(A == 5, np.nan, A), "value", "y is wrong in 1 of 6 places: NaN first at (1, 2)"),
        (A, np.where(A == 5, np.inf, A), "value", "y is wrong in 1 of 6 places: y[1, 2] is inf, and should be 5"),
        (np.array([np.inf]), np.array([-np.inf]), "value", "y is wrong everywhere: y[0] is -inf, and should be inf"),
        (np.array([np.nan]), np.array([0.0]), "value", "y is wrong everywhere: y[0] is 0, and should be nan"),
        (np.zeros(2), np.array([0.0, 1e-9]), "value", "y is wrong in 1 of 2 places: y[1] is 1e-09, and should be 0"),
        (1.0, 1.0 + 1e-8, "value", "y is 1.00000001, and should be 1"),
        (3, 4, "value", "y is 4, and should be 3"),
        (True, False, "value", "y is False, and should be True"),
        ("a", "b", "value", "y is the text 'b', and should be the text 'a'"),
        (np.arange(3), np.arange(3) + (np.arange(3) == 1), "value", "y is wrong in 1 of 3 places: y[1] is 2, and should be 1"),
        ([0, 1], np.array([0, 2]), "value", "y[1] is 2, and should be 1"),
        (1.0, 1.0 + 1e-3j, "value", "y is 1+0.001j, and should be 1"),
    ],
)  # fmt: skip
def test_what_differs_is_told(expected, came, stage, sentence):
    assert told(expected, came) == (stage, sentence)
    assert not same(expected, came, 1e-10)


def test_shapes_come_before_dtypes_and_these_before_values():
    wrong = (A + 1, A.astype("f4"), A[0])
    assert told((A, A, A), wrong)[1].startswith("y[2] has the shape")
    assert told((A, A, A), (*wrong[:2], A))[1].startswith("y[1] is of float32")
    assert told((A, A), (A + 1, A))[1].startswith("y[0] is wrong everywhere")
    assert told((A, A), (A, A + 1), parts=("h", "c"))[1].startswith("c is wrong everywhere")
    assert told(A, A + 1, stage="gradient")[0] == "gradient"


def test_float32_is_compared_as_such():
    x = np.array([1.0, 1e-3], "f4")
    assert same(x, x + np.float32(1e-5), 1e-10) and not same(x, x + np.float32(1e-4), 1e-10)


def test_the_tolerance_is_a_share_of_the_largest_number():
    x = np.array([1000.0, 1.0])
    assert not wrong_elements(x, x + 0.9e-7, 1e-10).any()
    assert wrong_elements(x, x + 1.1e-7, 1e-10).all()
    assert wrong_elements(np.array([np.inf, 1.0]), np.array([np.inf, 1.1]), 1e-10).tolist() == [False, True]


def test_a_number_is_shown_with_as_many_digits_as_tell_it_from_the_other():
    assert told(np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-9]))[1].endswith("y[1] is 2.000000001, and should be 2")


def test_large_arrays_are_shown_around_the_first_wrong_number():
    x = np.zeros((3, 40, 50))
    y = x.copy()
    y[1, 20, 30] = 1
    found = compare(x, y, 1e-10, "y")
    assert found.came.startswith("[1, 20:24, 30:35] of (3, 40, 50):\n[[1., 0.") and found.came.count("\n") == 4
    assert as_text(np.zeros(100)).startswith("[0:5] of (100,):\n")
    y = x.copy()
    y[2, 39, 49] = 1
    assert compare(x, y, 1e-10, "y").came.startswith("[2, 36:40, 45:50] of")
    assert as_text(np.zeros((2, 2, 0))) and as_text(np.eye(2)) == "[[1., 0.], [0., 1.]]"
    assert as_text(0.1) == "0.1" and as_text(3) == "3" and as_text("a") == "'a'"


def test_whatever_came_can_be_described():
    for value in (
        None,
        Opaque("a thing"),
        A,
        {},
        {(1, 2): 3},
        (),
        [1],
        True,
        np.bool_(True),
        "é" * 99,
        1j,
        np.float32(1),
    ):
        assert describe(value).isprintable() and len(describe(value)) < 100
