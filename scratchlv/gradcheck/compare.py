"""A variant of an operation against its reference: how much more it errs than float32 must."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv import ops
from scratchlv.cuda.versions import use_version
from scratchlv.errors import UserError
from scratchlv.gradcheck.check import check
from scratchlv.gradcheck.report import Gradient, Report
from scratchlv.gradcheck.trees import as_float64, cast, map_leaves, named, random_like

DRAWS = 4  # output gradients that a variant is compared on: the rounding errors of one may be small by luck


def check_operation(name: str, variant: str = "reference", case: str | None = None) -> list[Report]:
    """Check a room of ``kernels/`` on its cases, or on one of them.

    The reference is checked with central differences. A float32 variant is compared, forward and backward, with the
    float64 reference: its error may be twice that of the float32 reference, and 4 units in the last place.

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
    if not hasattr(module, "forward"):
        reason = "it updates arrays in place and has no gradient; its variants are compared in its test"
        yield Report(name, label, not_checked=reason)
        return
    cases = operation.room.cases(np.random.default_rng(0))
    if case is not None and case not in cases:
        raise UserError(f"{name} has no case {case!r}; it has {', '.join(map(repr, cases))}")
    for case_name in cases if case is None else [case]:
        inputs = cases[case_name]
        if variant == "reference":
            large = sum(np.size(value) for value in inputs.values()) > 2000
            report = check(module.forward, module.backward, inputs, max_elements=8 if large else 300)
        else:
            with use_version(version):
                report = compare(module, reference, inputs)
        report.subject, report.variant, report.case = name, label, case_name
        yield report


def version_numbers(name: str, variant: str) -> list[int]:
    """The numbered versions of a variant."""
    return sorted(getattr(operation_named(name).variant(variant), "VERSIONS", ()))


def compare(
    module: Any, reference: Any, inputs: dict[str, Any], *, seed: int = 0, dtype: Any = np.float32, draws: int = DRAWS
) -> Report:
    """Compare a variant with the float64 reference, forward and backward, by the rule of :func:`check_operation`.

    It is compared on ``draws`` output gradients.
    """
    rounded = {name: cast(value, dtype) for name, value in inputs.items()}
    limit = module.limits(**rounded) if hasattr(module, "limits") else None
    if limit is not None:
        return Report(not_checked=f"the variant cannot serve this: {limit}")
    exact_inputs, outputs = as_float64(rounded), getattr(reference, "OUTPUTS", None)
    y, _ = reference.forward(**exact_inputs)
    rng = np.random.default_rng(seed)
    dys = [map_leaves(lambda dy: cast(dy, dtype), random_like(y, rng)) for _ in range(draws)]

    def run(module: Any, inputs: dict[str, Any], dtype: Any) -> dict[str, list[np.ndarray]]:
        y, cache = module.forward(**inputs)
        results: dict[str, list[np.ndarray]] = {}
        for dy in dys:
            grads = module.backward(map_leaves(lambda leaf: cast(leaf, dtype), dy), cache)
            for name, value in named(reference.forward, inputs, y, grads, outputs).items():
                results.setdefault(name, []).append(np.asarray(value))
        return results

    exact = run(reference, exact_inputs, np.float64)
    plain, got = run(reference, rounded, dtype), run(module, rounded, dtype)  # last: it may be told to overwrite them
    report = Report()
    if got.keys() != exact.keys():
        report.problems.append(f"it returns {', '.join(got)}; the reference returns {', '.join(exact)}")
    for name in [name for name in exact if name in got]:
        result, expected = got[name][0], exact[name][0]
        if result.shape != expected.shape:
            report.problems.append(f"{name} has the shape {result.shape}, and should have {expected.shape}")
        elif result.dtype != dtype:
            report.problems.append(f"{name} is {result.dtype}, and should be {np.dtype(dtype)}")
        else:
            report.gradients.append(accuracy(name, got[name], plain[name], exact[name], dtype))
    return report


def accuracy(name: str, got: Any, plain: Any, exact: Any, dtype: Any = np.float32) -> Gradient:
    """The largest error of ``got`` and what is allowed: twice the error of ``plain``, and 4 units in the last place.

    All three are sequences of arrays, one of each draw.
    """
    got, plain, exact = (np.stack(arrays).astype(np.float64) for arrays in (got, plain, exact))  # (draws, ...)
    if not exact.size:
        return Gradient(name, 0.0, 0.0)
    largest = np.abs(exact).max()
    unit = float(np.spacing(np.asarray(largest, dtype)))
    scale = largest or 1.0
    allowed = 2 * np.abs(plain - exact).max() + 4 * unit
    errors = np.abs(got - exact)
    worst = tuple(int(k) for k in np.unravel_index(int(errors.argmax()), errors.shape))
    error, tolerance = float(errors.max() / scale), float(allowed / scale)
    return Gradient(name, error, tolerance, worst[1:], float(got[worst]), float(exact[worst]), got.size)


def operation_named(name: str) -> ops.Operation:
    if name not in ops.OPERATIONS:
        raise UserError(f"there is no operation {name!r}; there are {', '.join(ops.OPERATIONS)}")
    return getattr(ops, name)


def step_results(name: str, module: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the ``step`` of an optimiser's variant makes of ``inputs``, by name: the arrays it updates, and what it returns."""
    operation = operation_named(name)
    returned = module.step(**inputs) or ()
    outputs = getattr(operation.variant("reference"), "OUTPUTS", ())
    return {each: inputs[each] for each in operation.room.UPDATED} | dict(zip(outputs, returned, strict=True))
