"""tanh and σ: the two curves that recurrent networks are made of.

    tanh a = (e^a − e^−a) / (e^a + e^−a)      between −1 and 1
    σ(a)   = 1 / (1 + e^−a)                   between  0 and 1

tanh holds what a network has in mind; σ, the sigmoid, is a gate: 0 is shut,
1 is open. They work on each element by itself, so an array a of any shape
(…) gives y of the same shape.

What the functions get and return:

    tanh_forward(a)             a (…)  -> y (…), cache
    tanh_backward(dy, cache)    dy (…) -> da (…)
    sigmoid_forward(a)          a (…)  -> y (…), cache
    sigmoid_backward(dy, cache) dy (…) -> da (…)

The chain rule for a function of each element is da = dy · slope(a). Both
slopes can be told from y alone, without a and without another exp: that is
why y is all that need be kept. Find them: tanh' from the quotient above
(e^a + e^−a is the derivative of e^a − e^−a, and the reverse), σ' likewise.

a may be 1000 or −1000. np.tanh takes that, but e^1000 is infinite, and
e^a / (1 + e^a) is ∞/∞ then: not a number. So write σ without an exp that
can overflow. It helps to know that the two curves are one:

    σ(a) = (1 + tanh(a/2)) / 2

A tiny example. At a = log 2: e^a = 2, e^−a = 1/2, tanh = 1.5/2.5 = 0.6. At
a = log 3: σ = 1/(1 + 1/3) = 0.75:

    >>> y, cache = tanh_forward(np.array([0.0, np.log(2.0)]))
    >>> y.round(4).tolist()
    [0.0, 0.6]
    >>> tanh_backward(np.array([1.0, 1.0]), cache).round(4).tolist()
    [1.0, 0.64]
    >>> y, cache = sigmoid_forward(np.array([0.0, np.log(3.0)]))
    >>> y.round(4).tolist()
    [0.5, 0.75]
    >>> sigmoid_backward(np.array([1.0, 1.0]), cache).round(4).tolist()
    [0.25, 0.1875]

Why one wants it: an LSTM has three σ and two tanh in each step. At their
ends both are flat: there no gradient comes through. Steepest is tanh, with
1, and σ, with only 1/4, both at 0.
"""

import numpy as np


def tanh_forward(a):
    """a (…) -> y (…), cache."""
    # <solution>
    y = np.tanh(a)
    return y, y
    # </solution>


def tanh_backward(dy, cache):
    """dy (…) -> da (…)."""
    # <solution>
    y = cache
    return dy * (1 - y**2)
    # </solution>


def sigmoid_forward(a):
    """a (…) -> y (…), cache."""
    # <solution>
    y = 0.5 * (1 + np.tanh(0.5 * a))  # 1 / (1 + e^−a), and no exp that could overflow
    return y, y
    # </solution>


def sigmoid_backward(dy, cache):
    """dy (…) -> da (…)."""
    # <solution>
    y = cache
    return dy * y * (1 - y)
    # </solution>
