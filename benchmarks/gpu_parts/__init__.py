"""The parts of ``benchmarks/gpu.py``: ceilings, kernels, recurrent layers, steps of models. Only its worker imports them."""

from __future__ import annotations

from typing import Any, NamedTuple

GOAL_SHARE = 0.7  # of the bandwidth ceiling, for operations that only move memory


class Settings(NamedTuple):
    """How long to measure: seconds for one timing."""

    seconds: float = 0.25


Row = dict[str, Any]  # what a part found, as it is written to JSON
