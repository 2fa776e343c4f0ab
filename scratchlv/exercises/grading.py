"""Is a learner's file right? Shape, dtype, value, gradient, in this order; the first stage that fails is told, and why.

The learner's functions run in a process of their own (:mod:`scratchlv.exercises.process`), and give back numbers. These are
compared here with the solution's: nothing that the file does to numpy, or to its own process, changes the verdict.
"""

from __future__ import annotations

import ast
import io
import time
import tokenize
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from scratchlv.errors import UserError
from scratchlv.exercises import compare, relations, truth
from scratchlv.exercises.authoring import Mistake
from scratchlv.exercises.compare import Difference
from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.process import Process, Raised, Trouble
from scratchlv.exercises.truth import Expected
from scratchlv.gradcheck.files import syntax_error

NUMERICAL = 1e-6  # the error of a numerical slope, as a share: who is as near as that, and no nearer, has taken one
_MOST_TEXT = 1 << 20  # bytes of a learner's file


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    exercise: str
    passed: bool
    stage: str = ""  # that failed: start, shape, dtype, value, gradient, limits, or an author's own
    sentence: str = ""
    expected: str = ""
    came: str = ""
    diagnosis: tuple[str, ...] = ()
    mistake: str = ""  # the known mistake that makes the same numbers
    case: str = ""
    call: str = ""  # the call that failed, with small inputs whole
    function: str = ""
    line: int = 0  # of the learner's file
    printed: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    failed: Expected | None = field(default=None, repr=False, compare=False)  # whose gradient is wrong

    def to_dict(self) -> dict[str, Any]:
        names = (
            "exercise",
            "passed",
            "stage",
            "sentence",
            "expected",
            "came",
            "mistake",
            "case",
            "call",
            "function",
            "line",
        )
        return {name: getattr(self, name) for name in names} | {
            "diagnosis": list(self.diagnosis),
            "seconds": self.seconds,
        }


class _Failed(Exception):
    def __init__(self, **verdict: Any) -> None:
        super().__init__(verdict.get("sentence"))
        self.verdict = verdict


def grade(
    exercise: Exercise,
    path: Path,
    *,
    seeds: Iterable[int] = truth.SEEDS,
    wrapper: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """The verdict on a learner's file.

    Args:
        wrapper: a command that the learner's process runs in (:func:`scratchlv.exercises.process.bubblewrap`).
        say: gets lines of progress of long checks.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    began = time.perf_counter()
    process = None
    try:
        text = read_text(path)
        functions = _functions(exercise, text, path)
        process = Process(
            path.resolve(), exercise.kind, exercise.limits, exercise.launch, (exercise.folder.parent,), wrapper=wrapper
        )
        with process:
            _load(process, exercise, functions)
            learner = _Learner(process, text, path.resolve().parent, say)
            for seed in seeds:
                for each in truth.expected(exercise, seed):
                    _compare(process, exercise, each, functions)
            reached = None
            if exercise.grade is not None:
                reached = exercise.grade(learner, np.random.default_rng(0), **exercise.sizes)
        verdict = Verdict(exercise.name, True, notes=(reached,) if isinstance(reached, str) else ())
    except _Failed as failed:
        verdict = Verdict(exercise.name, False, **failed.verdict)
    except Trouble as trouble:
        verdict = Verdict(exercise.name, False, "limits", trouble.sentence, line=trouble.line)
    except Raised as raised:
        verdict = Verdict(exercise.name, False, **_raised(raised))
    except Mistake as mistake:
        verdict = Verdict(exercise.name, False, mistake.stage, mistake.sentence, mistake.expected, mistake.came)
    printed = process.printed if process is not None and hasattr(process, "scratch") else ""
    return replace(verdict, printed=printed, seconds=time.perf_counter() - began)


def process_for(exercise: Exercise, path: Path, **more: Any) -> Process:
    """A process for a learner's file, which cannot read the course."""
    hidden = (exercise.folder.parent,)
    return Process(path.resolve(), exercise.kind, exercise.limits, exercise.launch, hidden, **more)


# --- before anything runs ---------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The text of a learner's file.

    Raises:
        UserError: it is not there, or is no file to be read.
        _Failed: it is too long, empty, or not in its encoding.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file; check the path, or begin with scratchlv exercise start"
        ) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give a file in it") from None
    if len(data) > _MOST_TEXT:
        raise _Failed(stage="start", sentence=f"the file has {len(data) >> 20} MB, which no exercise needs")
    if not data.strip():
        raise _Failed(stage="start", sentence="the file is empty; scratchlv exercise reset puts the stub back")
    try:
        encoding = "utf-8" if path.suffix == ".cu" else tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):
        raise _Failed(stage="start", sentence="the file is not UTF-8 text: save it as UTF-8") from None


def _functions(exercise: Exercise, text: str, path: Path) -> dict[str, int]:
    """By name, the line at which each function of the file begins. Of CUDA C it is not known."""
    if exercise.kind == "cuda":
        return {}
    try:
        tree = ast.parse(text.replace("\r\n", "\n"))
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        if isinstance(error, SyntaxError):
            raise _Failed(stage="start", sentence=_syntax(error, path), line=error.lineno or 0) from None
        raise _Failed(stage="start", sentence=f"the file is no valid Python: {error}") from None
    except (RecursionError, MemoryError):
        raise _Failed(stage="start", sentence="the file nests deeper than Python reads") from None
    return {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _syntax(error: SyntaxError, path: Path) -> str:
    error.filename = str(path.resolve())
    return syntax_error(error, Path(path.name))


def _load(process: Process, exercise: Exercise, functions: dict[str, int]) -> None:
    there = process.ask("load")
    needed = dict.fromkeys(name for case in truth.expected(exercise, 0) for name in case.functions)
    for name in needed:
        if name not in there and exercise.kind != "cuda":
            own = ", ".join(functions) or "none"
            sentence = f"the file has no function {name}, which the stub has; its functions are {own}"
            raise _Failed(stage="start", sentence=sentence)


# --- one case ---------------------------------------------------------------------------------------------------------


def _compare(process: Process, exercise: Exercise, each: Expected, functions: dict[str, int]) -> None:
    """
    Raises:
        _Failed: the learner's result is another.
    """
    pair = len(each.functions) == 2
    where: dict[str, Any] = {"case": each.case, "call": _call(each), "function": each.functions[0]}
    where["line"] = functions.get(each.functions[0], 0)
    reply = _asked(process, where, "call", function=each.functions[0], inputs=list(each.inputs.values()), keep=pair)
    if "no_cache" in reply:
        came = compare.describe(reply["no_cache"])
        sentence = f"{each.functions[0]} returns {came}, and should return y and the cache that backward needs"
        raise _Failed(stage="shape", sentence=sentence, **where)
    name = f"what {each.functions[0]} returns" if not pair else f"{each.functions[0]}'s y"
    found = compare.compare(each.y, reply["result"], exercise.tolerance, name, parts=each.returns)
    if found is not None:
        _fail(process, exercise, each, found, reply["result"], None, where)
    if reply["changed"]:
        sentence = (
            f"{each.functions[0]} changes its inputs, which are the caller's: make new arrays (x = x + 1, not x += 1)"
        )
        raise _Failed(stage="value", sentence=sentence, **where)
    if pair:
        _compare_gradients(process, exercise, each, reply["result"], functions)


def _compare_gradients(process: Process, exercise: Exercise, each: Expected, y: Any, functions: dict[str, int]) -> None:
    forward, backward = each.functions
    where: dict[str, Any] = {"case": each.case, "call": f"{_call(each)}; {backward}(dy, cache)", "function": backward}
    where["line"] = functions.get(backward, 0)
    reply = _asked(process, where, "backward", function=backward, dy=each.dy)
    again = _asked(process, where, "backward", function=backward, dy=each.dy)
    names = truth.differentiable(each.inputs, each.fixed)
    grads = truth.by_name(reply["result"], names)
    if grads is None:
        wanted = ", ".join(f"d{name}" for name in names)
        sentence = f"{backward} returns {compare.describe(reply['result'])}, and should return {wanted}"
        raise _Failed(stage="gradient", sentence=sentence, **where)
    for name in names:
        found = compare.compare((each.grads or {})[name], grads[name], exercise.tolerance, f"d{name}", "gradient")
        if found is not None:
            _fail(process, exercise, each, found, y, reply["result"], where)
    if reply["changed"]:
        sentence = f"{backward} changes dy, which is the caller's: make new arrays"
        raise _Failed(stage="gradient", sentence=sentence, **where)
    if not compare.same(reply["result"], again["result"], 0.0):
        sentence = f"{backward}, called twice, returns two different things: it changes what is in the cache"
        raise _Failed(stage="gradient", sentence=sentence, **where)


def _asked(process: Process, where: dict[str, Any], do: str, **arguments: Any) -> dict:
    """
    Raises:
        _Failed: the learner's code raised, or was stopped.
    """
    try:
        reply = process.ask(do, **arguments)
    except Raised as raised:
        raise _Failed(**(where | _raised(raised, where["function"]))) from None
    except Trouble as trouble:
        raise _Failed(
            **(where | {"stage": "limits", "sentence": trouble.sentence, "line": trouble.line or where["line"]})
        ) from None
    if not isinstance(reply, dict) or not {"changed"} <= set(reply) or not {"result", "no_cache"} & set(reply):
        raise _Failed(**(where | {"stage": "limits", "sentence": "the file wrote to where only the grader writes"}))
    return reply


def _raised(raised: Raised, function: str = "") -> dict[str, Any]:
    """The learner's exception as a verdict."""
    if raised.stage:
        return {"stage": raised.stage, "sentence": raised.message} | ({"line": raised.line} if raised.line else {})
    if raised.type == "NotImplementedError":
        return {"stage": "start", "sentence": raised.message or "a function is not written yet", "line": raised.line}
    if raised.type == "TypeError" and not raised.line and function:
        return {"stage": "start", "sentence": f"{function} cannot be called as the stub says: {raised.message}"}
    name = raised.function.replace("<module>", "") or function
    sentence = f"{name} raises {raised}" if name else f"the file raises {raised} while it is imported"
    return {"stage": "start", "sentence": sentence} | ({"line": raised.line} if raised.line else {})


def _fail(
    process: Process, exercise: Exercise, each: Expected, found: Difference, y: Any, grads: Any, where: dict[str, Any]
) -> NoReturn:
    known = _known_mistakes(process, exercise, each, y, grads)
    diagnosis: tuple[str, ...]
    diagnosis, name = ((_says(exercise, known[0]),), known[0]) if known else ((), "")
    if not known and grads is not None and _numerical(each, grads):
        diagnosis = ("the gradient is right to as many digits as a numerical slope: derive it, and compute it exactly",)
    if not known and found.stage == "value":
        diagnosis = tuple(relations.between(each.y, y, exercise.sizes))
    stage, failed = (found.stage, None) if grads is None else ("gradient", each)
    more = {"expected": found.expected, "came": found.came, "diagnosis": diagnosis, "mistake": name, "failed": failed}
    raise _Failed(stage=stage, sentence=found.sentence, **more, **where)


def _says(exercise: Exercise, mistake: str) -> str:
    """The diagnosis of a patch; a mistake that ``cases.py`` knows is its own diagnosis."""
    return next((each.says for each in exercise.mistakes if each.name == mistake), mistake)


def _known_mistakes(process: Process, exercise: Exercise, each: Expected, y: Any, grads: Any) -> list[str]:
    """The mistakes that make the same numbers as the learner's functions: where several do, other cases tell them apart."""
    near = 1e-9 if exercise.kind == "numpy" else exercise.tolerance  # kernels may compute in float32
    names = [name for name, wrong in each.mistakes.items() if _makes(wrong, y, grads, near)]
    if len(names) > 1:
        for other in truth.expected(exercise, 1):
            result = _tried(process, other)
            left = [name for name in names if name in other.mistakes and _makes(other.mistakes[name], *result, near)]
            names = left or names
            if len(names) == 1:
                break
    return names


def _makes(wrong: tuple[Any, Any], y: Any, grads: Any, near: float) -> bool:
    wrong_y, wrong_grads = wrong
    return compare.same(wrong_y, y, near) and (grads is None or compare.same(_tuple(wrong_grads), _tuple(grads), near))


def _tried(process: Process, case: Expected) -> tuple[Any, Any]:
    """What the learner's functions make of another case; nothing that raises."""
    try:
        pair = len(case.functions) == 2
        reply = process.ask("call", function=case.functions[0], inputs=list(case.inputs.values()), keep=pair)
        grads = process.ask("backward", function=case.functions[1], dy=case.dy)["result"] if pair else None
        return reply.get("result"), grads
    except (Raised, Trouble, KeyError, TypeError):
        return None, None


def _tuple(value: Any) -> Any:
    return value if isinstance(value, tuple | dict) else tuple(value) if isinstance(value, list) else (value,)


def _numerical(each: Expected, grads: Any) -> bool:
    names = truth.differentiable(each.inputs, each.fixed)
    came = truth.by_name(grads, names) or {}
    return all(compare.same((each.grads or {})[name], came.get(name), NUMERICAL) for name in names)


def _call(each: Expected) -> str:
    """The call as one would write it, where its inputs are small."""
    size = sum(np.size(value) if isinstance(value, np.ndarray) else 1 for value in each.inputs.values())
    if size > 16 or any(isinstance(value, dict) for value in each.inputs.values()):
        return f"{each.functions[0]}({', '.join(each.inputs)})"
    return f"{each.functions[0]}({', '.join(f'{name}={_literal(value)}' for name, value in each.inputs.items())})"


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=4, separator=", ", max_line_width=10**6).replace("\n", "")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# --- what an author's own check sees ----------------------------------------------------------------------------------


class _Learner:
    """The learner's file to the author of an exercise: see :class:`scratchlv.exercises.authoring.Learner`."""

    def __init__(self, process: Process, text: str, folder: Path, say: Callable[[str], None]) -> None:
        self._process, self.text, self.folder, self.say = process, text, folder, say

    def call(self, function: str, /, *inputs: Any, seconds: float | None = None) -> Any:
        reply = _asked(
            self._process,
            {"function": function, "line": 0},
            "call",
            seconds=seconds,
            function=function,
            inputs=list(inputs),
        )
        return reply.get("result")

    def refuse(self, sentence: str, **more: str) -> NoReturn:
        raise Mistake(sentence, **more)
