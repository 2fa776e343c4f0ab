"""The forward and the backward pass of a reference, line by line: which lines run, what they read, and what they write."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from types import FrameType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from scratchlv.show.explain.tape import Number, Tape, places


class Variable(NamedTuple):
    """An array as it is after a line: the places of its numbers, and which of them the line wrote."""

    name: str
    shape: tuple[int, ...]
    places: list[int]
    written: list[int]  # indices into ``places``


class Step(NamedTuple):
    """A line that ran and wrote something."""

    function: int  # in :attr:`Recording.functions`
    line: int  # of that function's text, from 0
    t: int  # the time step of a loop over time; -1 outside
    reads: tuple[str, ...]
    writes: list[Variable]


class Function(NamedTuple):
    name: str
    text: str  # without its docstring
    numbers: list[int]  # of its lines in the file
    ran: set[int]  # which of them, from 0


class Recording(NamedTuple):
    tape: Tape
    functions: list[Function]
    steps: list[Step]
    inputs: dict[str, tuple[tuple[int, ...], list[int]]]  # shape and places
    gradients: dict[str, tuple[tuple[int, ...], list[int]]]  # of the inputs, by the input's name
    outputs: list[int]  # places of y, all parts one after another
    dy: list[int]
    n_forward: int  # steps of the forward pass


def record(
    forward: FunctionType,
    backward: FunctionType,
    inputs: dict[str, Any],
    dy: Any,
    names: list[str],
    helpers: list[FunctionType] | None = None,
) -> Recording:
    """Run both on the tape. ``names`` are the inputs that have a gradient, in the order of backward's results.

    ``helpers`` are functions that one of them calls, whose lines are shown as well.
    """
    tape = Tape()
    given = {name: tape.numbers(value) if _is_float(value) else value for name, value in inputs.items()}
    shapes = {name: (np.shape(value), places(value, tape)) for name, value in given.items() if _is_float(inputs[name])}
    watched = [forward, backward, *(helpers or [])]
    functions = [_function(each) for each in watched]
    steps: list[Step] = []
    y, cache = _watched(forward, watched, functions, tape, steps, **given)
    n_forward = len(steps)
    flowing = _numbers(tape, dy)
    grads = _watched(backward, watched, functions, tape, steps, flowing, cache)
    gradients = {
        name: (np.shape(grad), places(grad, tape)) for name, grad in zip(names, grads, strict=True) if grad is not None
    }
    return Recording(tape, functions, steps, shapes, gradients, _flat(y, tape), _flat(flowing, tape), n_forward)


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _numbers(tape: Tape, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_numbers(tape, each) for each in value)
    return None if value is None else tape.numbers(value) if np.ndim(value) else tape.give(float(value))


def _flat(value: Any, tape: Tape) -> list[int]:
    if isinstance(value, tuple):
        return [place for each in value for place in _flat(each, tape)]
    return [] if value is None else places(value, tape)


# --- watching --------------------------------------------------------------------------------------------------------


class _Frame:
    """A call of a watched function: what its variables were after the last line that ran."""

    def __init__(self, which: int, text: Function, reads: dict[int, tuple[str, ...]]) -> None:
        self.which, self.text, self.reads = which, text, reads
        self.before: dict[str, list[int]] = {}
        self.last = -1

    def look(self, frame: FrameType, tape: Tape, steps: list[Step]) -> None:
        """What has changed since the last line."""
        written = []
        for name, value in frame.f_locals.items():
            if not _is_traced(value):
                continue
            now = places(value, tape)
            then = self.before.get(name)
            if then == now:
                continue
            fresh = [k for k, place in enumerate(now) if then is None or len(then) != len(now) or then[k] != place]
            self.before[name] = now
            written.append(Variable(name, np.shape(value), now, fresh))
        if written and self.last in self.text.numbers:
            t = frame.f_locals.get("t", -1)
            line = self.text.numbers.index(self.last)
            steps.append(
                Step(self.which, line, t if isinstance(t, int) else -1, self.reads.get(self.last, ()), written)
            )

    def go_on(self, line: int) -> None:
        self.last = line
        if line in self.text.numbers:
            self.text.ran.add(self.text.numbers.index(line))


def _watched(
    function: FunctionType,
    watched: list[FunctionType],
    texts: list[Function],
    tape: Tape,
    steps: list[Step],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call a function; after each line of it, and of the others that it calls, what the line wrote becomes a step."""
    known = {each.__code__: (k, texts[k], _reads(each)) for k, each in enumerate(watched)}

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code not in known:
            return None
        call = _Frame(*known[frame.f_code])

        def follow(frame: FrameType, event: str, _: Any) -> Any:
            if event in ("line", "return"):
                call.look(frame, tape, steps)
                call.go_on(frame.f_lineno)
            return follow

        return follow

    watching = sys.gettrace()
    sys.settrace(enter)
    try:
        return function(*args, **kwargs)
    finally:
        sys.settrace(watching)


def _is_traced(value: Any) -> bool:
    if isinstance(value, Number):
        return True
    return isinstance(value, np.ndarray) and value.dtype == object and value.size > 0


# --- source ----------------------------------------------------------------------------------------------------------


def _function(function: FunctionType) -> Function:
    """Its lines, the head in one, without the docstring."""
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    begins = tree.body[0].end_lineno or 1 if body is not tree.body else body[0].lineno - 1
    head = f"def {function.__name__}({', '.join(arg.arg for arg in tree.args.args)}):\n"
    text = head + "".join(lines[begins:])
    return Function(function.__name__, text, [first, *range(first + begins, first + len(lines))], {0})


def _reads(function: FunctionType) -> dict[int, tuple[str, ...]]:
    """The names that each line of the file reads."""
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    found: dict[int, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.For | ast.If | ast.FunctionDef | ast.With):
            names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                names.append(node.target.id)
            found.setdefault(first + node.lineno - 1, []).extend(names)
    return {line: tuple(dict.fromkeys(names)) for line, names in found.items()}
