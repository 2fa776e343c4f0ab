"""Inputs, outputs and caches of any structure: arrays in tuples, lists, dicts and objects."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def differentiable(forward: Callable, inputs: dict[str, Any]) -> list[str]:
    """The names of floating-point array inputs that are not keyword-only settings, in the order of the parameters."""
    parameters = inspect.signature(forward).parameters
    named = [name for name, parameter in parameters.items() if parameter.kind != parameter.KEYWORD_ONLY]
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        named += [name for name in inputs if name not in parameters]
    return [name for name in named if name in inputs and is_float_array(inputs[name])]


def is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def cast(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if is_float_array(value) or isinstance(value, np.floating) else value


def as_float64(values: Any) -> Any:
    return map_leaves(lambda value: copy.deepcopy(cast(value, np.float64)), values)


def as_float32(values: Any) -> Any:
    return map_leaves(lambda value: cast(value, np.float32), values)


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with the function applied to what it holds."""
    if isinstance(value, dict):
        return {key: map_leaves(function, item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_leaves(function, item) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(map_leaves(function, item) for item in value)
    return function(value)


def leaves(value: Any) -> Iterator[Any]:
    """The arrays and numbers in a structure of tuples, lists, dicts and objects."""
    if isinstance(value, np.ndarray | np.generic | int | float):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from leaves(item)
    elif hasattr(value, "__dict__") and not callable(value):
        yield from leaves(vars(value))


def same(a: Any, b: Any) -> bool:
    pairs = list(leaves(a)), list(leaves(b))
    if len(pairs[0]) != len(pairs[1]):
        return False
    return all(np.array_equal(p, q, equal_nan=np.asarray(p).dtype.kind == "f") for p, q in zip(*pairs, strict=True))


def close(a: Any, b: Any) -> bool:
    return all(
        np.allclose(p, q, rtol=1e-9, atol=1e-12, equal_nan=True) for p, q in zip(leaves(a), leaves(b), strict=True)
    )


def mutations(watched: dict[str, tuple[Any, Any]], who: str) -> list[str]:
    """A sentence for each thing that is not what it was before."""
    changed = []
    for what, (before, after) in watched.items():
        if not same(before, after):
            names = (
                [str(key) for key in before if not same(before[key], after[key])] if isinstance(before, dict) else []
            )
            changed.append(f"{who} changes {what} in place{': ' + ', '.join(names) if names else ''}")
    return changed


def random_like(y: Any, rng: np.random.Generator) -> Any:
    """A random output gradient of y's structure."""
    return map_leaves(
        lambda leaf: rng.standard_normal(np.shape(leaf)) if np.shape(leaf) else np.float64(rng.normal(1.5)), y
    )


def strided(dy: Any) -> Any:
    """The same values, every other element of a larger array."""

    def spread(leaf: Any) -> Any:
        if not np.shape(leaf):
            return leaf
        roomy = np.full((*leaf.shape, 2), np.nan)
        roomy[..., 0] = leaf
        return roomy[..., 0]

    return map_leaves(spread, dy)


def dot(dy: Any, y: Any, absolute: bool = False) -> float:
    products = [np.asarray(p) * np.asarray(q) for p, q in zip(leaves(dy), leaves(y), strict=True)]
    return float(sum((np.abs(p) if absolute else p).sum() for p in products))


def named(
    forward: Callable, inputs: dict[str, Any], y: Any, grads: Any, outputs: Sequence[str] | None = None
) -> dict[str, Any]:
    """Outputs and gradients by name: ``outputs``, else the fields of a NamedTuple, else y, or y[0], y[1] …"""
    if not isinstance(y, tuple):
        found = {"y": y}
    else:
        names = outputs or getattr(y, "_fields", None) or [f"y[{i}]" for i in range(len(y))]
        found = dict(zip(names, y, strict=True))
    present = [grad for grad in grads if grad is not None]
    return found | {f"d{name}": grad for name, grad in zip(differentiable(forward, inputs), present, strict=True)}
