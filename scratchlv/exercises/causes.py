"""Why a result is wrong: a known mistake that makes the same numbers, or how the numbers are related to the right ones.

One case may be too small to tell two mistakes apart. So what it suggests has to hold on other cases, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scratchlv.exercises import compare, relations, truth
from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.process import Process, Raised, Trouble
from scratchlv.exercises.truth import Expected

NOT_ASKED = object()  # of gradients: forward itself was wrong
NUMERICAL = 1e-6  # the error of a numerical slope, as a share: who is as near as that, and no nearer, has taken one
_ALIKE = 1e-9
_EXACT = "the gradient is right to as many digits as a numerical slope: derive it, and compute it exactly"
_FLOAT64 = (
    "np.zeros, np.arange and np.sqrt of an integer make float64, unless they are given the dtype of what comes in"
)
_NO_RETURN = "backward returns None: is a return missing?"


def causes(
    process: Process, exercise: Exercise, each: Expected, stage: str, y: Any, grads: Any = NOT_ASKED
) -> tuple[tuple[str, ...], str]:
    """Sentences, and the name of the known mistake.

    Args:
        stage: at which the result is wrong.
        y: what the learner's forward pass gives.
        grads: what the backward pass returns, as it is.
    """
    if grads is None:
        return (_NO_RETURN,), ""
    if grads is not NOT_ASKED and _numerical(each, grads):
        return (_EXACT,), ""
    known = _known_mistakes(process, exercise, each, stage, y, grads)
    if len(known) == 1:
        return (_says(exercise, known[0]),), known[0]
    if len(known) == 2:
        return tuple(f"{word}: {_says(exercise, name)}" for word, name in zip(("either", "or"), known, strict=True)), ""
    if stage == "dtype":
        return (_FLOAT64,), ""
    if stage == "value":
        return tuple(_relation(process, exercise, each, y)), ""
    return (), ""


def _known_mistakes(process: Process, exercise: Exercise, each: Expected, stage: str, y: Any, grads: Any) -> list[str]:
    """The mistakes that make the same numbers as the learner's functions, here and wherever else they show."""
    near = _ALIKE if exercise.kind == "numpy" else exercise.tolerance  # kernels may compute in float32
    near = max(near, compare.FLOAT32) if stage == "dtype" else near
    wrong_here = {
        name: wrong for name, wrong in each.mistakes.items() if _shows(each, wrong, grads, exercise.tolerance)
    }
    names = [name for name, wrong in wrong_here.items() if _makes(wrong, y, grads, near)]
    patched = {each.name for each in exercise.mistakes}  # what cases.py knows, it knows of one case
    asked = grads is not NOT_ASKED
    for other, other_y, other_grads in _elsewhere(process, exercise, asked) if patched & set(names) else ():
        for name in patched & set(names):
            wrong = other.mistakes.get(name)  # None: it raises there
            shows = wrong is not None and _shows(other, wrong, other_grads, near)
            if wrong is None or (shows and not _makes(wrong, other_y, other_grads, near)):
                names.remove(name)
    return names


def _says(exercise: Exercise, mistake: str) -> str:
    """The diagnosis of a patch; a mistake that ``cases.py`` knows is its own diagnosis."""
    return next((each.says for each in exercise.mistakes if each.name == mistake), mistake)


def _elsewhere(process: Process, exercise: Exercise, backward: bool) -> Iterator[tuple[Expected, Any, Any]]:
    """Other cases, with what the learner's functions make of them; not those where they raise.

    Where forward is wrong, backward is not run: it may not be written yet, and what it makes of a wrong cache is no sign.
    """
    for other in truth.expected(exercise, 1):
        pair = len(other.functions) == 2
        try:
            reply = process.ask("call", function=other.functions[0], inputs=list(other.inputs.values()), keep=pair)
            y, grads = reply["result"], NOT_ASKED
            if pair and backward:
                grads = process.ask("backward", function=other.functions[1], dy=other.dy)["result"]
            yield other, y, grads
        except (Raised, KeyError, TypeError):
            continue
        except Trouble:  # the process is gone
            return


def _makes(wrong: tuple[Any, Any], y: Any, grads: Any, near: float) -> bool:
    """Whether a mistake's results are these."""
    wrong_y, wrong_grads = wrong
    if not (compare.same(wrong_y, y, near) and compare.same(y, wrong_y, near)):  # a list for an array is one way alike
        return False
    return grads is NOT_ASKED or compare.same(_tuple(wrong_grads), _tuple(grads), near)


def _shows(case: Expected, wrong: tuple[Any, Any], grads: Any, near: float) -> bool:
    """Whether a mistake makes a difference in a case, in what is looked at: y, or the gradients too."""
    right = NOT_ASKED if grads is NOT_ASKED or case.grads is None else tuple(case.grads.values())
    return not _makes(wrong, case.y, right, near)


def _tuple(value: Any) -> Any:
    return value if isinstance(value, tuple | dict) else tuple(value) if isinstance(value, list) else (value,)


def _numerical(each: Expected, grads: Any) -> bool:
    came = truth.by_name(grads, truth.differentiable(each.inputs, each.fixed)) or {}
    return all(compare.same(value, came.get(name), NUMERICAL) for name, value in (each.grads or {}).items())


def _relation(process: Process, exercise: Exercise, each: Expected, y: Any) -> Iterator[str]:
    found = relations.between(each.y, y, exercise.sizes)
    if found is None:
        return
    for other, other_y, _ in _elsewhere(process, exercise, backward=False):
        if other.functions != each.functions or compare.same(other.y, other_y, exercise.tolerance):
            continue
        again = relations.between(other.y, other_y, exercise.sizes)
        if again is None or again.kind != found.kind:
            return
    yield found.sentence
