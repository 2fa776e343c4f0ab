"""Variants against the reference."""

from types import SimpleNamespace

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.errors import UserError
from scratchlv.gradcheck import check_operation, compare, compare_step

from .operations import wrong


def variant_of_linear(**changed):
    """The reference, one function changed, playing a variant."""
    reference = ops.linear.variant("reference")
    return SimpleNamespace(**{"forward": reference.forward, "backward": reference.backward, **changed})


def test_a_variant_that_is_the_reference_is_right():
    inputs = ops.linear.room.cases(np.random.default_rng(0))["odd"]
    assert compare(variant_of_linear(), ops.linear.variant("reference"), inputs).ok


@pytest.mark.parametrize(("name", "compares"), [("linear", compare), ("sgd", compare_step)])
def test_a_variant_that_cannot_serve_the_inputs_is_not_run(name, compares):
    operation = getattr(ops, name)
    inputs = next(iter(operation.room.cases(np.random.default_rng(0)).values()))
    report = compares(SimpleNamespace(limits=lambda **inputs: "no compiler"), operation.variant("reference"), inputs)
    assert report.verdict == "not checked"
    assert report.not_checked == "the variant cannot serve this: no compiler"


@pytest.mark.parametrize("relative_error", [3e-6, np.nan])
def test_a_variant_that_is_less_accurate_is_wrong(relative_error):
    reference = ops.linear.variant("reference")

    def backward(dy, cache):
        dx, dW, db = reference.backward(dy, cache)
        return dx, dW, (db * (1 + relative_error)).astype(np.float32)

    inputs = ops.linear.room.cases(np.random.default_rng(0))["odd"]
    report = compare(variant_of_linear(backward=backward), reference, inputs)
    assert wrong(report) == {"db"}
    assert report.worst.name == "db"


def test_a_variant_of_another_dtype_is_wrong():
    reference = ops.linear.variant("reference")

    def forward(x, W, b=None):
        return (x @ W + b).astype(np.float64), reference.forward(x, W, b)[1]

    inputs = ops.linear.room.cases(np.random.default_rng(0))["odd"]
    report = compare(variant_of_linear(forward=forward), reference, inputs)
    assert report.problems == ["y is float64, and should be float32"]


def test_a_variant_that_does_not_serve_says_so():
    module = variant_of_linear(limits=lambda **inputs: "it is Sunday")
    report = compare(module, ops.linear.variant("reference"), ops.linear.room.cases(np.random.default_rng(0))["odd"])
    assert report.verdict == "not checked"
    assert "it is Sunday" in report.not_checked


def test_an_unknown_case_lists_what_exists():
    with pytest.raises(UserError, match="no case 'even'; it has 'odd'"):
        check_operation("linear", case="even")
    with pytest.raises(UserError, match="no variant 'fast'; it has reference"):
        check_operation("linear", "fast")
