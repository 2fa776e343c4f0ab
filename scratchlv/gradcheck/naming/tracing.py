"""Forward, watched: every NumPy operation that it runs, and its slopes if one of these had another derivative.

A wrong backward pass is the right one of another forward: one whose tanh has another derivative, or that holds one use of a
weight still. :class:`Tracer` runs forward with such a change, so that its slopes tell what backward would return.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.gradcheck.trees import map_leaves

_BUFFERS = ("zeros", "empty", "ones", "full")
_OURS = os.path.dirname(__file__)
DEPTH = 5  # of the calls by which a place in the code is known
MOST_CALLS = 4000
_VIEWS = {
    "transpose",
    "reshape",
    "split",
    "array_split",
    "squeeze",
    "expand_dims",
    "swapaxes",
    "moveaxis",
    "broadcast_to",
}
_INVISIBLE = _VIEWS | {
    "shape",
    "ndim",
    "size",
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "array_equal",
    "isfinite",
}


@dataclass
class Call:
    """One operation that forward runs, with what goes in and comes out."""

    name: str  # "matmul", "tanh", "sum", "getitem" …
    place: tuple  # in the code
    round: int  # how many times that place has been run before
    operands: list[Any]  # copies, as they are without changes
    sources: list[Any]  # the operands themselves, by which their memory is known
    output: Any
    again: Callable[[list[Any]], Any]  # the operation, on other operands


Change = Callable[[Call, list[Any], Any], Any]
"""From the call as it is without changes, its operands and its output now, to the output that it has instead."""


class Diverged(Exception):
    """The run does not do what the first one did."""


class Run:
    """One run of forward: recorded if ``calls`` is None, else compared with these, and changed."""

    def __init__(self, calls: list[Call] | None = None, changes: Mapping[int, Change] | None = None) -> None:
        self.known, self.changes = calls, changes or {}
        self.calls: list[Call] = []
        self.seen: list[list[Any]] | None = None  # the operands, if they are asked for
        self.count = 0
        self.rounds: dict[tuple, int] = {}

    def result(self, name: str, operands: list[Any], output: Any, again: Callable[[list[Any]], Any]) -> Any:
        """The output of an operation that has just been run, as forward gets it."""
        index, self.count = self.count, self.count + 1
        if self.known is None:
            self._record(name, operands, output, again)
            return output
        if index >= len(self.known) or self.known[index].name != name:
            raise Diverged(name)
        if self.seen is not None:
            self.seen.append([np.array(x) if is_float(x) else None for x in operands])
        change = self.changes.get(index)
        return output if change is None else change(self.known[index], operands, output)

    def _record(self, name: str, operands: list[Any], output: Any, again: Callable[[list[Any]], Any]) -> None:
        if self.count > MOST_CALLS:
            raise Diverged("too many operations to follow")
        place = _place()
        round_ = self.rounds.get(place, 0)
        self.rounds[place] = round_ + 1
        self.calls.append(Call(name, place, round_, [_copy(x) for x in operands], operands, _copy(output), again))


class Watched(np.ndarray):
    """An array whose operations are known to a run."""

    run: Run | None

    def __array_finalize__(self, source: Any) -> None:
        self.run = getattr(source, "run", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **settings: Any) -> Any:
        run = next((x.run for x in (*inputs, *(out or ())) if isinstance(x, Watched)), None)
        operands = [plain(x) for x in inputs]
        settings = {name: plain(value) for name, value in settings.items()}

        def again(operands: list[Any]) -> Any:
            return getattr(ufunc, method)(*operands, **settings)

        result = again(operands)
        if method == "at":
            return result
        if run is not None and np.asarray(result).dtype.kind == "f":
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            result = run.result(_NAMES.get(name, name), operands, result, again)
        if out is None:
            return watched(result, run)
        plain(out[0])[...] = result
        return out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = _all_plain(args), _all_plain(kwargs)
        result = function(*args, **kwargs)
        if result is None or self.run is None:
            return result
        name = _NAMES.get(function.__name__, function.__name__)
        if name in _INVISIBLE or not isinstance(result, np.ndarray | np.floating):
            return watched(result, self.run)
        if np.asarray(result).dtype.kind == "f":

            def again(operands: list[Any]) -> Any:
                return function(*_filled(args, iter(operands)), **kwargs)

            result = self.run.result(name, _arrays(args), result, again)
        return watched(result, self.run)

    def __getitem__(self, key: Any) -> Any:
        key = _all_plain(key)
        result = plain(self)[key]
        if self.run is None or np.asarray(result).dtype.kind != "f":
            return result
        if isinstance(result, np.floating):  # keep what is known of a single number
            result = np.asarray(result)
        elif not np.shares_memory(result, plain(self)) and result.size:
            result = self.run.result("getitem", [plain(self), key], result, lambda operands: operands[0][key])
        return watched(result, self.run)

    def _by(self, function: Callable, *args: Any, **kwargs: Any) -> Any:
        return self.__array_function__(function, (), (self, *args), kwargs)

    def dot(self, other: Any, out: Any = None) -> Any:  # type: ignore[override]
        return self._by(np.dot, other)

    def mean(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return self._by(np.mean, *args, **kwargs)

    def var(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return self._by(np.var, *args, **kwargs)

    def std(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return self._by(np.std, *args, **kwargs)

    def copy(self, order: Any = "C") -> Any:
        return self._by(np.copy)


_NAMES = {"add.reduce": "sum", "maximum.reduce": "max", "minimum.reduce": "min", "amax": "max", "amin": "min"}


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.floating) and x.dtype.kind == "f"


def plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, Watched) else x


def watched(result: Any, run: Run | None) -> Any:
    """Arrays of floats as :class:`Watched`; anything else as it is."""
    if isinstance(result, list | tuple) and run is not None:
        return type(result)(watched(part, run) for part in result)
    if isinstance(result, np.ndarray | np.floating) and result.dtype.kind == "f" and run is not None:
        result = np.asarray(result).view(Watched)
        result.run = run
    return result


def _all_plain(x: Any) -> Any:
    return map_leaves(plain, x)


def _arrays(args: Any) -> list[Any]:
    """The arguments, those in lists of arrays too."""
    found: list[Any] = []
    for x in args:
        found += _arrays(x) if _holds_arrays(x) else [x]
    return found


def _filled(args: Any, operands: Iterator[Any]) -> Any:
    """The arguments with others in their places, in the order of :func:`_arrays`."""
    return type(args)(_filled(x, operands) if _holds_arrays(x) else next(operands) for x in args)


def _holds_arrays(x: Any) -> bool:
    return isinstance(x, tuple | list) and any(isinstance(part, np.ndarray) for part in x)


def _copy(x: Any) -> Any:
    return np.array(x) if isinstance(x, np.ndarray | np.generic) else x


def _place() -> tuple:
    """Where forward is: its code and those that it calls, but not NumPy's nor ours."""
    frame: Any = sys._getframe(3)
    found: list[tuple] = []
    while frame is not None and len(found) < DEPTH:
        file = frame.f_code.co_filename
        if file != __file__ and "numpy" not in file:
            found.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


@contextmanager
def _buffers_watched(run: Run) -> Iterator[None]:
    """Arrays that forward makes to fill them later are followed as well."""

    def making(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def made(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            return result if sys._getframe(1).f_code.co_filename.startswith(_OURS) else watched(result, run)

        return made

    before = {name: getattr(np, name) for name in _BUFFERS}
    try:
        for name, function in before.items():
            setattr(np, name, making(function))
        yield
    finally:
        for name, function in before.items():
            setattr(np, name, function)


class Tracer:
    """Runs forward as it is, and changed."""

    def __init__(self, forward: Callable[[dict[str, Any]], Any], inputs: dict[str, Any], names: list[str]) -> None:
        """``names``: of the inputs to follow."""
        self.forward, self.inputs, self.names = forward, inputs, names
        run = Run()
        self.y, self.leaves = self._run(run, {})
        self.calls = run.calls

    def output(self, moved: dict[str, np.ndarray], changes: Mapping[int, Change] | None = None) -> Any:
        """The output with some inputs moved, and with changed operations.

        Raises:
            Diverged: forward takes another way then.
        """
        return self._run(Run(self.calls, changes), moved)[0]

    def operands(self, moved: dict[str, np.ndarray]) -> tuple[Any, list[list[Any]]]:
        """The output with some inputs moved, and the operands of every call; None for those that are no floats."""
        run = Run(self.calls)
        run.seen = []
        y, _ = self._run(run, moved)
        return y, run.seen

    def _run(self, run: Run, moved: dict[str, np.ndarray]) -> tuple[Any, dict[str, np.ndarray]]:
        values = {name: np.array(self.inputs[name]) + moved.get(name, 0.0) for name in self.names}
        given = {**self.inputs, **{name: watched(value, run) for name, value in values.items()}}
        with _buffers_watched(run):
            y, _ = self.forward(given)
        if run.known is not None and run.count != len(run.known):
            raise Diverged("fewer operations")
        return _all_plain(y), values
