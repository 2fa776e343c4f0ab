"""Evidence from inside: the first gradient of an intermediate that is wrong, while all before it are right.

Backward's local variables ``da``, ``dh`` … are taken for the gradients of forward's ``a``, ``h`` …: both functions are
watched while they run, and forward runs again with such an array moved as soon as it is there. In a loop each round counts:
the first round of backward belongs to the last one of forward.
"""

from __future__ import annotations

import linecache
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np

from scratchlv.gradcheck.calls import Inner
from scratchlv.gradcheck.lineage import lines_that_make, said
from scratchlv.gradcheck.repair.source import unwrapped

SECONDS = 2.0  # that the look may take
STEP = 2.0**-15  # of an array's size
ALLOWED = 1e-4  # of a slope: far above its error, far below that of a bug
_FORMS = ("d{}", "d_{}", "grad_{}", "{}_grad", "d{}_")


@dataclass(frozen=True, eq=False)
class Value:
    """What a local variable was when it was replaced, or when the function ended."""

    name: str
    line: int  # on which it got its last value; 0 if the function was called with it
    array: np.ndarray
    filled: bool = False  # after it was there, as a buffer is
    shared: bool = False  # a part of another variable, or of an input: a move of it moves that too


@dataclass(frozen=True)
class FirstWrong:
    """Where backward goes wrong first."""

    file: str
    lines: list[int]  # that make it, back to what is right; the last of them is where it is wrong
    name: str
    right: tuple[str, ...]  # the gradients that are right before
    round: int | None  # of the loop, from 1; None outside of one
    rounds: int = 1

    def sentence(self) -> str:
        code = linecache.getline(self.file, self.lines[-1]).strip()
        place = f"{os.path.basename(self.file)}, {said(self.lines)}" + (f", `{code}`" if code else "")
        when = "" if self.round is None or self.rounds == 1 else f" in round {self.round} of {self.rounds} of its loop"
        before = (
            f"; {', '.join(self.right)} before it {'is' if len(self.right) == 1 else 'are'} right" if self.right else ""
        )
        return f"{place}: the first wrong gradient inside is {self.name}{when}{before}"


def code_of(function: Any) -> CodeType | None:
    """The code of a function of Python, a method, or what is wrapped; None if there is none."""
    found = unwrapped(function)
    return found[-1] if found else None


# --- watching --------------------------------------------------------------------------------------------------------

Watcher = Callable[[FrameType, bool], None]
"""Is told of a frame before each of its lines, and with True when it ends."""


def _run_watched(call: Callable[[], Any], code: CodeType, watcher: Watcher) -> Any:
    """Run ``call``, and tell the watcher of the first frame of ``code``."""
    watched: list[FrameType] = []

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event in ("line", "return"):
            watcher(frame, event == "return")
        return local

    def start(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is not code or watched:
            return None
        watched.append(frame)
        return local

    before = sys.gettrace()
    sys.settrace(start)
    try:
        return call()
    finally:
        sys.settrace(before)


class _Recorder:
    """Every value that a local array had until it was replaced, in the order in which they were complete."""

    def __init__(self) -> None:
        self._done: list[tuple[int, Value]] = []
        self._now: dict[str, tuple[Any, int, Value]] = {}  # the object, when it changed last, and what it is since
        self._time = self._line = 0

    def __call__(self, frame: FrameType, ends: bool) -> None:
        self._time += 1
        for name, item in frame.f_locals.items():
            if not isinstance(item, np.ndarray | np.floating) or np.asarray(item).dtype.kind != "f":
                continue
            known = self._now.get(name)
            if known is not None and known[0] is item and np.array_equal(known[2].array, item, equal_nan=True):
                continue
            filled = known is not None and known[0] is item
            if known is not None and not filled:
                self._done.append(known[1:])
            shared = isinstance(item, np.ndarray) and item.base is not None and _is_part(item, frame.f_locals)
            self._now[name] = (item, self._time, Value(name, self._line, np.array(item), filled, shared))
        self._line = frame.f_lineno
        if ends:
            self._done += [known[1:] for known in self._now.values()]

    @property
    def values(self) -> list[Value]:
        return [value for _, value in sorted(self._done, key=lambda pair: pair[0])]


def _is_part(item: np.ndarray, variables: dict[str, Any]) -> bool:
    others = (each for each in variables.values() if isinstance(each, np.ndarray) and each is not item)
    return any(each is item.base or each.base is item.base for each in others)


class _Mover:
    """Moves one value of one local array, in place, as soon as it is there."""

    def __init__(self, name: str, number: int, move: np.ndarray) -> None:
        self._name, self._number, self._move = name, number, move
        self._seen: list[Any] = []  # kept, so that no other object gets the same id

    def __call__(self, frame: FrameType, ends: bool) -> None:
        item = frame.f_locals.get(self._name)
        if item is None or (self._seen and self._seen[-1] is item):
            return
        self._seen.append(item)
        if len(self._seen) - 1 == self._number:
            item += self._move


# --- comparing -------------------------------------------------------------------------------------------------------


class Inside:
    """Compares the gradients inside of backward with slopes.

    Args:
        forward: runs forward, and gives all outputs as one vector.
        backward: the gradients by the input's name.
        forward_code, backward_code: of the two functions.
        dy: the output gradient, as one vector.
        inputs: the input arrays; a local variable that is one is no intermediate.
        wrong: the names of the inputs whose gradient is wrong.
    """

    def __init__(
        self,
        forward: Callable[[], np.ndarray],
        backward: Callable[[], dict[str, np.ndarray]],
        forward_code: CodeType,
        backward_code: CodeType,
        dy: np.ndarray,
        inputs: list[np.ndarray],
        wrong: Collection[str],
    ) -> None:
        self._forward, self._code, self._dy = forward, forward_code, dy
        self._backward, self._backward_code, self._wrong = backward, backward_code, wrong
        self._until = time.perf_counter() + SECONDS
        forwards, backwards = _Recorder(), _Recorder()
        _run_watched(forward, forward_code, forwards)
        self._gradients = _run_watched(backward, backward_code, backwards)
        self._of_forward = _by_name(forwards.values)
        self._first = {name: _count_inputs(values, inputs) for name, values in self._of_forward.items()}
        self._of_backward = backwards.values

    def first_wrong(self, given: dict[str, list[Inner]] | None = None) -> FirstWrong | None:
        """The first wrong gradient; None if all are right, or none could be compared.

        ``given`` has gradients by the intermediate's name, if backward gives them away: one for each round.
        """
        gradients = self._given(given) if given else self._found()
        right: list[str] = []
        for value, name, number, (round_, rounds) in gradients:
            verdict = self._is_right(name, number, value.array)
            if verdict is False and (given or self._only_wrong_ones_need(value)):
                there = tuple(dict.fromkeys(each for each in right if each != value.name))
                return FirstWrong(
                    self._backward_code.co_filename,
                    self._lines(value, there),
                    value.name,
                    there,
                    round_ if rounds > 1 and self._in_loop(value.name) else None,
                    rounds,
                )
            if verdict:
                right.append(value.name)
            if time.perf_counter() > self._until:
                return None
        return None

    def _lines(self, value: Value, right: tuple[str, ...]) -> list[int]:
        """That make a gradient, those after it left out: they belong to the next round, or to what becomes of it."""
        made = [line for line in lines_that_make(value.name, self._backward_code, right) if line < value.line]
        return [*made, value.line]

    def _in_loop(self, name: str) -> bool:
        """Whether one line gives a gradient several of its values."""
        lines = [value.line for value in self._of_backward if value.name == name]
        return len(set(lines)) < len(lines)

    def _found(self) -> Iterator[tuple[Value, str, int, tuple[int, int]]]:
        """Backward's local gradients, with the value of forward that each belongs to: its name and number.

        One that gets several values in a round is complete with the last.
        """
        begun = {values[0] for values in _by_name(self._of_backward).values() if not values[0].array.any()}  # as zeros
        of_backward = [value for value in self._of_backward if value not in begun]
        counts = {name: len(values) for name, values in _by_name(of_backward).items()}
        done: dict[str, int] = {}
        for value in of_backward:
            done[value.name] = done.get(value.name, 0) + 1
            name = self._intermediate(value.name)
            if name is None or not value.line:
                continue
            values, first = len(self._of_forward[name]), self._first[name]
            rounds = values - first
            each, rest = divmod(counts[value.name], rounds) if rounds else (0, 1)
            if not rest and done[value.name] % each == 0:
                round_ = done[value.name] // each
                yield value, name, values - round_, (round_, rounds)

    def _given(self, given: dict[str, list[Inner]]) -> Iterator[tuple[Value, str, int, tuple[int, int]]]:
        """The same of gradients that backward gives away, round by round."""
        for i in range(max(map(len, given.values()))):
            for name, inner in given.items():
                count, first = len(self._of_forward.get(name, ())), self._first.get(name, 0)
                if i >= len(inner) or len(inner) != count - first:
                    continue
                line = inner[i].line or next((v.line for v in self._of_backward if v.name in _names(name)), 0)
                yield Value(f"d{name}", line, inner[i].gradient), name, count - 1 - i, (i + 1, count - first)

    def _intermediate(self, gradient: str) -> str | None:
        return next((name for name in self._of_forward if gradient in _names(name)), None)

    def _is_right(self, name: str, number: int, gradient: np.ndarray) -> bool | None:
        """Whether the gradient has the slopes along random directions; None where that cannot be told."""
        if self._of_forward[name][number].filled or self._of_forward[name][number].shared:
            return None  # a move of it would be written over, or would move more than it
        value = self._of_forward[name][number].array
        if value.shape != gradient.shape or not value.ndim or not value.size:
            return None
        rng = np.random.default_rng(number)
        for _ in range(2):
            direction = rng.standard_normal(value.shape)
            step = STEP * (float(np.sqrt(np.mean(value**2))) or 1.0)
            slopes = [self._slope(name, number, direction, s) for s in (step, step / 8)]
            if None in slopes or not np.isfinite(slopes).all():  # type: ignore[arg-type]
                return None
            near, far = slopes[1], slopes[0]
            size = max(float(np.linalg.norm(gradient * direction)), abs(near))  # type: ignore[arg-type]
            if abs(near - far) > ALLOWED * size / 10:  # type: ignore[operator]
                return None  # a kink, or too much rounding
            if abs(float((gradient * direction).sum()) - near) > ALLOWED * size:  # type: ignore[operator]
                return None if self._is_of_what_goes_in(name, number, gradient) else False
        return True

    def _is_of_what_goes_in(self, name: str, number: int, gradient: np.ndarray) -> bool:
        """Whether it is right for what goes into the function that makes the value: many call dh what is the gradient of z,
        where h is tanh z."""
        value = self._of_forward[name][number].array
        direction = np.random.default_rng(number).standard_normal(value.shape)
        step = STEP * (float(np.sqrt(np.mean(value**2))) or 1.0) / 8
        for moved in _through_functions(value, direction):
            slope = self._slope(name, number, moved, step)
            size = float(np.linalg.norm(gradient * direction))
            if slope is not None and size and abs(float((gradient * direction).sum()) - slope) <= ALLOWED * size:
                return True
        return False

    def _only_wrong_ones_need(self, value: Value) -> bool:
        """Whether wrong gradients alone are made from it: else its name stands for something else than it seems to."""
        number = [v for v in self._of_backward if v.name == value.name].index(value)
        mover = _Mover(value.name, number, np.ones(value.array.shape))
        try:
            moved = _run_watched(self._backward, self._backward_code, mover)
        except Exception:
            return False
        return {n for n, grad in self._gradients.items() if not np.array_equal(grad, moved.get(n))} <= set(self._wrong)

    def _slope(self, name: str, number: int, direction: np.ndarray, step: float) -> float | None:
        outputs = []
        for sign in (1, -1):
            mover = _Mover(name, number, sign * step * direction)
            try:
                outputs.append(_run_watched(self._forward, self._code, mover))
            except Exception:  # an array that cannot be changed, or a forward that does not serve this
                return None
        return float(self._dy @ (outputs[0] - outputs[1])) / (2 * step)


def _through_functions(value: np.ndarray, direction: np.ndarray) -> Iterator[np.ndarray]:
    """What a value moves by if what goes into a tanh, σ, ReLU, exp or softmax that makes it moves along a direction."""
    if (value >= 0).all() and (value == 0).any():
        yield direction * (value > 0)
    if (np.abs(value) < 1).all():
        yield direction * (1 - value**2)
    if (value > 0).all():
        yield direction * value
        if (value < 1).all():
            yield direction * value * (1 - value)
            for axis in range(value.ndim):
                if value.shape[axis] > 1 and np.allclose(value.sum(axis), 1):
                    yield value * (direction - (value * direction).sum(axis, keepdims=True))


def _count_inputs(values: list[Value], inputs: list[np.ndarray]) -> int:
    """How many of the values, from the first on, are an input itself, as the initial state of a loop is."""
    for count, value in enumerate(values):
        if not any(value.array.shape == each.shape and np.array_equal(value.array, each) for each in inputs):
            return count
    return len(values)


def _by_name(values: list[Value]) -> dict[str, list[Value]]:
    found: dict[str, list[Value]] = {}
    for value in values:
        found.setdefault(value.name, []).append(value)
    return found


def _names(intermediate: str) -> list[str]:
    return [form.format(intermediate) for form in _FORMS]
