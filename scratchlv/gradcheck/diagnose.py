"""What a wrong gradient is consistent with.

Most bugs in a backward pass leave a signature: a gradient that is right but for a factor, or only in some places, or at
one time step, or when a weight matrix is symmetric. :func:`diagnose` looks for these, with a few more runs where the
numbers at hand do not tell. It says "consistent with": the signature is measured, the cause is inferred.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CLOSE = 1e-4  # of a gradient's largest element: far above the error of a slope, far below that of a bug
GATES = "ifgo"  # the order of an LSTM's gates


@dataclass
class Evidence:
    """Gradients as backward computes them and as slopes say they are (NaN where not measured), by input name."""

    inputs: dict[str, Any]
    analytic: dict[str, np.ndarray] = field(default_factory=dict)
    numeric: dict[str, np.ndarray] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)  # the inputs whose gradient is wrong


Rerun = Callable[[dict[str, Any]], "Evidence | None"]


def diagnose(
    evidence: Evidence,
    *,
    rerun: Rerun | None = None,
    remake: Callable[..., dict[str, Any]] | None = None,
    sizes: dict[str, int] | None = None,
) -> list[str]:
    """Sentences on what the wrong gradients are consistent with; the most telling first, none if nothing fits.

    Args:
        evidence: of the check that failed.
        rerun: checks other inputs; None if they cannot be served.
        remake: ``remake(N=1, T=1)`` makes inputs of these sizes.
        sizes: what the dimensions are called, to name a factor; the axes of the inputs if not given.
    """
    if not evidence.wrong:
        return []
    found, explained = _signatures(evidence, sizes)
    if rerun is not None and len(explained) < len(evidence.wrong):
        found += _probes(evidence, rerun, remake, guess=not found)
    return found or ["no known signature: look at the local derivatives one by one"]


# --- Signatures in the numbers at hand ------------------------------------------------------------------------------


def _signatures(evidence: Evidence, sizes: dict[str, int] | None = None) -> tuple[list[str], set[str]]:
    """The sentences, and the gradients that they are about."""
    by_sentence: dict[str, list[str]] = {}
    for name in evidence.wrong:
        a, n = evidence.analytic[name], evidence.numeric[name]
        for signature in SIGNATURES:
            sentence = signature(name, a, n, evidence, sizes)
            if sentence is not None:
                by_sentence.setdefault(sentence, []).append(f"d{name}")
                break
    total = len(evidence.analytic)
    sentences = [
        f"{'every gradient' if len(names) == total > 1 else ', '.join(names)} {sentence}"
        for sentence, names in by_sentence.items()
    ]
    return sentences, {name for names in by_sentence.values() for name in names}


def _zero(name, a, n, evidence, sizes) -> str | None:
    if not np.any(a):
        return "is zero everywhere: consistent with a term that is missing"
    return None


def _factor(name, a, n, evidence, sizes) -> str | None:
    """a = c n, with the name of the number c."""
    known = np.isfinite(n)
    square = float((n[known] ** 2).sum())
    if not square or known.sum() < 2:
        return None
    c = float((a[known] * n[known]).sum()) / square
    if not c or not _equal(a / c, n):
        return None
    if abs(c + 1) < CLOSE:
        return "has the wrong sign: consistent with a sign that is flipped"
    verb = f"is {c:.4g} times what it should be"
    names = _names_of(abs(c), evidence.inputs, sizes)
    if not names:
        return f"{verb}: consistent with a constant factor that is missing or doubled"
    return f"{verb}: consistent with {names}" + (", and a flipped sign" if c < 0 else "")


def _names_of(c: float, inputs: dict[str, Any], sizes: dict[str, int] | None) -> str:
    lengths = dict(sizes) if sizes else {}
    if not lengths:
        for name, value in inputs.items():
            for axis, length in enumerate(np.shape(value)):
                lengths.setdefault(f"{name}.shape[{axis}]", length)
    products = {f"{p}·{q}": lengths[p] * lengths[q] for p, q in itertools.combinations(lengths, 2)} if lengths else {}
    for candidates in (lengths, products):
        above = [name for name, length in candidates.items() if length > 1 and abs(c / length - 1) < CLOSE]
        below = [name for name, length in candidates.items() if length > 1 and abs(c * length - 1) < CLOSE]
        if above:
            return f"a mean that is missing in backward, a division by {' or '.join(above[:3])}"
        if below:
            return f"a mean where a sum is due, a division by {' or '.join(below[:3])} too many"
    if abs(c / 2 - 1) < CLOSE:
        return "a term that is added twice, or a missing 1/2"
    return ""


def _transposed(name, a, n, evidence, sizes) -> str | None:
    if a.ndim == 2 and a.shape[0] == a.shape[1] > 1 and _equal(a.T, n):
        return "is transposed: consistent with the two factors of a matrix product exchanged"
    return None


def _repeated_rows(name, a, n, evidence, sizes) -> str | None:
    for label, index in evidence.inputs.items():
        if not (isinstance(index, np.ndarray) and index.dtype.kind in "iu" and index.size and a.ndim):
            continue
        if index.min() < 0 or index.max() >= len(a):
            continue
        rows, counts = np.unique(index, return_counts=True)
        wrong = set(np.flatnonzero(_wrong(a, n).reshape(len(a), -1).any(1)).tolist())
        if wrong and wrong <= set(rows[counts > 1].tolist()):
            return f"is wrong only in rows that {label} repeats: consistent with += where np.add.at is needed"
    return None


def _masked(name, a, n, evidence, sizes) -> str | None:
    wrong = _wrong(a, n)
    for label, mask in _masks(evidence.inputs, a.shape):
        if not mask.all() and wrong.any() and not wrong[mask].any():
            return f"is wrong only where {label} says padding: consistent with a mask that is missing in backward"
    return None


def _masks(inputs: dict[str, Any], shape: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Which places count, by every bool input that fits the leading axes, and by ``lengths`` of sequences (T, N, …)."""
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and value.dtype == bool and value.ndim and value.shape == shape[: value.ndim]:
            yield name, value
        if name == "lengths" and value is not None and shape[1:2] == np.shape(value):
            yield name, np.arange(shape[0])[:, None] < np.asarray(value)


def _shifted_in_time(name, a, n, evidence, sizes) -> str | None:
    if a.ndim >= 2 and len(a) >= 3:
        if _equal(a[1:], n[:-1]):
            return "at t is what it should be at t − 1: consistent with being off by one in time"
        if _equal(a[:-1], n[1:]):
            return "at t is what it should be at t + 1: consistent with being off by one in time"
    return None


def _one_step(name, a, n, evidence, sizes) -> str | None:
    if a.ndim < 2 or len(a) < 3:
        return None
    wrong = _wrong(a, n).reshape(len(a), -1).any(1)
    (places,) = np.nonzero(wrong)
    if len(places) != 1 or places[0] not in (0, len(a) - 1):
        return None
    missing = " (it is zero there)" if not np.any(a[places[0]]) else ""
    return f"is wrong only at index {places[0]} of its first axis{missing}: consistent with a time step that is dropped"


def _gates(name, a, n, evidence, sizes) -> str | None:
    """Four blocks along the last axis, permuted; or one of them wrong."""
    if not a.ndim or a.shape[-1] % 4 or not a.size or not name.startswith(("W", "b", "x")):
        return None
    got, true = np.split(a, 4, -1), np.split(n, 4, -1)
    for order in itertools.permutations(range(4)):
        if order != (0, 1, 2, 3) and all(_equal(got[k], true[order[k]]) for k in range(4)):
            moved = [k for k in range(4) if order[k] != k]
            if len(moved) == 2:
                return f"has the blocks of gates {GATES[moved[0]]} and {GATES[moved[1]]}: consistent with swapped gates"
            return f"has the gates in the order {', '.join(GATES[k] for k in order)}: consistent with swapped gates"
    wrong = [k for k in range(4) if _wrong(a, n)[..., k * len(got[0].T) : (k + 1) * len(got[0].T)].any()]
    if len(wrong) == 1:
        return f"is wrong only in the block of gate {GATES[wrong[0]]}: consistent with a wrong derivative of that gate"
    return None


def _mean_missing(name, a, n, evidence, sizes) -> str | None:
    """The error does not depend on the batch: a term that is summed over it is missing."""
    if a.ndim < 2 or not np.isfinite(n).all():
        return None
    batch = tuple(range(a.ndim - 1))
    count = int(np.prod(a.shape[:-1]))
    if count > 2 and _equal(a - n, np.broadcast_to((a - n).mean(batch), a.shape), scale=np.abs(n).max()):
        return "is off by a constant over the batch: consistent with a mean over the batch that is missing in backward"
    if a.shape[-1] > 2 and _equal(
        a - n, np.broadcast_to((a - n).mean(-1, keepdims=True), a.shape), scale=np.abs(n).max()
    ):
        return "is off by a constant along its last axis: consistent with a mean or sum over that axis that is missing"
    return None


def _regularised(name, a, n, evidence, sizes) -> str | None:
    x, known = evidence.inputs[name], np.isfinite(n)
    square = float((x[known] ** 2).sum())
    if not square or known.sum() < 3:
        return None
    c = float(((a - n)[known] * x[known]).sum()) / square
    if abs(c) > CLOSE and _equal(a - c * x, n):
        return f"is off by {c:.4g} times {name}: consistent with a regularisation term that only one side has"
    return None


SIGNATURES = (
    _zero,
    _factor,
    _transposed,
    _repeated_rows,
    _masked,
    _shifted_in_time,
    _one_step,
    _gates,
    _mean_missing,
    _regularised,
)


# --- Signatures that take further runs ------------------------------------------------------------------------------


def _probes(
    evidence: Evidence, rerun: Rerun, remake: Callable[..., dict[str, Any]] | None, guess: bool
) -> Iterator[str]:
    """What other shapes and weights show; with ``guess`` also what is left when they show nothing."""
    inputs = evidence.inputs
    names = [f"d{name}" for name in evidence.wrong]
    subject, be = ", ".join(names), "is" if len(names) == 1 else "are"

    def right(inputs: dict[str, Any] | None) -> bool:
        again = rerun(inputs) if inputs is not None else None
        return again is not None and not again.wrong

    symmetric, without = _with_weights(inputs, _symmetric), _with_weights(inputs, np.zeros_like)
    right_if_symmetric = right(symmetric)
    if remake is None:
        if right_if_symmetric:
            yield f"{subject} {be} right if the square matrices are symmetric: consistent with W used for Wᵀ"
        return
    one_step = rerun(remake(T=1))
    states = _states(inputs, remake)  # their gradient has been through the recurrent path, even with one step
    if one_step is not None and set(one_step.wrong) <= states and not set(evidence.wrong) <= states:
        through_time = [f"d{name}" for name in evidence.wrong if name not in one_step.wrong]
        be = "is" if len(through_time) == 1 else "are"
        recurrent = f"{', '.join(through_time)} {be} right with one time step and wrong with more: consistent with "
        if len(evidence.wrong) == 1:
            yield f"{recurrent}= for += over time in {subject}"
        elif right_if_symmetric:
            yield f"{recurrent}W used for Wᵀ in the recurrent path, since symmetric matrices hide it"
        elif right(without):
            yield f"{recurrent}dh_next being dropped, since recurrent weights of zero hide it"
        else:
            yield f"{recurrent}a bug in the recurrent path"
        return
    if right(remake(N=1)):
        yield f"{subject} {be} right with one sequence, wrong with more: consistent with a missing sum over the batch"
        return
    if right_if_symmetric:
        yield f"{subject} {be} right if the square matrices are symmetric: consistent with W used for Wᵀ"
        return
    if not guess:
        return
    smallest = remake(N=1, T=1)
    bare = rerun(_with_weights(smallest, np.zeros_like) or smallest)
    if one_step is not None:  # with one step, nothing has been through the recurrent path yet, and more can be seen
        yield from (f"with one time step, {sentence}" for sentence in _signatures(one_step)[0])
    if bare is not None and bare.wrong:
        if len(evidence.wrong) == 1 and bare.wrong == evidence.wrong and _square_blocks(inputs[bare.wrong[0]]):
            yield f"{subject} alone is wrong, even with W = 0 and one step: consistent with h_t used for h_{{t−1}}"
        else:
            yield (
                f"{', '.join(f'd{name}' for name in bare.wrong)} wrong even for one sequence of one step, with W = 0: "
                "consistent with a wrong local derivative; test tanh, σ and softmax in turn"
            )


def _states(inputs: dict[str, Any], remake: Callable[..., dict[str, Any]]) -> set[str]:
    """The inputs that a sequence has one of, whatever its length: initial states."""
    one_sequence, one_step = remake(N=1), remake(T=1)
    return {
        name
        for name, value in inputs.items()
        if np.shape(one_sequence[name]) != np.shape(value) and np.shape(one_step[name]) == np.shape(value)
    }


def _with_weights(inputs: dict[str, Any], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any] | None:
    """The inputs with every matrix that consists of square blocks changed; None if there is none."""
    changed = {name: change(value) for name, value in inputs.items() if _square_blocks(value)}
    return {**inputs, **changed} if changed else None


def _square_blocks(value: Any) -> bool:
    """(H, kH), like recurrent weights of k gates."""
    if not (isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 2 and value.shape[0] > 1):
        return False
    return value.shape[1] % value.shape[0] == 0 and value.shape[1] > 0


def _symmetric(W: np.ndarray) -> np.ndarray:
    H = len(W)
    blocks = [W[:, k : k + H] for k in range(0, W.shape[1], H)]
    return np.concatenate([(block + block.T) / 2 for block in blocks], 1)


# --- Comparing ------------------------------------------------------------------------------------------------------


def _equal(a: np.ndarray, b: np.ndarray, scale: float | None = None) -> bool:
    """Equal wherever both are known, in at least one place that is not zero."""
    known = np.isfinite(a) & np.isfinite(b)
    if not known.any():
        return False
    scale = float(np.abs(b[known]).max()) if scale is None else scale
    return bool(scale > 0 and (np.abs(a - b)[known] <= CLOSE * scale).all())


def _wrong(a: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Where a is known to be wrong."""
    known = np.isfinite(n)
    scale = max(np.abs(n[known]).max(initial=0.0), np.abs(a[known]).max(initial=0.0))
    return known & ~(np.abs(a - np.where(known, n, 0)) <= 1e-5 * scale)
