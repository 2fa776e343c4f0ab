"""What the trainer does with gradients: lay them flat, clip them, how fast to walk, and the step itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import to_host
from scratchlv.memory import aligned_size
from scratchlv.ops import adam, global_norm, rmsprop, sgd
from scratchlv.parallel.team import Memory, own_memory
from scratchlv.training import checkpoint


class FlatParameters:
    """The parameters of a model in one flat buffer, each name a view of its part: the optimiser sweeps memory once.

    Each part begins at a multiple of 256 bytes, as a GPU's own allocations do: kernels that read four numbers at once, and
    cuBLAS, want them so, and one bias of 13 numbers would move all that follow. What lies between the parts is 0 and stays 0.
    ``params`` is changed in place: its arrays become the views. ``memory`` makes the buffer: see :meth:`Team.memory`.
    """

    ALIGN = 64  # numbers

    def __init__(
        self, params: dict[str, Array], memory: Callable[[tuple[int, ...], Array], Memory] = own_memory
    ) -> None:
        self.shapes = {name: array.shape for name, array in params.items()}
        first = next(iter(params.values()))
        size = sum(aligned_size(math.prod(shape), self.ALIGN) for shape in self.shapes.values())
        self.memory = memory((size,), first)
        self.values = self.memory.own
        self.grads = np.zeros_like(self.values)
        views = self.views(self.values)
        for name, array in params.items():
            views[name][...] = array
        params.update(views)

    def views(self, flat: Array) -> dict[str, Array]:
        """``flat``, cut into arrays by name."""
        return {name: flat[place].reshape(self.shapes[name]) for name, place in self.places().items()}

    def rates(self, prefix: str, share: float) -> list[Rate]:
        """The learning rates of an optimiser: parameters whose names begin with ``prefix`` have this share of all others'."""
        found: list[Rate] = []
        for name, place in self.places().items():
            rate = share if name.startswith(prefix) else 1.0
            if found and found[-1].share == rate:
                place = slice(found.pop().part.start, place.stop)
            found.append(Rate(place, rate))
        return found

    def places(self) -> dict[str, slice]:
        """Where each parameter stands in the buffer."""
        places, at = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            places[name] = slice(at, at + size)
            at += aligned_size(size, self.ALIGN)
        return places

    def packed(self, flat: np.ndarray) -> np.ndarray:
        """``flat`` (n,) without what lies between its parts: so a checkpoint keeps what an optimiser remembers."""
        return np.concatenate([part.reshape(-1) for part in self.views(flat).values()])

    def unpacked(self, packed: np.ndarray) -> np.ndarray:
        """What :meth:`packed` was made of; an array of another size is returned as it is."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        if packed.shape != (sum(sizes),):
            return packed
        flat = np.zeros(self.values.shape, packed.dtype)
        for part, values in zip(self.views(flat).values(), np.split(packed, np.cumsum(sizes)[:-1]), strict=True):
            part[...] = values.reshape(part.shape)
        return flat

    def collect(self, grads: dict[str, Array], clip: float) -> tuple[Array, Any, Any]:
        """The gradients in the flat buffer ``grads``, their norm, and the factor that clips it at ``clip``.

        Every parameter must have a gradient. On a GPU norm and factor stay there, arrays without axes.
        """
        if grads.keys() != self.shapes.keys():
            raise ValueError(f"gradients and parameters differ: {sorted(grads.keys() ^ self.shapes.keys())}")
        for name, shape in self.shapes.items():
            if grads[name].shape != shape:
                raise ValueError(f"the gradient of {name} has the shape {grads[name].shape}, not {shape}")
        ordered = tuple(grads[name] for name in self.shapes)
        norm, factor = global_norm.step(ordered, self.grads, max_norm=clip, align=self.ALIGN)
        return self.grads, norm, factor


class Decay(NamedTuple):
    """The learning rate times ``factor`` at the step ``first``, and again after each ``every`` more (Zaremba et al. 2014)."""

    factor: float
    first: int
    every: int

    def share(self, step: int) -> float:
        """What is left of the learning rate at a step."""
        return self.factor ** (1 + (step - self.first) // self.every) if step >= self.first else 1.0


def learning_rate(step: int, steps: int, peak: float, warmup: int, decay: Decay | None = None) -> float:
    """Up in a straight line for ``warmup`` steps, then down along half a cosine, to a hundredth of ``peak``; or by ``decay``."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if decay is not None:
        return peak * decay.share(step)
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


class Rate(NamedTuple):
    """A part of the buffer, and its learning rate as a share of the optimiser's."""

    part: slice
    share: float


def clipping(norm: float, most: float) -> float:
    """What gradients of that ``norm`` are multiplied by, so that it is at most ``most``; NaN where it is not finite."""
    return most / max(norm, most) if math.isfinite(norm) else math.nan


def _overlap(one: slice, other: slice, n: int) -> tuple[int, int]:
    """From where to where two parts of ``n`` numbers are both."""
    (a, b, _), (c, d, _) = one.indices(n), other.indices(n)
    return max(a, c), min(b, d)


class Optimiser:
    """Changes ``params``, a flat buffer, in place; what it remembers of the steps before is its own.

    ``rates`` say how fast which part learns; None: all alike.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ()  #: what it takes besides, by the names of a run's settings

    def __init__(self, params: Array, rates: Sequence[Rate] | None = None) -> None:
        self.params = params
        self.rates = rates or [Rate(slice(None), 1.0)]
        self.state: dict[str, Array] = {}  #: what a checkpoint keeps of it, by the names there

    def step(self, grads: Array, *, lr: float, grad_scale: Any) -> None:
        """One step against ``grads``, scaled by ``grad_scale``: a number, or an array without axes on a GPU."""
        self.step_parts([(slice(0, len(self.params)), grads)], lr=lr, grad_scale=grad_scale)

    def step_parts(self, parts: Iterable[tuple[slice, Array]], *, lr: float, grad_scale: Any) -> None:
        """One step of some ``parts`` of the parameters alone, each with its gradients."""
        for whole, grads in parts:
            for rate, share in self.rates:
                part = slice(*_overlap(whole, rate, len(self.params)))
                if part.start < part.stop:
                    some = grads[part.start - whole.start : part.stop - whole.start]
                    state = [array[part] for array in self.state.values()]
                    self._step(self.params[part], some, *state, lr=share * lr, grad_scale=grad_scale)

    def _step(self, params: Array, grads: Array, *state: Array, lr: float, grad_scale: Any) -> None:
        """The same of a part of everything."""
        raise NotImplementedError

    def state_tensors(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of it, by name."""
        return {name: to_host(array) for name, array in self.state.items()}

    def load_state_tensors(self, tensors: dict[str, np.ndarray], steps: int, where: Path) -> None:
        """Go on after ``steps`` steps from what :meth:`state_tensors` gave.

        Raises:
            UserError: a tensor is missing or has another shape; ``where`` names the checkpoint.
        """
        checkpoint.restore(self.state, tensors, where)


class SGD(Optimiser):
    """Stochastic gradient descent; with momentum it remembers its velocity, and without nothing."""

    SETTINGS = ("momentum", "nesterov")

    def __init__(
        self, params: Array, rates: Sequence[Rate] | None = None, momentum: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(params, rates)
        self.momentum, self.nesterov = momentum, nesterov
        if momentum:
            self.state = {"sgd/velocity": np.zeros_like(params)}

    def _step(self, params: Array, grads: Array, *state: Array, lr: float, grad_scale: Any) -> None:
        how = {"momentum": self.momentum, "nesterov": self.nesterov}
        sgd.step(params, grads, *state, lr=lr, grad_scale=grad_scale, **how)


class RMSProp(Optimiser):
    """RMSProp (Tieleman and Hinton 2012): ``v`` is the running mean of the gradient's square; momentum adds a velocity."""

    SETTINGS = ("momentum",)

    def __init__(self, params: Array, rates: Sequence[Rate] | None = None, momentum: float = 0.0) -> None:
        super().__init__(params, rates)
        self.momentum = momentum
        names = ("rmsprop/v", "rmsprop/velocity") if momentum else ("rmsprop/v",)
        self.state = {name: np.zeros_like(params) for name in names}

    def _step(self, params: Array, grads: Array, *state: Array, lr: float, grad_scale: Any) -> None:
        rmsprop.step(params, grads, *state, lr=lr, momentum=self.momentum, grad_scale=grad_scale)


class Adam(Optimiser):
    """Adam (Kingma and Ba 2015): ``m`` and ``v`` are running means of the gradient and of its square, over ``t`` steps."""

    def __init__(self, params: Array, rates: Sequence[Rate] | None = None) -> None:
        super().__init__(params, rates)
        self.t = 0
        self.state = {name: np.zeros_like(params) for name in ("adam/m", "adam/v")}

    def step_parts(self, parts: Iterable[tuple[slice, Array]], *, lr: float, grad_scale: Any) -> None:
        self.t += 1
        super().step_parts(parts, lr=lr, grad_scale=grad_scale)

    def _step(self, params: Array, grads: Array, *state: Array, lr: float, grad_scale: Any) -> None:
        adam.step(params, grads, *state, self.t, lr=lr, grad_scale=grad_scale)

    def load_state_tensors(self, tensors: dict[str, np.ndarray], steps: int, where: Path) -> None:
        super().load_state_tensors(tensors, steps, where)
        self.t = steps


#: by the name that a setting gives; the first is the default
OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "sgd": SGD, "rmsprop": RMSProp}
