"""Ceilings: the lower one bounds, the better measurement counts, and what is measured was done."""

import json
import math

import numpy as np
import pytest

from scratchlv.bench import ceilings
from scratchlv.bench.ceilings import Ceilings, last_level_cache
from scratchlv.kernels.building_blocks.processor import Caches

from .examples import CEILINGS


@pytest.fixture
def caches_of_32_mib(monkeypatch):
    """Whatever this machine has."""
    monkeypatch.setattr(ceilings, "last_level_cache", lambda: 32 << 20)


def test_the_lower_ceiling_bounds(caches_of_32_mib):
    far = 256 << 20
    assert CEILINGS.best_memory == 10e9
    assert CEILINGS.least_seconds(1e6, far) == far / 10e9
    assert CEILINGS.least_seconds(1e12, far) == 10
    assert CEILINGS.least_seconds(0, 1 << 19) == (1 << 19) / 50e9  # in a cache, so fast
    assert CEILINGS.least_seconds(0, 1 << 21) == (1 << 21) / 40e9


def test_the_ceiling_of_a_pattern_is_that_of_memory(caches_of_32_mib):
    assert CEILINGS.bandwidth(256 << 20, "copy") == 8e9
    assert CEILINGS.bandwidth(math.inf) == 10e9
    assert CEILINGS.bandwidth(1 << 21, "copy") == 30e9  # that of the cache which holds so much
    assert CEILINGS.bandwidth(1 << 21) == 40e9
    assert CEILINGS.bandwidth(1 << 10, "copy") == 50e9  # the fastest that is known


def test_without_a_cache_that_is_known_memory_bounds(monkeypatch):
    monkeypatch.setattr(ceilings, "last_level_cache", lambda: 0)
    assert CEILINGS._replace(caches={}).bandwidth(1 << 10) == 10e9


def test_of_the_largest_cache_all_is_missed(monkeypatch):
    """Also what kernels do not count on, since strangers share it."""
    monkeypatch.setattr(ceilings, "caches", lambda: Caches(1 << 15, 1 << 20, 32 << 20, 300 << 20))
    assert last_level_cache() == 300 << 20


def test_the_better_of_two_measurements_counts():
    slower = Ceilings(
        50e9,
        {"copy": 9e9, "triad": 1e9, "update": 1e9},
        {1 << 18: {"copy": 1e9, "update": 1e9}, 1 << 20: {"copy": 1e9, "update": 60e9}},
    )
    best = CEILINGS.better(slower)
    assert best.peak == 100e9
    assert best.memory == {"copy": 9e9, "triad": 9e9, "update": 10e9}
    assert best.caches == {1 << 18: {"copy": 50e9, "update": 45e9}, 1 << 20: {"copy": 30e9, "update": 60e9}}


def test_ceilings_are_measured(monkeypatch):
    monkeypatch.setattr(ceilings, "_SECONDS", 0.001)
    monkeypatch.setattr(ceilings, "_SECONDS_IN_CACHE", 0.001)
    found = ceilings.measure(most=1 << 20)
    assert found.peak > 0
    assert list(found.caches) == [1 << 18, 1 << 20]
    assert all(speed > 0 for speeds in (found.memory, *found.caches.values()) for speed in speeds.values())
    assert json.loads(json.dumps(found.to_json()))["memory_gbs"] == pytest.approx(found.best_memory / 1e9)


@pytest.mark.parametrize(
    ("work", "levels"),
    [
        ([], [1 << 18, 1 << 20]),
        ([64 << 20], []),  # memory alone
        ([1 << 19, 64 << 20], [1 << 18]),
        ([3 << 20, 1 << 18], [1 << 18, 1 << 20]),
        ([1 << 10, 64 << 20], [1 << 18, 1 << 20]),  # the fastest of all is asked for
    ],
)
def test_only_the_caches_are_measured_that_the_work_fits(caches_of_32_mib, monkeypatch, work, levels):
    """And the ceilings of that work are those of the whole measurement."""

    def measured(a, b, c, *, seconds):
        return {"copy": 1e9 * a.size, "update": 2e9 * a.size}

    monkeypatch.setattr(ceilings, "bandwidths", measured)
    monkeypatch.setattr(ceilings, "peak", lambda: 1e9)
    found, whole = ceilings.measure(1 << 20, work), ceilings.measure(1 << 20)
    assert [*found.caches] == levels
    for size in work:
        assert found.bandwidth(size) == whole.bandwidth(size)


@pytest.mark.parametrize("size", [1 << 10, 1 << 12])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_moved_is_moved(size, threads):
    """Every number is read, copied and written once: what a kernel leaves out would count as speed."""
    rng = np.random.default_rng(0)
    a, b, c = (ceilings._ones(size) for _ in range(3))
    for array in (a, b, c):
        array[...] = rng.integers(0, 99, size)
    before, sums = a.copy(), np.full(threads, np.nan)
    ceilings._read(a, sums, threads)
    assert sums.sum() == a.sum(dtype=np.float64)
    for triad in (ceilings._triad, ceilings._triad_past_caches):
        a[...] = before
        triad(b, c, a, threads)
        np.testing.assert_array_equal(a, b + np.float32(0.5) * c)
    for copy in (ceilings._copy, ceilings._copy_past_caches):
        a[...] = before
        copy(b, a, threads)
        np.testing.assert_array_equal(a, b)
    ceilings._update(a, threads)
    np.testing.assert_array_equal(a, np.float32(1.0000001) * b)


def test_the_multiply_adds_are_done():
    """Were they optimised away, the peak would be a fable."""
    from scratchlv.kernels.building_blocks.simd import WIDTH

    numbers = np.full((1, (ceilings._SUMS + 2) * WIDTH), 0.5, np.float32)
    ceilings._multiply_add(numbers, 1)
    # 0.5 * 0.5 is added so many times, in float32 without rounding
    np.testing.assert_array_equal(numbers[0, 2 * WIDTH :], np.float32(0.5 + 0.25 * ceilings._ROUNDS))
    terms = ceilings._ROUNDS // ceilings._DEPTH * ceilings._DEPTH
    numbers = np.full((1, ceilings._DEPTH * (ceilings._ROWS + 2 * WIDTH) + 2 * ceilings._ROWS * WIDTH), 0.5, np.float32)
    ceilings._multiply_tile(numbers, 1)
    np.testing.assert_array_equal(numbers[0, -2 * ceilings._ROWS * WIDTH :], np.float32(0.5 + 0.25 * terms))
