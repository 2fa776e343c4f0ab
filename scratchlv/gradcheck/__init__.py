"""Is a hand-written gradient right? For our operations, and for anybody's code."""

from scratchlv.gradcheck.assertions import assert_gradients
from scratchlv.gradcheck.check import check, check_model
from scratchlv.gradcheck.compare import check_operation, compare, compare_step
from scratchlv.gradcheck.report import Gradient, Report
from scratchlv.gradcheck.wrap import from_jax, from_torch

__all__ = [
    "Gradient",
    "Report",
    "assert_gradients",
    "check",
    "check_model",
    "check_operation",
    "compare",
    "compare_step",
    "from_jax",
    "from_torch",
]
