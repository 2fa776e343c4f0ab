"""What nobody may look at, in the three rooms that attend: numbers behind a mask are not read, forward or backward.

And which version of the attending LSTM serves which call.
"""

import re

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.launch import Kernel
from scratchlv.cuda.versions import use_version
from scratchlv.gradcheck.trees import as_float32
from scratchlv.kernels.attention_lstm.cuda import SHARED
from scratchlv.ops import attention_lstm

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


# --- which version of the attending LSTM runs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "most_shared", "served_by"),
    [
        ("odd", 227 * 1024, 3),
        ("dot", 227 * 1024, 3),
        ("more rows than lanes", 227 * 1024, 3),
        ("larger than a block", 227 * 1024, 2),  # more groups of columns than blocks at once
        ("odd", SHARED + 4, 2),  # no room for the weights
        ("gate", 227 * 1024, 1),
    ],
)
def test_the_weights_are_kept_where_blocks_and_memory_are_enough(case, most_shared, served_by, monkeypatch):
    launched, launch = [], Kernel.__call__

    def note(self, *args, **kwargs):
        launched.append(self.signature.name)
        return launch(self, *args, **kwargs)

    monkeypatch.setattr(Kernel, "__call__", note)
    monkeypatch.setattr(attention_lstm.variant("cuda"), "shared_memory", lambda like: most_shared)
    room, rng = attention_lstm.room, np.random.default_rng(0)
    given = as_float32({**room.cases(rng), **room.hard_cases(rng)}[case])
    (h, z, alpha), cache = attention_lstm.variant("cuda").forward(**given)
    attention_lstm.variant("cuda").backward((h, z, alpha), cache)
    whole = {name for name in launched if re.fullmatch(r"(dot|additive)_(forward|backward)_\d", name)}
    assert {int(name[-1]) for name in whole} == ({served_by} if served_by > 1 else set())
