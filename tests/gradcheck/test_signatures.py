"""What the numbers at hand say: each signature at its bug, and not at others that look alike."""

import numpy as np
import pytest

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.factors import factor_cause
from scratchlv.gradcheck.signatures import signatures

from .operations import normal


def said(analytic, numeric, inputs=None, **known):
    """The causes that the signatures name for gradients by name."""
    inputs = inputs or {name: normal(*value.shape, seed=9) for name, value in numeric.items()}
    evidence = Evidence(inputs, analytic, numeric, wrong=list(analytic), **known)
    return [finding.sentence(evidence) for finding in signatures(evidence)]


def test_transposed_only_if_it_is():
    n = normal(3, 3)
    assert "the gradient is transposed" in said({"W": n.T}, {"W": n})[0]
    assert said({"W": np.roll(n, 1) + n}, {"W": n}) == []


def test_gradients_in_another_order():
    a, b = normal(4, 2), normal(4, 2, seed=1)
    sentences = said({"q": b, "k": a}, {"q": a, "k": b})
    assert len(sentences) == 1
    assert "returned in the wrong order" in sentences[0]


def test_the_gradient_of_another():
    a, b = normal(4), normal(4, seed=1)
    evidence = Evidence({"beta": a, "gamma": b}, {"beta": a, "gamma": a}, {"beta": a, "gamma": b}, wrong=["gamma"])
    (finding,) = signatures(evidence)
    assert finding.sentence(evidence) == "dgamma is another's: consistent with the gradient of beta"


@pytest.mark.parametrize(
    ("order", "what"), [([1, 0, 2, 3], "gates i and f"), ([2, 0, 1, 3], "in the order g, i, f, o")]
)
def test_blocks_of_gates(order, what):
    n = normal(3, 8)
    a = np.concatenate([np.split(n, 4, -1)[k] for k in order], -1)
    assert what in said({"W": a}, {"W": n})[0]


def test_blocks_of_one_row_are_no_gates():
    n = normal(4, 5)
    (sentence,) = said({"q": n[[1, 0, 2, 3]]}, {"q": n})
    assert "wrong rows" in sentence


def test_a_shift_in_time_needs_a_time_axis():
    n = normal(4, 3, 2)
    evidence = Evidence({"x": n}, {"x": np.roll(n, 1, 0)}, {"x": n}, wrong=["x"])
    assert "off by one in time" in signatures(evidence, time_axes={"x": 0})[0].cause
    assert all("time" not in finding.cause for finding in signatures(evidence))


def test_repeated_rows_have_the_last_gradient():
    tokens, dy = np.array([1, 3, 1]), normal(3, 2)
    a, n = np.zeros((5, 2)), np.zeros((5, 2))
    a[tokens] = dy
    np.add.at(n, tokens, dy)
    inputs = {"tokens": tokens, "W": normal(5, 2)}
    assert "np.add.at" in said({"W": a}, {"W": n}, inputs, dy=dy)[0]
    a[1] = 7
    assert said({"W": a}, {"W": n}, inputs, dy=dy) == []


def test_the_target():
    labels, n = np.array([2, 0, 1, 1]), normal(4, 3)
    a = n + 0.25 * np.eye(3)[labels]
    assert "target" in said({"z": a}, {"z": n}, {"labels": labels, "z": normal(4, 3)})[0]


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
        "dx is off by 0.3 times x: consistent with a regularisation term that only one of forward and backward has"
    ]


def test_a_relu_masked_by_its_gradient():
    n = normal(6)
    sentences = said(
        {"x": np.maximum(n, 0)}, {"x": n}, dy=np.float64(1), backward=lambda dy: {"x": np.maximum(dy * n, 0)}
    )
    assert "masked by the wrong array: by the sign of the gradient" in sentences[0]


def test_single_precision_is_known_by_its_rounding():
    n = normal(40)

    def backward(dy):
        return {"x": (np.float32(dy) * n.astype(np.float32) * np.float32(0.1)).astype(np.float64) / np.float32(0.1)}

    assert "float32" in said(backward(1.0), {"x": n}, dy=np.float64(1), backward=backward)[0]


def test_a_list_of_one_and_the_same_array():
    h = normal(3)
    (sentence,) = said({"W": normal(3)}, {"W": normal(3, seed=1)}, cache={"hs": [h, h, h]})
    assert "keep a copy" in sentence


@pytest.mark.parametrize(
    ("c", "inputs", "words"),
    [
        (-1, {}, "a sign that is flipped"),
        (5, {"x": np.zeros((5, 3))}, "a division by x.shape[0]"),
        (1 / 15, {"x": np.zeros((5, 3))}, "a division by x.shape[0]·x.shape[1] too many"),
        (np.sqrt(3), {"x": np.zeros((5, 3))}, "1/√d"),
        (0.01, {"x": np.zeros((5, 3))}, "learning rate"),
        (2.5, {"mask": np.array([1, 0, 1, 0, 0], bool)}, "the mask is missing in the normaliser"),
        (1 / 0.7, {"p": 0.3}, "1/(1 − p)"),
        (2, {"x": np.zeros((5, 3))}, "missing 1/2"),
        (1.234, {"x": np.zeros((5, 3))}, "a constant factor that is missing or doubled"),
    ],
)
def test_factors(c, inputs, words):
    evidence = Evidence(inputs)
    assert words in factor_cause(c, evidence)[0]


def test_a_mean_that_forward_does_not_have_is_not_missing():
    evidence = Evidence({"x": np.zeros((5, 3))})
    assert "division by" in factor_cause(5, evidence, divisors={15.0})[0]
    assert "division by" not in factor_cause(5, evidence, divisors={3.0})[0]
