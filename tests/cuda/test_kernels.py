"""Every version of every CUDA kernel against the float64 reference, and with threads in four orders.

On the CPU that plays a GPU. ``pytest tests/cuda --all --backend cuda`` runs them on a GPU instead, where nobody can say in
which order. In another order nothing is compared with the reference again: not one bit may differ. What runs when nobody
asks for another version is checked by default, and the rest with ``--all``.
"""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import ORDERS, turns

from ..slow import slow_unless
from .checks import MANY_BLOCKS, WHY_NOT, WITH_GRADIENT, bits, cases, problem, versions

ROWS = [(name, number, case) for name in WITH_GRADIENT for number in versions(name) for case in cases(name)]
LONG = ("additive_attention", "attention_lstm", "conv2d", "gru", "lstm", "rnn")  # with many kernels, or many threads
LARGE = [(name, case) for name, left in MANY_BLOCKS.items() for case in left]


def is_usual(name, number, case):
    """What runs when nobody asks for another version; of the long ones on one case."""
    return number == max(versions(name)) and (name not in LONG or case == next(iter(cases(name))))


@pytest.fixture(autouse=True)
def compiler(backend):
    if backend == "cpu" and WHY_NOT is not None:
        pytest.skip(WHY_NOT)


@pytest.mark.parametrize(
    ("name", "number", "case"), slow_unless(lambda name, number, case: is_usual(name, number, case), ROWS)
)
def test_a_version_agrees_with_the_reference(name, number, case, backend):
    assert problem(name, number, cases(name)[case], backend) is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), LARGE)
def test_the_last_version_agrees_with_the_reference_where_there_are_many_blocks(name, case, backend):
    inputs = getattr(ops, name).room.cases(np.random.default_rng(0))[case]
    assert problem(name, max(versions(name)), inputs, backend) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_a_warp_that_runs_ahead_changes_no_bit(name, backend):
    """Of the orders the one that finds most: what is missing may be a barrier, or a second buffer."""
    if backend == "cuda":
        pytest.skip("on a GPU nobody can say which warp runs ahead")
    number = max(versions(name))
    for case, inputs in cases(name).items():
        expected = bits(name, number, inputs)
        with turns("warp by warp"):
            assert bits(name, number, inputs) == expected, case


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number", "case"), ROWS)
def test_the_order_of_the_threads_changes_no_bit(name, number, case, backend):
    inputs = cases(name)[case]
    expected = bits(name, number, inputs, backend)
    for order in ORDERS[1:]:  # on a GPU, whatever comes: three times
        with turns(order, seed=7):
            assert bits(name, number, inputs, backend) == expected, order
