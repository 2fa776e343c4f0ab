"""Every version of every CUDA kernel, on the CPU, with threads in three orders, against the float64 reference."""

import pytest

from scratchlv.cuda.on_cpu import ORDERS, turns

from .checks import WHY_NOT, WITH_GRADIENT, cases, problem, versions

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
ROWS = [(name, number, case) for name in WITH_GRADIENT for number in versions(name) for case in cases(name)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("name", "number", "case"), ROWS)
def test_a_version_agrees_with_the_reference_in_every_order(name, number, case, order):
    with turns(order, seed=7):
        assert problem(name, number, cases(name)[case]) is None
