"""Calls step on copies, and again and again on large arrays."""

import numpy as np

_large = {}


def step(learner, theta, g, m, v, t, lr, beta1, beta2, eps):
    """theta, m and v as they are afterwards, and g."""
    theta, g, m, v = (each.copy() for each in (theta, g, m, v))
    learner.step(theta, g, m, v, t, lr, beta1, beta2, eps)
    return theta, m, v, g


def run(learner, n, times):
    """So many steps on arrays of n numbers, which stay here from call to call."""
    if n not in _large:
        rng = np.random.default_rng(0)
        _large[n] = [rng.random(n, np.float32) for _ in range(4)]
    for _ in range(times):
        learner.step(*_large[n], 3, 1e-6, 0.9, 0.999, 1e-8)
