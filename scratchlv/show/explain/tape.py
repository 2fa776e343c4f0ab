"""A reference run on numbers that write down what becomes of them: a tape that a page can play again, with other numbers.

The references compute with arrays of any kind, so they do with arrays of :class:`Number` (dtype object). Each number knows its
place on the tape; what is computed of it is a new entry there. What the tape does not know are choices: a maximum is that
of the numbers it was recorded with, which a softmax forgives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OPERATIONS: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
}
NAMES = tuple(OPERATIONS)


class Tape:
    """Numbers by their places: given ones, and those that an operation made of one or two others."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.operations: list[int] = []  # in :data:`NAMES`; -1: it was given
        self.operands: list[tuple[int, int]] = []
        self._constants: dict[float, Number] = {}

    def give(self, value: float) -> Number:
        return self._append(-1, (-1, -1), float(value))

    def constant(self, value: float) -> Number:
        """A number of the code's own, such as the 1 in 1 - y²."""
        if value not in self._constants:
            self._constants[value] = self.give(value)
        return self._constants[value]

    def compute(self, name: str, *operands: Any) -> Number:
        found = [each if isinstance(each, Number) else self.constant(float(each)) for each in operands]
        value = float(OPERATIONS[name](*(each.value for each in found)))
        places = found[0].place, found[-1].place if len(found) == 2 else -1
        return self._append(NAMES.index(name), places, value)

    def numbers(self, array: Any) -> np.ndarray:
        """An array of given numbers."""
        array = np.asarray(array, np.float64)
        made = np.empty(array.shape, object)
        for index in np.ndindex(array.shape):
            made[index] = self.give(array[index])
        return made

    def play(
        self,
        given: Mapping[int, float] | None = None,
        shifted: Sequence[int] = (-1,),
        by: float = 0.0,
        end: int | None = None,
    ) -> np.ndarray:
        """All values, when the numbers at some places are others; (places, shifts), of the places before ``end``.

        Once for each place in ``shifted``, whose number, given or computed, is moved by ``by``.
        """
        functions, columns = [*OPERATIONS.values()], dict[int, list[int]]()
        for column, place in enumerate(shifted):
            columns.setdefault(place, []).append(column)
        values: Any = np.empty((len(self.values) if end is None else end, len(shifted)))
        for place, (operation, (a, b)) in enumerate(zip(self.operations[: len(values)], self.operands, strict=False)):
            if operation < 0:
                values[place] = (given or {}).get(place, self.values[place])
            else:
                values[place] = (
                    functions[operation](values[a], values[b]) if b >= 0 else functions[operation](values[a])
                )
            if place in columns:
                values[place, columns[place]] += by
        return values

    def _append(self, operation: int, operands: tuple[int, int], value: float) -> Number:
        self.values.append(value)
        self.operations.append(operation)
        self.operands.append(operands)
        return Number(self, len(self.values) - 1, value)


class Number:
    """A float64 with a place on a tape."""

    __slots__ = ("place", "tape", "value")

    def __init__(self, tape: Tape, place: int, value: float) -> None:
        self.tape, self.place, self.value = tape, place, value

    def __add__(self, other: Any) -> Number:
        return self._with("add", self, other)

    def __radd__(self, other: Any) -> Number:
        return self._with("add", other, self)

    def __sub__(self, other: Any) -> Number:
        return self._with("sub", self, other)

    def __rsub__(self, other: Any) -> Number:
        return self._with("sub", other, self)

    def __mul__(self, other: Any) -> Number:
        return self._with("mul", self, other)

    def __rmul__(self, other: Any) -> Number:
        return self._with("mul", other, self)

    def __truediv__(self, other: Any) -> Number:
        return self._with("div", self, other)

    def __rtruediv__(self, other: Any) -> Number:
        return self._with("div", other, self)

    def __pow__(self, other: Any) -> Number:
        return self._with("pow", self, other)

    def __neg__(self) -> Number:
        return self.tape.compute("neg", self)

    def exp(self) -> Number:
        return self.tape.compute("exp", self)

    def log(self) -> Number:
        return self.tape.compute("log", self)

    def tanh(self) -> Number:
        return self.tape.compute("tanh", self)

    def astype(self, dtype: Any) -> Number:
        return self

    def __float__(self) -> float:
        return self.value

    def _with(self, name: str, a: Any, b: Any) -> Any:
        other = b if a is self else a
        if not isinstance(other, Number | int | float | np.number):
            return NotImplemented
        if name == "add" and _is(other, 0.0):
            return self  # the zero that a sum begins with
        return self.tape.compute(name, a, b)

    # numbers are told apart by what they are worth

    def __lt__(self, other: Any) -> bool:
        return self.value < float(other)

    def __le__(self, other: Any) -> bool:
        return self.value <= float(other)

    def __gt__(self, other: Any) -> bool:
        return self.value > float(other)

    def __ge__(self, other: Any) -> bool:
        return self.value >= float(other)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number | int | float | np.number) and self.value == float(other)

    def __hash__(self) -> int:
        return hash(self.place)


def _is(value: Any, number: float) -> bool:
    return not isinstance(value, Number) and float(value) == number


def places(array: Any, tape: Tape) -> list[int]:
    """The places of an array's numbers, in the order of C; numbers that are not on the tape become constants of it."""
    return [
        each.place if isinstance(each, Number) else tape.constant(float(each)).place
        for each in np.asarray(array, object).reshape(-1)
    ]


def values(array: Any) -> np.ndarray:
    """What an array of numbers is worth."""
    return np.array([float(each) for each in np.asarray(array, object).reshape(-1)]).reshape(np.shape(array))
