"""PyTorch's and JAX's functions as pairs of ours: ``forward(**inputs) -> (y, cache)`` and ``backward(dy, cache)``.

    forward, backward, inputs = from_torch(torch.nn.GRUCell(5, 2), {"input": x, "hx": h})
    print(check(forward, backward, inputs))                    # a torch.autograd.Function of one's own, say

or the other way round: what their backward returns for a kernel of one's own to be compared with. Both compute in float64.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from scratchlv.errors import UserError
from scratchlv.gradcheck.inputs import signature_of
from scratchlv.gradcheck.trees import map_leaves

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[Any, Any], dict[str, Any]]


def _needed(name: str, command: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"from_{name} needs {name}, which is not installed: {command}") from None


def _is_float(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") in "fc"


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def from_torch(function: Any, inputs: Mapping[str, Any] | Sequence[Any]) -> tuple[Forward, Backward, dict[str, Any]]:
    """A module or a function of PyTorch as a pair, and the inputs to check it with.

    Args:
        function: a ``torch.nn.Module``, a function, or the ``apply`` of a ``torch.autograd.Function``.
        inputs: arrays or tensors, by parameter name or in order. Floating-point ones are made float64; integers stay.

    Returns:
        forward, backward and the inputs by name; a module's parameters are among them, ``layer.weight`` as ``layer_weight``.
        backward returns the gradients of all floating-point ones by name. The module is copied, and not changed.

    Raises:
        UserError: PyTorch is not installed; two inputs would have one name.
    """
    torch = _needed("torch", "pip install torch")
    module = copy.deepcopy(function).double() if isinstance(function, torch.nn.Module) else None
    called = module.forward if module is not None else function
    given = _named(called, inputs)
    weights = {} if module is None else {name: p.detach() for name, p in module.named_parameters()}
    names = {name.replace(".", "_"): name for name in weights}
    both = sorted(set(names) & set(given)) or [name for name in names if len(names) < len(weights)]
    if both:
        raise UserError(
            f"{both[0]} would be the name of two inputs: rename the parameter of the function or of the module"
        )
    pair = _TorchPair(torch, function if module is None else module, names, _takes(called, given))
    arrays = given | {name: weights[of_module] for name, of_module in names.items()}
    return pair.forward, pair.backward, {name: _as_array(torch, value) for name, value in arrays.items()}


@dataclass(frozen=True)
class _TorchPair:
    torch: Any
    function: Any
    names: dict[str, str]  # of the module's parameters: ours, and the module's
    by_keyword: bool

    def forward(self, **values: Any) -> tuple[Any, Any]:
        tensors = {name: _tensor(self.torch, value) for name, value in values.items()}
        own = {name: tensor for name, tensor in tensors.items() if name not in self.names}
        args, kwargs = ((), own) if self.by_keyword else (tuple(own.values()), {})
        if isinstance(self.function, self.torch.nn.Module):
            buffers = {name: value.clone() for name, value in self.function.named_buffers()}
            parameters = {of_module: tensors[name] for name, of_module in self.names.items()}
            y = self.torch.func.functional_call(self.function, parameters | buffers, args, kwargs)
        else:
            y = self.function(*args, **kwargs)
        return map_leaves(lambda leaf: _array(self.torch, leaf), y), (tensors, y)

    def backward(self, dy: Any, cache: Any) -> dict[str, Any]:
        tensors, y = cache
        pairs = [(out, up) for out, up in zip(_leaves(y), _leaves(dy), strict=True) if _is_followed(out)]
        moved = {name: tensor for name, tensor in tensors.items() if _is_followed(tensor)}
        grads = self.torch.autograd.grad(
            [out for out, _ in pairs],
            list(moved.values()),
            [self.torch.as_tensor(np.array(up), dtype=out.dtype) for out, up in pairs],
            retain_graph=True,
            allow_unused=True,
        )
        return {
            name: np.zeros(tensor.shape) if grad is None else grad.numpy(force=True).copy()
            for (name, tensor), grad in zip(moved.items(), grads, strict=True)
        }


def _is_followed(value: Any) -> bool:
    """Whether autograd knows where it is from, or that it is moved."""
    return bool(getattr(value, "requires_grad", False))


def _leaves(value: Any) -> list[Any]:
    found: list[Any] = []
    map_leaves(found.append, value)
    return found


def _tensor(torch: Any, value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.from_numpy(np.array(value))
    return tensor.requires_grad_() if value.dtype.kind == "f" else tensor


def _array(torch: Any, leaf: Any) -> Any:
    return leaf.detach().numpy(force=True).copy() if isinstance(leaf, torch.Tensor) else leaf


def _as_array(torch: Any, value: Any) -> Any:
    """Arrays and tensors as NumPy's, floating-point ones in float64; other things as they are."""
    if isinstance(value, torch.Tensor):
        value = value.numpy(force=True)
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _named(function: Callable, inputs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """The inputs by parameter name; of a function that does not tell its parameters, x0, x1 …"""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    signature = signature_of(function)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [p.name for p in signature.parameters.values() if p.kind in kinds] if signature else []
    names = named if len(named) >= len(inputs) else [f"x{i}" for i in range(len(inputs))]
    return dict(zip(names, inputs, strict=False))


def _takes(function: Callable, names: Mapping[str, Any]) -> bool:
    """Whether the function can be called with these names; else it is called with the values in their order."""
    signature = signature_of(function)
    if signature is None:
        return False
    keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return set(names) <= {p.name for p in signature.parameters.values() if p.kind in keywords}


# --- JAX -------------------------------------------------------------------------------------------------------------


def from_jax(function: Callable[..., Any]) -> tuple[Forward, Backward]:
    """A function of JAX as a pair, computed in float64 whatever JAX is set to elsewhere.

    Args:
        function: of arrays, returns an array or a pytree of them; one with a ``custom_vjp`` is checked by its own.

    Returns:
        forward, with the function's parameters, and backward, which returns the gradients of the floating-point ones by name.

    Raises:
        UserError: JAX is not installed.
    """
    jax = _needed("jax", "pip install jax")
    signature = signature_of(function)

    @functools.wraps(function)
    def forward(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        values = _by_parameter(signature, args, kwargs)
        with _in_float64(jax):
            moved = {name: jax.numpy.asarray(value) for name, value in values.items() if _is_float(value)}
            y, pull = jax.vjp(lambda moved: _apply(function, signature, values | moved), moved)
            return jax.tree.map(np.array, y), (pull, y)

    def backward(dy: Any, cache: Any) -> dict[str, Any]:
        pull, y = cache
        with _in_float64(jax):
            (grads,) = pull(jax.tree.map(lambda up, out: jax.numpy.asarray(up, out.dtype), dy, y))
            return {name: np.array(grad) for name, grad in grads.items()}

    return forward, backward


def _by_parameter(signature: inspect.Signature | None, args: Any, kwargs: Any) -> dict[str, Any]:
    if signature is None:
        return {f"x{i}": value for i, value in enumerate(args)} | kwargs
    return dict(signature.bind(*args, **kwargs).arguments)


def _apply(function: Callable, signature: inspect.Signature | None, values: dict[str, Any]) -> Any:
    if signature is None:
        return function(*values.values())
    bound = inspect.BoundArguments(signature, values)  # type: ignore[arg-type]
    return function(*bound.args, **bound.kwargs)


def _in_float64(jax: Any) -> contextlib.AbstractContextManager:
    """Whatever JAX is set to: older versions have the switch elsewhere."""
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental").enable_x64
    return enable(True)
