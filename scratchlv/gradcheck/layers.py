"""A layer with methods as a pair of functions: its weights become inputs, what backward keeps of them their gradients."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchlv.gradcheck.inputs import signature_of
from scratchlv.gradcheck.trees import is_float_array

_FORMS = ("d{}", "d_{}", "grad_{}", "{}_grad", "d{}_")
_DICTS = ("grads", "grad", "gradients")

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def pair_of(layer: Any) -> Pair:
    """Its methods; of a layer that keeps its own cache, ``forward(x) -> y`` and ``backward(dy)``, a pair that hands one on."""
    signature = signature_of(layer.backward)
    if signature is None or len(signature.parameters) != 1:
        return layer.forward, layer.backward

    def forward(*args: Any, **kwargs: Any) -> tuple[Any, None]:
        return layer.forward(*args, **kwargs), None

    forward.__wrapped__ = layer.forward  # type: ignore[attr-defined]  # its signature, and its source
    return forward, lambda dy, cache: layer.backward(dy)


def with_weights(layer: Any, inputs: dict[str, Any]) -> tuple[Pair, dict[str, Any]]:
    """The pair with the layer's weights among its inputs: the arrays of which backward keeps a gradient, as ``dW``, ``W_grad`` or
    ``grads["W"]``. A layer that cannot be run, or keeps none, gets its own methods.
    """
    pair, places = pair_of(layer), _gradients(layer, inputs)
    if not places:
        return pair, inputs
    weights = {name: getattr(layer, name).astype(np.float64) for name in places}
    kept = {holder: copy.deepcopy(getattr(layer, holder, None)) for holder, _ in places.values()}

    def forward(**given: Any) -> Any:
        for name in weights:
            setattr(layer, name, given.pop(name))
        return pair[0](**given)

    def backward(dy: Any, cache: Any) -> Any:
        for holder, value in kept.items():  # it may add to what is there
            setattr(layer, holder, copy.deepcopy(value))
        returned = pair[1](dy, cache)
        gradients = {name: np.copy(_held(layer, place)) for name, place in places.items()}
        return _joined(returned, gradients, inputs)

    signature = signature_of(layer.forward)
    anything = inspect.Parameter("weights", inspect.Parameter.VAR_KEYWORD)
    own = [p for p in signature.parameters.values() if p.kind != anything.kind] if signature else []
    forward.__signature__ = inspect.Signature([*own, anything])  # type: ignore[attr-defined]
    return (forward, backward), inputs | weights


Place = tuple[str, str | None]  # an attribute; a key, if it is a dict


def _gradients(layer: Any, inputs: dict[str, Any]) -> dict[str, Place]:
    """By weight, where backward keeps its gradient; one pass of a copy tells."""
    try:
        trial = copy.deepcopy(layer)
        forward, backward = pair_of(trial)
        y, cache = forward(**copy.deepcopy(inputs))
        backward(np.ones_like(y), cache)
    except Exception:
        return {}
    weights = [name for name, value in vars(layer).items() if is_float_array(value) and name not in inputs]
    found = {name: _place(trial, name, getattr(layer, name).shape) for name in weights}
    return {name: place for name, place in found.items() if place is not None}


def _place(layer: Any, weight: str, shape: tuple[int, ...]) -> Place | None:
    places: list[Place] = [(form.format(weight), None) for form in _FORMS]
    places += [(name, key.format(weight)) for name in _DICTS for key in ("{}", *_FORMS)]
    return next((place for place in places if np.shape(_held(layer, place)) == shape), None)


def _held(layer: Any, place: Place) -> Any:
    name, key = place
    value = getattr(layer, name, None)
    if key is None:
        return value
    return value.get(key) if isinstance(value, dict) else None


def _joined(returned: Any, gradients: dict[str, np.ndarray], inputs: dict[str, Any]) -> Any:
    """What backward returns, and behind it the gradients of the weights, unless they are among it."""
    if isinstance(returned, dict):
        return {f"d{name}": gradient for name, gradient in gradients.items()} | returned
    own = list(returned) if isinstance(returned, tuple | list) else [returned]
    return tuple(own) if len(own) > len(inputs) else (*own, *gradients.values())
