"""A moving average, corrected for its start at zero."""

import numpy as np

STYLE = "functions"
SIZES = {"T": 6, "D": 3}


def make_inputs(T=6, D=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(T, D)), "beta": rng.uniform(0.2, 0.8, size=D)}


def forward(x, beta):
    m = np.zeros(x.shape[1])
    ms = []
    for t in range(len(x)):
        m = beta * m + (1 - beta) * x[t]
        ms.append(m)
    corr = np.array([1 - beta ** (t + 1) for t in range(len(x))])
    return np.array(ms) / corr, (x, beta, np.array(ms), corr)


def backward(dy, cache):
    x, beta, ms, corr = cache
    dx = np.zeros_like(x)
    dms = dy / corr
    dcorr = -(dy * ms) / corr**2
    powers = np.array([(t + 1) * beta**t for t in range(len(x))])
    dbeta = -(dcorr * powers).sum(0)
    acc = np.zeros_like(beta)
    for t in reversed(range(len(x))):
        acc += dms[t]
        dx[t] = (1 - beta) * acc
        before = ms[t - 1] if t > 0 else 0
        dbeta += acc * (before - x[t])
        acc = acc * beta
    return dx, dbeta
