"""Batch normalisation: give every channel mean 0 and variance 1 over the batch.

Why: layers train faster if what they are given keeps its scale. The two
learned numbers gamma and beta let the network choose the scale it wants.

For each channel c, over the n = N·H·W numbers that it has in the batch:

    mean = Σ x / n
    var  = Σ (x − mean)² / n
    x̂    = (x − mean) / √(var + eps)
    y    = gamma · x̂ + beta

forward(x, gamma, beta, eps) -> y, cache
    x       (N, H, W, C)
    gamma   (C,)
    beta    (C,)
    eps     a number: guards against a variance of 0
    y       (N, H, W, C)

backward(dy, cache) -> dx, dgamma, dbeta
    dy      (N, H, W, C)
    dx is like x; dgamma and dbeta are (C,)
    mean and var are made of x: dx has to account for that.

A single picture has no batch. So training keeps running statistics, and
whoever uses the network normalises by these instead of the batch's:

update(running_mean, running_var, x, momentum) -> new mean, new var
    new mean = (1 − momentum) · running_mean + momentum · mean
    new var  = (1 − momentum) · running_var  + momentum · var · n / (n − 1)
    All are (C,). The inputs stay as they are; n / (n − 1) corrects for the
    batch being a sample (its variance is a little too small).

evaluate(x, gamma, beta, running_mean, running_var, eps) -> y
    y by the same equations, with the running statistics for mean and var.

From float32 come float32 results and gradients.

A tiny example, two pictures of one pixel and one channel, eps = 0:

    x = 1, 5:   mean 3, var 4, x̂ = −1, 1;   gamma 10, beta 2:   y = −8, 12

    >>> x = np.array([1.0, 5]).reshape(2, 1, 1, 1)
    >>> gamma, beta = np.array([10.0]), np.array([2.0])
    >>> forward(x, gamma, beta, 0.0)[0].ravel().tolist()
    [-8.0, 12.0]
    >>> new_mean, new_var = update(np.array([0.0]), np.array([1.0]), x, 0.1)
    >>> new_mean.round(6).tolist(), new_var.round(6).tolist()
    ([0.3], [1.7])

Here 1.7 = 0.9 · 1 + 0.1 · 4 · 2 / 1. Whatever two numbers x are, x̂ is −1 and
1, so with two numbers dx is 0:

    >>> _, cache = forward(x, gamma, beta, 0.0)
    >>> dy = np.array([1.0, 3]).reshape(2, 1, 1, 1)
    >>> dx, dgamma, dbeta = backward(dy, cache)
    >>> dgamma.tolist(), dbeta.tolist(), dx.ravel().tolist()
    ([2.0], [4.0], [0.0, 0.0])
"""

import numpy as np


def forward(x, gamma, beta, eps):
    """x (N, H, W, C), gamma and beta (C,) -> y (N, H, W, C), cache."""
    # <solution>
    mean = x.mean(axis=(0, 1, 2))  # (C,)
    var = ((x - mean) ** 2).mean(axis=(0, 1, 2))  # (C,)
    s = 1 / np.sqrt(var + eps)  # (C,)
    x_hat = (x - mean) * s
    y = gamma * x_hat + beta
    return y, (x, x_hat, gamma, s)
    # </solution>


def backward(dy, cache):
    """dy (N, H, W, C) -> dx (N, H, W, C), dgamma (C,), dbeta (C,)."""
    # <solution>
    x, x_hat, gamma, s = cache
    dgamma = (dy * x_hat).sum(axis=(0, 1, 2))
    dbeta = dy.sum(axis=(0, 1, 2))
    dx_hat = gamma * dy
    by_mean = dx_hat.mean(axis=(0, 1, 2))  # (C,)
    by_var = x_hat * (dx_hat * x_hat).mean(axis=(0, 1, 2))
    dx = s * (dx_hat - by_mean - by_var)
    return dx, dgamma, dbeta
    # </solution>


def update(running_mean, running_var, x, momentum):
    """Running statistics (C,) and a batch (N, H, W, C) -> the new ones."""
    # <solution>
    n = x.size // x.shape[3]
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * var * n / (n - 1)
    return new_mean, new_var
    # </solution>


def evaluate(x, gamma, beta, running_mean, running_var, eps):
    """x (N, H, W, C), all others (C,) -> y (N, H, W, C)."""
    # <solution>
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    # </solution>
