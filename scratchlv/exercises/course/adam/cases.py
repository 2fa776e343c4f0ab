"""The first step, later ones, gradients of very different sizes and of 0; norms above and below the limit."""

import numpy as np

from scratchlv.exercises import call


def cases(rng, M, K):
    def adam(case, shape, t, g=None, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
        theta, m = rng.standard_normal(shape), rng.standard_normal(shape)
        v = rng.uniform(0.5, 2, shape)
        if t == 1:
            m, v = np.zeros(shape), np.zeros(shape)
        g = rng.standard_normal(shape) if g is None else g
        numbers = {"t": t, "lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps}
        return call("adam", case=case, theta=theta, g=g, m=m, v=v, **numbers)

    yield adam("the first step", 2, 1, lr=0.1, beta2=0.99)
    yield adam("the first step, an eps that counts", (M, K), 1, eps=0.5)
    yield adam("the fourth step", (M, K), 4, eps=0.1)
    yield adam("the thousandth step", K, 1000)
    yield adam("gradients from 1e-6 to 1e6", K, 2, g=10.0 ** rng.uniform(-6, 6, K))
    yield adam("a gradient of zero in the first step", K, 1, g=np.zeros(K))

    def clip(case, max_norm, size=1.0):
        shapes = {"W": (M, K), "b": (K,), "v": (2, 1, M)}
        grads = {name: size * rng.standard_normal(shape) for name, shape in shapes.items()}
        return call("clip", case=case, grads=grads, max_norm=max_norm)

    yield call("clip", case="two numbers", grads={"a": np.array([3.0]), "b": np.array([4.0])}, max_norm=1.0)
    yield clip("a norm above the limit", 2.0, size=10.0)
    yield clip("a norm below the limit", 100.0)
    yield clip("all gradients zero", 2.0, size=0.0)
