"""Inputs, outputs and caches of any structure: arrays in tuples, lists, dicts, dataclasses and other objects."""

from __future__ import annotations

import copy
import dataclasses
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


def first_not_finite(array: Any) -> tuple[int, ...] | None:
    """The place of the first NaN or infinity in an array; None if there is none."""
    places = np.argwhere(~np.isfinite(array))
    return tuple(int(k) for k in places[0]) if len(places) else None


def is_record(value: Any) -> bool:
    """An instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def cast(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if is_float_array(value) or isinstance(value, np.floating) else value


def as_float64(values: Any) -> Any:
    return map_leaves(lambda value: copy.deepcopy(cast(value, np.float64)), values)


def as_float32(values: Any) -> Any:
    return map_leaves(lambda value: cast(value, np.float32), values)


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with the function applied to what it holds."""
    return map_named(lambda _, leaf: function(leaf), value)


def map_named(function: Callable[[str, Any], Any], value: Any, name: str = "") -> Any:
    """The same structure with ``function(name, leaf)`` applied: ``params['W']``, ``xs[0]``, ``cell.W`` are such names."""
    if isinstance(value, dict):
        changed = {key: map_named(function, item, f"{name}[{key!r}]") for key, item in value.items()}
        return changed if type(value) is dict else _like(value, changed)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = zip(value._fields, value, strict=True)
        return type(value)(*(map_named(function, item, f"{name}.{field}") for field, item in fields))
    if isinstance(value, tuple | list):
        return type(value)(map_named(function, item, f"{name}[{i}]") for i, item in enumerate(value))
    if is_record(value):
        changed = copy.copy(value)
        for field in dataclasses.fields(value):
            item = map_named(function, getattr(value, field.name), f"{name}.{field.name}")
            object.__setattr__(changed, field.name, item)  # a frozen one too
        return changed
    return function(name, value)


def _like(value: dict, items: dict) -> dict:
    """An OrderedDict, a defaultdict …, with other items."""
    other = copy.copy(value)
    other.update(items)
    return other


def children(value: Any) -> list[Any] | None:
    """What a container or an object holds; None if it is a leaf."""
    if isinstance(value, np.ndarray):
        return list(value.ravel()) if value.dtype == object else None
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, tuple | list):
        return list(value)
    if hasattr(value, "__dict__") and not callable(value) and not inspect.ismodule(value):
        return list(vars(value).values())
    if hasattr(value, "__slots__"):
        names = [value.__slots__] if isinstance(value.__slots__, str) else value.__slots__
        return [getattr(value, name) for name in names if hasattr(value, name)]
    return None


def walk(value: Any) -> Iterator[Any]:
    """Every container, object and leaf of a structure, once each, in order; as deep or cyclic as it may be."""
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        held = children(item)
        if held is not None:
            if id(item) in seen:
                continue
            seen.add(id(item))
            waiting += reversed(held)
        yield item


def leaves(value: Any) -> Iterator[Any]:
    """The arrays and numbers in a structure of tuples, lists, dicts and objects."""
    for item in walk(value):
        if isinstance(item, np.ndarray | np.generic | int | float | complex) and children(item) is None:
            yield item


def same(a: Any, b: Any) -> bool:
    pairs = list(leaves(a)), list(leaves(b))
    return len(pairs[0]) == len(pairs[1]) and all(map(_equal, *pairs))


def _equal(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")


def close(a: Any, b: Any) -> bool:
    return all(
        np.allclose(p, q, rtol=1e-9, atol=1e-12, equal_nan=True) for p, q in zip(leaves(a), leaves(b), strict=True)
    )


def same_numbers(a: Any, b: Any) -> bool:
    """Whether two arrays of one shape hold the same numbers, but for rounding."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))
    # by hand, for it is asked tens of thousands of times: allclose takes six times as long
    with np.errstate(all="ignore"):
        return bool(((a == b) | (np.abs(a - b) <= 1e-12 + 1e-9 * np.abs(b))).all())


class Snapshot:
    """What a structure holds now: to see whether its arrays are changed in place, and to put them back."""

    def __init__(self, value: Any) -> None:
        self._saved: list[tuple[Any, Any]] = []
        for item in walk(value):
            if isinstance(item, np.ndarray):
                self._saved.append((item, item.copy()))
            elif isinstance(item, list | dict):
                self._saved.append((item, copy.copy(item)))
            elif isinstance(item, np.random.Generator):
                self._saved.append((item, copy.deepcopy(item.bit_generator.state)))
            elif hasattr(item, "__dict__") and children(item) is not None:
                self._saved.append((item, dict(vars(item))))

    def changed(self) -> bool:
        """Whether an array, a list or a dict is no longer what it was; new keys and attributes do not count."""
        return any(self._is_changed(item, before) for item, before in self._saved)

    def shape_changed(self) -> tuple[int, ...] | None:
        """The shape of the first array that is no longer what it was; None if it is no array that changed."""
        arrays = (
            item for item, before in self._saved if isinstance(item, np.ndarray) and self._is_changed(item, before)
        )
        return next((array.shape for array in arrays), None)

    @staticmethod
    def _is_changed(item: Any, before: Any) -> bool:
        if isinstance(item, np.ndarray):
            return item.shape != before.shape or not _equal(item, before)
        if isinstance(item, list):
            return len(item) != len(before) or any(map(_replaced, item, before))
        if isinstance(item, dict):
            return any(key not in item or _replaced(item[key], before[key]) for key in before)
        return isinstance(item, np.random.Generator) and item.bit_generator.state != before

    def restore(self) -> None:
        for item, before in self._saved:
            if isinstance(item, np.ndarray):
                if not _equal(item, before) and item.flags.writeable:
                    item[...] = before
            elif isinstance(item, list):
                item[:] = before
            elif isinstance(item, dict):
                item.clear()
                item.update(before)
            elif isinstance(item, np.random.Generator):
                item.bit_generator.state = before
            else:
                vars(item).clear()
                vars(item).update(before)


def _replaced(now: Any, before: Any) -> bool:
    """Whether an entry is another thing; an equal number is the same."""
    if now is before:
        return False
    try:
        return not _equal(now, before)
    except (TypeError, ValueError):
        return True


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


def dot(dy: Any, y: Any) -> float:
    """Σ dy·y, over all outputs."""
    return float(sum((np.asarray(p) * np.asarray(q)).sum() for p, q in zip(leaves(dy), leaves(y), strict=True)))


def named(
    forward: Callable, inputs: dict[str, Any], y: Any, grads: Any, outputs: Sequence[str] | None = None
) -> dict[str, Any]:
    """Outputs and gradients by name: ``outputs``, else the fields of a NamedTuple, else y, or y[0], y[1] …

    A call may return the first of ``outputs`` alone.
    """
    if not isinstance(y, tuple):
        found = {"y": y}
    else:
        names = (outputs or ())[: len(y)] or getattr(y, "_fields", None) or [f"y[{i}]" for i in range(len(y))]
        found = dict(zip(names, y, strict=True))
    present = [grad for grad in grads if grad is not None]
    return found | {f"d{name}": grad for name, grad in zip(differentiable(forward, inputs), present, strict=True)}
