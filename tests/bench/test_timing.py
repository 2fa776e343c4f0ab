"""Timing: medians and their bands, on a clock that is moved by hand; no time is ever asserted."""

import pytest

from scratchlv.bench import timing


class Clock:
    """Time that passes only when a call lets it."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, 0
        monkeypatch.setattr(timing, "perf_counter", lambda: self.now)

    def takes(self, *seconds):
        def call():
            self.now += seconds[self.calls % len(seconds)]
            self.calls += 1

        return call


def test_the_median_and_its_band(monkeypatch):
    clock = Clock(monkeypatch)
    found = timing.time_calls(clock.takes(0.01, 0.02, 0.03, 0.04, 0.05), seconds=3)
    assert (found.median, found.p20, found.p80) == pytest.approx((0.03, 0.02, 0.04), rel=0.1)
    assert found.least == pytest.approx(0.01)
    assert found.samples == timing._MOST


def test_what_is_done_before_is_not_timed(monkeypatch):
    clock = Clock(monkeypatch)
    found = timing.time_calls(lambda: clock.takes(0.01)(), seconds=1, before=clock.takes(5.0))
    assert found.median == pytest.approx(0.01)


def test_a_long_call_is_timed_once_and_a_short_one_many_times_at_once(monkeypatch):
    clock = Clock(monkeypatch)
    assert timing.time_calls(clock.takes(7.0), seconds=1).samples == 1
    clock.calls = 0
    found = timing.time_calls(clock.takes(1e-6), seconds=1e9)
    assert found.median == pytest.approx(1e-6)
    assert clock.calls > 100 * found.samples
