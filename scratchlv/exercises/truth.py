"""What the learner's functions should return: the solution's results, and those of each known mistake, on the same inputs."""

from __future__ import annotations

import ast
import copy
import functools
import math
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratchlv.exercises.authoring import UNKNOWN, Call, Pair
from scratchlv.exercises.exercise import Exercise, module_of
from scratchlv.exercises.wire import Source

SEEDS = range(5)
UNSEEN = range(100, 105)  # of grading: what comes of them is in no course that is handed out
_DY = 0xD7  # the output gradient is drawn apart from the inputs, which a learner may draw from the same seed


@dataclass(frozen=True)
class Expected:
    """One case, with what should come of it."""

    functions: tuple[str, ...]
    inputs: dict[str, Any]
    case: str
    y: Any
    fixed: tuple[str, ...] = ()
    dy: Any = None
    grads: dict[str, Any] | None = None  # by input; None where nothing flows back
    mistakes: dict[str, tuple[Any, Any]] = field(
        default_factory=dict
    )  # y and gradients, by name, or by what is said of it
    returns: tuple[str, ...] = ()  # what the solution calls its results, where there are several


def expected(exercise: Exercise, seed: int) -> Iterator[Expected]:
    """The exercise's cases with their results, the simplest first: computed, or as an exported course has recorded them."""
    yield from _whole(exercise, seed)


@functools.lru_cache(maxsize=256)
def _whole(exercise: Exercise, seed: int) -> tuple[Expected, ...]:
    """Found once: a check asks for a seed's several times, and a class is graded on the same ones. Nobody changes them."""
    if exercise.record is not None:
        return tuple(Expected(**each) for each in exercise.record.cases[seed])
    rng = np.random.default_rng((_DY, seed))
    return tuple(_expected(exercise, case, rng) for case in exercise.cases(seed))


def _expected(exercise: Exercise, case: Call | Pair, rng: np.random.Generator) -> Expected:
    inputs = list(case.inputs.values())
    if isinstance(case, Call):
        known = case.expect is not UNKNOWN
        y = case.expect if known else getattr(_solution(exercise), case.function)(*_made(inputs))
        told = {sentence: (result, None) for sentence, result in case.known.items()}
        wrong = told if known else dict(_of_mistakes(exercise, case)) | told
        names = returned(exercise, case.function, pair=False)
        return Expected(case.functions, case.inputs, case.case, y, mistakes=wrong, returns=names)
    y, cache = getattr(_solution(exercise), case.forward)(*_made(inputs))
    dy = like(y, rng)
    grads = getattr(_solution(exercise), case.backward)(*_made([dy]), cache)
    wrong = dict(_of_mistakes(exercise, case, dy))
    by_input = by_name(grads, differentiable(case.inputs, case.fixed))
    names = returned(exercise, case.forward, pair=True)
    return Expected(case.functions, case.inputs, case.case, y, case.fixed, dy, by_input, wrong, names)


def differentiable(inputs: dict[str, Any], fixed: tuple[str, ...]) -> list[str]:
    """The inputs that have a gradient: arrays of floating point, and lists or dicts of these."""
    return [name for name, value in inputs.items() if name not in fixed and _is_real(value)]


def _is_real(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_real(each) for each in value.values())
    if isinstance(value, tuple | list):
        return any(_is_real(each) for each in value)
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def by_name(grads: Any, names: list[str]) -> dict[str, Any] | None:
    """Gradients by input, however they are returned; None if their number is wrong."""
    if isinstance(grads, dict) and set(grads) == {f"d{name}" for name in names}:
        return {name: grads[f"d{name}"] for name in names}
    if isinstance(grads, dict) and set(grads) == set(names):
        return {name: grads[name] for name in names}
    several = grads if isinstance(grads, tuple | list) else (grads,)
    return dict(zip(names, several, strict=True)) if len(several) == len(names) else None


def like(y: Any, rng: np.random.Generator) -> Any:
    """A random output gradient of y's structure; of one number, too, so that a backward that forgets it is seen."""
    if isinstance(y, dict):
        return {name: like(value, rng) for name, value in y.items()}
    if isinstance(y, tuple | list):
        return tuple(like(value, rng) for value in y)
    if isinstance(y, np.ndarray) and y.ndim:
        return np.asarray(rng.standard_normal(y.shape), y.dtype) if y.dtype.kind == "f" else None
    return None if y is None else float(rng.uniform(0.5, 1.5))


@functools.lru_cache(maxsize=512)
def returned(exercise: Exercise, function: str, *, pair: bool) -> tuple[str, ...]:
    """What the solution calls the results of a function, if it returns several variables; of a pair, those beside the cache."""
    if exercise.suffix != ".py":
        return ()
    nodes = [node for node in ast.parse(exercise.solution).body if isinstance(node, ast.FunctionDef)]
    own = [node for node in nodes if node.name == function]
    values = [node.value for node in ast.walk(own[0]) if isinstance(node, ast.Return)] if own else []
    value = values[-1] if values else None
    if pair and isinstance(value, ast.Tuple):
        value = value.elts[0]
    names = [each.id for each in value.elts if isinstance(each, ast.Name)] if isinstance(value, ast.Tuple) else []
    return tuple(names) if isinstance(value, ast.Tuple) and len(names) == len(value.elts) else ()


# --- running trusted code ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _module(text: str, exercise: Exercise) -> types.ModuleType:
    return module_of(text, exercise.folder / f"solution{exercise.suffix}")


def _solution(exercise: Exercise) -> types.ModuleType:
    return _module(exercise.solution, exercise)


def _of_mistakes(exercise: Exercise, case: Call | Pair, dy: Any = None) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """What each mistake makes of a case: y, and the gradients; where it raises, nothing."""
    for mistake in exercise.mistakes:
        with np.errstate(all="ignore"):
            try:
                module = _module(mistake.planted(exercise.solution), exercise)
                result = getattr(module, case.functions[0])(*_made(list(case.inputs.values())))
            except Exception:
                continue
            if isinstance(case, Call):
                yield mistake.name, (result, None)
            elif isinstance(result, tuple | list) and len(result) == 2:
                yield mistake.name, (result[0], _or_none(getattr(module, case.backward), *_made([dy]), result[1]))


def _or_none(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception:
        return None


def _made(inputs: list[Any]) -> list[Any]:
    """Inputs of one's own, which the function may spoil; source becomes a function."""
    return [
        eval(str(each), {"np": np, "math": math}) if isinstance(each, Source) else copy.deepcopy(each)
        for each in inputs
    ]
