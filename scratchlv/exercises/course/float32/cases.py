import numpy as np

from scratchlv.exercises import call, source

# Products, quotients and roots are rounded alike on every machine, one by one or in an array; exp and sin are not.
CUBE = source("lambda x: x * x * x")
ROOT = source("lambda x: np.sqrt(x)")


def cases(rng, K):
    yield call("difference", f=source("lambda x: x * x"), x=1.0, h=2.0**-26, dtype="float32")
    yield call("difference", f=CUBE, x=1.0, h=2.0**-10, dtype="float64")
    x = float(np.float32(rng.uniform(1, 2)))
    yield call("difference", case="a step of 1e-5 in float32", f=CUBE, x=x, h=1e-5, dtype="float32")
    yield call("difference", case="an x that float32 has to round", f=CUBE, x=1.1, h=0.001, dtype="float32")

    steps = 10.0 ** -np.arange(1, K + 1)
    for dtype in ("float32", "float64"):
        yield call("errors", case=f"ever shorter steps, {dtype}", f=CUBE, true=3 * x * x, x=x, steps=steps, dtype=dtype)
    falling = source("lambda x: 1 / x")
    yield call("errors", case="a falling f", f=falling, true=-1 / (x * x), x=x, steps=steps, dtype="float32")

    for dtype in ("float32", "float64"):
        yield call("best_step", case=f"x³, {dtype}", f=CUBE, true=3 * x * x, x=x, steps=steps, dtype=dtype)
    mixed = rng.permutation(steps)
    yield call("best_step", case="steps in no order", f=CUBE, true=3 * x * x, x=x, steps=mixed, dtype="float32")
    line = source("lambda x: 2 * x")
    halves = 2.0 ** -np.arange(2, K + 2)
    yield call("best_step", case="no step has an error", f=line, true=2.0, x=1.0, steps=halves[:2], dtype="float64")

    yield call("sqrt_slope", x=1.0, h=0.5, dtype="float64")
    yield call("sqrt_slope", case="a step of 2⁻²² in float32", x=x, h=2.0**-22, dtype="float32")
    yield call("sqrt_slope", case="a step that is too short to change x", x=x, h=1e-12, dtype="float32")
    yield call("errors", case="the cancellation of √x", f=ROOT, true=0.5 / x**0.5, x=x, steps=steps, dtype="float32")
