"""What backward makes of other output gradients, and whose gradients it returns."""

import numpy as np

from ..operations import normal
from .test_signatures import said


def test_gradients_in_another_order():
    a, b = normal(4, 2), normal(4, 2, seed=1)
    sentences = said({"q": b, "k": a}, {"q": a, "k": b})
    assert len(sentences) == 1
    assert "returned in the wrong order" in sentences[0]


def test_backward_that_ignores_the_output_gradient():
    a, n = normal(3), normal(3, seed=1)
    sentences = said({"x": a}, {"x": n}, dy=np.float64(1), backward=lambda dy: {"x": a})
    assert "upstream gradient that is ignored" in sentences[0]


def test_regularisation_that_backward_adds_by_itself():
    x, n = normal(3), normal(3, seed=1)

    def backward(dy):
        return {"x": dy * n + 0.3 * x}

    sentences = said(backward(1.0), {"x": n}, {"x": x}, dy=np.float64(1), backward=backward)
    assert sentences == [
        "dx is off by 0.3 times x: consistent with a regularisation term that only one of forward and backward has, "
        "or that they weigh differently"
    ]


def test_a_gradient_that_begins_as_a_copy_of_its_input():
    x, n = normal(3), normal(3, seed=1)
    (sentence,) = said({"x": n + x}, {"x": n}, {"x": x}, dy=np.float64(1), backward=lambda dy: {"x": dy * n + x})
    assert "begins as a copy of x" in sentence
    assert "or with a regularisation" in sentence


def test_a_relu_masked_by_its_gradient():
    n = normal(6)
    sentences = said(
        {"x": np.maximum(n, 0)}, {"x": n}, dy=np.float64(1), backward=lambda dy: {"x": np.maximum(dy * n, 0)}
    )
    assert "masked by its own sign" in sentences[0]


def test_single_precision_is_known_by_its_rounding():
    n = normal(40)

    def backward(dy):
        return {"x": (np.float32(dy) * n.astype(np.float32) * np.float32(0.1)).astype(np.float64) / np.float32(0.1)}

    assert "float32" in said(backward(1.0), {"x": n}, dy=np.float64(1), backward=backward)[0]


def test_a_list_of_one_and_the_same_array():
    h = normal(3)
    (sentence,) = said({"W": normal(3)}, {"W": normal(3, seed=1)}, cache={"hs": [h, h, h]})
    assert "keep a copy" in sentence
