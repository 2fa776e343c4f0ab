"""Suspects: the changes of forward that common bugs in backward amount to, each with its cause.

Paths that are missing or scaled, uses of a weight that are not added up, products with the wrong array: whatever the
operation is. :mod:`scratchlv.gradcheck.derivatives` has those of single functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.factors import factor_cause
from scratchlv.gradcheck.findings import Finding
from scratchlv.gradcheck.simulation import Simulation, fingerprint, is_float, scaled, scaled_output
from scratchlv.gradcheck.tracing import Call, Change, Diverged

PRODUCTS = {"matmul", "dot", "einsum", "tensordot", "multiply", "inner", "outer"}
MATRIX_PRODUCTS = PRODUCTS - {"multiply"}
MOST_USES = 16

Changes = dict[int, Change]


@dataclass(frozen=True)
class Suspect:
    """A bug in backward, as a change of forward."""

    changes: Changes
    what: str  # "without the path …"
    cause: str


def where(call: Call) -> str:
    """Such as "the multiply in line 12"."""
    code, instruction = call.place[0] if call.place else (None, 0)
    line = None
    for start, end, number in code.co_lines() if code is not None else ():
        if start <= instruction < end:
            line = number
    return f"the {call.name}" + (f" in line {line}" if line else "")


def moved_operands(simulation: Simulation, call: Call) -> list[int]:
    """The operands that depend on the inputs: all that are arrays of floats, constants too."""
    return [j for j, x in enumerate(call.operands) if is_float(x)]


# --- The uses of an input -------------------------------------------------------------------------------------------


def uses_of(simulation: Simulation, name: str) -> Finding | None:
    """Whether the gradient of an input is the sum of the gradients by its uses, each of them times some number."""
    uses = simulation.uses(name)
    if not 2 <= len(uses) <= MOST_USES or not np.isfinite(simulation.got[name]).all():
        return None
    weights = _weights(simulation, name, uses)
    if weights is None:
        return None
    loop = in_time(simulation, uses)
    n = len(weights)
    ones, zeros = np.isclose(weights, 1, atol=1e-3), np.isclose(weights, 0, atol=1e-3)
    twos, signs = np.isclose(weights, 2, atol=1e-3), np.isclose(weights, -1, atol=1e-3)
    if ones.sum() == 1 and zeros.sum() == n - 1 and n > 2:
        which = int(np.argmax(ones))
        what = f"holds one of {n} uses of {name} only"
        if loop and which in (0, n - 1):
            return Finding((name,), what, f"{cause('= for += in time')} in d{name}")
        return Finding((name,), what, cause("= for +="))
    if ones.sum() == n - 1 and loop and (zeros | twos)[[0, -1]].any():
        kind = "dropped step" if zeros.any() else "step twice"
        step = "first" if not ones[0] else "last"
        verb = "lacks" if zeros.any() else "counts twice"
        return Finding((name,), f"{verb} what the {step} step adds", cause(kind))
    if (ones | zeros).all() and ones.any() and zeros.any():
        lacking = [uses[k] for k in np.flatnonzero(zeros)]
        text = ", ".join(dict.fromkeys(where(simulation.calls[index]) for index, _ in lacking))
        if loop:
            return Finding((name,), f"lacks what {zeros.sum()} of {n} steps add", cause("dropped step"))
        only = " or = for +=" if n == 2 else ""
        return Finding((name,), f"lacks the gradient by {text}", cause("missing path", which=f": a use of {name}") + only)
    if (ones | signs).all() and signs.any():
        index, _ = uses[int(np.argmax(signs))]
        return Finding((name,), f"has the wrong sign for the part by {where(simulation.calls[index])}", cause("sign"))
    if (ones | twos).all() and twos.any():
        index, _ = uses[int(np.argmax(twos))]
        return Finding((name,), f"counts the part by {where(simulation.calls[index])} twice", cause("doubled"))
    odd = [k for k in range(n) if not ones[k]]
    if len(odd) == 1 or np.ptp(weights[odd]) < 1e-3:
        words, named = factor_cause(float(weights[odd[0]]), simulation.evidence)
        index, _ = uses[odd[0]]
        if named:
            what = f"has the part by {where(simulation.calls[index])} {weights[odd[0]]:.4g} times"
            return Finding((name,), what, words)
    return None


def _weights(simulation: Simulation, name: str, uses: list[tuple[int, int]]) -> np.ndarray | None:
    """How many times the gradient holds each use; None if it is no such sum."""
    rng = np.random.default_rng(2)
    shape = np.shape(simulation.evidence.inputs[name])
    rows, got = [], []
    by_call: dict[int, list[int]] = {}
    for index, j in uses:
        by_call.setdefault(index, []).append(j)
    for _ in range(len(uses) + 3):
        direction = rng.standard_normal(shape)
        row = []
        for only, j_only in uses:
            changes = {index: _held([j for j in js if (index, j) != (only, j_only)]) for index, js in by_call.items()}
            try:
                row.append(simulation.slope({name: direction}, changes))
            except (Diverged, ValueError, IndexError, TypeError):
                return None
        rows.append(row)
        got.append(float((simulation.evidence.analytic[name] * direction).sum()))
        if simulation.late:
            return None
    A, b = np.array(rows), np.array(got)
    weights, _, rank, singular = np.linalg.lstsq(A, b, rcond=1e-8)
    scale = np.abs(A).max(initial=0) + np.abs(b).max(initial=0)
    if rank < len(uses) or singular[-1] < 1e-5 * singular[0] or np.abs(A @ weights - b).max() > 1e-6 * scale:
        return None
    return weights


def _held(js: list[int]) -> Change:
    """Some operands do not move."""

    def change(call: Call, operands: list[Any], output: Any) -> Any:
        return call.again([call.operands[j] if j in js else x for j, x in enumerate(operands)]) if js else output

    return change


def in_time(simulation: Simulation, uses: list[tuple[int, int]]) -> bool:
    """Whether these are the rounds of one place in a loop that hands a state on."""
    calls = [simulation.calls[index] for index, _ in uses]
    if len({(call.name, call.place) for call in calls}) != 1:
        return False
    return recurrent(simulation, len(calls))


def recurrent(simulation: Simulation, rounds: int) -> bool:
    return any(True for _ in carried_operands(simulation, rounds))


def carried_operands(simulation: Simulation, rounds: int | None = None) -> Iterator[tuple[list[int], int, list[int]]]:
    """(calls, operand, makers): the operand that each round of a loop over time gets from the round before.

    A loop over layers is not one over time: each layer has its own weights.
    """
    for calls in list(simulation.rounds.values()):
        if len(calls) < 2 or rounds not in (None, len(calls)):
            continue
        for j in moved_operands(simulation, simulation.calls[calls[0]]):
            makers = simulation.carried(calls, j)
            if makers is not None and _same_weights(simulation, len(calls)):
                yield calls, j, makers


def _same_weights(simulation: Simulation, rounds: int) -> bool:
    """Whether some place is run ``rounds`` times with one and the same input; or none has an input of its own."""
    own = False
    for calls in simulation.rounds.values():
        if len(calls) != rounds:
            continue
        for j in moved_operands(simulation, simulation.calls[calls[0]]):
            sources = [simulation.calls[index].sources[j] for index in calls]
            names = {simulation.owner(source) for source in sources}
            if names == {None}:
                continue
            places = {source.__array_interface__["data"][0] for source in sources if isinstance(source, np.ndarray)}
            if len(places) == 1:
                return True
            own |= len(names) > 1
    return not own


# --- Paths ----------------------------------------------------------------------------------------------------------


def states(simulation: Simulation) -> Iterator[Suspect]:
    """What a loop hands on is dropped, or a weight is used for its transpose on the way."""
    by_maker: dict[int, list[tuple[list[int], int]]] = {}
    for calls, j, makers in carried_operands(simulation):
        by_maker.setdefault(makers[0], []).append((calls, j))
    into_matrix = {
        maker: any(simulation.calls[calls[0]].name in MATRIX_PRODUCTS for calls, _ in edges)
        for maker, edges in by_maker.items()
    }
    for maker, edges in by_maker.items():
        cell = not into_matrix[maker] and any(into_matrix.values())
        name, key = ("c", "dc_next") if cell else ("h", "dh_next")
        changes: Changes = {}
        for calls, j in edges:
            for index in calls[1:]:
                changes[index] = scaled(j, 0)
        without = {**changes, **{calls[0]: scaled(j, 0) for calls, j in edges}}
        for dropped in (changes, without):
            yield Suspect(dropped, f"without what goes through {name} from step to step", cause(key))
        for calls, j in edges:
            for some in (calls[1:], calls):
                text = f"without what goes through {name} into {where(simulation.calls[calls[0]])}"
                path = cause("missing path", which=f" in the recurrent path, through {where(simulation.calls[calls[0]])}")
                yield Suspect({index: scaled(j, 0) for index in some}, text, path if len(edges) > 1 else cause(key))
            for c, key_ in ((-1, "sign"), (2, "doubled")):
                yield Suspect({index: scaled(j, c) for index in calls}, f"{c} times what goes through {name}", cause(key_))


def steps(simulation: Simulation) -> Iterator[Suspect]:
    """The first or the last round of a loop over time is dropped, or counted twice."""
    for place, calls in list(simulation.rounds.items()):
        if len(calls) < 3 or not recurrent(simulation, len(calls)):
            continue
        for which, index in (("first", calls[0]), ("last", calls[-1])):
            call = simulation.calls[index]
            yield Suspect(
                {index: scaled_output(0)}, f"without {where(call)} at the {which} step", cause("dropped step")
            )
            yield Suspect(
                {index: scaled_output(2)}, f"with {where(call)} at the {which} step twice", cause("step twice")
            )


def paths(simulation: Simulation) -> Iterator[Suspect]:
    """One way through one operation is missing, has the wrong sign, or counts a number of times."""
    for calls in reversed(list(simulation.rounds.values())):
        call = simulation.calls[calls[0]]
        for j in moved_operands(simulation, call):
            if len(calls) == 1:
                yield from _scaled_path(simulation, calls[0], j)
                continue
            for c in (0.0, -1.0, 2.0, 0.5):
                changes = {index: scaled(j, c) for index in calls}
                yield Suspect(changes, *_named(simulation, call, j, c))


def _scaled_path(simulation: Simulation, index: int, j: int) -> Iterator[Suspect]:
    """The slope is a linear function of how many times the way counts: solved for that."""
    name = simulation.wrong[0]
    direction = simulation.directions[name][0]
    try:
        without = simulation.slope({name: direction}, {index: scaled(j, 0)})
    except (Diverged, ValueError, IndexError, TypeError):
        return
    span = simulation.true[name][0] - without
    if abs(span) <= 1e-9 * (abs(simulation.true[name][0]) + 1e-9) or not math.isfinite(span):
        return
    c = (simulation.got[name][0] - without) / span
    c = next((float(k) for k in (0, -1, 2, 0.5) if abs(c - k) < 1e-3), c)
    if math.isfinite(c) and abs(c - 1) > 1e-6:
        yield Suspect({index: scaled(j, c)}, *_named(simulation, simulation.calls[index], j, c))


def _named(simulation: Simulation, call: Call, j: int, c: float) -> tuple[str, str]:
    what = f"through operand {j + 1} of {where(call)}" if len(moved_operands(simulation, call)) > 1 else f"through {where(call)}"
    if c == 0:
        maker = simulation.made_by.get(fingerprint(call.operands[j]))
        through = f", through {simulation.calls[maker].name}" if maker is not None else ""
        return f"without the path {what}", cause("missing path", which=through)
    words, _ = factor_cause(c, simulation.evidence)
    constant = _constant_of(call, j)
    if call.name in ("mean", "var", "std") and abs(c) > 1 and c > 0:
        words, _ = factor_cause(c, simulation.evidence)
    elif constant is not None and c > 0:
        words = _constant_cause(constant, c, simulation) or words
    return f"with the path {what} {c:.4g} times", words


def _constant_of(call: Call, j: int) -> float | None:
    """The number that a product or a quotient multiplies operand j by."""
    if call.name not in ("multiply", "divide", "true_divide") or len(call.operands) != 2:
        return None
    other = call.operands[1 - j]
    if np.size(other) != 1 or not float(np.asarray(other).reshape(-1)[0]):
        return None
    number = float(np.asarray(other).reshape(-1)[0])
    return number if call.name == "multiply" else 1 / number


def _constant_cause(s: float, c: float, simulation: Simulation) -> str | None:
    """The number is missing in backward, or there twice."""
    if abs(c * s - 1) > 1e-3 and abs(c / s - 1) > 1e-3:
        return None
    words, named = factor_cause(c, simulation.evidence)
    square = 1 / s**2
    if not named and abs(square - round(square)) < 1e-6 * square and square > 1:
        return cause("scale")
    return words


# --- Products -------------------------------------------------------------------------------------------------------


def products(simulation: Simulation) -> Iterator[Suspect]:
    """A product's gradient is taken with the wrong array: that of another step, or another of the same shape."""
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        if call.name not in PRODUCTS:
            continue
        active = moved_operands(simulation, call)
        if len(active) != 2:
            continue
        for j, other in (active, active[::-1]):
            yield from _transposed(simulation, calls, j, other)
            yield from _of_another_step(simulation, calls, j, other)
            yield from _of_another_array(simulation, calls, j, other)


def with_factor(j: int, other: int, factor: Any) -> Change:
    """The slope by operand j takes another factor for operand ``other``."""

    def change(call: Call, operands: list[Any], output: Any) -> Any:
        moved = [x if i != j else operands[j] - call.operands[j] for i, x in enumerate(call.operands)]
        moved[other] = factor
        still = call.again([call.operands[j] if i == j else x for i, x in enumerate(operands)])
        return still + call.again(moved)

    return change


def _transposed(simulation: Simulation, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    call = simulation.calls[calls[0]]
    W = np.asarray(call.operands[other])
    if call.name not in MATRIX_PRODUCTS or W.ndim < 2:
        return
    blocks = _square_blocks(W)
    if blocks is None:
        return
    changes = {
        index: with_factor(j, other, _square_blocks(np.asarray(simulation.calls[index].operands[other])))
        for index in calls
    }
    in_loop = simulation.carried(calls, j) is not None and _same_weights(simulation, len(calls))
    key = "W for Wᵀ in time" if in_loop else "W for Wᵀ"
    owner = simulation.owner(call.sources[other])
    name = owner or "the matrix"
    yield Suspect(changes, f"with {name} for its transpose in {where(call)}", cause(key))


def _square_blocks(W: np.ndarray) -> np.ndarray | None:
    """The matrix with its square blocks transposed: (H, H), (H, kH) or (kH, H)."""
    rows, columns = W.shape[-2:]
    if rows < 2 or columns < 2 or (columns % rows and rows % columns):
        return None
    if columns >= rows:
        return np.concatenate([part.swapaxes(-1, -2) for part in np.split(W, columns // rows, -1)], -1)
    return np.concatenate([part.swapaxes(-1, -2) for part in np.split(W, rows // columns, -2)], -2)


def _of_another_step(simulation: Simulation, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    if len(calls) < 2 or not recurrent(simulation, len(calls)):
        return
    values = [simulation.calls[index].operands[other] for index in calls]
    call = simulation.calls[calls[0]]
    makers = simulation.carried(calls, other)
    if makers is not None and len(makers) == len(calls):
        later = [simulation.calls[maker].output for maker in makers]
        changes = {index: with_factor(j, other, value) for index, value in zip(calls, later, strict=True)}
        cell = call.name == "multiply" and _other_state_in_matrix(simulation, makers[0])
        name, key = ("c", "c_t") if cell else ("h", "h_t")
        yield Suspect(changes, f"with {name}_t for {name}_{{t−1}} in {where(call)}", cause(key))
    for shift in (1, -1):
        for end in ("zero", "wrapped", "same"):
            others = _shifted(values, shift, end)
            changes = {index: with_factor(j, other, value) for index, value in zip(calls, others, strict=True)}
            yield Suspect(changes, f"with the step {'after' if shift > 0 else 'before'} in {where(call)}", cause("off by one"))


def _shifted(values: list[Any], shift: int, end: str) -> list[Any]:
    found = []
    for k in range(len(values)):
        i = k + shift
        if 0 <= i < len(values):
            found.append(values[i])
        else:
            found.append({"zero": values[k] * 0.0, "wrapped": values[i % len(values)], "same": values[k]}[end])
    return found


def _other_state_in_matrix(simulation: Simulation, maker: int) -> bool:
    """Whether another state than the one made there is multiplied by a matrix: then this is an LSTM's cell."""
    into = {makers[0] for calls, _, makers in carried_operands(simulation) if simulation.calls[calls[0]].name in MATRIX_PRODUCTS}
    return bool(into) and maker not in into


def _of_another_array(simulation: Simulation, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    """Other arrays of that round; a few, the nearest first."""
    first = simulation.calls[calls[0]]
    shape = np.shape(first.operands[other])
    if np.size(first.operands[other]) < 2:
        return
    places = [
        place
        for place, indices in simulation.rounds.items()
        if len(indices) == len(calls) and np.shape(simulation.calls[indices[0]].output) == shape
    ]
    for place in places[:24]:
        sources = simulation.rounds[place]
        changes = {
            index: with_factor(j, other, simulation.calls[source].output)
            for index, source in zip(calls, sources, strict=True)
        }
        text = f"with the result of {where(simulation.calls[sources[0]])} as a factor in {where(first)}"
        yield Suspect(changes, text, cause("wrong array"))
    for name, value in simulation.evidence.inputs.items():
        if len(calls) == 1 and is_float(value) and np.shape(value) == shape:
            changes = {calls[0]: with_factor(j, other, np.asarray(value))}
            yield Suspect(changes, f"with {name} as a factor in {where(first)}", cause("wrong array"))
