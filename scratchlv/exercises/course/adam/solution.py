"""Adam, and clipping: what to do with a gradient once one has it.

Why: gradients differ in size by orders of magnitude between parameters, and
from step to step. Adam (Kingma and Ba 2015) divides each by its own usual
size. And a recurrent network has, now and then, a gradient that is a thousand
times too large: clipping makes it shorter before it does harm.

Step t = 1, 2, …, every line number by number, g the gradient:

    m ← β₁ m + (1 − β₁) g          the running mean of the gradient
    v ← β₂ v + (1 − β₂) g²         the running mean of its square
    m̂ = m / (1 − β₁ᵗ)              both begin at 0 and are too small at first:
    v̂ = v / (1 − β₂ᵗ)              the bias correction, for this step alone
    θ ← θ − lr · m̂ / (√v̂ + eps)

adam(theta, g, m, v, t, lr, beta1, beta2, eps) -> theta, m, v
    theta, g, m, v   arrays of one shape
    t                an integer, 1 in the first step
    lr, beta1, beta2, eps   numbers
    Returns the new ones; the arrays that come in stay as they are.

Clipping, with ‖g‖ = √(Σ g²) over all numbers of all arrays:

    g ← g · min(1, c / ‖g‖)        never longer than c, in the same direction

clip(grads, max_norm) -> clipped, norm
    grads     a dict of arrays of any shapes, by the parameters' names
    max_norm  a number, c > 0
    clipped   a dict like grads
    norm      a number: ‖g‖ as it was before
    The gradients may all be 0. The arrays that come in stay as they are.

A tiny example: the first step with g = 4, β₁ = 0.9, β₂ = 0.99, lr = 0.1 and
eps = 0 gives m = 0.4, v = 0.16, m̂ = 4, v̂ = 16, a step of 0.1 · 4 / 4 = 0.1:

    >>> theta, g, zero = np.ones(1), np.array([4.0]), np.zeros(1)
    >>> new = adam(theta, g, zero, zero, 1, 0.1, 0.9, 0.99, 0.0)
    >>> [a.round(6).tolist() for a in new]
    [[0.9], [0.4], [0.16]]

3, 4 and 12 have the norm 13, whichever arrays they are in:

    >>> grads = {"W": np.array([[3.0, 4]]), "b": np.array([12.0])}
    >>> clipped, norm = clip(grads, 6.5)
    >>> clipped["W"].tolist(), clipped["b"].tolist(), float(norm)
    ([[1.5, 2.0]], [6.0], 13.0)
"""

import numpy as np


def adam(theta, g, m, v, t, lr, beta1, beta2, eps):
    """One step -> the new theta, m, v."""
    # <solution>
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps)
    return theta, m, v
    # </solution>


def clip(grads, max_norm):
    """grads, a dict of arrays -> the same, no longer than max_norm; and their norm."""
    # <solution>
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    scale = max_norm / max(norm, max_norm)
    return {name: scale * g for name, g in grads.items()}, norm
    # </solution>
