"""Is a hand-written gradient right? Slopes in float64 tell, and :mod:`scratchlv.gradcheck.naming.diagnose` names the bug.

    report = check(forward, backward, {"x": x, "W": W})
    print(report)

The output gradient is random: with ones, a softmax, whose sum is constant, would pass with a gradient of zero. Every
input is moved along each of its elements (a sample, if there are many) and along random directions
(:mod:`scratchlv.gradcheck.slopes`). A gradient is right only if it was compared: at a kink it must lie between the slopes
from left and right, and where slopes cannot tell the verdict is "not checked".
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlv.blas import one_thread
from scratchlv.errors import UserError
from scratchlv.gradcheck.calls import Pair, generator
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.examination import Examination, Subject, judged_together, say_digits, slopes_alone
from scratchlv.gradcheck.inputs import Inputs, Refused
from scratchlv.gradcheck.measured import Settings, measure_input
from scratchlv.gradcheck.report import Report
from scratchlv.gradcheck.slices import smallest
from scratchlv.gradcheck.slopes import Loss
from scratchlv.gradcheck.trees import Snapshot, leaves, same

HINTS = ("mend", "line")
TOLERANCE = 1e-6  # of an element of a gradient; slopes in float64 are right to about 1e-9
_SMALL = 100_000  # numbers in the inputs, up to which one thread is faster
_SHRINKING = 1.0  # seconds of this process for a search for smaller inputs that fail
_SHRUNKEN_ELEMENTS = 4  # of each of them that are moved; and all at once, in a random direction


def check(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    inputs: dict[str, Any],
    *,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    max_elements: int = 300,
    directions: int = 2,
    fixed: Collection[str] = (),
    state: Collection[str] = (),
    remake: Callable[..., dict[str, Any]] | None = None,
    sizes: dict[str, int] | None = None,
    subject: str = "",
    intermediates: Sequence[str] = (),
    repair: bool = True,
    hint: str = "mend",
) -> Report:
    """Compare ``backward`` with numerical slopes of ``forward``, and name the bug if they differ.

    Args:
        forward: ``forward(**inputs) -> (y, cache)``; y is an array, a number, or a tuple, list, dict, NamedTuple or
            dataclass of them.
        backward: ``backward(dy, cache)`` -> the gradients of the floating-point inputs, in the order of ``forward``'s
            parameters (None for an input that is None), or by name: ``{"x": dx}`` or ``{"dx": dx}``; dy is built like y, and
            is 1 if y is one number.
        inputs: by parameter name: arrays, numbers, lists of numbers, and dicts, lists or records of these. Integers, bools
            and None are not differentiated; nor are single numbers and keyword-only arrays, unless backward returns their
            gradients.
        seed: of the output gradient, the sampled elements and the directions.
        tolerance: of a gradient's error, relative to the element (or to 1e-4 of the largest one, if that is more).
        max_elements: per input, moved one by one; a sample if there are more.
        directions: random directions per input.
        fixed: names of further inputs that have no gradient, such as a mask or a target.
        state: names of inputs that forward is meant to change, such as running means: they are put back before each call.
        remake: ``remake(N=1)`` or ``remake(T=1)`` makes inputs with one sequence, or one time step; lets the diagnosis
            try such shapes. Optional.
        sizes: what the dimensions are called, such as ``{"N": 3, "T": 4}``, for the diagnosis. Optional.
        subject: what the report calls it.
        intermediates: names of forward's local variables whose gradients backward returns after those of the inputs (a list
            of them where a loop has several, in backward's order): the first wrong one is named. A backward may also yield
            pairs such as ``("da", da)``; and local variables of it that are called ``da`` are looked at in any case.
        repair: look for the line of the bug: backward runs with one line changed, in a process of its own.
        hint: ``"mend"`` shows what would mend that line, ``"line"`` the line alone.

    Raises:
        UserError: ``fixed`` or ``state`` names an input that is not there, or there is no such hint.
    """
    if hint not in HINTS:
        raise UserError(f"hint is {hint!r}, and should be one of {', '.join(map(repr, HINTS))}")
    report = Report(subject)
    sizes, note = _sizes(sizes)
    report.notes += note
    settings = Settings(tolerance, max_elements, directions)

    def make(inputs: dict[str, Any]) -> Inputs:
        return Inputs(forward, inputs, fixed, state)

    with one_thread() if _is_small(inputs) else contextlib.nullcontext():
        try:
            pair, own = Pair(forward, backward, tuple(intermediates)), make(inputs)
            rerun = functools.partial(_rerun, pair, make, inputs, settings, seed)
            case = Subject(pair, inputs, make, rerun, seed, remake, sizes)
            found = Examination(pair, own, settings, seed)
        except Refused as refused:
            report.problems += refused.sentences
            if refused.output_gradient is not None and repair:
                evidence, points = slopes_alone(pair, own, refused.output_gradient, settings, seed)
                report.diagnosis = _conclusions(case, own, evidence, points, repair=True, hint=hint)
            return report
        found.report_to(report)
        if found.evidence.wrong:
            report.smallest = _smallest(pair, make, inputs, settings, seed)
            shapes = ", ".join(f"{name} {shape}" for name, shape in report.smallest.items())
            report.notes += [f"it fails as well with inputs as small as {shapes}"] if shapes else []
            report.diagnosis += _conclusions(case, own, found.evidence, found.known_slopes(), repair=repair, hint=hint)
    return report


def _conclusions(*arguments: Any, **options: Any) -> list[str]:
    """What is wrong. Who looks for it is imported here: a gradient that is right needs none of that."""
    from scratchlv.gradcheck.conclusions import conclusions

    return conclusions(*arguments, **options)


def _is_small(inputs: Any) -> bool:
    return sum(np.size(leaf) for leaf in leaves(inputs)) < _SMALL


def _smallest(
    pair: Pair, make: Callable[[dict], Inputs], given: dict[str, Any], settings: Settings, seed: int
) -> dict[str, tuple[int, ...]]:
    """The shapes of smaller inputs that fail too; empty if none were found in time."""
    until = time.process_time() + _SHRINKING
    few = Settings(settings.tolerance, _SHRUNKEN_ELEMENTS, 1, most_refined=3)

    def fails(inputs: dict[str, Any]) -> bool:
        if time.process_time() > until:
            return False
        try:
            smaller = make(inputs)
            pair.outputs(smaller)  # a shape that forward does not serve is left without a sentence on it
            return bool(Examination(pair, smaller, few, seed, verdicts_alone=True).evidence.wrong)
        except Exception:
            return False

    found = smallest(given, fails)
    return {} if found is given else {name: array.shape for name, array in make(found).arrays.items()}


def _rerun(
    pair: Pair, make: Callable, given: dict, settings: Settings, seed: int, inputs: Any = None, dy: Any = None
) -> Evidence | None:
    """The evidence of other inputs, or of another output gradient; None if the operation does not serve them."""
    try:
        moved = make(given if inputs is None else inputs)
        return Examination(pair, moved, settings, seed, dy=dy, beside=False).evidence
    except Exception:
        return None


def _sizes(sizes: Any) -> tuple[dict[str, int] | None, list[str]]:
    if sizes is None or (isinstance(sizes, dict) and all(isinstance(n, int | np.integer) for n in sizes.values())):
        return sizes, []
    return None, [f'sizes is {sizes!r}, and should be a dict such as {{"N": 3, "T": 4}}: the diagnosis does without it']


# --- a whole model ---------------------------------------------------------------------------------------------------


def check_model(
    params: dict[str, np.ndarray],
    loss_and_grads: Callable[[dict[str, np.ndarray]], tuple[float, dict[str, np.ndarray]]],
    *,
    loss: Callable[[dict[str, np.ndarray]], float] | None = None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    max_elements: int = 12,
    directions: int = 2,
    subject: str = "",
) -> Report:
    """Check a whole model: every parameter, on some of its elements (all if few) and along random directions.

    Args:
        params: float64 arrays by name.
        loss_and_grads: ``loss_and_grads(params) -> (loss, grads)``, with the keys of ``params``; dropout must be off or
            its seed fixed.
        loss: ``loss(params)``, the same number without the backward pass: slopes need nothing else, and take half of the time.
        max_elements: per parameter.

    Raises:
        UserError: a parameter is not float64.
    """
    for name, value in params.items():
        if value.dtype != np.float64:
            raise UserError(
                f"gradients are checked in float64, and the parameter {name} is {value.dtype}: convert it first"
            )
    params = {name: value.copy() for name, value in params.items()}
    report = Report(subject)
    grads, report.problems = _run_model(params, loss_and_grads, loss)
    if report.problems:
        return report
    forward = loss or (lambda params: loss_and_grads(params)[0])
    curve = Loss(lambda: np.array([float(forward(params))]), np.ones(1))
    settings, rng = Settings(tolerance, max_elements, directions, most_refined=4), generator(seed)
    measured = {}
    for name, value in params.items():
        if grads[name].shape != value.shape:
            report.problems.append(
                f"the gradient of {name} has the shape {grads[name].shape}; {name} has {value.shape}"
            )
        else:
            found = measure_input(name, grads[name], value, curve, rng, settings)
            found.gradient = replace(found.gradient, name=name)
            measured[name] = found
    measured = judged_together(measured)
    report.gradients = [each.gradient for each in measured.values()]
    say_digits(report, measured)
    return report


def _run_model(
    params: dict[str, np.ndarray], loss_and_grads: Callable, forward: Callable | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The gradients, and what is wrong besides numbers."""
    watched = {name: Snapshot(value) for name, value in params.items()}
    loss, grads = loss_and_grads(params)
    grads = {name: np.array(grad) for name, grad in grads.items()}
    alone = loss if forward is None else forward(params)
    changed = [name for name, snapshot in watched.items() if snapshot.changed()]
    problems = [f"the model changes the parameters in place: {', '.join(changed)}"] if changed else []
    problems += [f"{name} has no gradient" for name in params if name not in grads]
    problems += [f"there is a gradient {name}, but no such parameter" for name in grads if name not in params]
    if not same([loss, grads], [*loss_and_grads(params)]) and not problems:
        problems.append("two runs differ: freeze the randomness, with a seed or train=False")
    if not np.isfinite(loss):
        problems.append(f"the loss is {loss}")
    elif alone != loss and not problems:
        problems.append(f"loss gives {alone}, and loss_and_grads {loss}: they should compute the same")
    return grads, problems
