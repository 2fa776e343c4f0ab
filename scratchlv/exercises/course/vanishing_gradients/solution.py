"""Gradients that vanish, and explode: see how far back an RNN can learn.

    h_t = tanh(x_t Wx + h_{t−1} Wh + b)

How does the loss after the last word change with the state after the first?
Its gradient has to come back through all the steps between, and each of
them does the same to it:

    dh_{t−1} = (dh_t ⊙ (1 − h_t²)) Whᵀ

So it is multiplied by Whᵀ again and again. How much a matrix can stretch a
vector is its largest singular value s; the slopes 1 − h² only shrink. With
s < 1 the gradient shrinks at least by s at each step. With s > 1 it may
grow.

One sequence is enough to see it, so there is no N here:

    scaled(W, s)                W (H, H), s a number -> a matrix (H, H):
                                a multiple of W whose largest singular
                                value is s
    gradient_norms(h, Wh, dh)   h (T, H) the states h_1 … h_T, Wh (H, H),
                                dh (H,) the gradient by the last state
                                -> norms (T,): ‖∂L/∂h_t‖, t = 1 … T
    factor_per_step(norms)      norms (T,) -> a number: the factor that
                                leads from the last norm to the first, if
                                each of the T − 1 steps has the same one

The loss looks at the last state only. ‖v‖ is the Euclidean norm, the root
of the sum of squares. norms are in the order of time: the last is ‖dh‖.

A tiny example: states of 0, where all slopes are 1, and Wh = 1/2:

    >>> scaled(np.array([[3.0]]), 0.5).round(4).tolist()
    [[0.5]]
    >>> h = np.zeros((4, 1))
    >>> norms = gradient_norms(h, np.array([[0.5]]), np.array([1.0]))
    >>> norms.tolist()
    [0.125, 0.25, 0.5, 1.0]
    >>> round(float(factor_per_step(norms)), 4)
    0.5

Three steps lie between the four states: 1/2 · 1/2 · 1/2 = 1/8.

Why one wants it: what vanishes cannot be learned, such as a verb that has
to agree with a word twenty words before. When it passes, run this file and
see: each bar is the norm of the gradient by a state, on a logarithmic scale.
"""

import numpy as np


def states(x, h0, Wx, Wh, b):
    """x (T, D), h0 (H,), Wx (D, H), Wh (H, H), b (H,) -> h (T, H), the states of one sequence."""
    h = [h0]
    for x_t in x:
        h.append(np.tanh(x_t @ Wx + h[-1] @ Wh + b))
    return np.array(h[1:])


def scaled(W, s):
    """W (H, H) -> a multiple of W whose largest singular value is s."""
    # <solution>
    return W * (s / np.linalg.norm(W, 2))  # the 2-norm of a matrix is its largest singular value
    # </solution>


def gradient_norms(h, Wh, dh):
    """h (T, H), Wh (H, H), dh (H,), the gradient by the last state -> the norm of the gradient by each state (T,)."""
    # <solution>
    T = len(h)
    norms = np.zeros(T)
    norms[T - 1] = np.linalg.norm(dh)
    for t in range(T - 1, 0, -1):
        dh = (dh * (1 - h[t] ** 2)) @ Wh.T  # from h[t] back to h[t - 1]
        norms[t - 1] = np.linalg.norm(dh)
    return norms
    # </solution>


def factor_per_step(norms):
    """norms (T,), T > 1 -> the factor of one step back, a number."""
    # <solution>
    steps = len(norms) - 1
    return (norms[0] / norms[-1]) ** (1 / steps)
    # </solution>


def show(T=20, D=3, H=16):
    """The norms over time, for three sizes of Wh."""
    rng = np.random.default_rng(0)
    x, Wx = rng.standard_normal((T, D)), 0.01 * rng.standard_normal((D, H))
    W = np.linalg.qr(rng.standard_normal((H, H)))[0]  # stretches every vector alike
    for s in (0.5, 1.0, 2.0):
        Wh = scaled(W, s)
        h = states(x, np.zeros(H), Wx, Wh, np.zeros(H))
        norms = gradient_norms(h, Wh, np.full(H, H**-0.5))
        print(f"\nlargest singular value {s}: times {factor_per_step(norms):.2f} at each step back")
        for t, norm in enumerate(norms):
            print(f"  h_{t + 1:<3} {norm:8.0e}  " + "#" * round(30 + 4 * np.log10(norm)))


if __name__ == "__main__":
    show()
