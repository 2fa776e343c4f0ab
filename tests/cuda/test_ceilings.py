"""The kernels of ``ceilings.cu``, which measure what a GPU can do: they do what their time is taken for."""

import numpy as np
import pytest

from scratchlv.cuda import load
from scratchlv.cuda.emulator import ORDERS, turns, why_not, without_barrier

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fours", [0, 1, 1003])
def test_the_sweeps(fours, order):
    module, x = load("ceilings.cu"), np.arange(4 * fours, dtype=np.float32)
    y, sums, n = np.zeros_like(x), np.zeros(2 * 64, np.float32), np.int64(fours)
    with turns(order, seed=3):
        module["copy"]((2,), (64,), x, y, n)
        np.testing.assert_array_equal(y, x)
        module["update"]((2,), (64,), y, n)
        np.testing.assert_array_equal(y, x + 1)
        module["read_through"]((2,), (64,), x, sums, n)
    assert sums.sum(dtype=np.float64) == pytest.approx(x.sum(dtype=np.float64))


def mistakes(blocks, times):
    said, found = np.zeros((2, blocks), np.int32), np.full(blocks, -1, np.int32)
    load("ceilings.cu")["meet"]((blocks,), (32,), said, found, np.int32(times), cooperative=True)
    return found


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_that_meet_have_all_come(order):
    with turns(order, seed=3):
        np.testing.assert_array_equal(mistakes(5, 7), np.zeros(5))
        np.testing.assert_array_equal(mistakes(5, 0), np.zeros(5))


@needs_compiler
def test_a_meeting_that_is_left_out_is_noticed():
    path = load("ceilings.cu").path
    (line,) = (n for n, text in enumerate(path.read_text("utf-8").splitlines(), 1) if "grid.sync()" in text)
    with without_barrier("ceilings.cu", line):
        assert mistakes(5, 7).any()
