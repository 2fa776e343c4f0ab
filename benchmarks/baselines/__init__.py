"""The cases in PyTorch, as its users write them: the same models, from the same numbers. Only workers import these modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from case import Task
from torch import nn

OUT_IN = (1, 0)  # nn.Linear's weight is (out, in), ours (in, out)
NCHW = (3, 2, 0, 1)  # its convolution's is (M, C, kh, kw), ours (kh, kw, C, M)

_device = torch.device("cpu")


def use_device(name: str) -> None:
    """From now on baselines are built on this device; ``benchmarks/gpu.py`` asks for "cuda".

    There cuDNN may try its algorithms and keep the fastest, as those do who want speed of it: shapes repeat.
    """
    global _device
    _device = torch.device(name)
    torch.backends.cudnn.benchmark = _device.type == "cuda"


def device() -> torch.device:
    return _device


def given(array: np.ndarray) -> torch.Tensor:
    """``array`` on the baselines' device; on the CPU it is the same memory."""
    return torch.from_numpy(array).to(_device)


class Twin:
    """Which of a network's parameters holds which of ours."""

    def __init__(self, params: dict[str, np.ndarray]) -> None:
        self.params = params
        self.pairs: dict[str, tuple[nn.Parameter, tuple[int, ...] | None]] = {}

    def tie(self, name: str, parameter: nn.Parameter, order: tuple[int, ...] | None = None) -> None:
        """Copy our array into ``parameter``, its axes in ``order``."""
        value = self.params[name] if order is None else self.params[name].transpose(order)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)).reshape(parameter.shape))
        self.pairs[name] = parameter, order

    def tie_linear(self, layer: nn.Linear, weight: str, bias: str | None = None) -> None:
        self.tie(weight, layer.weight, OUT_IN)
        if bias is not None:
            self.tie(bias, layer.bias)

    def tie_recurrent(self, cell: nn.Module, name: str, layer: str = "") -> None:
        """Our one bias is their first; the second stays zero."""
        self.tie(f"{name}.Wx", getattr(cell, f"weight_ih{layer}"), OUT_IN)
        self.tie(f"{name}.Wh", getattr(cell, f"weight_hh{layer}"), OUT_IN)
        self.tie(f"{name}.b", getattr(cell, f"bias_ih{layer}"))
        nn.init.zeros_(getattr(cell, f"bias_hh{layer}"))

    def values(self) -> dict[str, np.ndarray]:
        return {name: self._ours(name, parameter.detach(), order) for name, (parameter, order) in self.pairs.items()}

    def grads(self) -> dict[str, np.ndarray]:
        return {name: self._ours(name, parameter.grad, order) for name, (parameter, order) in self.pairs.items()}

    def _ours(self, name: str, value: Any, order: tuple[int, ...] | None) -> np.ndarray:
        array, shape = value.cpu().numpy(), self.params[name].shape
        if order is None:
            return array.reshape(shape)
        theirs = tuple(shape[axis] for axis in order)
        return array.reshape(theirs).transpose(np.argsort(order))


def training_task(net: nn.Module, loss_of: Callable[[], torch.Tensor], twin: Twin) -> Task:
    """A forward and a backward pass."""

    def step() -> torch.Tensor:
        net.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        return loss

    def results() -> dict[str, Any]:
        loss = step()
        return {"loss": loss.item(), **twin.grads()}

    return Task(step, results)
