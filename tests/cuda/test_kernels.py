"""Every version of every CUDA kernel against the float64 reference: on the CPU, with threads in three orders.

``pytest tests/cuda --backend cuda`` runs them on a GPU instead, where nobody can say in which order.
"""

import pytest

from scratchlv.cuda.on_cpu import ORDERS, turns

from .checks import WHY_NOT, WITH_GRADIENT, cases, problem, versions

ROWS = [(name, number, case) for name in WITH_GRADIENT for number in versions(name) for case in cases(name)]


def pytest_generate_tests(metafunc):
    if "order" in metafunc.fixturenames:
        on_gpu = metafunc.config.getoption("--backend") == "cuda"
        metafunc.parametrize("order", ["the chip's"] if on_gpu else ORDERS)


@pytest.mark.parametrize(("name", "number", "case"), ROWS)
def test_a_version_agrees_with_the_reference_in_every_order(name, number, case, order, backend):
    if backend == "cuda":
        assert problem(name, number, cases(name)[case], backend) is None
        return
    if WHY_NOT is not None:
        pytest.skip(WHY_NOT)
    with turns(order, seed=7):
        assert problem(name, number, cases(name)[case]) is None
