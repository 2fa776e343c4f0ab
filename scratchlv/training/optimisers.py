"""What the trainer does with gradients: lay them flat, clip them, and how fast to walk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import on_gpu
from scratchlv.kernels.building_blocks import sweep_cuda
from scratchlv.kernels.building_blocks.sweep import copy_and_sum_squares


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

    def collect(self, grads: dict[str, Array]) -> tuple[Array, Any]:
        """The gradients in the flat buffer ``grads``, and their norm; every parameter must have one.

        On a GPU the norm stays there, an array without axes.
        """
        if grads.keys() != self.shapes.keys():
            raise ValueError(f"gradients and parameters differ: {sorted(grads.keys() ^ self.shapes.keys())}")
        views = self.views(self.grads)
        for name, view in views.items():
            if grads[name].shape != view.shape:
                raise ValueError(f"the gradient of {name} has the shape {grads[name].shape}, not {view.shape}")
        if on_gpu(self.grads):
            for name, view in views.items():
                view[...] = grads[name]
            return self.grads, np.sqrt(sweep_cuda.sum_squares(self.grads))
        return self.grads, math.sqrt(sum(copy_and_sum_squares(grads[name], view) for name, view in views.items()))


def clip_factor(norm: Any, most: float) -> Any:
    """What to scale a gradient by so that its norm is at most ``most`` (Pascanu et al. 2013).

    On a GPU it is an array without axes; NaN, at which the optimisers leave all as it is, where the norm is not finite.
    """
    if on_gpu(norm):
        return sweep_cuda.clip_factor(norm, most)
    return most / norm if norm > most else 1.0


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Up in a straight line for ``warmup`` steps, then down along half a cosine, to a hundredth of ``peak``."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
