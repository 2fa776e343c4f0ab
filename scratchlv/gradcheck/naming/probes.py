"""Signatures that take further runs, for an operation that cannot be watched: other shapes, other weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence, Rerun
from scratchlv.gradcheck.naming.findings import Finding

Remake = Callable[..., dict[str, Any]]


def probes(evidence: Evidence, rerun: Rerun, remake: Remake | None) -> list[Finding]:
    """What other shapes and weights show, the most telling first; at most one finding."""
    return [finding for finding in (next(_probes(evidence, rerun, remake), None),) if finding is not None]


def _probes(evidence: Evidence, rerun: Rerun, remake: Remake | None) -> Iterator[Finding]:
    names = tuple(evidence.wrong)

    def right(inputs: dict[str, Any] | None) -> bool:
        again = rerun(inputs) if inputs is not None else None
        return again is not None and not again.wrong and bool(again.analytic)

    right_if_symmetric = right(_with_weights(evidence.inputs, _symmetric))
    one_step = _remade(evidence, remake, T=1)
    again = rerun(one_step) if one_step is not None else None
    states = _states(evidence, remake)
    if again is not None and again.analytic and set(again.wrong) <= states and not set(evidence.wrong) <= states:
        late = tuple(name for name in evidence.wrong if name not in again.wrong)
        what = "is right with one time step and wrong with more"
        if len(names) == 1:
            yield Finding(names, what, f"{cause('= for += in time')} in d{names[0]}")
        elif right_if_symmetric:
            yield Finding(late, f"{what}, and right with symmetric matrices", cause("W for Wᵀ in time"))
        elif right(_with_weights(evidence.inputs, np.zeros_like)):
            yield Finding(late, f"{what}, and right with recurrent weights of zero", cause("dh_next"))
        else:
            yield Finding(late, what, cause("recurrent"))
    if right(_remade(evidence, remake, N=1)):
        yield Finding(names, "is right with one sequence and wrong with more", cause("batch sum"))
    if right_if_symmetric:
        yield Finding(names, "is right if the square matrices are symmetric", cause("W for Wᵀ"))


def _remade(evidence: Evidence, remake: Remake | None, **sizes: int) -> dict[str, Any] | None:
    """Inputs of these sizes; None if there are none, of other names, or the same."""
    if remake is None:
        return None
    try:
        made = remake(**sizes)
    except Exception:  # it does not know such sizes
        return None
    if not isinstance(made, dict) or made.keys() != evidence.inputs.keys():
        return None
    return made if any(np.shape(made[name]) != np.shape(x) for name, x in evidence.inputs.items()) else None


def _states(evidence: Evidence, remake: Remake | None) -> set[str]:
    """The inputs that a sequence has one of, whatever its length: initial states."""
    one_sequence, one_step = _remade(evidence, remake, N=1), _remade(evidence, remake, T=1)
    if one_sequence is None or one_step is None:
        return set()
    return {
        name
        for name, value in evidence.inputs.items()
        if np.shape(one_sequence[name]) != np.shape(value) and np.shape(one_step[name]) == np.shape(value)
    }


def _with_weights(inputs: dict[str, Any], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any] | None:
    """The inputs with every matrix that consists of square blocks changed; None if there is none."""
    if not all(name.isidentifier() for name in inputs):  # the user built them in another way
        return None
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
