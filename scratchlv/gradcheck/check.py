"""Is a hand-written gradient right? Central differences in float64 tell, and :mod:`scratchlv.gradcheck.diagnose` names the bug.

    report = check(forward, backward, {"x": x, "W": W})
    print(report)

The output gradient is random: with ones, a softmax, whose sum is constant, would pass with a gradient of zero. Every
input is moved along each of its elements (a sample, if there are many) and along random directions. Where the slopes
from left and right differ there is a kink, and the point is skipped. NaN never passes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.errors import UserError
from scratchlv.gradcheck.diagnose import diagnose
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.report import Gradient, Report
from scratchlv.gradcheck.slopes import NOISE, measure
from scratchlv.gradcheck.trees import (
    as_float64,
    close,
    differentiable,
    dot,
    leaves,
    mutations,
    random_like,
    same,
    strided,
)

TOLERANCE = 1e-6  # of the largest element of a gradient; central differences in float64 are right to about 1e-9


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
    remake: Callable[..., dict[str, Any]] | None = None,
    sizes: dict[str, int] | None = None,
    subject: str = "",
) -> Report:
    """Compare ``backward`` with central differences of ``forward``, and name the bug if they differ.

    Args:
        forward: ``forward(**inputs) -> (y, cache)``; y is an array, a scalar, or a tuple of them.
        backward: ``backward(dy, cache)`` -> the gradients of the floating-point inputs, in the order of ``forward``'s
            parameters (None for an input that is None); dy is built like y.
        inputs: by parameter name. Integers, bools, None and keyword-only settings are not differentiated.
        seed: of the output gradient, the sampled elements and the directions.
        tolerance: of a gradient's error, relative to its largest element.
        max_elements: per input, moved one by one; a sample if there are more.
        directions: random directions per input.
        fixed: names of further inputs that have no gradient.
        remake: ``remake(N=1)`` or ``remake(T=1)`` makes inputs with one sequence, or one time step; lets the diagnosis
            try such shapes. Optional.
        sizes: what the dimensions are called, such as ``{"N": 3, "T": 4}``, for the diagnosis. Optional.
        subject: what the report calls it.
    """

    def examine(inputs: dict[str, Any], dy: Any = None) -> _Examination:
        return _examine(forward, backward, as_float64(inputs), seed, tolerance, max_elements, directions, fixed, dy)

    own = inputs
    found = examine(inputs)
    report = Report(subject, gradients=found.gradients, problems=found.problems)
    if found.evidence is not None and found.evidence.wrong:

        def rerun(inputs: dict[str, Any] | None = None, dy: Any = None) -> Evidence | None:
            try:
                return examine(own if inputs is None else inputs, dy).evidence
            except Exception:  # the operation under test may not serve this probe
                return None

        report.diagnosis = diagnose(found.evidence, rerun=rerun, remake=remake, sizes=sizes)
    return report


def check_model(
    params: dict[str, np.ndarray],
    loss_and_grads: Callable[[dict[str, np.ndarray]], tuple[float, dict[str, np.ndarray]]],
    *,
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
        max_elements: per parameter.

    Raises:
        UserError: a parameter is not float64.
    """
    for name, value in params.items():
        if value.dtype != np.float64:
            raise UserError(
                f"gradients are checked in float64, and the parameter {name} is {value.dtype}: convert it first"
            )
    rng = np.random.default_rng(seed)
    params = {name: value.copy() for name, value in params.items()}
    before = copy.deepcopy(params)
    loss, grads = loss_and_grads(params)
    grads = {name: np.array(grad) for name, grad in grads.items()}
    problems = mutations({"the parameters": (before, params)}, "the model")
    problems += [f"{name} has no gradient" for name in params if name not in grads]
    problems += [f"there is a gradient {name}, but no such parameter" for name in grads if name not in params]
    again, grads_again = loss_and_grads(params)
    if not same([loss, grads], [again, grads_again]) and not problems:
        problems.append("two runs differ: freeze the randomness, with a seed or train=False")
    if not np.isfinite(loss):
        problems.append(f"the loss is {loss}")
    report = Report(subject, problems=problems)
    if problems:
        return report
    noise = NOISE * max(1.0, abs(float(loss)))
    for name, value in params.items():
        if grads[name].shape != value.shape:
            problems.append(f"the gradient of {name} has the shape {grads[name].shape}; {name} has {value.shape}")
            continue

        def loss_now() -> float:
            return float(loss_and_grads(params)[0])

        gradient, _ = measure(name, grads[name], value, loss_now, noise, rng, tolerance, max_elements, directions)
        report.gradients.append(gradient)
    return report


@dataclass
class _Examination:
    gradients: list[Gradient]
    problems: list[str]
    evidence: Evidence | None = None  # None where no gradient could be compared


def _examine(
    forward: Callable,
    backward: Callable,
    inputs: dict[str, Any],
    seed: int,
    tolerance: float,
    max_elements: int,
    directions: int,
    fixed: Collection[str],
    dy: Any = None,
) -> _Examination:
    rng = np.random.default_rng(seed)
    grads, dy, problems = _run_watched(forward, backward, inputs, rng, dy)
    if grads is None:
        return _Examination([], problems)
    names = [name for name in differentiable(forward, inputs) if name not in fixed]
    present = [grad for grad in (grads if isinstance(grads, tuple | list) else (grads,)) if grad is not None]
    if len(present) != len(names):
        expected = ", ".join(f"d{name}" for name in names)
        problems.append(f"backward returns {len(present)} gradients, and should return {len(names)}: {expected}")
        return _Examination([], problems)

    def loss() -> float:
        return dot(dy, forward(**inputs)[0])

    noise = NOISE * dot(dy, forward(**inputs)[0], absolute=True)
    y, cache = forward(**inputs)

    def gradients_for(dy: Any) -> dict[str, Any]:
        grads = copy.deepcopy(backward(dy, forward(**inputs)[1]))  # forward first: an object may remember its last run
        present = [grad for grad in (grads if isinstance(grads, tuple | list) else (grads,)) if grad is not None]
        return dict(zip(names, map(np.asarray, present), strict=False))

    evidence = Evidence(inputs, y=y, dy=dy, cache=cache, backward=gradients_for)
    evidence.forward = lambda inputs: forward(**inputs)
    gradients = []
    for name, grad in zip(names, present, strict=True):
        grad = np.asarray(grad)
        if grad.shape != inputs[name].shape:
            problems.append(f"d{name} has the shape {grad.shape}; {name} has {inputs[name].shape}")
            if grad.T.shape == inputs[name].shape:
                problems.append(f"d{name} is consistent with a gradient that is transposed")
            continue
        if not np.isfinite(grad).all():
            problems.append(f"d{name} holds NaN or infinity")
        value, settings = inputs[name], (tolerance, max_elements, directions)
        gradient, numeric = measure(f"d{name}", grad, value, loss, noise, rng, *settings)
        gradients.append(gradient)
        evidence.analytic[name], evidence.numeric[name] = grad, numeric
        if not gradient.ok:
            evidence.wrong.append(name)
    if gradients and not any(gradient.points for gradient in gradients) and any(g.kinks for g in gradients):
        problems.append("every point is at a kink, so nothing was checked: choose other inputs")
    return _Examination(gradients, problems, evidence)


def _run_watched(
    forward: Callable, backward: Callable, inputs: dict[str, Any], rng: np.random.Generator, given: Any = None
) -> tuple[Any, Any, list[str]]:
    """Gradients (None if there are none to compare), the output gradient, and what is wrong besides numbers."""
    untouched = copy.deepcopy(inputs)
    y, cache = forward(**inputs)
    problems = mutations({"its inputs": (untouched, inputs)}, "forward")
    if problems:
        return None, None, problems
    if not same(y, forward(**inputs)[0]):
        return (
            None,
            None,
            ["two runs of forward differ: randomness is not frozen; draw it from a seed that is passed in"],
        )
    if not all(np.isfinite(leaf).all() for leaf in leaves(y)):
        return None, None, ["the output of forward holds NaN or infinity"]
    dy = given if given is not None else random_like(y, rng) if isinstance(y, tuple) or np.shape(y) else np.float64(1)
    watched = {"the output gradient": dy, "its inputs": inputs, "the cache": cache}
    before = copy.deepcopy(watched)
    try:
        grads = copy.deepcopy(backward(dy, cache))  # a copy, since it may be a view of dy or of the cache
        problems = mutations({what: (before[what], watched[what]) for what in watched}, "backward")
        if problems:
            return None, None, problems
        if not same(grads, backward(dy, cache)):
            problems.append("two runs of backward differ: randomness is not frozen")
        elif not close(grads, backward(strided(dy), cache)):
            problems.append("backward is wrong if the output gradient is not contiguous in memory")
    except Exception as error:
        problems = [f"backward raises {type(error).__name__}: {error}"]
        if "matmul" in str(error) or "shapes" in str(error):
            problems.append("shapes that do not fit are consistent with W used for Wᵀ, or a factor on the wrong side")
        return None, None, problems
    return grads, dy, problems
