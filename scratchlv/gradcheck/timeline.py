"""Which axis is time: the one that a loop, which hands a state on, walks along."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.gradcheck.simulation import Simulation
from scratchlv.gradcheck.suspects import carried_operands


def rounds_in_time(simulation: Simulation) -> set[int]:
    """How many rounds the loops over time have."""
    return {len(calls) for calls, _, _ in carried_operands(simulation)}


def time_axes(simulation: Simulation) -> dict[str, int]:
    """The axis of each input that a loop over time takes one step of in every round."""
    found: dict[str, int] = {}
    lengths = rounds_in_time(simulation)
    for calls in simulation.rounds.values():
        if len(calls) not in lengths:
            continue
        for j in range(len(simulation.calls[calls[0]].sources)):
            sources = [simulation.calls[index].sources[j] for index in calls]
            name = simulation.owner(sources[0])
            axis = None if name is None else _walked(sources, simulation.tracer.leaves[name])
            if name is not None and axis is not None:
                found.setdefault(name, axis)
    return found


def _walked(sources: list[Any], leaf: np.ndarray) -> int | None:
    """The axis along which the slices of an array lie, one after another."""
    places = {source.__array_interface__["data"][0] - leaf.__array_interface__["data"][0] for source in sources}
    for axis, (stride, length) in enumerate(zip(leaf.strides, leaf.shape, strict=True)):
        if length == len(sources) > 1 and places == {k * stride for k in range(length)}:
            return axis
    return None
