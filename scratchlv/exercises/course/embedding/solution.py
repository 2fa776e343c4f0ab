"""Embedding: a word is a number, and its vector is the row with that number.

    y = W[tokens]        y of a place = the row of W that its token names

W has a row for each of the V words of the vocabulary, and E columns. It is
learned like any other weight.

What the functions get and return:

    forward(tokens, W)     tokens (…) integers from 0 to V − 1, W (V, E)
                           -> y (…, E), cache
    backward(dy, cache)    dy (…, E) -> dW (V, E)

tokens may have any axes: (T, N) in a batch of sentences. They are integers
and have no gradient, so dW is all that backward returns.

A row of W is used wherever its word stands. If it stands in three places,
three gradients come back to the row, and they add up. The gradient of a row
that was not used is 0:

    dW_v = Σ over the places where token v stood of dy

A tiny example: three words of two numbers, and word 2 stands twice:

    >>> W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> y, cache = forward(np.array([2, 0, 2]), W)
    >>> y.tolist()
    [[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]]
    >>> dy = np.array([[1.0, 1.0], [10.0, 10.0], [100.0, 200.0]])
    >>> backward(dy, cache).tolist()
    [[10.0, 10.0], [0.0, 0.0], [101.0, 201.0]]

Why one wants it: it is how words enter a network. (It is the linear layer
in disguise: a row of zeros with a 1 at the word, times W.)
"""

import numpy as np


def forward(tokens, W):
    """tokens (…) integers, W (V, E) -> y (…, E), cache."""
    # <solution>
    return W[tokens], (tokens, W.shape)
    # </solution>


def backward(dy, cache):
    """dy (…, E) -> dW (V, E)."""
    # <solution>
    tokens, shape = cache
    dW = np.zeros(shape)
    np.add.at(dW, tokens, dy)  # dW[tokens] += dy would keep one of several places with the same token
    return dW
    # </solution>
