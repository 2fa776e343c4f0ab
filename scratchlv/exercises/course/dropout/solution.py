"""Dropout: in training, a share p of the numbers is set to zero.

    k = 0 where u < p, else 1        u: numbers drawn evenly from [0, 1)
    y = x ⊙ k / (1 - p)              in training
    y = x                            otherwise

Why: units that cannot rely on each other learn to be useful each by itself,
and a network that is too large for its data learns less of it by heart.

The factor keeps the mean: the mean of k is 1 - p, so that of y is x. For this
("inverted dropout") nothing has to be done at test time.

    x, u, y of one shape, any    p in [0, 1)    train True or False

u is handed in, so that all draw the same mask. It has no gradient. From
float32 come float32 results (u is float64); no input is changed.

A tiny example with p = 0.2: what is below 0.2 drops its number, the others
are divided by 0.8.

    >>> x, u = np.array([4.0, 8.0, -2.0]), np.array([0.5, 0.1, 0.2])
    >>> y, cache = forward(x, u, 0.2, True)
    >>> y.round(4).tolist()
    [5.0, 0.0, -2.5]
    >>> backward(np.array([1.0, 1.0, 2.0]), cache).round(4).tolist()
    [1.25, 0.0, 2.5]
    >>> forward(x, u, 0.2, False)[0].tolist()
    [4.0, 8.0, -2.0]
"""

import numpy as np


def forward(x, u, p, train):
    """y, of the shape of x, and a cache."""
    # <solution>
    if not train:
        return x, None
    scale = np.where(u < p, 0, 1 / (1 - p)).astype(x.dtype)
    return x * scale, scale
    # </solution>


def backward(dy, cache):
    """dx, of the shape of x."""
    # <solution>
    scale = cache
    if scale is None:
        return dy
    return dy * scale
    # </solution>
