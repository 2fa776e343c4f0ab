"""What the author of an exercise says in its ``cases.py``: the calls to compare, and checks of another kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from scratchlv.exercises.wire import Source

UNKNOWN = object()  # what a call should return is what the solution returns


@dataclass(frozen=True)
class Call:
    """A call of one of the learner's functions, whose result is compared."""

    function: str
    inputs: dict[str, Any]
    case: str = ""
    expect: Any = field(default=UNKNOWN, compare=False)
    known: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def functions(self) -> tuple[str, ...]:
        return (self.function,)


@dataclass(frozen=True)
class Pair:
    """A forward pass, whose result is compared, then its backward pass, whose gradients are."""

    forward: str
    backward: str
    inputs: dict[str, Any]
    case: str = ""
    fixed: tuple[str, ...] = ()

    @property
    def functions(self) -> tuple[str, ...]:
        return (self.forward, self.backward)


def call(
    function: str, /, *, case: str = "", expect: Any = UNKNOWN, known: Mapping[str, Any] | None = None, **inputs: Any
) -> Call:
    """Call ``function`` with ``inputs``, in their order and by position.

    Args:
        case: what is special in it, said where it fails: ``"scores of a thousand"``.
        expect: what it should return; without it, what the solution returns.
        known: the diagnosis of a wrong result, and that result: ``{"the sum over k is missing": …}``; NaN equals NaN.
    """
    return Call(function, inputs, case, expect, known or {})


def pair(forward: str, backward: str, /, *, case: str = "", fixed: Sequence[str] = (), **inputs: Any) -> Pair:
    """``y, cache = forward(*inputs)``, then ``grads = backward(dy, cache)`` with a random dy (1 if y is one number).

    Args:
        fixed: floating-point inputs that have no gradient, such as a mask. (Integers never have one.)
    """
    return Pair(forward, backward, inputs, case, tuple(fixed))


def source(text: str) -> Source:
    """A function among the inputs: ``source("lambda x: np.sin(x).sum()")``. It knows ``np`` and ``math``."""
    return Source(text)


class Mistake(Exception):
    """What an author's own check (``grade`` in ``cases.py``) finds wrong.

    Args:
        sentence: what is wrong, to the learner.
        stage: ``"shape"``, ``"dtype"``, ``"value"``, ``"gradient"``, or a word of its own, such as ``"speed"``.
        expected: what was expected, a few lines.
        came: what came.
    """

    def __init__(self, sentence: str, *, stage: str = "value", expected: str = "", came: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.stage, self.expected, self.came = sentence, stage, expected, came


class Learner(Protocol):
    """The learner's file, running in its own process."""

    text: str  # of the file

    def call(self, function: str, /, *inputs: Any, seconds: float | None = None) -> Any:
        """What the learner's function returns: numbers, arrays, strings, None, and tuples, lists and dicts of these."""

    def refuse(self, sentence: str, **more: str) -> NoReturn:
        """Raises :class:`Mistake`."""
