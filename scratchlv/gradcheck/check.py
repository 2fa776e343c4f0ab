"""Is a hand-written gradient right? Central differences in float64 tell, and :mod:`scratchlv.diagnose` names the bug.

    report = check(forward, backward, {"x": x, "W": W})
    print(report)

The output gradient is random: with ones, a softmax, whose sum is constant, would pass with a gradient of zero. Every
input is moved along each of its elements (a sample, if there are many) and along random directions. Where the slopes
from left and right differ there is a kink, and the point is skipped. NaN never passes.
"""

from __future__ import annotations

import copy
import inspect
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

import numpy as np

from scratchlv import ops
from scratchlv.diagnose import Evidence, diagnose
from scratchlv.errors import UserError

TOLERANCE = 1e-6  # of the largest element of a gradient; central differences in float64 are right to about 1e-9
STEP = 2.0**-17  # a power of two, so that x + STEP is exact
NOISE = 5e-10  # rounding error of a slope, as a share of the sum of |dy y|
DRAWS = 4  # output gradients that a variant is compared on: the rounding errors of one may be small by luck


@dataclass(frozen=True)
class Gradient:
    """What was found for one input: the largest error as a share of the gradient's largest element, and where."""

    name: str
    error: float
    tolerance: float
    worst: tuple[int, ...] | None = None  # None: along a random direction, or nothing to compare
    analytic: float = 0.0  # the values there
    numeric: float = 0.0
    points: int = 0  # compared
    kinks: int = 0  # skipped

    @property
    def ok(self) -> bool:
        return bool(self.error <= self.tolerance)  # False for NaN

    def __str__(self) -> str:
        where = "along a random direction" if self.worst is None else f"at {self.worst}"
        text = f"{self.name}: error {self.error:.1e}"
        if not self.ok:
            text += f" {where}: {self.analytic:.6g}, and should be {self.numeric:.6g}"
        if self.kinks:
            text += f" ({self.kinks} point{'s' * (self.kinks > 1)} skipped: a kink, the one-sided slopes differ)"
        return text


@dataclass
class Report:
    """The verdict on one backward pass, and the reasons."""

    subject: str = ""
    variant: str = ""
    case: str = ""
    gradients: list[Gradient] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what is wrong besides numbers: mutation, NaN, shapes …
    diagnosis: list[str] = field(default_factory=list)  # what the errors are consistent with
    not_checked: str = ""  # the reason, if there was nothing to check

    @property
    def ok(self) -> bool:
        return not self.problems and all(gradient.ok for gradient in self.gradients)

    @property
    def worst(self) -> Gradient | None:
        """The gradient that is furthest from its tolerance."""
        return max(self.gradients, key=lambda g: (not g.ok, g.error / (g.tolerance or 1)), default=None)

    @property
    def verdict(self) -> str:
        return "not checked" if self.not_checked else "right" if self.ok else "WRONG"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; numbers that are not finite become text."""
        return {"verdict": self.verdict, **asdict(self, dict_factory=lambda items: {k: _plain(v) for k, v in items})}

    def __str__(self) -> str:
        title = ", ".join(part for part in (self.subject, self.variant, self.case) if part)
        lines = [f"{title}: {self.verdict}" if title else self.verdict]
        lines += [self.not_checked] if self.not_checked else []
        lines += [*self.problems, *map(str, self.gradients)]
        lines += [f"-> {sentence}" for sentence in self.diagnosis]
        return "\n  ".join(lines)


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

    def examine(inputs: dict[str, Any]) -> _Examination:
        return _examine(forward, backward, _as_float64(inputs), seed, tolerance, max_elements, directions, fixed)

    found = examine(inputs)
    report = Report(subject, gradients=found.gradients, problems=found.problems)
    if found.evidence is not None and found.evidence.wrong:

        def rerun(inputs: dict[str, Any]) -> Evidence | None:
            try:
                return examine(inputs).evidence
            except Exception:  # the operation under test may not serve this probe
                return None

        report.diagnosis = diagnose(found.evidence, rerun=rerun, remake=remake, sizes=sizes)
    return report


def check_operation(name: str, variant: str = "reference", case: str | None = None) -> list[Report]:
    """Check a room of ``kernels/`` on its cases, or on one of them.

    The reference is checked with central differences. A float32 variant is compared, forward and backward, with the
    float64 reference: its error may be twice that of the float32 reference, and 4 units in the last place.

    Raises:
        UserError: there is no such operation, variant or case.
    """
    operation = _operation(name)
    if variant not in operation.room.VARIANTS:
        raise UserError(f"{name} has no variant {variant!r}; it has {', '.join(operation.room.VARIANTS)}")
    module, reference = operation.variant(variant), operation.variant("reference")
    if not hasattr(module, "forward"):
        reason = "it updates arrays in place and has no gradient; its variants are compared in its test"
        return [Report(name, variant, not_checked=reason)]
    cases = operation.room.cases(np.random.default_rng(0))
    if case is not None and case not in cases:
        raise UserError(f"{name} has no case {case!r}; it has {', '.join(map(repr, cases))}")
    reports = []
    for case_name in cases if case is None else [case]:
        inputs = cases[case_name]
        if variant == "reference":
            large = sum(np.size(value) for value in inputs.values()) > 2000
            report = check(module.forward, module.backward, inputs, max_elements=8 if large else 300)
        else:
            report = compare(module, reference, inputs)
        report.subject, report.variant, report.case = name, variant, case_name
        reports.append(report)
    return reports


def compare(
    module: Any, reference: Any, inputs: dict[str, Any], *, seed: int = 0, dtype: Any = np.float32, draws: int = DRAWS
) -> Report:
    """Compare a variant with the float64 reference, forward and backward, by the rule of :func:`check_operation`.

    It is compared on ``draws`` output gradients.
    """
    rounded = {name: _cast(value, dtype) for name, value in inputs.items()}
    limit = module.limits(**rounded) if hasattr(module, "limits") else None
    if limit is not None:
        return Report(not_checked=f"the variant cannot serve this: {limit}")
    exact_inputs = _as_float64(rounded)
    y, _ = reference.forward(**exact_inputs)
    rng = np.random.default_rng(seed)
    dys = [_map(lambda dy: _cast(dy, dtype), _random_like(y, rng)) for _ in range(draws)]

    def run(module: Any, inputs: dict[str, Any], dtype: Any) -> dict[str, list[np.ndarray]]:
        y, cache = module.forward(**inputs)
        results: dict[str, list[np.ndarray]] = {}
        for dy in dys:
            grads = module.backward(_map(lambda leaf: _cast(leaf, dtype), dy), cache)
            for name, value in _named(reference.forward, inputs, y, grads).items():
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
    problems = _mutations({"the parameters": (before, params)}, "the model")
    problems += [f"{name} has no gradient" for name in params if name not in grads]
    problems += [f"there is a gradient {name}, but no such parameter" for name in grads if name not in params]
    again, grads_again = loss_and_grads(params)
    if not _same([loss, grads], [again, grads_again]) and not problems:
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

        gradient, _ = _measure(name, grads[name], value, loss_now, noise, rng, tolerance, max_elements, directions)
        report.gradients.append(gradient)
    return report


def run(ops_: Sequence[str], variant: str | None, as_json: bool, out: TextIO | None = None) -> int:
    """``scratchlv gradcheck [OP...] [--variant V] [--json]``: print a table; 1 if a gradient is wrong, else 0.

    All operations if none is named; all their variants if ``variant`` is None.
    """
    out = out or sys.stdout
    reports: list[Report] = []
    names = list(ops_) or list(ops.OPERATIONS)
    rooms = {name: _operation(name).room for name in names}
    if variant is not None and not any(variant in room.VARIANTS for room in rooms.values()):
        have = sorted({name for room in rooms.values() for name in room.VARIANTS})
        raise UserError(f"there is no variant {variant!r} of {', '.join(names)}; there are {', '.join(have)}")
    for name, room in rooms.items():
        for candidate in room.VARIANTS if variant is None else [variant]:
            if candidate in room.VARIANTS:
                reports += check_operation(name, candidate)
            else:
                reports.append(Report(name, candidate, not_checked="there is no such variant"))
    _print_table(reports, out)
    status = 0 if all(report.ok for report in reports) else 1
    if as_json:
        print(json.dumps({"status": status, "reports": [report.to_dict() for report in reports]}), file=out)
    return status


# --- The check itself -----------------------------------------------------------------------------------------------


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
) -> _Examination:
    rng = np.random.default_rng(seed)
    grads, dy, problems = _run_watched(forward, backward, inputs, rng)
    if grads is None:
        return _Examination([], problems)
    names = [name for name in _differentiable(forward, inputs) if name not in fixed]
    present = [grad for grad in (grads if isinstance(grads, tuple | list) else (grads,)) if grad is not None]
    if len(present) != len(names):
        expected = ", ".join(f"d{name}" for name in names)
        problems.append(f"backward returns {len(present)} gradients, and should return {len(names)}: {expected}")
        return _Examination([], problems)

    def loss() -> float:
        return _dot(dy, forward(**inputs)[0])

    noise = NOISE * _dot(dy, forward(**inputs)[0], absolute=True)
    evidence = Evidence(inputs)
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
        gradient, numeric = _measure(f"d{name}", grad, value, loss, noise, rng, *settings)
        gradients.append(gradient)
        evidence.analytic[name], evidence.numeric[name] = grad, numeric
        if not gradient.ok:
            evidence.wrong.append(name)
    if gradients and not any(gradient.points for gradient in gradients) and any(g.kinks for g in gradients):
        problems.append("every point is at a kink, so nothing was checked: choose other inputs")
    return _Examination(gradients, problems, evidence)


def _run_watched(
    forward: Callable, backward: Callable, inputs: dict[str, Any], rng: np.random.Generator
) -> tuple[Any, Any, list[str]]:
    """Gradients (None if there are none to compare), the output gradient, and what is wrong besides numbers."""
    untouched = copy.deepcopy(inputs)
    y, cache = forward(**inputs)
    problems = _mutations({"its inputs": (untouched, inputs)}, "forward")
    if problems:
        return None, None, problems
    if not _same(y, forward(**inputs)[0]):
        return (
            None,
            None,
            ["two runs of forward differ: randomness is not frozen; draw it from a seed that is passed in"],
        )
    if not all(np.isfinite(leaf).all() for leaf in _leaves(y)):
        return None, None, ["the output of forward holds NaN or infinity"]
    dy = _random_like(y, rng)
    watched = {"the output gradient": dy, "its inputs": inputs, "the cache": cache}
    before = copy.deepcopy(watched)
    try:
        grads = copy.deepcopy(backward(dy, cache))  # a copy, since it may be a view of dy or of the cache
        problems = _mutations({what: (before[what], watched[what]) for what in watched}, "backward")
        if problems:
            return None, None, problems
        if not _same(grads, backward(dy, cache)):
            problems.append("two runs of backward differ: randomness is not frozen")
        elif not _close(grads, backward(_strided(dy), cache)):
            problems.append("backward is wrong if the output gradient is not contiguous in memory")
    except Exception as error:
        problems = [f"backward raises {type(error).__name__}: {error}"]
        if "matmul" in str(error) or "shapes" in str(error):
            problems.append("shapes that do not fit are consistent with W used for Wᵀ, or a factor on the wrong side")
        return None, None, problems
    return grads, dy, problems


def _measure(
    name: str,
    analytic: np.ndarray,
    value: np.ndarray,
    loss: Callable[[], float],
    noise: float,
    rng: np.random.Generator,
    tolerance: float,
    max_elements: int,
    directions: int,
) -> tuple[Gradient, np.ndarray]:
    """Compare a gradient with the slopes of the loss; also the slopes, NaN where none was measured.

    ``value`` is moved in place, and put back.
    """
    start = value.copy()
    chosen = np.arange(value.size)
    if value.size > max_elements:
        chosen = np.sort(rng.choice(value.size, max_elements, replace=False))
    slopes: list[tuple[tuple[int, ...] | None, float, float, Callable[[float], float]]] = []

    def along(direction: np.ndarray) -> Callable[[float], float]:
        def loss_at(step: float) -> float:
            value[...] = start + step * direction
            result = loss()
            value[...] = start
            return result

        return loss_at

    def along_element(index: tuple[int, ...]) -> Callable[[float], float]:
        def loss_at(step: float) -> float:
            value[index] = start[index] + step
            result = loss()
            value[index] = start[index]
            return result

        return loss_at

    for i in chosen:
        index = tuple(int(k) for k in np.unravel_index(i, value.shape))
        loss_at = along_element(index)
        slopes.append((index, float(analytic[index]), _central(loss_at, STEP), loss_at))
    for _ in range(directions if value.size > 1 else 0):
        direction = rng.standard_normal(value.shape)
        direction /= np.linalg.norm(direction)  # the slope is then of the size of the gradient's norm
        loss_at = along(direction)
        slopes.append((None, float((analytic * direction).sum()), _central(loss_at, STEP), loss_at))

    largest = max((max(abs(a), abs(n)) for _, a, n, _ in slopes), default=0.0)
    scale = max(largest, noise / tolerance) or 1.0
    numeric = np.full(value.shape, np.nan)
    worst, points, kinks = Gradient(name, 0.0, tolerance), 0, 0
    for where, a, n, loss_at in slopes:
        error = abs(a - n) / scale
        if not error <= tolerance:
            refined = _slope_unless_kink(loss_at, noise)
            if refined is None:
                kinks += 1
                continue
            n, error = refined, abs(a - refined) / scale
        points += 1
        if where is not None:
            numeric[where] = n
        if not error <= worst.error:  # NaN too
            worst = Gradient(name, error, tolerance, where, a, n)
            if np.isnan(error):
                break
    return Gradient(name, worst.error, tolerance, worst.worst, worst.analytic, worst.numeric, points, kinks), numeric


def _central(loss_at: Callable[[float], float], step: float) -> float:
    return (loss_at(step) - loss_at(-step)) / (2 * step)


def _slope_unless_kink(loss_at: Callable[[float], float], noise: float) -> float | None:
    """The slope, or None at a kink: there the one-sided slopes still differ as much when the step is shortened."""
    step, shorter = STEP, STEP / 8

    def gap(step: float) -> float:
        right, left = (loss_at(step) - loss_at(0)) / step, (loss_at(0) - loss_at(-step)) / step
        return abs(right - left)

    wide, narrow = gap(step), gap(shorter)  # on a smooth curve the gap shrinks with the step
    if narrow > wide / 2 + 20 * noise:
        return None
    return _central(loss_at, shorter)


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


# --- Inputs, outputs and caches of any structure --------------------------------------------------------------------


def _differentiable(forward: Callable, inputs: dict[str, Any]) -> list[str]:
    """The names of floating-point array inputs that are not keyword-only settings, in the order of the parameters."""
    parameters = inspect.signature(forward).parameters
    named = [name for name, parameter in parameters.items() if parameter.kind != parameter.KEYWORD_ONLY]
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        named += [name for name in inputs if name not in parameters]
    return [name for name in named if name in inputs and _is_float_array(inputs[name])]


def _is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _cast(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if _is_float_array(value) or isinstance(value, np.floating) else value


def _as_float64(values: Any) -> Any:
    return _map(lambda value: copy.deepcopy(_cast(value, np.float64)), values)


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with the function applied to what it holds."""
    if isinstance(value, dict):
        return {key: _map(function, item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_map(function, item) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(_map(function, item) for item in value)
    return function(value)


def _leaves(value: Any) -> Iterator[Any]:
    """The arrays and numbers in a structure of tuples, lists, dicts and objects."""
    if isinstance(value, np.ndarray | np.generic | int | float):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _leaves(item)
    elif hasattr(value, "__dict__") and not callable(value):
        yield from _leaves(vars(value))


def _same(a: Any, b: Any) -> bool:
    pairs = list(_leaves(a)), list(_leaves(b))
    if len(pairs[0]) != len(pairs[1]):
        return False
    return all(np.array_equal(p, q, equal_nan=np.asarray(p).dtype.kind == "f") for p, q in zip(*pairs, strict=True))


def _close(a: Any, b: Any) -> bool:
    return all(
        np.allclose(p, q, rtol=1e-9, atol=1e-12, equal_nan=True) for p, q in zip(_leaves(a), _leaves(b), strict=True)
    )


def _mutations(watched: dict[str, tuple[Any, Any]], who: str) -> list[str]:
    """A sentence for each thing that is not what it was before."""
    changed = []
    for what, (before, after) in watched.items():
        if not _same(before, after):
            names = (
                [str(key) for key in before if not _same(before[key], after[key])] if isinstance(before, dict) else []
            )
            changed.append(f"{who} changes {what} in place{': ' + ', '.join(names) if names else ''}")
    return changed


def _random_like(y: Any, rng: np.random.Generator) -> Any:
    """A random output gradient of y's structure."""
    return _map(lambda leaf: rng.standard_normal(np.shape(leaf)) if np.shape(leaf) else np.float64(rng.normal(1.5)), y)


def _strided(dy: Any) -> Any:
    """The same values, every other element of a larger array."""

    def spread(leaf: Any) -> Any:
        if not np.shape(leaf):
            return leaf
        roomy = np.full((*leaf.shape, 2), np.nan)
        roomy[..., 0] = leaf
        return roomy[..., 0]

    return _map(spread, dy)


def _dot(dy: Any, y: Any, absolute: bool = False) -> float:
    products = [np.asarray(p) * np.asarray(q) for p, q in zip(_leaves(dy), _leaves(y), strict=True)]
    return float(sum((np.abs(p) if absolute else p).sum() for p in products))


def _named(forward: Callable, inputs: dict[str, Any], y: Any, grads: Any) -> dict[str, Any]:
    """Outputs and gradients by name."""
    outputs = dict(enumerate(y)) if isinstance(y, tuple) else {0: y}
    named = {"y" if len(outputs) == 1 else f"y[{i}]": output for i, output in outputs.items()}
    present = [grad for grad in grads if grad is not None]
    return named | {f"d{name}": grad for name, grad in zip(_differentiable(forward, inputs), present, strict=True)}


# --- The command ----------------------------------------------------------------------------------------------------


def _operation(name: str) -> ops.Operation:
    if name not in ops.OPERATIONS:
        raise UserError(f"there is no operation {name!r}; there are {', '.join(ops.OPERATIONS)}")
    return getattr(ops, name)


HEADINGS = ("operation", "variant", "case", "compared", "error", "allowed", "verdict")


def _row(report: Report) -> tuple[str, ...]:
    worst = report.worst
    numbers = (f"{worst.error:.1e}", f"{worst.tolerance:.1e}") if worst else ("", "")
    names = " ".join(gradient.name for gradient in report.gradients)
    return report.subject, report.variant, report.case, names, *numbers, report.verdict


def _print_table(reports: list[Report], out: TextIO) -> None:
    rows = [_row(report) for report in reports]
    if out.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(*HEADINGS, box=box.SIMPLE)
        for row in rows:
            table.add_row(*row, style="red" if row[-1] == "WRONG" else None)
        Console(file=out).print(table)
    else:
        widths = [max(len(row[k]) for row in [HEADINGS, *rows]) for k in range(len(HEADINGS))]
        for row in [HEADINGS, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=out)
    for report in reports:
        if not report.ok or report.not_checked:
            print(report, file=out)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
