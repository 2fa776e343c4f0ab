"""A step of Adam at half of what the machine attains.

Step t, for every parameter, g its gradient:

    m ← β₁ m + (1 − β₁) g
    v ← β₂ v + (1 − β₂) g²
    θ ← θ − lr · m̂ / (√v̂ + eps)       m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

`step(theta, g, m, v, t, lr, beta1, beta2, eps)`: four arrays (n,) of float32;
t is an integer, 1 in the first step; the rest are Python numbers. It changes
theta, m and v in place, leaves g as it is, and returns nothing.

The roofline: a step must read four arrays and write three, 7 · 4 = 28 bytes
for each parameter. A processor that moves B bytes a second cannot do it in
less than 28 n / B seconds, whatever it computes meanwhile: B is the roof. The
arithmetic (ten operations, a root and a division) hides behind the memory, if
it is done several numbers at a time. The check measures B, with a loop that
reads and writes the same arrays and does next to nothing, then your step on
arrays that no cache holds, several times by turns. The median must be at
least 50% of the roof.

An example: g = 4, m = v = 0, t = 1, lr = 0.1, β₁ = 0.9, β₂ = 0.96 gives
m = 0.4, v = 0.64, m̂ = 4, v̂ = 16, and a step of 0.1 · 4 / 4 = 0.1:

    >>> theta, g = np.ones(1, np.float32), np.full(1, 4, np.float32)
    >>> m, v = np.zeros(1, np.float32), np.zeros(1, np.float32)
    >>> step(theta, g, m, v, 1, 0.1, 0.9, 0.96, 1e-8)
    >>> [round(float(a[0]), 4) for a in (theta, m, v)]
    [0.9, 0.4, 0.64]

What holds a loop up, even in Numba:

- Passes. Each line over whole arrays reads them from memory and writes a new
  one. NumPy makes about twenty such passes here.
- Python numbers are float64, and float32 times float64 is float64: numbers are
  converted there and back, and half as many fit an instruction. lr =
  np.float32(lr) makes another one of it; 1 − beta1 is best taken before that.
- What does not depend on the parameter (1 − β₁ᵗ, say) is computed once, before
  the loop.
- m[i], just written, is read from memory again: for all the compiler knows,
  the arrays overlap. A variable is not. And a division takes as long as ten
  multiplications: one for each parameter is enough.
- A division in Python must look for 0, and with such a look in it a loop is
  compiled number by number, several times slower. @njit(error_model="numpy")
  divides like NumPy, without.

Run this file: it says how many GB a second your step moves.

Why: an optimiser's step touches every parameter of a model, and does almost
no arithmetic: it is as fast as its memory traffic lets it be.
"""

import math

import numpy as np
from numba import njit


# <solution>
@njit(error_model="numpy")
# <stub>
# @njit
# </solution>
def step(theta, g, m, v, t, lr, beta1, beta2, eps):
    """theta, g, m, v (n,) -> changed in place, but for g."""
    # <solution>
    rate = np.float32(lr / (1 - beta1**t))
    correction = np.float32(1 / math.sqrt(1 - beta2**t))
    keep1, add1, keep2, add2 = np.float32(beta1), np.float32(1 - beta1), np.float32(beta2), np.float32(1 - beta2)
    eps = np.float32(eps)
    for i in range(theta.size):
        gradient = g[i]
        mean = keep1 * m[i] + add1 * gradient
        square = keep2 * v[i] + add2 * gradient * gradient
        m[i] = mean
        v[i] = square
        theta[i] -= rate * mean / (math.sqrt(square) * correction + eps)
    # </solution>


if __name__ == "__main__":
    import time

    theta, g, m, v = np.random.default_rng(0).random((4, 4_000_000), np.float32)
    times = []
    for t in range(1, 12):
        start = time.perf_counter()
        step(theta, g, m, v, t, 1e-3, 0.9, 0.999, 1e-8)
        times.append(time.perf_counter() - start)  # the first is the compiler's
    print(f"{28 * theta.size / sorted(times)[5] / 1e9:.1f} GB/s")
