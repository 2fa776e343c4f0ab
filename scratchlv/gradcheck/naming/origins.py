"""Where a bug can be: at the operations whose wrong derivative could explain the error of every gradient.

If backward is right but for one operation, the errors of all gradients stem from one wrong gradient, that of the operation's
operand: they are its Jacobian's transpose times something. Whether they can be takes least squares, and no guess of the bug.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scratchlv.gradcheck.naming.simulation import FAILURES, STEP, Simulation
from scratchlv.gradcheck.naming.tracing import is_float
from scratchlv.gradcheck.trees import dot

MOST_DIRECTIONS = 120
MOST_NUMBERS = 40_000  # of all operands
SPARE = 3  # equations more than unknowns that a fit must have


class Origins:
    """What each operand is moved by along many directions of the inputs, and the errors of the gradients along these."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.known: dict[frozenset[tuple[int, int]], bool] = {}
        self.rows: list[list[list[np.ndarray | None]]] = []
        self.errors = np.zeros((0, 0))
        self.inputs = sum(np.size(simulation.evidence.inputs[name]) for name in simulation.names)
        numbers = sum(np.size(x) for call in simulation.calls for x in call.operands if is_float(x))
        if numbers <= MOST_NUMBERS:
            try:
                self._measure(min(self.inputs, MOST_DIRECTIONS))
            except FAILURES:
                self.rows = []

    def _measure(self, count: int) -> None:
        simulation, rng = self.simulation, np.random.default_rng(5)
        errors = []
        for _ in range(count):
            if simulation.late:
                break
            v = {name: rng.standard_normal(np.shape(simulation.evidence.inputs[name])) for name in simulation.names}
            runs = [simulation.tracer.operands({name: sign * STEP * x for name, x in v.items()}) for sign in (1, -1)]
            (y, ahead), (y_behind, behind) = runs
            self.rows.append(
                [
                    [None if p is None else (p - q) / (2 * STEP) for p, q in zip(ps, qs, strict=True)]
                    for ps, qs in zip(ahead, behind, strict=True)
                ]
            )
            got = sum(simulation.along(name, [v[name]])[0] for name in simulation.names)
            true = [(dot(dy, y) - dot(dy, y_behind)) / (2 * STEP) for dy in simulation.dys]
            errors.append(got - np.array(true))
        self.errors = np.array(errors)

    def possible(self, calls: Iterable[int]) -> bool:
        """Whether wrong derivatives of these calls could explain the errors; true if that cannot be told."""
        places = frozenset((index, j) for index in calls for j in range(len(self.simulation.calls[index].operands)))
        if places not in self.known:
            self.known[places] = self.fit(places) is not False
        return self.known[places]

    def fit(self, places: Iterable[tuple[int, int]]) -> bool | None:
        """Whether wrong gradients of these operands explain the errors; None if there are too few equations to tell."""
        if len(self.rows) < SPARE + 1:
            return None
        A = self.jacobian(places)
        if A is None:
            return False
        U, s, _ = np.linalg.svd(np.asarray(np.linalg.qr(A.T, mode="r")).T)  # as of A, which has many columns
        rank = int((s > 1e-7 * s[0]).sum()) if s.size and s[0] else 0
        if rank > len(self.rows) - SPARE:
            return None
        basis = U[:, :rank]
        rest = self.errors - basis @ (basis.T @ self.errors)
        return bool((np.abs(rest).max(0) <= 1e-5 * np.abs(self.errors).max(0) + 1e-8).all())

    def solution(self, places: Iterable[tuple[int, int]]) -> np.ndarray | None:
        """The wrong part of these operands' gradients, (numbers, output gradients); None if it is not unique."""
        columns = [[row[index][j] for row in self.rows] for index, j in sorted(places)]
        if any(part is None for column in columns for part in column):
            return None
        A = np.concatenate([np.array([np.ravel(np.asarray(part)) for part in column]) for column in columns], 1)
        moved = np.isfinite(A).all(0) & (np.abs(A).max(0) > 0)
        solution, _, rank, _ = np.linalg.lstsq(A[:, moved], self.errors, rcond=1e-7)
        if rank < moved.sum():
            return None
        whole = np.zeros((len(moved), self.errors.shape[1]))
        whole[moved] = solution
        return whole

    def jacobian_of(self, index: int, j: int) -> np.ndarray | None:
        """(directions, numbers in this operand)."""
        column = [row[index][j] for row in self.rows]
        if not column or any(part is None for part in column):
            return None
        A = np.array([np.ravel(np.asarray(part)) for part in column])
        return A if np.isfinite(A).all() else None

    def jacobian(self, places: Iterable[tuple[int, int]]) -> np.ndarray | None:
        """(directions, numbers in these operands); None if none of them moves."""
        columns = []
        for index, j in sorted(places):
            column = [row[index][j] for row in self.rows]
            if column[0] is not None:
                columns.append(np.array([np.ravel(np.asarray(c)) for c in column]))
        if not columns:
            return None
        A = np.concatenate(columns, 1)
        A = A[:, np.isfinite(A).all(0) & (np.abs(A).max(0) > 0)]
        return A if A.size else None
