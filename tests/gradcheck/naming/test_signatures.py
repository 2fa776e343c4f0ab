"""What the numbers at hand say: each signature at its bug, and not at others that look alike."""

import numpy as np
import pytest

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.signatures import signatures

from ..operations import normal


def said(analytic, numeric, inputs=None, **known):
    """The causes that the signatures name for gradients by name."""
    inputs = inputs or {name: normal(*value.shape, seed=9) for name, value in numeric.items()}
    evidence = Evidence(inputs, analytic, numeric, wrong=list(analytic), **known)
    return [finding.sentence(evidence) for finding in signatures(evidence)]


def test_transposed_only_if_it_is():
    n = normal(3, 3)
    assert "the gradient is transposed" in said({"W": n.T}, {"W": n})[0]
    assert said({"W": np.roll(n, 1) + n}, {"W": n}) == []


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


def test_what_cancels_is_not_taken_for_what_is_missing():
    n = normal(4)
    (sentence,) = said({"x": 1e-16 * normal(4, seed=1)}, {"x": n})
    assert (
        sentence
        == "dx is zero but for rounding: consistent with terms that cancel, as where a factor is missing inside of a sum"
    )
    (sentence,) = said({"x": np.zeros(4)}, {"x": n})
    assert "is zero everywhere" in sentence
