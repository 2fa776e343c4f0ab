"""Calls step on copies, and again and again on large arrays."""

import time
from types import BuiltinFunctionType

import numpy as np

_large = {}


def step(learner, theta, g, m, v, t, lr, beta1, beta2, eps):
    """theta, m and v as they are afterwards, and g."""
    theta, g, m, v = (each.copy() for each in (theta, g, m, v))
    learner.step(theta, g, m, v, t, lr, beta1, beta2, eps)
    return {"theta": theta, "m": m, "v": v, "g": g}


def run(learner, n, seconds):
    """The processor's time for each of several steps on arrays of n numbers, which stay here from call to call."""
    if n not in _large:
        rng = np.random.default_rng(0)
        _large[n] = [rng.random(n, np.float32) for _ in range(4)]
    clock = time.thread_time
    if not isinstance(clock, BuiltinFunctionType) or clock.__name__ != "thread_time":
        learner.refuse("the clock is not yours to change", stage="speed")
    step, taken = learner.step, []
    while not taken or sum(taken) < seconds:
        start = clock()
        step(*_large[n], 3, 1e-6, 0.9, 0.999, 1e-8)
        taken.append(clock() - start)
    return np.array(taken)
