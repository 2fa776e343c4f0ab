"""Which functions forward really applies, and to what: a mend of tanh's derivative names tanh only where one is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.tracing import Call, Tracer, is_float
from scratchlv.gradcheck.trees import same_numbers

NEAR = 8  # operations from an exp to the σ that it is a part of
MOST = 400  # values of one function that are kept


class Activations:
    """What goes in and comes out of tanh, σ and ReLU in forward; nothing is known if forward cannot be watched."""

    def __init__(self, evidence: Evidence) -> None:
        self.of: dict[str, list[np.ndarray]] = {"tanh": [], "sigmoid": [], "relu": []}
        self.known = False
        if evidence.forward is None:
            return
        try:
            calls = Tracer(evidence.forward, evidence.inputs, list(evidence.analytic)).calls
        except Exception:  # forward does something that cannot be watched
            return
        self.known = True
        for number, call in enumerate(calls):
            self._see(call, calls[number : number + NEAR])

    def _see(self, call: Call, following: list[Call]) -> None:
        inputs = [np.asarray(x) for x in call.operands if is_float(x) and np.shape(x) == np.shape(call.output)]
        if call.name == "tanh":
            self.of["tanh"] += [np.asarray(call.output), *inputs]
        elif call.name in ("maximum", "where") and inputs:
            self.of["relu"] += [np.asarray(call.output), *inputs]
        elif call.name == "expit":
            self.of["sigmoid"] += [np.asarray(call.output), *inputs]
        elif call.name == "exp" and inputs:
            with np.errstate(all="ignore"):
                wanted = [1 / (1 + np.exp(-inputs[0])), 1 / (1 + np.exp(inputs[0]))]
            outputs = [np.asarray(each.output) for each in following]
            for result in outputs:
                if any(same_numbers(result, each) for each in wanted):
                    self.of["sigmoid"] += [result, inputs[0], -inputs[0]]

    @property
    def gated(self) -> bool:
        """There are σ and tanh, as in an LSTM or a GRU."""
        return bool(self.of["sigmoid"]) and bool(self.of["tanh"])

    def uses(self, function: str, values: Iterable[Any]) -> bool:
        """One of the values goes into the function, or comes out of it; it may be a mask of where that is positive."""
        held = self.of[function][:MOST]
        return any(same_numbers(value, each) or _is_mask_of(value, each) for value in values for each in held)


def _is_mask_of(a: Any, b: np.ndarray) -> bool:
    mask = isinstance(a, np.ndarray) and a.dtype.kind == "b" and a.shape == b.shape
    return mask and bool(np.array_equal(a, b > 0))
