"""Every version of every CUDA kernel against the float64 reference, and with threads in three orders.

On the CPU that plays a GPU. ``pytest tests/cuda --backend cuda`` runs them on a GPU instead, where nobody can say in which
order. In another order nothing is compared with the reference again: not one bit may differ.
"""

import pytest

from scratchlv.cuda.emulator import ORDERS, turns

from .checks import WHY_NOT, WITH_GRADIENT, bits, cases, problem, versions

ROWS = [(name, number, case) for name in WITH_GRADIENT for number in versions(name) for case in cases(name)]
rows = pytest.mark.parametrize(("name", "number", "case"), ROWS)


@pytest.fixture(autouse=True)
def compiler(backend):
    if backend == "cpu" and WHY_NOT is not None:
        pytest.skip(WHY_NOT)


@rows
def test_a_version_agrees_with_the_reference(name, number, case, backend):
    assert problem(name, number, cases(name)[case], backend) is None


@rows
def test_the_order_of_the_threads_changes_no_bit(name, number, case, backend):
    inputs = cases(name)[case]
    expected = bits(name, number, inputs, backend)
    for order in ORDERS[1:]:  # on a GPU, whatever comes: twice
        with turns(order, seed=7):
            assert bits(name, number, inputs, backend) == expected, order
