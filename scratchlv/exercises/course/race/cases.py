import numpy as np

from scratchlv.exercises import call

THREADS = 64


def shifted(x, times):
    """``times`` steps, each of which adds what stands d places to the left, d = 1, 2, 4 …"""
    y = x.copy()
    for step in range(times):
        d = 1 << step
        y[d:] += y[:-d].copy()
    return y


def total(case, x):
    left = [np.concatenate([np.zeros(1 << step, x.dtype), x])[: x.size] for step in range(6)]
    known = {
        "only the first step adds anything": x + left[0],
        "the last step is missing: nothing is added from THREADS/2 places to the left": shifted(x, 5),
        "what is added is always x itself, not what the step before has left": x + sum(left),
    }
    return call("running_total", case=case, expect=np.cumsum(x, dtype=np.float64).astype(np.float32), known=known, x=x)


def cases(rng, n):
    def numbers(count):
        return rng.integers(1, 100, count).astype(np.float32)

    yield total("1 2 3 4", np.array([1, 2, 3, 4], np.float32))
    yield total("as many numbers as threads", numbers(THREADS))
    yield total("fewer numbers than threads", numbers(1 + n % THREADS))
    yield total("a single number", numbers(1))


def grade(learner, rng, n):
    """That there is no barrier too many."""
    lines = learner.call("superfluous", rng.integers(1, 100, THREADS).astype(np.float32))
    if lines:
        sentence = f"the barrier in line {lines[0]} is not needed: without it every order of the threads gives the same"
        learner.refuse(sentence, stage="barriers")
