import statistics
import time
from pathlib import Path

import numpy as np

from scratchlv.exercises import call

ENOUGH = 0.5  # of the roof
NUMBERS = 4_000_000  # in each of four arrays, 64 MB together
ROUNDS, LEAST_ROUNDS = 11, 5
SECONDS = 0.15  # in a round, for the step; and as long for the roof


def step(case, theta, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    """The truth in float64, and what is known of mistakes."""
    x, dx, a, b = (each.astype(np.float64) for each in (theta, g, m, v))
    new_m, new_v = beta1 * a + (1 - beta1) * dx, beta2 * b + (1 - beta2) * dx**2

    def result(m=new_m, v=new_v, m_hat=None, root=None, g=g):
        m_hat = m / (1 - beta1**t) if m_hat is None else m_hat
        root = np.sqrt(v / (1 - beta2**t)) if root is None else root
        arrays = {"theta": x - lr * m_hat / (root + eps), "m": m, "v": v, "g": g}
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    with np.errstate(invalid="ignore"):
        unsquared = result(v=beta2 * b + (1 - beta2) * dx)
    known = {
        "the bias correction is missing: m and v are used as they are": result(m_hat=new_m, root=np.sqrt(new_v)),
        "v is not corrected, m alone": result(root=np.sqrt(new_v)),
        "the bias correction stays that of the first step: t is not in it": result(
            m_hat=new_m / (1 - beta1), root=np.sqrt(new_v / (1 - beta2))
        ),
        "g is not squared in v": unsquared,
        "the step goes by m as it was before": result(m_hat=a / (1 - beta1**t)),
        "m and v are not kept: the next step will find the old ones": result() | {"m": m, "v": v},
        "theta goes up the slope: the step has the wrong sign": result()
        | {"theta": (2 * x - result()["theta"]).astype(np.float32)},
    }
    numbers = {"t": t, "lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps}
    return call("step", case=case, expect=result(), known=known, theta=theta, g=g, m=m, v=v, **numbers)


def cases(rng, n):
    def normal(count):
        return rng.standard_normal(count).astype(np.float32)

    one, four, zero = np.ones(1, np.float32), np.full(1, 4, np.float32), np.zeros(1, np.float32)
    yield step("the example, a first step", one, four, zero, zero, 1, beta2=0.96)
    yield step("the third step", normal(n), normal(n), normal(n), normal(n) ** 2, 3)
    yield step("the hundredth step", normal(n), normal(n), normal(n), normal(n) ** 2, 100, lr=0.01)
    yield step(
        "gradients of 0 from the beginning", normal(n), np.zeros(n, np.float32), *np.zeros((2, n), np.float32), 2
    )
    yield step("no parameters", *np.zeros((4, 0), np.float32), 5)


def grade(learner, rng, n):
    """That it reaches half of the roof: the bytes it must move, over the bandwidth of the same arrays in the same second."""
    from scratchlv.bench.machine import processor

    streams = _streams()
    learner.call("run", NUMBERS, 0.0)
    shares, roofs = [], []
    while len(shares) < ROUNDS:
        roof = streams()
        roofs.append(28e-9 * NUMBERS / roof)
        shares.append(roof / float(learner.call("run", NUMBERS, SECONDS).min()))
        share = statistics.median(shares)
        if len(shares) >= LEAST_ROUNDS and share >= ENOUGH or len(shares) >= 3 and max(shares) < 0.6 * ENOUGH:
            break
    roof = statistics.median(roofs)
    moved = f"{min(share, 1):.0%} of the {roof:.0f} GB/s that {processor()} moves here"
    if share < ENOUGH and share < 0.8 * _own_share(streams):
        learner.refuse(
            f"the numbers are right, but the step reaches {moved}",
            stage="speed",
            expected=f"at least {ENOUGH:.0%}: {28 * NUMBERS / 1e6:.0f} MB in {28e-6 * NUMBERS / roof / ENOUGH:.0f} ms or less",
            came=f"{28e-6 * NUMBERS / roof / share:.0f} ms",
        )
    return f"the step reaches {moved}"


def _least(call):
    """The shortest of several calls, in seconds of the processor's time: what it gives to other programs does not count."""
    taken = []
    while not taken or sum(taken) < SECONDS:
        start = time.thread_time()
        call()
        taken.append(time.thread_time() - start)
    return min(taken)


def _streams():
    """A function that times the same traffic, four arrays read and three written, with next to no arithmetic."""
    from numba import njit

    @njit
    def touch(a, b, c, d, factor):
        for i in range(a.size):
            a[i] = factor * a[i] + d[i]
            b[i] = factor * b[i]
            c[i] = factor * c[i]

    arrays, one = np.ones((4, NUMBERS), np.float32), np.float32(1)
    touch(*arrays, one)
    return lambda: _least(lambda: touch(*arrays, one))


def _own_share(streams):
    """What the solution reaches: on a processor whose roots and divisions are slow it may be less than half, too."""
    own = {"__name__": "solution"}
    path = Path(__file__).with_name("solution.py")
    if not path.is_file():  # an exported course
        return 1.0
    exec(compile(path.read_text("utf-8"), str(path), "exec"), own)
    arrays = np.random.default_rng(0).random((4, NUMBERS), np.float32)
    own["step"](*arrays, 3, 1e-6, 0.9, 0.999, 1e-8)
    return streams() / _least(lambda: own["step"](*arrays, 3, 1e-6, 0.9, 0.999, 1e-8))
