"""Signatures: what the numbers at hand say about a wrong gradient ``a`` whose true value is ``n``.

Each of them is exact: the gradient is a known function of what it should be, or it is wrong in known places only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.factors import factor_cause, is_setting, of_itself
from scratchlv.gradcheck.naming.findings import CLOSE, Finding, equal, explained_by, merged, wrong_places
from scratchlv.gradcheck.naming.wholes import wholes
from scratchlv.gradcheck.trees import leaves

GATES = {4: "ifgo", 3: "rzn"}  # the usual order of an LSTM's gates, and of a GRU's

NOTHING = 1e-12  # of a gradient's largest element: what sums leave that cancel
EXACT = 1e-6  # of the largest element: a number that nothing explains must be one and the same everywhere

MOST_PARTS = 5  # along an axis, that are tried in another order

Sizes = dict[str, int] | None


def signatures(
    evidence: Evidence,
    sizes: Sizes = None,
    time_axes: dict[str, int] | None = None,
    divisors: set[float] | None = None,
    constants: dict[float, str] | None = None,
) -> list[Finding]:
    """One finding for each wrong gradient that has a signature.

    ``time_axes``: the axis of each input that is time; ``divisors`` and ``constants``: as in :func:`factor_cause`.
    """
    whole = wholes(evidence)
    if whole:
        return whole
    found = _factors(evidence, sizes, divisors, constants)
    if explained_by(found) == set(evidence.wrong):
        return found
    for name in evidence.wrong:
        a, n = evidence.analytic[name], evidence.numeric[name]
        for signature in SIGNATURES if name not in explained_by(found) else ():
            hit = signature(name, a, n, evidence, sizes)
            if hit is None and signature is _zero:
                hit = _along_time(name, a, n, (time_axes or {}).get(name))
            if hit is not None:
                found.append(Finding((name,), *hit))
                break
    return merged(found)


Hit = tuple[str, str] | tuple[str, str, bool] | None  # what is measured, the cause, and whether no other fits

# --- Of one gradient ------------------------------------------------------------------------------------------------


def _zero(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    if not np.any(a):
        return "is zero everywhere", cause("missing term"), False
    if np.isfinite(n).all() and np.abs(a).max() <= NOTHING * np.abs(n).max():
        return "is zero but for rounding", cause("cancels")
    return None


def factor_of(a: np.ndarray, n: np.ndarray) -> float | None:
    """c if a = c n."""
    known = np.isfinite(n)
    square = float((n[known] ** 2).sum())
    if not square:
        return None
    c = float((a[known] * n[known]).sum()) / square
    return c if c and equal(a / c, n) else None


def _factors(
    evidence: Evidence, sizes: Sizes, divisors: set[float] | None, constants: dict[float, str] | None
) -> list[Finding]:
    """Gradients that are right but for a constant; of a single number only if another one has the same."""
    factors = {}
    for name in evidence.wrong:
        c = factor_of(evidence.analytic[name], evidence.numeric[name]) if np.any(evidence.analytic[name]) else None
        if c is not None:
            factors[name] = c
    found = []
    for name, c in factors.items():
        shared = [other for other, theirs in factors.items() if abs(theirs / c - 1) < CLOSE]
        alone = len(shared) < len(evidence.analytic)
        words, named = factor_cause(c, evidence, sizes, divisors, alone, constants)
        if np.isfinite(evidence.numeric[name]).sum() < 2 and len(shared) < 2 and not named:
            continue
        if not named and not equal(evidence.analytic[name] / c, evidence.numeric[name], close=EXACT):
            continue
        what = "has the wrong sign" if abs(c + 1) < CLOSE else f"is {factors[shared[0]]:.4g} times what it should be"
        found.append(Finding((name,), what, words, named or len(shared) == len(evidence.wrong)))
    return merged(found)


def _along_time(name: str, a: np.ndarray, n: np.ndarray, axis: int | None) -> Hit:
    """Shifted by a step, or wrong in the first or the last one only."""
    if axis is None or a.shape[axis] < 3:
        return None
    a, n = np.moveaxis(a, axis, 0), np.moveaxis(n, axis, 0)
    if equal(a[1:], n[:-1]):
        return "at t is what it should be at t − 1", cause("off by one")
    if equal(a[:-1], n[1:]):
        return "at t is what it should be at t + 1", cause("off by one")
    (places,) = np.nonzero(wrong_places(a, n).reshape(len(a), -1).any(1))
    if len(places) == 1 and places[0] in (0, len(a) - 1) and not np.any(a[places[0]]):
        which = "first" if places[0] == 0 else "last"
        return f"is zero at the {which} step, and right elsewhere", cause("dropped step")
    return None


def _transposed(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    for i, j in itertools.combinations(range(a.ndim), 2):
        if a.shape[i] == a.shape[j] > 1 and equal(a.swapaxes(i, j), n):
            return "is transposed", cause("transposed")
    return None


def _of_another(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    for other, theirs in evidence.numeric.items():
        if other != name and theirs.shape == a.shape and equal(a, theirs) and not equal(n, theirs):
            return "is another's", cause("another's gradient", other=other), False
    return None


def _repeated_rows(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    """A row that is looked up several times has the gradient of the last time only."""
    for label, index in evidence.inputs.items():
        if not (isinstance(index, np.ndarray) and index.dtype.kind in "iu" and index.size and a.ndim > 1):
            continue
        if index.min() < 0 or index.max() >= len(a) or not isinstance(evidence.dy, np.ndarray):
            continue
        if evidence.dy.shape != index.shape + a.shape[1:] or len(np.unique(index)) == index.size:
            continue
        last = np.zeros_like(a)
        last[index] = evidence.dy
        if equal(a, last) and wrong_places(a, n).any():
            return f"is wrong only in rows that {label} repeats", cause("repeated rows")
    return None


def _masked(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    wrong = wrong_places(a, n)
    for label, mask in masks(evidence.inputs, a.shape):
        if not mask.all() and mask.any() and wrong.any() and not wrong[mask].any():
            if np.any(n[wrong]):  # it should not be zero there
                continue
            return f"is wrong only where {label} says padding", cause("mask"), False
    return None


def masks(inputs: dict[str, Any], shape: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Which places count, by every input of 0 and 1 that fits the leading axes, and by lengths of sequences."""
    for name, value in inputs.items():
        if not isinstance(value, np.ndarray) or not value.ndim or not value.size:
            continue
        if value.ndim <= len(shape) and value.shape == shape[: value.ndim] and np.isin(value, (0, 1)).all():
            yield name, value.astype(bool)
        if value.dtype.kind in "iu" and value.ndim == 1 and len(shape) > 1 and "len" in name:
            if shape[1] == len(value):
                yield name, np.arange(shape[0])[:, None] < value
            if shape[0] == len(value):
                yield name, np.arange(shape[1]) < value[:, None]


def _gates(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    """Four blocks, or three, permuted along an axis."""
    if a.ndim > 2:
        return None
    for blocks, axis in itertools.product((4, 3), range(a.ndim)):
        if a.shape[axis] % blocks or not a.size:
            continue
        got, true = np.split(a, blocks, axis), np.split(n, blocks, axis)
        if np.shape(got[0])[axis] < 2:
            continue
        for order in itertools.permutations(range(blocks)):
            if order == tuple(range(blocks)) or not all(equal(got[k], true[order[k]]) for k in range(blocks)):
                continue
            letters = GATES[blocks]
            moved = [k for k in range(blocks) if order[k] != k]
            if len(moved) == 2:
                return f"has the blocks of gates {letters[moved[0]]} and {letters[moved[1]]}", cause("gates")
            return f"has the gates in the order {', '.join(letters[k] for k in order)}", cause("gates")
    return None


def _flipped(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    if a.ndim >= 3 and equal(a[..., ::-1, ::-1], n):
        return "is flipped along its last two axes", cause("kernel not flipped")
    return None


def _constant_error(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    """The error does not depend on the batch, or on the last axis: a term that is summed over it is missing."""
    if a.ndim < 2 or not np.isfinite(n).all():
        return None
    error, scale = a - n, float(np.abs(n).max())
    batch = tuple(range(a.ndim - 1))
    if int(np.prod(a.shape[:-1])) > 2 and equal(error, np.broadcast_to(error.mean(batch), a.shape), scale=scale):
        return "is off by a constant over the batch", "a mean over the batch that is missing in backward", False
    if a.shape[-1] > 2 and equal(error, np.broadcast_to(error.mean(-1, keepdims=True), a.shape), scale=scale):
        return "is off by a constant along its last axis", cause("sum", axis="that axis"), False
    return None


def _regularised(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    x, known = np.asarray(evidence.inputs[name]), np.isfinite(n)
    square = float((x[known] ** 2).sum())
    if not square or known.sum() < 3:
        return None
    c = float(((a - n)[known] * x[known]).sum()) / square
    if abs(c) > CLOSE and equal(a - c * x, n) and is_setting(c, evidence):
        return f"is off by {c:.4g} times {name}", of_itself(name, c), False
    return None


def _target(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    """The error is the one-hot target, or what a layer makes of it."""
    for label, target in targets(evidence.inputs, a.shape[-1] if a.ndim else 0):
        rows = target.reshape(-1, target.shape[-1])
        candidates = [target] if target.shape == a.shape else []
        candidates += [rows.sum(0)] if a.shape == rows.shape[1:] else []
        for leaf in leaves([evidence.inputs, evidence.cache]):
            if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" and leaf.ndim == 2 and len(leaf) == len(rows):
                candidates += [leaf.T @ rows] if a.shape == (leaf.shape[1], rows.shape[1]) else []
        for candidate in candidates:
            if candidate.size > 1 and factor_of(a - n, candidate) is not None:
                return f"is off by a multiple of the target, {label}", cause("target")
    return None


def targets(inputs: dict[str, Any], classes: int) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in inputs.items():
        if not isinstance(value, np.ndarray) or not value.size:
            continue
        if value.dtype.kind in "iu" and classes > 1 and value.min() >= 0 and value.max() < classes:
            yield name, np.eye(classes)[value.reshape(-1)].reshape(*value.shape, classes)
        elif value.ndim >= 2 and value.shape[-1] == classes and np.isin(value, (0, 1)).all():
            yield name, np.asarray(value, np.float64)


def _moved(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    """Moved by a place or two along the last axes, as if a border had been cut off on the wrong side."""
    if a.ndim != 4:
        return None
    for by in itertools.product(range(-2, 3), repeat=2):
        if by == (0, 0) or any(abs(k) >= length - 1 for k, length in zip(by, a.shape[-2:], strict=True)):
            continue
        mine = tuple(slice(max(k, 0), length + min(k, 0)) for k, length in zip(by, a.shape[-2:], strict=True))
        true = tuple(slice(max(-k, 0), length + min(-k, 0)) for k, length in zip(by, a.shape[-2:], strict=True))
        if equal(a[:, :, mine[0], mine[1]], n[:, :, true[0], true[1]]):
            return f"is moved by {by[0]}, {by[1]} along its last two axes", cause("padding")
    return None


def _reversed(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    for axis in range(min(a.ndim, 2)):
        if a.ndim > 2 and a.shape[axis] > 2 and equal(np.flip(a, axis), n):
            return f"is reversed along axis {axis}", cause("reversed")
    return None


def _rows(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    """The rows are right, but in other places."""
    if a.ndim < 2 or len(a) < 3 or not np.isfinite(n).all():
        return None
    left, moved = list(range(len(n))), False
    for k, row in enumerate(a):
        fit = next((i for i in left if np.allclose(row, n[i], rtol=CLOSE, atol=CLOSE * np.abs(n).max())), None)
        if fit is None:
            return None
        left.remove(fit)
        moved |= fit != k and not np.allclose(n[fit], n[k])
    return ("has the right rows in wrong places", cause("wrong rows")) if moved else None


def _parts(name: str, a: np.ndarray, n: np.ndarray, evidence: Evidence, sizes: Sizes) -> Hit:
    """The parts along an axis are right, but in another order."""
    if a.ndim < 2 or not np.isfinite(n).all():
        return None
    for axis in range(1, a.ndim):
        got, true = np.moveaxis(a, axis, 0), np.moveaxis(n, axis, 0)
        if not 2 <= len(got) <= MOST_PARTS or got[0].size < 2:
            continue
        for order in itertools.permutations(range(len(got))):
            if order != tuple(range(len(got))) and equal(got, true[list(order)]) and not equal(got, true):
                return f"has its parts along axis {axis} in the order {', '.join(map(str, order))}", cause("blocks")
    return None


Signature = Callable[[str, np.ndarray, np.ndarray, Evidence, Sizes], Hit]
SIGNATURES: tuple[Signature, ...] = (
    _zero,
    _transposed,
    _of_another,
    _gates,
    _repeated_rows,
    _masked,
    _flipped,
    _constant_error,
    _regularised,
    _target,
    _moved,
    _reversed,
    _rows,
    _parts,
)
