"""What nobody may look at, in the three rooms that attend: numbers behind a mask are not read, forward or backward."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.versions import use_version

from ..slow import slow_unless
from .checks import WHY_NOT, cases, versions

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
MASKED = {
    "additive_attention": ("mask", "several pieces", "whole pieces", "a piece left out", "several queries, mask"),
    "dot_product_attention": (
        *("mask", "several pieces", "whole pieces, no W", "a piece left out"),
        "several queries, mask, no W",
    ),
    "attention_lstm": ("mask", "dot, mask", "several pieces", "a piece left out"),
}
ROWS = [(name, number, case) for name in MASKED for number in versions(name) for case in MASKED[name]]


def run(name, inputs):
    module, rng = getattr(ops, name).variant("cuda"), np.random.default_rng(2)
    y, cache = module.forward(**inputs)
    return [*y, *module.backward(tuple(rng.standard_normal(part.shape).astype(np.float32) for part in y), cache)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "number", "case"), slow_unless(lambda name, number, _: number == max(versions(name)), ROWS)
)
def test_what_is_behind_a_mask_changes_no_bit(name, number, case, value):
    inputs = cases(name)[case]
    inputs = {
        k: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == float else v for k, v in inputs.items()
    }
    hidden = ~inputs["mask"]
    assert hidden.any()
    spoiled = inputs | {key: np.where(hidden[..., None], np.float32(value), inputs[key]) for key in ("x", "keys")}
    with use_version(number):
        for got, expected in zip(run(name, spoiled), run(name, inputs), strict=True):
            np.testing.assert_array_equal(got, expected)
