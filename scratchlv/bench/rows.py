"""The rows of the bench: every version of a room, checked against the float64 reference, then timed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from scratchlv import gradcheck, ops
from scratchlv.bench import machine
from scratchlv.bench.ceilings import Ceilings
from scratchlv.bench.timing import Timing, time_calls
from scratchlv.bench.workloads import ROOMS, Workload
from scratchlv.errors import UserError
from scratchlv.gradcheck.trees import is_float_array, map_leaves

Call = Callable[[], Any]
_COLD_SECONDS = 0.2
WINOGRAD_ROUNDING = 4e-6  #: of the largest sum of magnitudes (kernels/conv2d/README.md)
_CURVE_SECONDS = 0.08  # for a point of a curve


@dataclass
class Row:
    """One pass of one version, on one workload; either timed, or with the reason why it was not."""

    operation: str
    version: str
    part: str  # "forward", "backward", "both", "step"; empty where nothing was timed
    shapes: str
    dtype: str = "float32"
    wrong: str = ""
    not_served: str = ""
    warm: Timing | None = None
    cold: Timing | None = None
    operations: float = 0.0
    bytes: float = 0.0
    least_seconds: float = 0.0  # at the ceiling
    first_call_seconds: float = 0.0  # of all passes, on the smallest size
    compiled: int = 0  # kernels, in that first call; 0: they came from disk, or there are none

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.operation, self.version, self.part)))

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return self.operations / self.bytes if self.bytes else 0.0

    @property
    def share(self) -> float:
        """Of what is attainable: 1 is at the ceiling."""
        return self.least_seconds / self.warm.median if self.warm else 0.0

    @property
    def exceeds(self) -> bool:
        """It takes less than the ceiling allows, which is too low then; Winograd's convolution does with fewer operations."""
        return self.share > 1 and "Winograd" not in self.version

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        for kind in ("warm", "cold"):
            timing: Timing | None = fields[kind]
            fields[kind] = None if timing is None else Timing(*timing)._asdict()
        if self.warm:
            speed = {"gflops": self.operations / self.warm.median / 1e9, "gbs": self.bytes / self.warm.median / 1e9}
            fields |= speed | {"intensity": self.intensity, "share": self.share, "exceeds": self.exceeds}
        return fields


class Version(NamedTuple):
    """One way to do an operation: ``passes(workload)`` gives what can be called, ``check(inputs)`` what is wrong with it."""

    name: str
    variant: str  # of the room; empty for a baseline
    passes: Callable[[Workload], dict[str, Call]]
    check: Callable[[dict[str, Any]], str]
    limits: Callable[..., str | None] = lambda **inputs: None
    number: int | None = None  # among the variant's numbered versions


def versions(name: str, variant: str | None = None) -> list[Version]:
    """All that a room has on the CPU: its variants, their numbered versions (forward only), and a baseline.

    Or only those of one ``variant``.

    Raises:
        UserError: there is no such variant.
    """
    operation: ops.Operation = getattr(ops, name)
    if variant is not None and variant not in operation.room.VARIANTS:
        raise UserError(f"{name} has no variant {variant!r}; it has {', '.join(operation.room.VARIANTS)}")
    return [version for version in _on_the_cpu(name, operation) if variant in (None, version.variant)]


def numbered(found: Mapping[str, Sequence[Version]], variant: str, number: int) -> dict[str, list[Version]]:
    """Of each room's versions of ``variant`` the one of that ``number``; rooms that have none are left out, which is told.

    Raises:
        UserError: none has.
    """
    words = {name: {v.number: v.name for v in known if v.number is not None} for name, known in found.items()}
    return {name: [v for v in found[name] if v.number == number] for name in having(words, variant, number)}


def _on_the_cpu(name: str, operation: ops.Operation) -> Iterator[Version]:
    reference = operation.variant("reference")
    for variant in operation.room.VARIANTS:
        if variant == "cuda":
            continue  # scratchlv.bench.gpu times it
        module = operation.variant(variant)
        limits = getattr(module, "limits", lambda **inputs: None)
        if hasattr(module, "step"):
            yield Version(variant, variant, _steps(module), _check_step(module, reference), limits)
        else:
            yield Version(variant, variant, _passes(module), _check_passes(module, reference), limits)
    if name == "conv2d":
        module = operation.variant("numba_cpu")
        check = _check_winograd(module, reference)
        yield Version("numba_cpu, Winograd", "numba_cpu", _by_winograd(module), check)
    if name == "matmul":
        from scratchlv.kernels.matmul.versions import VERSIONS

        for number, (label, function) in enumerate(VERSIONS.items(), 1):
            yield Version(label, "numba_cpu", _forward(function), _check_product(function), number=number)
        yield Version(f"numpy ({machine.blas()})", "", _forward(np.matmul), _check_product(np.matmul))


def having(numbered: Mapping[str, Mapping[int, str]], variant: str, number: int) -> list[str]:
    """The rooms with a version of that ``number``, of rooms with the words of their versions; the others are named on stderr.

    Raises:
        UserError: none has.
    """
    have = [name for name, words in numbered.items() if number in words]
    if not have:
        raise UserError(
            f"there is no version {number} of the variant {variant}: "
            + "; ".join(f"{name} has {_listed(words) or 'none'}" for name, words in numbered.items())
        )
    lack = [name for name in numbered if name not in have]
    if lack:
        print(f"note: left out, without a version {number} of {variant}: {', '.join(lack)}", file=sys.stderr)
    return have


def _listed(words: Mapping[int, str]) -> str:
    return ", ".join(f"{n} ({each.removeprefix(f'{n} ')})" for n, each in words.items())


# --- calls -----------------------------------------------------------------------------------------------------------


def _passes(module: Any) -> Callable[[Workload], dict[str, Call]]:
    def calls(workload: Workload) -> dict[str, Call]:
        inputs = workload.inputs
        y, cache = module.forward(**inputs)
        dy = _output_gradient(y)
        every = {
            "forward": lambda: module.forward(**inputs),
            "backward": lambda: module.backward(dy, cache),
            "both": lambda: module.backward(dy, module.forward(**inputs)[1]),
        }
        return {part: every[part] for part in workload.costs}

    return calls


def _by_winograd(module: Any) -> Callable[[Workload], dict[str, Call]]:
    return lambda workload: _passes(module)(workload._replace(inputs=workload.inputs | {"exact": False}))


def _steps(module: Any) -> Callable[[Workload], dict[str, Call]]:
    def calls(workload: Workload) -> dict[str, Call]:
        own = _copy(workload.inputs)
        return {"step": lambda: module.step(**own)}

    return calls


def _forward(function: Callable) -> Callable[[Workload], dict[str, Call]]:
    def calls(workload: Workload) -> dict[str, Call]:
        arguments = tuple(workload.inputs.values())
        return {"forward": lambda: function(*arguments)}

    return calls


def _output_gradient(y: Any) -> Any:
    if isinstance(y, tuple):
        return tuple(map(_output_gradient, y))
    shape = np.shape(y)
    return np.random.default_rng(1).standard_normal(shape, np.float32) if shape else np.float32(1)


def _copy(inputs: dict[str, Any], dtype: Any = None) -> dict[str, Any]:
    return map_leaves(lambda value: np.array(value, dtype) if is_float_array(value) else value, inputs)


# --- right or wrong --------------------------------------------------------------------------------------------------


def _check_passes(module: Any, reference: Any) -> Callable[[dict[str, Any]], str]:
    def check(inputs: dict[str, Any]) -> str:
        if module is reference:
            return ""  # its gradients are gradcheck's business
        return _reason(gradcheck.compare(module, reference, inputs, draws=1, runs=2))

    return check


def _check_step(module: Any, reference: Any) -> Callable[[dict[str, Any]], str]:
    return lambda inputs: _reason(gradcheck.compare_step(module, reference, inputs, runs=2))


def _check_winograd(module: Any, reference: Any) -> Callable[[dict[str, Any]], str]:
    """Winograd's filtering rounds more than the rule allows; its own bound is of the largest sum of magnitudes."""

    def results(module: Any, inputs: dict[str, Any], dy: Any) -> tuple[Any, ...]:
        y, cache = module.forward(**inputs)
        return (y, *module.backward(dy, cache))

    def check(inputs: dict[str, Any]) -> str:
        exact = _copy(inputs, np.float64)
        dy = _output_gradient(reference.forward(**inputs)[0])
        magnitudes = {name: abs(value) if isinstance(value, np.ndarray) else value for name, value in exact.items()}
        got = results(module, inputs | {"exact": False}, dy)
        true = results(reference, exact, dy.astype(np.float64))
        sums = results(reference, magnitudes, abs(dy).astype(np.float64))
        for name, *arrays in zip(("y", "dx", "dW", "db"), got, true, sums, strict=True):
            error, most = abs(arrays[0] - arrays[1]).max(), arrays[2].max()
            if not error <= WINOGRAD_ROUNDING * most:
                return f"{name} is off by {error / most:.1e} of the largest sum of magnitudes"
        return ""

    return check


def _check_product(function: Callable) -> Callable[[dict[str, Any]], str]:
    """A product whose sums of k terms may be taken in any order: each may err by k u Σ |a| |b| (Higham 2002, section 3.1)."""

    def check(inputs: dict[str, Any]) -> str:
        a, b = (np.array(inputs[name], np.float64) for name in "ab")
        got, exact = function(inputs["a"], inputs["b"]), a @ b
        if np.shape(got) != exact.shape:
            return f"y has the shape {np.shape(got)}, and should have {exact.shape}"
        allowed = len(b) * np.finfo(np.float32).eps / 2 * (abs(a) @ abs(b))
        wrong = ~(abs(got - exact) <= allowed)
        return f"{wrong.sum()} of {wrong.size} numbers are off by more than their rounding" if wrong.any() else ""

    return check


def _reason(report: gradcheck.Report) -> str:
    """What is wrong, in a few words; empty if nothing is."""
    return "; ".join([*report.problems, *(str(each) for each in report.gradients if not each.ok)])


# --- rows ------------------------------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """A row, and how to time it once more."""

    row: Row
    again: Callable[[], Timing] | None = None


def measure(
    name: str,
    chosen: Sequence[Version],
    ceilings: Ceilings,
    flush: Call | None,
    say: Callable[[str], None],
    checked: bool = False,
    others: bool = False,
) -> Iterator[Measured]:
    """Check and time these versions of the room ``name``, on the largest size of its workload; and on its ``others``.

    Without ``flush``, which empties the caches, they are timed warm alone; ``checked`` ones are known to be right.
    """
    room, seed = ROOMS[name], 0
    small, large = (room.make(np.random.default_rng(seed), size) for size in (room.sizes[0], room.sizes[-1]))
    yield from _measured(name, chosen, small, large, ceilings, flush, say, checked)
    for make in room.others if others else ():
        other = make(np.random.default_rng(seed))
        yield from _measured(name, chosen, other, other, ceilings, flush, say, checked)


def _measured(
    name: str,
    chosen: Sequence[Version],
    small: Workload,
    large: Workload,
    ceilings: Ceilings,
    flush: Call | None,
    say: Callable[[str], None],
    checked: bool,
) -> Iterator[Measured]:
    for version in chosen:
        row = Row(name, version.name, "", shapes(large.inputs))
        limit = version.limits(**large.inputs)
        if limit is not None:
            row.not_served = limit
            yield Measured(row)
            continue
        say(f"{name} {version.name}: right?")
        row.first_call_seconds, row.compiled = _first_call(version, small)
        if not checked:
            row.wrong = version.check(small.inputs) or ("" if large is small else version.check(large.inputs))
        if row.wrong:
            yield Measured(row)
            continue
        calls = version.passes(large)
        for part, call in calls.items():
            say(f"{name} {version.name} {part}")
            yield _timed(row, part, call, large, ceilings, flush)


def _timed(row: Row, part: str, call: Call, workload: Workload, ceilings: Ceilings, flush: Call | None) -> Measured:
    cost = workload.costs[part]
    call()
    timed = Row(**{**asdict(row), "part": part})
    timed.warm = time_calls(call)
    if flush is not None:
        timed.cold = time_calls(call, seconds=_COLD_SECONDS, before=flush)
    timed.operations, timed.bytes = cost
    timed.least_seconds = ceilings.least_seconds(*cost)
    return Measured(timed, lambda: time_calls(call))


def _first_call(version: Version, workload: Workload) -> tuple[float, int]:
    """Seconds of the first call of all passes, and how many kernels were compiled in it."""
    from scratchlv.kernels.building_blocks.compiling import compiled

    began, before = perf_counter(), compiled()
    for call in version.passes(workload).values():
        call()
    return perf_counter() - began, compiled() - before


def curve(name: str, say: Callable[[str], None]) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds against size, for each pass of the fast variant."""
    room = ROOMS[name]
    (version,) = (v for v in versions(name, "numba_cpu") if v.name == "numba_cpu")
    points: dict[str, list[tuple[float, float]]] = {}
    for size in room.sizes:
        say(f"{name} against size: {size}")
        for part, call in version.passes(room.make(np.random.default_rng(0), size)).items():
            call()
            points.setdefault(part, []).append((size, 1e3 * time_calls(call, seconds=_CURVE_SECONDS).median))
    return points


def shapes(inputs: dict[str, Any]) -> str:
    """``x (20, 32, 512), W (512, 2048), padding=1``."""

    def said(name: str, value: Any) -> str:
        if isinstance(value, tuple):
            return f"{len(value)} {name}"
        return f"{name} {value.shape}" if isinstance(value, np.ndarray) else f"{name}={value:.4g}"

    return ", ".join(said(name, value) for name, value in inputs.items() if value is not None)
