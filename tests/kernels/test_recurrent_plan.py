"""How the blocks of a GPU share a recurrent layer."""

import numpy as np
import pytest

from scratchlv.cuda.precision import use_precision
from scratchlv.kernels.building_blocks.recurrent_plan import plan, plan_for

CHIPS = [(132, 227 * 1024), (108, 163 * 1024), (40, 64 * 1024), (4, 99 * 1024), (1, 48 * 1024)]


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize(("processors", "shared_memory"), CHIPS)
def test_a_plan_covers_everything_once_and_fits(processors, shared_memory, gates, tf32):
    planned = 0
    for N in (1, 2, 3, 7, 8, 9, 31, 32, 33, 64, 100, 131, 257):
        for H in (1, 2, 5, 31, 32, 33, 64, 100, 127, 256, 300, 512, 650, 1024):
            p = plan(N, H, processors, shared_memory, gates=gates, tf32=tf32)
            if p is None:
                continue
            planned += 1
            units = 4 * p.quads // gates
            assert (p.column_blocks - 1) * units < H <= p.column_blocks * units
            assert (p.row_blocks - 1) * p.rows < N <= p.row_blocks * p.rows
            assert p.column_blocks * p.row_blocks <= processors
            assert max(p.forward_bytes, p.backward_bytes) <= shared_memory
            assert p.quads in (8, 16, 32)
            assert p.threads % 32 == 0
            assert p.lanes in (1, 2, 4)
    assert planned >= 13


def test_a_plan_shares_among_all_processors_and_says_when_there_is_none():
    usual = plan(32, 512, 132, 227 * 1024)
    assert usual[:4] == (32, 4, 16, 8)  # 128 of 132 processors: 32 times 16 units, 4 times 8 sequences
    assert plan(32, 512, 40, 64 * 1024) is None  # 4 MB of weights, 2.5 MB of shared memory
    assert plan(32, 512, 132, 64 * 1024) is None
    assert plan(0, 512, 132, 227 * 1024) is None


def test_the_precision_decides_who_multiplies():
    assert not plan_for(np.zeros(1), 3, 5).tf32
    with use_precision("tf32"):
        assert plan_for(np.zeros(1), 3, 5).tf32
