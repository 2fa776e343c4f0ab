"""Whether somebody's kernel keeps the contract of its room, and is as exact as float32 can be: on all cases of the room."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scratchlv import gradcheck, ops
from scratchlv.bench.own.loading import Own, Refused
from scratchlv.gradcheck.report import Report
from scratchlv.gradcheck.trees import Snapshot, as_float32, leaves, map_leaves, random_like


class Verdict(NamedTuple):
    """On one case: ``wrong`` says why the kernel is refused, ``not_served`` what it says that it cannot do."""

    case: str
    wrong: str = ""
    not_served: str = ""
    report: Report | None = None


def judge(own: Own) -> Iterator[Verdict]:
    """A verdict on each case of the room, one after the other."""
    operation = getattr(ops, own.operation)
    reference = operation.variant("reference")
    for name, inputs in operation.room.cases(np.random.default_rng(0)).items():
        yield _on_case(own, reference, name, inputs)


def _on_case(own: Own, reference: Any, name: str, inputs: dict[str, Any]) -> Verdict:
    try:
        limit = own.limits(**as_float32(inputs))
        if limit is not None:
            return Verdict(name, not_served=str(limit))
        keeps_the_contract(own, reference, as_float32(inputs))
        report = is_exact(own, reference, inputs)
    except Refused as refused:
        return Verdict(name, wrong=str(refused))
    return Verdict(name, report=report)


def is_exact(own: Own, reference: Any, inputs: dict[str, Any], draws: int = 4, seed: int = 0) -> Report:
    """The comparison with the float64 reference, by the room's rule.

    Raises:
        Refused: the kernel is less exact, or makes other shapes or types.
    """
    if own.passes == "step":
        report = gradcheck.compare_step(own, reference, inputs)
    else:
        report = gradcheck.compare(own, reference, inputs, draws=draws, seed=seed)
    problems = [*report.problems, *(str(each) for each in report.gradients if not each.ok)]
    if problems:
        raise Refused("; ".join(problems))
    return report


# --- the contract ----------------------------------------------------------------------------------------------------


def keeps_the_contract(own: Own, reference: Any, inputs: dict[str, Any]) -> None:
    """Twice the same from the same, whatever was computed in between; nothing is changed that was given; nothing is shared.

    Raises:
        Refused: one sentence on what it does instead.
    """
    if own.passes == "step":
        _steps_alike(own, reference, inputs)
        return
    _passes_alike(own, reference, inputs)


def _passes_alike(own: Own, reference: Any, inputs: dict[str, Any]) -> None:
    expected, of_reference = reference.forward(**inputs)
    given, before = inputs, Snapshot(inputs)
    y, cache = own.forward(**given)
    _must_be_like(y, expected)
    if before.changed():
        raise Refused(f"forward changes {_which_changed(inputs, before)}, which it was given: work on a copy")
    for name, array in inputs.items():
        if any(np.shares_memory(part, array) for part in _arrays(y) if isinstance(array, np.ndarray)):
            raise Refused(f"y is a view of {name}: who changes one changes the other; return an array of its own")
    kept = Snapshot(y)
    dy = as_float32(random_like(y, np.random.default_rng(1)))
    cached, dy_before = Snapshot(cache), Snapshot(dy)
    grads = own.backward(dy, cache)
    n_grads = len(tuple(reference.backward(dy, of_reference)))
    if len(grads) != n_grads:
        raise Refused(f"backward returns {len(grads)} gradients, and should return {n_grads}: one for each input")
    for what, snapshot in (("dy", dy_before), ("the inputs", before), ("the cache", cached)):
        if snapshot.changed():
            raise Refused(f"backward changes {what}, which it was given: work on a copy")
    for part in map(_arrays, grads):
        if any(np.shares_memory(each, other) for each in part for other in [*_arrays(dy), *_arrays(inputs)]):
            raise Refused("a gradient is a view of what was given: return an array of its own")
    first = copy.deepcopy((y, [*grads]))
    other = map_leaves(_other, inputs)
    _, other_cache = own.forward(**other)
    own.backward(dy, other_cache)
    if kept.changed():
        raise Refused("y changes when forward is called again: return a new array each time, not one that is kept")
    if not _same((y, [*grads]), first):
        raise Refused("a gradient changes when backward is called again: return new arrays each time")
    again = own.backward(dy, cache)
    if not _same([*again], first[1]):
        raise Refused("backward gives other numbers after another forward pass: all that it needs belongs in the cache")
    y_again, cache_again = own.forward(**inputs)
    if not _same((y_again, [*own.backward(dy, cache_again)]), first):
        raise Refused("the same inputs give other numbers the second time: the bits must be the same")


def _steps_alike(own: Own, reference: Any, inputs: dict[str, Any]) -> None:
    results = []
    for _ in range(2):
        given = copy.deepcopy(inputs)
        others = {name: value for name, value in given.items() if name not in reference.UPDATED}
        before = Snapshot(others)
        returned = own.step(**given)
        if before.changed():
            raise Refused(
                f"step changes {_which_changed(others, before)}: it updates {', '.join(reference.UPDATED)} alone"
            )
        results.append(copy.deepcopy(({name: given[name] for name in reference.UPDATED if name in given}, returned)))
        own.step(**map_leaves(_other, copy.deepcopy(inputs)))
    if not _same(*results):
        raise Refused("the same inputs give other numbers the second time: the bits must be the same")


def _must_be_like(y: Any, expected: Any) -> None:
    """
    Raises:
        Refused: y is no array, or not as many, or on a GPU, or of another type or shape.
    """
    parts, wanted = _parts(y), _parts(expected)
    if len(parts) != len(wanted):
        raise Refused(f"y is {len(parts)} arrays, and should be {len(wanted)}")
    for k, (part, like) in enumerate(zip(parts, wanted, strict=True)):
        name = "y" if len(wanted) == 1 else f"y[{k}]"
        if hasattr(part, "__cuda_array_interface__"):
            raise Refused(
                f"{name} is an array on a GPU, and the inputs are NumPy's: return NumPy's, or use --variant cuda"
            )
        if not isinstance(part, np.ndarray | np.generic | float):
            raise Refused(f"{name} is a {type(part).__name__}, and should be an array")
        if np.shape(part) != np.shape(like):
            raise Refused(f"{name} has the shape {np.shape(part)}, and should have {np.shape(like)}")
        if np.asarray(part).dtype != np.float32 and np.ndim(like):
            raise Refused(f"{name} is {np.asarray(part).dtype}, and should be float32")


def _parts(y: Any) -> list[Any]:
    return [*y] if isinstance(y, tuple | list) else [y]


def _arrays(value: Any) -> list[np.ndarray]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, np.ndarray)]


def _which_changed(inputs: dict[str, Any], before: Snapshot) -> str:
    shape = before.shape_changed()
    return next((name for name, value in inputs.items() if np.shape(value) == shape), "an input")


def _other(value: Any) -> Any:
    """Other numbers of the same shape, and as large."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return np.ascontiguousarray(value[..., ::-1]) * np.float32(0.5) if value.ndim else value * np.float32(0.5)
    return value


def _same(a: Any, b: Any) -> bool:
    """The same bits."""
    ours, theirs = [*leaves(a)], [*leaves(b)]
    return len(ours) == len(theirs) and all(
        np.asarray(p).tobytes() == np.asarray(q).tobytes() for p, q in zip(ours, theirs, strict=True)
    )
