"""What the trainer does with gradients: lay them flat, clip them, how fast to walk, and the step itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import to_host
from scratchlv.ops import adam, global_norm, sgd
from scratchlv.training import checkpoint


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

    def collect(self, grads: dict[str, Array], clip: float) -> tuple[Array, Any, Any]:
        """The gradients in the flat buffer ``grads``, their norm, and the factor that clips it at ``clip``.

        Every parameter must have a gradient. On a GPU norm and factor stay there, arrays without axes.
        """
        if grads.keys() != self.shapes.keys():
            raise ValueError(f"gradients and parameters differ: {sorted(grads.keys() ^ self.shapes.keys())}")
        for name, shape in self.shapes.items():
            if grads[name].shape != shape:
                raise ValueError(f"the gradient of {name} has the shape {grads[name].shape}, not {shape}")
        norm, factor = global_norm.step(tuple(grads[name] for name in self.shapes), self.grads, max_norm=clip)
        return self.grads, norm, factor


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Up in a straight line for ``warmup`` steps, then down along half a cosine, to a hundredth of ``peak``."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


class Optimiser(Protocol):
    """Changes ``params``, a flat buffer, in place; what it remembers of the steps before is its own."""

    def __init__(self, params: Array) -> None: ...

    def step(self, grads: Array, *, lr: float, grad_scale: Any) -> None:
        """One step against ``grads``, scaled by ``grad_scale``: a number, or an array without axes on a GPU."""

    def state_tensors(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of it, by name."""

    def load_state_tensors(self, tensors: dict[str, np.ndarray], steps: int, where: Path) -> None:
        """Go on after ``steps`` steps from what :meth:`state_tensors` gave.

        Raises:
            UserError: a tensor is missing or has another shape; ``where`` names the checkpoint.
        """


class SGD:
    """Stochastic gradient descent: it remembers nothing."""

    def __init__(self, params: Array) -> None:
        self.params = params

    def step(self, grads: Array, *, lr: float, grad_scale: Any) -> None:
        sgd.step(self.params, grads, lr=lr, grad_scale=grad_scale)

    def state_tensors(self) -> dict[str, np.ndarray]:
        return {}

    def load_state_tensors(self, tensors: dict[str, np.ndarray], steps: int, where: Path) -> None:
        pass


class Adam:
    """Adam (Kingma and Ba 2015): ``m`` and ``v`` are running means of the gradient and of its square, over ``t`` steps."""

    def __init__(self, params: Array) -> None:
        self.params, self.t = params, 0
        self.m, self.v = np.zeros_like(params), np.zeros_like(params)

    def step(self, grads: Array, *, lr: float, grad_scale: Any) -> None:
        self.t += 1
        adam.step(self.params, grads, self.m, self.v, self.t, lr=lr, grad_scale=grad_scale)

    def state_tensors(self) -> dict[str, np.ndarray]:
        return {name: to_host(array) for name, array in self._state().items()}

    def load_state_tensors(self, tensors: dict[str, np.ndarray], steps: int, where: Path) -> None:
        checkpoint.restore(self._state(), tensors, where)
        self.t = steps

    def _state(self) -> dict[str, Array]:
        return {"adam/m": self.m, "adam/v": self.v}


#: by the name that a setting gives; the first is the default
OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "sgd": SGD}
