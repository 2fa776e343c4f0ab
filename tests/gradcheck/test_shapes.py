"""Shapes in words: what is read, which sizes letters get, and what is drawn."""

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import shapes


def drawn(text, **sizes):
    return shapes.recipe(text)(**sizes)


def test_every_letter_has_a_size_of_its_own():
    sizes = shapes.recipe("x: (N, T, D), W: (D, H), U: (H, K), v: (3, P, Q)").sizes
    assert {letter: sizes[letter] for letter in "NTDH"} == {"N": 3, "T": 4, "D": 5, "H": 2}
    assert len(set(sizes.values())) == len(sizes) == 7


def test_pictures_are_large_enough_for_a_kernel():
    assert {shapes.recipe("x: (N, C, H, W), w: (F, C, 3, 3)").sizes[side] for side in "HW"} == {6, 7}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("W: (D, 4H)", (5, 8)),
        ("W: (D, 4 * H)", (5, 8)),
        ("s: (T + 1, N - 1)", (5, 2)),
        ("s: (D//2,)", (2,)),
        ("s: (7)", (7,)),
        ("s: ()", ()),
        ("s: float", ()),
    ],
)
def test_sizes_are_reckoned(text, shape):
    (value,) = drawn(text).values()
    assert np.shape(value) == shape


def test_kinds_and_bounds():
    found = drawn(
        "y: (200,) int < C, l: (200,) int >= 1 <= T; k: int < 1\n m: (200,) bool, p: (200,) > 2, q: (200,) < -1, "
        "u: (200,) > 0 < 1, j: (200,) int > 0 < 3"
    )
    assert set(found["y"]) == set(range(shapes.recipe("y: (200,) int < C").sizes["C"]))
    assert set(found["l"]) == {1, 2, 3, 4}
    assert set(found["j"]) == {1, 2}
    assert found["k"] == 0 and type(found["k"]) is int
    assert found["m"].dtype == bool and 0 < found["m"].sum() < 200
    assert found["p"].min() > 2 and found["q"].max() < -1
    assert 0 < found["u"].min() < 0.2 and 0.8 < found["u"].max() < 1


def test_a_change_of_one_size_leaves_the_other_inputs_as_they_are():
    recipe = shapes.recipe("x: (N, D), W: (D, H), y: (N,) int < C")
    before, after = recipe(), recipe(N=1, Z=9)
    np.testing.assert_array_equal(before["W"], after["W"])
    assert after["x"].shape == (1, 5) and after["y"].shape == (1,)


def test_another_seed_draws_other_numbers():
    assert not np.array_equal(shapes.recipe("x: (N,)", 1)()["x"], shapes.recipe("x: (N,)", 2)()["x"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x (N)", r"cannot be read at 'x \(N\)': write them like"),
        ("x: (N, D), and W", "cannot be read at 'and W'"),
        ("x: (N D)", "'N D' is no size: give a number, a name"),
        ("x: (f(N),)", "cannot be read"),
        ("y: (N,) int", r"y is int without a bound: say below what its numbers are, as in y: \(N,\) int < C"),
        ("y: (N,) int >= 5 < 5", "y can be no whole number from 5 to 4: give other bounds"),
        ("x: (N - 7,)", r"x would have the shape \(-4,\): give sizes"),
        ("x: (1.5,)", r"x would have the shape \(1.5,\)"),
    ],
)
def test_a_mistake_is_one_sentence(text, message):
    with pytest.raises(UserError, match=message):
        drawn(text)


# --- in prose --------------------------------------------------------------------------------------------------------


def found(text, *names):
    return {name: each.shape for name, each in shapes.find(text, names).items()}


def test_prose_is_searched_for_the_names_that_are_asked_for():
    text = "Given x: (N, D), W: (D, H) and max: (T,), b: (H,). The mask: (optional); seed: (as above)"
    assert found(text, "x", "W", "b", "mask", "seed") == {"x": ("N", "D"), "W": ("D", "H"), "b": ("H",)}


def test_the_type_of_a_number_is_no_recipe_for_it():
    assert found("eps: float, a small constant; p: float > 0 < 1, k: int", "eps", "p", "k") == {"p": None}
    assert shapes.alone("eps", "float") is None


def test_the_words_of_a_course_are_read():
    text = """Inputs:
    - x: Input data, of shape (N, D)
    - y: Vector of labels, of shape (N,) where y[i] is the label for x[i] and
      0 <= y[i] < C
    - w: Weights, of shape (D, M)
    - z: of shape (N, d_1, ... d_k)
    """
    assert found(text, "x", "w", "y", "z") == {"x": ("N", "D"), "w": ("D", "M"), "y": ("N",)}
    (y,) = shapes.find(text, ["y"]).values()
    assert (y.kind, y.bounds) == ("int", (("<", "C"),))
    (x,) = shapes.find("x: of shape (N, D)\ny: of shape (N,), and 0 <= x < C", ["x"]).values()
    assert x.kind == "float"


def test_a_comment_of_one_parameter_begins_with_its_shape():
    assert shapes.alone("x", "(N, D), the input") == shapes.Declared("x", ("N", "D"))
    assert shapes.alone("x", "the input (N, D)") is None
    assert shapes.alone("x", "(optional)") is None
