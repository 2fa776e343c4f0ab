"""The LSTM's gates in one loop, without asking for memory.

From the pre-activations a = x_t W_x + h_{t−1} W_h + b, which two products have
made, one step of an LSTM makes

    i = σ(a_i)    f = σ(a_f)    g = tanh(a_g)    o = σ(a_o)
    c_t = f c_{t−1} + i g
    h_t = o tanh(c_t)

    σ(x) = 1 / (1 + exp(−x))

Shapes: a (N, 4H), its four quarters of each row in the order i, f, g, o;
c_before, c, h (N, H). So for unit j of row n

    a_i is a[n, j]       a_f is a[n, H + j]
    a_g is a[n, 2H + j]  a_o is a[n, 3H + j]

In NumPy each line is a pass over an array, and makes a new one: eleven passes,
eleven times memory asked for and given back. Here all is one loop over n and
j: it reads four numbers of a and one of c_before, and writes what comes of
them. What lies between stays in registers.

`step(a, c_before, gates, c, h)` returns nothing, and writes into the three
arrays that it is given: gates (N, 4H), which holds i, f, g, o in the places of
a_i, a_f, a_g, a_o (the backward pass needs them); c and h (N, H). All hold NaN
before. It asks for no memory: no np.empty, no np.exp of a whole
array, no slice + slice; numbers alone. The check counts what Numba's
allocator is asked for.

math.exp and math.tanh take one number.

    >>> a, c_before = np.array([[0.0, 0.0, 1.0, 0.0]]), np.array([[2.0]])
    >>> gates, c, h = np.zeros((1, 4)), np.zeros((1, 1)), np.zeros((1, 1))
    >>> step(a, c_before, gates, c, h)
    >>> gates.round(3).tolist(), c.round(3).tolist(), h.round(3).tolist()
    ([[0.5, 0.5, 0.762, 0.5]], [[1.381]], [[0.441]])

    i = f = o = σ(0) = 0.5, g = tanh(1) = 0.762
    c = 0.5 · 2 + 0.5 · 0.762 = 1.381    h = 0.5 · tanh(1.381) = 0.441

Why: the products are fast, and a layer of T steps spends much of its time
between them. Memory that is asked for anew at every step is cold, too.
"""

import math

import numpy as np  # noqa: F401  the example above needs it
from numba import njit


@njit
def step(a, c_before, gates, c, h):
    """a (N, 4H), c_before (N, H) -> into gates (N, 4H), c and h (N, H)."""
    # <solution>
    N, H = c.shape
    for n in range(N):
        for j in range(H):
            i = 1.0 / (1.0 + math.exp(-a[n, j]))
            f = 1.0 / (1.0 + math.exp(-a[n, H + j]))
            g = math.tanh(a[n, 2 * H + j])
            o = 1.0 / (1.0 + math.exp(-a[n, 3 * H + j]))
            gates[n, j], gates[n, H + j], gates[n, 2 * H + j], gates[n, 3 * H + j] = i, f, g, o
            c[n, j] = f * c_before[n, j] + i * g
            h[n, j] = o * math.tanh(c[n, j])
    # </solution>
