"""What a case of the benchmarks is: who does it, the least it can take, and what it must reach.

A case is done by several sides, each in a process of its own. All of them start from the same numbers, and must come to the
same results before any of them is timed. Ours are the project's models as a user would call them (``benchmarks/cases``); the
reference variants of the kernels are the textbook NumPy version; the baselines (``benchmarks/baselines``) are the same models
in PyTorch. ``benchmarks/table.py`` brings cases and baselines together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
OURS, NUMPY, TORCH, COMPILED = "ours", "numpy", "torch", "torch.compile"
F32 = 4  # bytes


class Task(NamedTuple):
    """A side made ready. ``results`` takes the first step and says what came of it, by our names, in our layout."""

    step: Callable[[], Any]  # what is timed
    results: Callable[[], dict[str, Any]]


class Side(NamedTuple):
    """One way to do a case; ``build`` is called in the side's own process."""

    name: str
    kind: str  # one of the four above
    build: Callable[[], Task]


class Phase(NamedTuple):
    """A part of a case that cannot take less than its arithmetic, or its traffic of memory, whichever is longer.

    ``bytes`` are those that any implementation must move: each input and parameter read once, each result and gradient
    written once; nothing for what could stay in the caches between. ``working_set`` is how many different bytes those are, where
    that is known: a cache that holds so many may serve them. ``pattern`` is how they come and go: one of those that
    :class:`scratchlv.bench.ceilings.Ceilings` has, or None for the best of them.
    """

    flops: float = 0.0
    bytes: float = 0.0
    working_set: float = math.inf
    pattern: str | None = None


@dataclass(frozen=True)
class Goal:
    """What the project wants to reach: PyTorch's time over ours, as installed and at its best, or the share of the limit."""

    ratio: float | None = None
    ratio_best: float | None = None
    share: float | None = None  # of the bandwidth ceiling


@dataclass(frozen=True)
class Case:
    name: str
    what: str
    build: Callable[[], Task]  # ours; the same calls in the reference variants are textbook NumPy
    phases: tuple[Phase, ...]
    goal: Goal = field(default_factory=Goal)
    winograd: bool = False  # convolutions may take fewer operations than were counted
    tolerance: float = 1e-4  # of a result, relative to its largest number; of a loss, a tenth of it
    by_norm: bool = False  # relative to the norm, instead: ‖ours - theirs‖ / ‖theirs‖
    baselines: tuple[Side, ...] = ()  # handed in by the table

    @property
    def sides(self) -> tuple[Side, ...]:
        """All that are timed; for NumPy's the worker chooses the reference variants."""
        return Side("scratchlv", OURS, self.build), Side("textbook NumPy", NUMPY, self.build), *self.baselines


def placed(value: Any) -> Any:
    """An array, or a batch of some, where models are brought to; on the CPU it is the same.

    A list of which row is whose stays on the host, where it is read.
    """
    from scratchlv.device import backend, place

    if backend() == "cpu":
        return value
    import cupy

    like = cupy.empty(0, np.float32)
    if hasattr(value, "picture_of"):
        return place(value._replace(picture_of=None), like)._replace(picture_of=value.picture_of)
    return place(value, like)


def on_host(results: dict[str, Any]) -> dict[str, Any]:
    """Results on the host."""
    from scratchlv.device import to_host

    return {name: to_host(value) for name, value in results.items()}


def training_task(model: Any, batch: Any) -> Task:
    """A forward and a backward pass of one of our models, where :func:`scratchlv.device.use_backend` says."""
    from scratchlv.device import to_backend

    to_backend(model)
    batch = placed(batch)

    def step() -> tuple[float, dict[str, Array]]:
        loss, cache = model.forward(batch)
        return loss, model.backward(cache)

    def results() -> dict[str, Any]:
        loss, grads = step()
        return on_host({"loss": loss, **grads})

    return Task(step, results)


def matmul_flops(*sizes: int) -> float:
    """Of a forward pass ``(M, K) @ (K, N)``; each of its two gradients takes as many again."""
    return 2.0 * float(np.prod(sizes, dtype=np.float64))


def training_phases(forward_flops: float, parameters: int, inputs: int = 0, passes: float = 3) -> tuple[Phase, ...]:
    """Forward and both gradients of matrix products: parameters are read, their gradients written, inputs read, once each."""
    return (Phase(passes * forward_flops, F32 * (2.0 * parameters + inputs)),)
