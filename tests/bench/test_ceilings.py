"""Ceilings: the lower one bounds, the better measurement counts, and what is measured was done."""

import json

import numpy as np
import pytest

from scratchlv.bench import ceilings
from scratchlv.bench.ceilings import Ceilings, last_level_cache

from .examples import CEILINGS


def test_the_lower_ceiling_bounds():
    far = 8 * last_level_cache()
    assert CEILINGS.best_memory == 10e9
    assert CEILINGS.least_seconds(1e6, far) == far / 10e9
    assert CEILINGS.least_seconds(1e12, far) == 10
    assert CEILINGS.least_seconds(0, 1 << 19) == (1 << 19) / 50e9  # in a cache, so fast
    assert CEILINGS.least_seconds(0, 1 << 21) == (1 << 21) / 40e9


def test_the_better_of_two_measurements_counts():
    slower = Ceilings(50e9, {"copy": 9e9, "triad": 1e9, "update": 1e9}, {1 << 18: 1e9, 1 << 20: 60e9})
    best = CEILINGS.better(slower)
    assert best.peak == 100e9
    assert best.memory == {"copy": 9e9, "triad": 9e9, "update": 10e9}
    assert best.caches == {1 << 18: 50e9, 1 << 20: 60e9}


def test_ceilings_are_measured():
    found = ceilings.measure(most=1 << 20)
    assert found.peak > 0
    assert all(speed > 0 for speed in (*found.memory.values(), *found.caches.values()))
    assert json.loads(json.dumps(found.to_json()))["memory_gbs"] == pytest.approx(found.best_memory / 1e9)


def test_the_multiply_adds_are_done():
    """Were they optimised away, the peak would be a fable."""
    from scratchlv.kernels.building_blocks.simd import WIDTH

    numbers = np.full((1, (ceilings._SUMS + 2) * WIDTH), 0.5, np.float32)
    ceilings._multiply_add(numbers, 1)
    # 0.5 * 0.5 is added so many times, in float32 without rounding
    np.testing.assert_array_equal(numbers[0, 2 * WIDTH :], np.float32(0.5 + 0.25 * ceilings._ROUNDS))
