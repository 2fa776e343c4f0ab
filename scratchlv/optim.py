"""What the trainer does with gradients: lay them flat, clip them, and how fast to walk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any


class FlatParameters:
    """The parameters of a model in one flat buffer, each name a view of its part: the optimiser sweeps memory once.

    ``params`` is changed in place: its arrays become the views.
    """

    def __init__(self, params: dict[str, Array]) -> None:
        self.shapes = {name: array.shape for name, array in params.items()}
        self.values = np.concatenate([np.ravel(array) for array in params.values()])
        self.grads = np.zeros_like(self.values)
        params.update(self.views(self.values))

    def views(self, flat: Array) -> dict[str, Array]:
        """``flat``, cut into arrays by name."""
        parts, at = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            parts[name] = flat[at : at + size].reshape(shape)
            at += size
        return parts

    def collect(self, grads: dict[str, Array]) -> Array:
        """The gradients in the flat buffer ``grads``; every parameter must have one."""
        if grads.keys() != self.shapes.keys():
            raise ValueError(f"gradients and parameters differ: {sorted(grads.keys() ^ self.shapes.keys())}")
        for name, view in self.views(self.grads).items():
            view[...] = grads[name]
        return self.grads


def clip_norm(grads: Array, most: float) -> float:
    """Scale ``grads`` in place so that its norm is at most ``most``; returns the norm it had (Pascanu et al. 2013)."""
    norm = math.sqrt(float(np.sum(np.square(grads), dtype=np.float64)))
    if norm > most:
        grads *= grads.dtype.type(most / norm)
    return norm


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Up in a straight line for ``warmup`` steps, then down along half a cosine, to a hundredth of ``peak``."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
