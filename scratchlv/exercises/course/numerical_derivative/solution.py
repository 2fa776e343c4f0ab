"""A derivative by numbers: the slope of f is measured, not derived.

Move x a little to both sides, and look at what f does. This is the
central difference, and h is its step:

    f'(x) ≈ (f(x + h) − f(x − h)) / 2h

Where x is an array, f(x) is still one number, such as the loss of a
network. Its gradient has a slope for every element. While one element
is moved, all the others stand still:

    d_i = (f(x with x_i + h) − f(x with x_i − h)) / 2h

What the functions get and return:

    slope(f, x, h)      x is a number       -> a number
    gradient(f, x, h)   x is a float array  -> d, an array shaped like x

x may have any number of axes. Leave x as it is: move a copy.

A tiny example. For f(x) = x³ at 1 with the step 0.5 we have
(1.5³ − 0.5³) / (2 · 0.5) = (3.375 − 0.125) / 1:

    >>> slope(lambda x: x**3, 1.0, 0.5)
    3.25

The true slope is 3: the error is h² here, so it is a hundred times
smaller with a step that is ten times smaller. (A difference to one side
only, (f(x + h) − f(x)) / h, has an error that goes with h.)

For f(x) = x_0 x_1² at (2, 3) the slopes are x_1² = 9 and 2 x_0 x_1 = 12:

    >>> gradient(lambda x: x[0] * x[1] ** 2, np.array([2.0, 3.0]), 0.5)
    array([ 9., 12.])

Why one wants it: a backward pass is easily wrong and still looks right.
The numerical gradient needs only the forward pass, so it can tell. Every
gradient that you will write here is measured against one like yours.
"""

import numpy as np


def slope(f, x, h):
    """f takes a number and returns one; x and h are numbers -> the slope of f at x."""
    # <solution>
    return (f(x + h) - f(x - h)) / (2 * h)
    # </solution>


def gradient(f, x, h):
    """f takes an array like x and returns a number; x (...) -> d (...), the slope along each element."""
    # <solution>
    d = np.zeros_like(x)
    for i in np.ndindex(x.shape):  # i is the index of one element, such as (0, 2)
        moved = x.copy()  # all the others stand where they were
        moved[i] = x[i] + h
        up = f(moved)
        moved[i] = x[i] - h
        down = f(moved)
        d[i] = (up - down) / (2 * h)
    return d
    # </solution>
