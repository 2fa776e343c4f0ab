"""The inputs of somebody's forward: which numbers of them can be moved, and how forward is called with them.

Inputs come as arrays, numbers, lists of numbers, and dicts, tuples, dataclasses of these. Whatever holds floating-point
numbers is kept here as a float64 array, by name, and is handed to forward as what it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from scratchlv.device import to_host
from scratchlv.errors import UserError
from scratchlv.gradcheck.trees import Snapshot, map_named

_KINDS = inspect.Parameter


class Refused(Exception):
    """What keeps a check from being made: sentences for the report."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = list(sentences)
        self.output_gradient: Any = None  # that backward was called with, if it is at fault


class Inputs:
    """Inputs that can be moved.

    ``arrays`` has the float64 arrays by name, in the order of forward's parameters: a change in place moves the input.
    ``optional`` are the names of numbers and of keyword-only arrays: settings, if backward returns no gradient for them.
    """

    def __init__(
        self, forward: Callable, inputs: Any, fixed: Collection[str] = (), state: Collection[str] = ()
    ) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.optional: set[str] = set()
        self.integers: set[str] = set()  # arrays of integers, which have no gradient
        self.parameters = _parameters(forward, inputs)
        self.given = {name: inputs[name] for name in self.parameters}
        self.state = _names("state", state, self)
        self._held = [*_names("fixed", fixed, self), *self.state]
        self._restore: dict[str, Callable[[np.ndarray], Any]] = {}  # of what is no array of NumPy
        keyword_only = _of_kind(forward, _KINDS.KEYWORD_ONLY)
        self._tree = {name: self._read(name, value, name in keyword_only) for name, value in self.given.items()}
        self._positional = _of_kind(forward, _KINDS.POSITIONAL_ONLY)
        self._before = [Snapshot(self._tree[name]) for name in self.state]

    def _read(self, name: str, value: Any, keyword_only: bool) -> Any:
        def read(place: str, leaf: Any) -> Any:
            leaf = _numbers(leaf)
            if not isinstance(leaf, np.ndarray | np.generic | float | list) and not _is_device_array(leaf):
                return leaf
            array = np.asarray(to_host(leaf) if _is_device_array(leaf) else leaf)
            if array.dtype.kind == "c" and not self.is_fixed(place):
                raise Refused(
                    f"{place} is complex: gradients are checked of real numbers, so give its real and its imaginary part "
                    "as two inputs"
                )
            if array.dtype == object:
                raise Refused(f"{place} is an array of Python objects: make it one of numbers, of one shape")
            if array.dtype.kind in "iu" and array.ndim:
                self.integers.add(place)
            if array.dtype.kind != "f":
                return leaf.copy() if isinstance(leaf, np.ndarray) else leaf
            moved = array.astype(np.float64)  # a copy
            self.arrays[place] = moved
            if keyword_only or isinstance(leaf, float | np.floating):
                self.optional.add(place)
            if not isinstance(leaf, np.ndarray):
                self._restore[place] = _maker(leaf)
            return moved

        return map_named(read, _lists_as_leaves(value), name)

    def is_fixed(self, name: str) -> bool:
        """Whether the user says that it has no gradient: by its own name, or by that of what it is a part of."""
        return any(name == held or name.startswith((f"{held}[", f"{held}.")) for held in self._held)

    @property
    def moved(self) -> list[str]:
        """The names of all that could have a gradient."""
        return [name for name in self.arrays if not self.is_fixed(name)]

    def call(self, forward: Callable, instead: dict[str, Any] | None = None) -> Any:
        """forward of the inputs as they are now; ``instead`` has by name what is to be taken for some of them."""
        for state in self._before:
            state.restore()
        values = self._tree
        if self._restore or instead:
            others = instead or {}

            def value_of(place: str, leaf: Any) -> Any:
                value = others.get(place, leaf)
                return self._restore[place](value) if place in self._restore else value

            values = {name: map_named(value_of, value, name) for name, value in values.items()}
        if not self._positional:
            return forward(**values)
        rest = {name: value for name, value in values.items() if name not in self._positional}
        return forward(*(values[name] for name in self._positional if name in values), **rest)

    def watched(self) -> dict[str, Snapshot]:
        """By parameter, what forward and backward must not change: all but the state."""
        return {name: Snapshot(value) for name, value in self._tree.items() if name not in self.state}

    def flat(self) -> dict[str, Any]:
        """All inputs by name: the arrays that can be moved, and what else there is."""
        found: dict[str, Any] = {}

        def note(place: str, leaf: Any) -> Any:
            found[place] = leaf
            return leaf

        for name, value in self._tree.items():
            map_named(note, value, name)
        return found


def _parameters(forward: Callable, inputs: Any) -> list[str]:
    """The names of the inputs in the order of forward's parameters."""
    if not isinstance(inputs, dict):
        raise Refused(
            f"inputs is a {type(inputs).__name__}, and should be a dict by the names of forward's parameters, such as "
            '{"x": x, "W": W}'
        )
    signature = signature_of(forward)
    if signature is None:
        return list(inputs)
    parameters = signature.parameters
    takes_any = any(each.kind == _KINDS.VAR_KEYWORD for each in parameters.values())
    named = {n: each for n, each in parameters.items() if each.kind not in (_KINDS.VAR_KEYWORD, _KINDS.VAR_POSITIONAL)}
    wanted = ", ".join(named) or "none"
    missing = [n for n, each in named.items() if n not in inputs and each.default is _KINDS.empty]
    unknown = [str(n) for n in inputs if n not in named]
    if missing:
        raise Refused(f"inputs has no {', '.join(missing)}; forward's parameters are {wanted}")
    if unknown and not takes_any:
        raise Refused(f"forward has no parameter {', '.join(unknown)}; its parameters are {wanted}")
    return [n for n in named if n in inputs] + [n for n in inputs if n not in named]


def signature_of(function: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # a function that is written in C may have none
        return None


def _of_kind(forward: Callable, kind: Any) -> list[str]:
    signature = signature_of(forward)
    return [name for name, each in signature.parameters.items() if each.kind == kind] if signature else []


def _names(argument: str, names: Collection[str], inputs: Inputs) -> list[str]:
    """The names that ``fixed`` or ``state`` has, known to be there.

    Raises:
        UserError: there is no such input.
    """
    names = [names] if isinstance(names, str) else list(names)
    there = list(inputs.given)
    for name in names:
        top = str(name).split("[")[0].split(".")[0]
        if top not in there:
            raise UserError(
                f"{argument} names {name!r}, and there is no such input; there are {', '.join(there) or 'none'}"
            )
    return names


def _is_device_array(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("cupy", "jax", "jaxlib")


def _is_numbers(value: Any) -> bool:
    """A list of numbers, or of such lists, with a float among them."""
    if not isinstance(value, list) or not value:
        return False
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return False
    return array.dtype.kind == "f" and all(not isinstance(item, np.ndarray) for item in value)


class _Numbers:
    """A list of numbers, to be moved like an array."""

    def __init__(self, value: list) -> None:
        self.value = value


def _lists_as_leaves(value: Any) -> Any:
    if _is_numbers(value):
        return _Numbers(value)
    if isinstance(value, dict):
        return {key: _lists_as_leaves(item) for key, item in value.items()} if type(value) is dict else value
    if type(value) in (tuple, list):
        return type(value)(_lists_as_leaves(item) for item in value)
    return value


def _numbers(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, _Numbers) else leaf


def _maker(leaf: Any) -> Callable[[np.ndarray], Any]:
    """What makes of an array the kind of thing that the user gave."""
    if isinstance(leaf, list):
        return lambda array: array.tolist()
    if isinstance(leaf, float | np.floating):
        return lambda array: array[()] if isinstance(leaf, np.floating) else array.item()
    module = __import__(type(leaf).__module__.split(".")[0])
    return (module if module.__name__ == "cupy" else module.numpy).asarray
