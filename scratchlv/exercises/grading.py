"""Is a learner's file right? Shape, dtype, value, gradient, in this order; the first stage that fails is told, and why.

The learner's functions run in a process of their own (:mod:`scratchlv.exercises.process`), and give back numbers. These are
compared here with the solution's: nothing that the file does to numpy, or to its own process, changes the verdict.
"""

from __future__ import annotations

import ast
import stat
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from scratchlv.errors import UserError
from scratchlv.exercises import compare, truth
from scratchlv.exercises.authoring import Mistake
from scratchlv.exercises.causes import NOT_ASKED, causes
from scratchlv.exercises.compare import Difference
from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.process import STRANGE, Process, Raised, Trouble
from scratchlv.exercises.truth import Expected
from scratchlv.exercises.wire import plain

MOST_TEXT = 256 << 10  # bytes of a learner's file
_FEW = 16  # numbers that are shown in a call
_LINE = 80  # letters of a line that are shown


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


class Unfit(Exception):
    """The file is not right: what the verdict says."""

    def __init__(self, **verdict: Any) -> None:
        super().__init__(verdict.get("sentence"))
        self.verdict = verdict


def grade(
    exercise: Exercise,
    path: Path,
    *,
    seeds: Iterable[int] = truth.SEEDS,
    wrapper: tuple[str, ...] = (),
    hidden: tuple[Path, ...] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """The verdict on a learner's file.

    Args:
        wrapper: the command of :func:`scratchlv.exercises.bubblewrap.bubblewrap`, which shuts the learner's process in.
        hidden: what the file must not read, besides the course.
        say: gets lines of progress of long checks.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    began = time.perf_counter()
    process = None
    try:
        text = read_text(path)
        functions = _functions(exercise, text)
        process = process_for(exercise, path, hidden, wrapper=wrapper)
        with process:
            _load(process, exercise, text, functions)
            learner = _Learner(process, text, path.resolve().parent, say)
            for seed in seeds:
                for each in truth.expected(exercise, seed):
                    _compare(process, exercise, each, functions)
            reached = None
            if exercise.grade is not None:
                reached = _own_grade(exercise, learner)
        verdict = Verdict(exercise.name, True, notes=(reached,) if isinstance(reached, str) else ())
    except Unfit as failed:
        verdict = Verdict(exercise.name, False, **failed.verdict)
    except Trouble as trouble:
        verdict = Verdict(exercise.name, False, "limits", trouble.sentence, line=trouble.line)
    except Raised as raised:
        verdict = Verdict(exercise.name, False, **_raised(raised))
    except Mistake as mistake:
        verdict = Verdict(exercise.name, False, mistake.stage, mistake.sentence, mistake.expected, mistake.came)
    printed = process.printed if process is not None and hasattr(process, "scratch") else ""
    return replace(verdict, printed=printed, seconds=time.perf_counter() - began)


def process_for(exercise: Exercise, path: Path, hidden: tuple[Path, ...] = (), **more: Any) -> Process:
    """A process for a learner's file, which cannot read the course, nor what else is hidden."""
    hidden = (exercise.folder.parent, *hidden)
    return Process(path.resolve(), exercise.kind, exercise.limits, exercise.launch, hidden, **more)


def _own_grade(exercise: Exercise, learner: _Learner) -> Any:
    """What the author's own check says of a file that has passed; it may trip over what the learner's functions return.

    Raises:
        Unfit: it did.
    """
    assert exercise.grade is not None
    try:
        return exercise.grade(learner, np.random.default_rng(0), **exercise.sizes)
    except (Mistake, Raised, Trouble, Unfit):
        raise
    except Exception as error:
        sentence = f"the exercise's own check cannot go on with what the file returns: {type(error).__name__}: {error}"
        raise Unfit(stage="value", sentence=sentence) from error


# --- before anything runs ---------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The text of a learner's file.

    Raises:
        UserError: it is not there, or is no file to be read.
        Unfit: it is too long, empty, or not in its encoding.
    """
    data = _bytes(path)
    if len(data) > MOST_TEXT:
        raise Unfit(stage="start", sentence=f"the file has more than {MOST_TEXT >> 10} KB, which no exercise needs")
    if not data.strip():
        raise Unfit(stage="start", sentence="the file is empty; scratchlv exercise reset puts the stub back")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unfit(stage="start", sentence="the file is not UTF-8 text: save it as UTF-8") from None


def _bytes(path: Path) -> bytes:
    """What is in a file, up to one byte more than it may have; of a pipe or a device nothing is read.

    Raises:
        UserError: it is not there, or is no file that can be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path} is {'a folder' if path.is_dir() else 'no file'}: give a file")
        with path.open("rb") as file:
            return file.read(MOST_TEXT + 1)
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file; check the path, or begin with scratchlv exercise start"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; is it yours?") from None


def _functions(exercise: Exercise, text: str) -> dict[str, int]:
    """By name, the line at which each function of the file begins. Of CUDA C it is not known."""
    if exercise.kind == "cuda":
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown escape in a text, say
            tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        raise Unfit(stage="start", sentence=_syntax(error), line=getattr(error, "lineno", 0) or 0) from None
    except (RecursionError, MemoryError):
        raise Unfit(stage="start", sentence="the file nests deeper than Python reads") from None
    return {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _syntax(error: SyntaxError | ValueError) -> str:
    if not isinstance(error, SyntaxError) or not error.lineno:
        return f"the file is no valid Python: {error}"
    text = f": `{plain(error.text.strip(), _LINE)}`" if error.text and error.text.strip() else ""
    return f"the file is no valid Python: {error.msg} (line {error.lineno}{text}); mend that line"


def _load(process: Process, exercise: Exercise, text: str, functions: dict[str, int]) -> None:
    there = process.ask("load", text=text)
    if not isinstance(there, list):
        raise Trouble(STRANGE)
    needed = dict.fromkeys(name for case in truth.expected(exercise, 0) for name in case.functions)
    for name in needed:
        if name not in there and exercise.kind != "cuda":
            own = ", ".join(functions) or "none"
            sentence = f"the file has no function {name}, which the stub has; its functions are {own}"
            raise Unfit(stage="start", sentence=sentence)


# --- one case ---------------------------------------------------------------------------------------------------------


def _compare(process: Process, exercise: Exercise, each: Expected, functions: dict[str, int]) -> None:
    """
    Raises:
        Unfit: the learner's result is another.
    """
    pair = len(each.functions) == 2
    where: dict[str, Any] = {"case": each.case, "call": _call(each), "function": each.functions[0]}
    where["line"] = functions.get(each.functions[0], 0)
    reply = _asked(process, where, "call", function=each.functions[0], inputs=list(each.inputs.values()), keep=pair)
    if "no_cache" in reply:
        came = compare.describe(reply["no_cache"])
        sentence = f"{each.functions[0]} returns {came}, and should return y and the cache that backward needs"
        raise Unfit(stage="shape", sentence=sentence, **where)
    name = f"what {each.functions[0]} returns" if not pair else f"{each.functions[0]}'s y"
    found = compare.compare(each.y, reply["result"], exercise.tolerance, name, parts=each.returns)
    if found is not None:
        _fail(process, exercise, each, found, where, reply["result"])
    if reply["changed"]:
        sentence = (
            f"{each.functions[0]} changes its inputs, which are the caller's: make new arrays (x = x + 1, not x += 1)"
        )
        raise Unfit(stage="value", sentence=sentence, **where)
    if pair:
        _compare_gradients(process, exercise, each, reply["result"], functions)


def _compare_gradients(process: Process, exercise: Exercise, each: Expected, y: Any, functions: dict[str, int]) -> None:
    forward, backward = each.functions
    where: dict[str, Any] = {
        "case": each.case,
        "call": f"{_call(each)}; {backward}({_output_gradient(each)}, cache)",
        "function": backward,
    }
    where["line"] = functions.get(backward, 0)
    reply = _asked(process, where, "backward", function=backward, dy=each.dy)
    again = _asked(process, where, "backward", function=backward, dy=each.dy)
    names = truth.differentiable(each.inputs, each.fixed)
    grads = truth.by_name(reply["result"], names)
    if grads is None:
        wanted = ", ".join(f"d{name}" for name in names)
        sentence = f"{backward} returns {compare.describe(reply['result'])}, and should return {wanted}"
        raise Unfit(stage="gradient", sentence=sentence, **where)
    for name in names:
        found = compare.compare((each.grads or {})[name], grads[name], exercise.tolerance, f"d{name}", "gradient")
        if found is not None:
            _fail(process, exercise, each, found, where, y, reply["result"])
    if reply["changed"]:
        sentence = f"{backward} changes dy, which is the caller's: make new arrays"
        raise Unfit(stage="gradient", sentence=sentence, **where)
    if not compare.same(reply["result"], again["result"], 0.0):
        sentence = f"{backward}, called twice, returns two different things: it changes what is in the cache"
        raise Unfit(stage="gradient", sentence=sentence, **where)


def _asked(process: Process, where: dict[str, Any], do: str, **arguments: Any) -> dict:
    """
    Raises:
        Unfit: the learner's code raised, or was stopped.
    """
    try:
        reply = process.ask(do, **arguments)
    except Raised as raised:
        raise Unfit(**(where | _raised(raised, where["function"]))) from None
    except Trouble as trouble:
        raise Unfit(
            **(where | {"stage": "limits", "sentence": trouble.sentence, "line": trouble.line or where["line"]})
        ) from None
    if not isinstance(reply, dict) or not {"changed"} <= set(reply) or not {"result", "no_cache"} & set(reply):
        raise Unfit(**(where | {"stage": "limits", "sentence": STRANGE}))
    return reply


def _raised(raised: Raised, function: str = "") -> dict[str, Any]:
    """The learner's exception as a verdict."""
    if raised.stage:
        return {"stage": raised.stage, "sentence": raised.message} | ({"line": raised.line} if raised.line else {})
    if raised.type == "NotImplementedError":
        return {"stage": "start", "sentence": raised.message or "a function is not written yet", "line": raised.line}
    if raised.type == "TypeError" and not raised.line and function:
        return {"stage": "start", "sentence": f"{function} cannot be called as the stub says: {raised.message}"}
    if raised.type == "SyntaxError" and raised.line and not function:
        sentence = f"the file is no valid Python: {raised.message} (line {raised.line}); mend that line"
        return {"stage": "start", "sentence": sentence, "line": raised.line}
    name = raised.function.replace("<module>", "") or function
    sentence = f"{name} raises {raised}" if name else f"the file raises {raised} while it is imported"
    return {"stage": "start", "sentence": sentence} | ({"line": raised.line} if raised.line else {})


def _fail(
    process: Process,
    exercise: Exercise,
    each: Expected,
    found: Difference,
    where: dict[str, Any],
    y: Any,
    grads: Any = NOT_ASKED,
) -> NoReturn:
    diagnosis, mistake = causes(process, exercise, each, found.stage, y, grads)
    stage, failed = (found.stage, None) if grads is NOT_ASKED else ("gradient", each)
    more = {"expected": found.expected, "came": found.came, "diagnosis": diagnosis, "mistake": mistake}
    raise Unfit(stage=stage, sentence=found.sentence, failed=failed, **more, **where)


def _call(each: Expected) -> str:
    """The call as one would write it, where its inputs are small."""
    size = sum(np.size(value) if isinstance(value, np.ndarray) else 1 for value in each.inputs.values())
    if size > _FEW or any(isinstance(value, dict) for value in each.inputs.values()):
        return f"{each.functions[0]}({', '.join(each.inputs)})"
    return f"{each.functions[0]}({', '.join(f'{name}={_literal(value)}' for name, value in each.inputs.items())})"


def _output_gradient(each: Expected) -> str:
    """dy, with its numbers if they are few."""
    if isinstance(each.dy, float) or (isinstance(each.dy, np.ndarray) and each.dy.size <= _FEW):
        return f"dy={_literal(each.dy)}"
    return "dy"


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return compare.one_line(value)
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
