import numpy as np

from scratchlv.exercises import call


def states(x, Wh):
    h = [np.zeros(len(Wh))]
    for x_t in x:
        h.append(np.tanh(x_t + h[-1] @ Wh))
    return np.array(h[1:])


def cases(rng, T, H):
    W = rng.standard_normal((H, H))
    yield call("scaled", W=np.array([[3.0]]), s=0.5)
    yield call("scaled", case="a stretch along one axis", W=np.array([[3.0, 0.0], [0.0, 4.0]]), s=2.0)
    yield call("scaled", case="a shear, whose eigenvalues are small", W=np.array([[0.5, 3.0], [0.0, 0.5]]), s=1.0)
    yield call("scaled", case="a random matrix", W=W, s=1.5)

    half, one = np.array([[0.5]]), np.array([1.0])
    yield call("gradient_norms", case="states of 0, and Wh = 1/2", h=np.zeros((4, 1)), Wh=half, dh=one)
    yield call("gradient_norms", case="states of 1/2, and Wh = 1", h=np.full((3, 1), 0.5), Wh=2 * half, dh=one)
    for s, what in ((0.5, "vanishing"), (3.0, "exploding")):
        Wh = s * W / np.linalg.norm(W, 2)
        h = states(0.3 * rng.standard_normal((T + 1, H)), Wh)
        yield call("gradient_norms", case=what, h=h, Wh=Wh, dh=rng.standard_normal(H))
    turn = 2.0 * np.linalg.qr(W)[0]
    h = np.sign(rng.standard_normal((T + 1, H))) * 0.95
    yield call("gradient_norms", case="saturated states", h=h, Wh=turn, dh=rng.standard_normal(H))
    yield call("gradient_norms", case="a single state", h=h[:1], Wh=turn, dh=rng.standard_normal(H))

    yield call("factor_per_step", norms=np.array([0.125, 0.25, 0.5, 1.0]))
    yield call("factor_per_step", case="exploding", norms=np.cumprod(rng.uniform(1, 2, T + 1))[::-1].copy())
    yield call("factor_per_step", case="one step", norms=np.array([3.0, 2.0]))
