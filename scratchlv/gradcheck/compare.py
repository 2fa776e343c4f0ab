"""A variant of an operation against its reference: how much more it errs than float32 must."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from scratchlv import ops
from scratchlv.cuda.versions import use_version
from scratchlv.device import to_host
from scratchlv.errors import UserError
from scratchlv.gradcheck.check import check
from scratchlv.gradcheck.report import Gradient, Report
from scratchlv.gradcheck.stochastic import stochastic
from scratchlv.gradcheck.trees import as_float32, as_float64, leaves, map_leaves, named, random_like

DRAWS = 4  # output gradients that a variant is compared on: the rounding errors of one may be small by luck
RUNS, RUNS_OF_LARGE, LARGE = 16, 4, 10_000  # of the stochastically rounded reference; inputs of more numbers are large

Results = dict[str, list[np.ndarray]]  # by name, one for each draw


def check_operation(name: str, variant: str = "reference", case: str | None = None) -> list[Report]:
    """Check a room of ``kernels/`` on its cases, or on one of them.

    The reference is checked with central differences. A float32 variant is compared, forward and backward (an optimiser's
    after a step), with the float64 reference. Its largest error may be twice the largest of the stochastically rounded
    reference, and 4 units in the last place: a bound that is the same on every machine (``docs/numerics.md``).

    Raises:
        UserError: there is no such operation, variant or case.
    """
    return list(check_cases(name, variant, case))


def check_cases(
    name: str, variant: str = "reference", case: str | None = None, version: int | None = None
) -> Iterator[Report]:
    """:func:`check_operation`, report by report; of one numbered ``version`` of the variant, if it is given."""
    operation = operation_named(name)
    if variant not in operation.room.VARIANTS:
        raise UserError(f"{name} has no variant {variant!r}; it has {', '.join(operation.room.VARIANTS)}")
    module, reference = operation.variant(variant), operation.variant("reference")
    label = variant if version is None else f"{variant} {version}"
    in_place = hasattr(module, "step")
    if in_place and variant == "reference":
        yield Report(name, label, not_checked="it updates arrays in place and has no gradient")
        return
    cases = operation.room.cases(np.random.default_rng(0))
    if case is not None and case not in cases:
        raise UserError(f"{name} has no case {case!r}; it has {', '.join(map(repr, cases))}")
    for case_name in cases if case is None else [case]:
        inputs = cases[case_name]
        if variant == "reference":
            large = sum(map(np.size, leaves(inputs))) > 2000
            report = check(module.forward, module.backward, inputs, max_elements=8 if large else 300)
        else:
            with use_version(version):
                report = (compare_step if in_place else compare)(module, reference, inputs)
        report.subject, report.variant, report.case = name, label, case_name
        yield report


def version_numbers(name: str, variant: str) -> list[int]:
    """The numbered versions of a variant."""
    return sorted(getattr(operation_named(name).variant(variant), "VERSIONS", ()))


def compare(
    module: Any,
    reference: Any,
    inputs: dict[str, Any],
    *,
    seed: int = 0,
    draws: int = DRAWS,
    runs: int | None = None,
) -> Report:
    """Compare a float32 variant with the float64 reference, forward and backward, by the rule of :func:`check_operation`.

    It is compared on ``draws`` output gradients, drawn from ``seed``; ``runs`` of the stochastically rounded reference say
    what is allowed.
    """
    rounded = as_float32(inputs)
    limit = _limit(module, rounded)
    if limit is not None:
        return limit
    y, _ = reference.forward(**as_float64(rounded))
    outputs = getattr(reference, "OUTPUTS", None)
    rng = np.random.default_rng(seed)
    dys = [as_float32(random_like(y, rng)) for _ in range(draws)]

    def results(module: Any, dys: list[Any], convert: Callable[[Any], Any]) -> Results:
        own, found = map_leaves(convert, rounded), Results()
        y, cache = module.forward(**own)
        for dy in dys:
            grads = module.backward(map_leaves(convert, dy), cache)
            for name, value in named(reference.forward, own, y, grads, outputs).items():
                found.setdefault(name, []).append(np.asarray(value))
        return found

    exact = results(reference, dys, as_float64)
    rounding = _rounding(lambda k, convert: results(reference, [dys[k]], convert), exact, runs or _runs(inputs))
    return _judge(results(module, dys, copy.copy), exact, rounding)


def compare_step(module: Any, reference: Any, inputs: dict[str, Any], *, runs: int | None = None) -> Report:
    """Compare what ``step`` makes of the arrays that it updates, and what it returns, by the rule of :func:`check_operation`."""
    rounded = as_float32(inputs)
    limit = _limit(module, rounded)
    if limit is not None:
        return limit

    def results(module: Any, convert: Callable[[Any], Any]) -> Results:
        return {name: [value] for name, value in step_results(module, reference, map_leaves(convert, rounded)).items()}

    exact = results(reference, as_float64)
    rounding = _rounding(lambda _, convert: results(reference, convert), exact, runs or _runs(inputs))
    return _judge(results(module, copy.copy), exact, rounding)


def step_results(module: Any, reference: Any, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """What ``step`` makes of ``inputs``: the arrays that it updates, and what it returns; the reference names them."""
    returned = module.step(**inputs) or ()
    updated = {name: np.asarray(to_host(inputs[name])) for name in reference.UPDATED if name in inputs}
    dtype = next(iter(updated.values())).dtype
    names = getattr(reference, "OUTPUTS", ())
    return updated | {name: np.asarray(to_host(value), dtype) for name, value in zip(names, returned, strict=True)}


def _limit(module: Any, inputs: dict[str, Any]) -> Report | None:
    """The report on a variant that cannot serve these inputs."""
    limit = module.limits(**inputs) if hasattr(module, "limits") else None
    return None if limit is None else Report(not_checked=f"the variant cannot serve this: {limit}")


def _runs(inputs: dict[str, Any]) -> int:
    return RUNS_OF_LARGE if sum(map(np.size, leaves(inputs))) > LARGE else RUNS


def _rounding(results: Callable[[int, Callable[[Any], Any]], Results], exact: Results, runs: int) -> dict[str, float]:
    """The largest error of each result in stochastically rounded runs; ``results(draw, convert)`` has one draw's."""
    draws = len(next(iter(exact.values())))
    largest = dict.fromkeys(exact, 0.0)
    for run in range(runs):
        rng, draw = np.random.default_rng(run), run % draws
        for name, (value,) in results(draw, partial(stochastic, rng=rng)).items():
            error = np.abs(value - exact[name][draw]).max(initial=0)
            largest[name] = max(largest[name], float(error))
    return largest


def _judge(got: Results, exact: Results, rounding: dict[str, float]) -> Report:
    report = Report()
    if got.keys() != exact.keys():
        report.problems.append(f"it returns {', '.join(got)}; the reference returns {', '.join(exact)}")
    for name in [name for name in exact if name in got]:
        result, expected = got[name][0], exact[name][0]
        if result.shape != expected.shape:
            report.problems.append(f"{name} has the shape {result.shape}, and should have {expected.shape}")
        elif result.dtype != np.float32:
            report.problems.append(f"{name} is {result.dtype}, and should be float32")
        else:
            report.gradients.append(_accuracy(name, got[name], exact[name], rounding[name]))
    return report


def _accuracy(name: str, got: list[np.ndarray], exact: list[np.ndarray], rounding: float) -> Gradient:
    """The largest error, and what is allowed: twice ``rounding``, and 4 units in the last place of the largest number."""
    value, expected = np.stack(got).astype(np.float64), np.stack(exact)  # (draws, ...)
    if not expected.size:
        return Gradient(name, 0.0, 0.0)
    largest = np.abs(expected).max()
    allowed = 2 * rounding + 4 * float(np.spacing(np.float32(largest)))
    scale = largest or 1.0
    errors = np.abs(value - expected)
    worst = tuple(int(k) for k in np.unravel_index(int(errors.argmax()), errors.shape))
    error, tolerance = float(errors.max() / scale), float(allowed / scale)
    return Gradient(name, error, tolerance, worst[1:], float(value[worst]), float(expected[worst]), value.size)


def operation_named(name: str) -> ops.Operation:
    if name not in ops.OPERATIONS:
        raise UserError(f"there is no operation {name!r}; there are {', '.join(ops.OPERATIONS)}")
    return getattr(ops, name)
