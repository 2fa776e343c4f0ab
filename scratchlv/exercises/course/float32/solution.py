"""Why float32 fails: a slope has the fewest wrong digits at a step that is
neither long nor short, and in float32 even that one is poor.

A float32 keeps 24 binary digits, about 7 decimal ones; a float64 keeps 53,
about 16. The central difference

    d(h) = (f(x + h) − f(x − h)) / 2h

has two errors. A long step misses the curve: this error goes with h². A
short step makes f(x + h) and f(x − h) agree in almost all of their
digits. These cancel, and only the last ones, which were rounded, are left:
catastrophic cancellation. This error goes with ε / h, where ε is the
rounding error of one number.

What the functions get and return (dtype is "float32" or "float64"):

    difference(f, x, h, dtype)            d(h), computed in dtype
    errors(f, true, x, steps, dtype)      |d(h) − true| / |true| for each h
    best_step(f, true, x, steps, dtype)   the h with the smallest error
    sqrt_slope(x, h, dtype)               d(h) of √x, without cancellation

x, h and true (the true slope) are numbers, steps is a float64 array (K,).
errors returns a float64 array (K,): what went wrong in float32 is measured
in float64. best_step returns one of the steps; if several are equally good,
the first of them.

Computed in dtype means: all of it, so x and h are made float32 before they
are added. One float64 array element in a sum makes the sum float64.
f works with any type: f(float32) is float32.

A tiny example. f(x) = x², at 1; the true slope is 2, and the central
difference of a square is exact. But between 1 and 2 the float32 numbers are
2⁻²³ apart. With h = 2⁻²⁶ both 1 + h and 1 − h are rounded to 1:

    >>> def square(x):
    ...     return x * x
    >>> float(difference(square, 1.0, 2.0**-26, "float32"))
    0.0
    >>> float(difference(square, 1.0, 2.0**-26, "float64"))
    2.0
    >>> steps = np.array([2.0**-4, 2.0**-24, 2.0**-26])
    >>> errors(square, 2.0, 1.0, steps, "float32")
    array([0. , 0.5, 1. ])
    >>> float(best_step(square, 2.0, 1.0, steps, "float32"))
    0.0625

The cure for a cancellation is another formula for the same number. For √x,
multiply d(h) above and below by √(x + h) + √(x − h), and simplify: no
difference of roots is left. In float32, where the true slope at 1 is 0.5:

    >>> float(difference(np.sqrt, 1.0, 2.0**-23, "float32"))
    0.25
    >>> float(sqrt_slope(1.0, 2.0**-23, "float32"))
    0.5

Why one wants it: with slopes in float32 a right gradient looks wrong, or a
tolerance is so wide that a wrong one looks right. When it passes, run this
file: it shows the errors for both types, step by step.
"""

import numpy as np


def difference(f, x, h, dtype):
    """(f(x + h) − f(x − h)) / 2h, all of it computed in dtype -> a number of the type dtype."""
    # <solution>
    x, h = np.asarray(x, dtype), np.asarray(h, dtype)  # before they meet: what is rounded later is not rounded here
    return (f(x + h) - f(x - h)) / (2 * h)
    # </solution>


def errors(f, true, x, steps, dtype):
    """The relative error of difference at each of the steps (K,) -> (K,) float64."""
    # <solution>
    slopes = np.array([difference(f, x, h, dtype) for h in steps], dtype=np.float64)
    return np.abs(slopes - true) / np.abs(true)
    # </solution>


def best_step(f, true, x, steps, dtype):
    """The one of the steps (K,) whose error is the smallest -> a number."""
    # <solution>
    return steps[np.argmin(errors(f, true, x, steps, dtype))]
    # </solution>


def sqrt_slope(x, h, dtype):
    """(√(x + h) − √(x − h)) / 2h, computed in dtype without subtracting one root from the other -> a number."""
    # <solution>
    x, h = np.asarray(x, dtype), np.asarray(h, dtype)
    return 1 / (np.sqrt(x + h) + np.sqrt(x - h))
    # </solution>


def show():
    """The errors of the slope of x³ at 1.1: by how much they are off, in both types."""
    steps = 10.0 ** -np.arange(1, 13)
    found = {dtype: errors(lambda x: x * x * x, 3 * 1.1**2, 1.1, steps, dtype) for dtype in ("float32", "float64")}
    print("    step   float32   float64")
    for k, h in enumerate(steps):
        print(f"{h:8.0e}" + "".join(f"{found[dtype][k]:10.0e}" for dtype in found))


if __name__ == "__main__":
    show()
