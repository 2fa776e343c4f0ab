"""Truncated backpropagation: the state goes on, no gradient comes back.

A long text is read in windows of T steps. A window begins with the state in
which the one before it ended; its backward pass stops where it began.

    window k:    h_k, cache = rnn(x_k, the last h of window k-1)
                 gradients of Wx, Wh and b from dh_k, through this window alone

Why: backpropagation through a whole book needs the caches of all its steps.
With windows the memory needed is that of T steps, and yet the state may hold
what was read long ago.

Two functions are yours. `windows` cuts a text (S tokens in a row) for a
language model. The text is parted into N pieces of length S // N, one after
the other; what is left over at the end is dropped. The pieces are read side
by side: column n is piece n. Each token of a piece but the first is predicted
from the one before it, once.

    >>> text = np.arange(11)
    >>> for inputs, targets in windows(text, 2, 3):
    ...     print(inputs.T.tolist(), targets.T.tolist())
    [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]]
    [[3], [8]] [[4], [9]]

Here the pieces are 0 … 4 and 5 … 9, and 10 is dropped; 3 is a target of the
first window and an input of the second. The last window may be shorter.

`gradients` reads a stream x (S, N, D), with dh (S, N, H) the gradient that
comes to each h from above. It returns all h (S, N, H), and dWx, dWh, db, the
sums over all windows. The last window may be shorter than T here, too.

A tiny example, N = D = H = 1, all weights 1, x = 0: from h0 = atanh 0.8, h_1
is 0.8 and h_2 = tanh 0.8. If dh = 1 at step 2 alone, and T = 1, only step 2
gets a gradient, its slope 1 - h_2²; step 1 lies in another window.

    >>> one, dh = np.ones((1, 1)), np.array([[[0.0]], [[1.0]]])
    >>> x, h0, b = np.zeros((2, 1, 1)), np.arctanh([[0.8]]), np.zeros(1)
    >>> h, dWx, dWh, db = gradients(x, h0, one, one, b, dh, 1)
    >>> h.round(4).ravel().tolist(), db.round(4).tolist()
    ([0.8, 0.664], [0.5591])

With T = 2 step 1 gets its part as well, 0.5591 · (1 - 0.8²):

    >>> gradients(x, h0, one, one, b, dh, 2)[3].round(4).tolist()
    [0.7603]
"""

import numpy as np


def rnn_forward(x, h0, Wx, Wh, b):
    """Given: x (T, N, D), h0 (N, H) -> every h (T, N, H), cache."""
    h = [h0]
    for x_t in x:
        h.append(np.tanh(x_t @ Wx + h[-1] @ Wh + b))
    return np.stack(h[1:]), (x, np.stack(h), Wx, Wh)


def rnn_backward(dh, cache):
    """Given: dh (T, N, H) -> dx, dh0, dWx, dWh, db."""
    x, h, Wx, Wh = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        da = (dh[t] + dh_next) * (1 - h[t + 1] ** 2)
        dx[t], dh_next = da @ Wx.T, da @ Wh.T
        dWx += x[t].T @ da
        dWh += h[t].T @ da
        db += da.sum(axis=0)
    return dx, dh_next, dWx, dWh, db


def windows(tokens, N, T):
    """A list of (inputs, targets), (T, N) each; of the last, fewer rows if need be."""
    # <solution>
    length = len(tokens) // N
    columns = tokens[: N * length].reshape(N, length).T  # (length, N)
    inputs, targets = columns[:-1], columns[1:]
    return [(inputs[t : t + T], targets[t : t + T]) for t in range(0, length - 1, T)]
    # </solution>


def gradients(x, h0, Wx, Wh, b, dh, T):
    """h, dWx, dWh, db of a stream, read in windows of T steps."""
    # <solution>
    h, hs = h0, []
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    for t in range(0, len(x), T):
        h_window, cache = rnn_forward(x[t : t + T], h, Wx, Wh, b)
        _, _, dWx_k, dWh_k, db_k = rnn_backward(dh[t : t + T], cache)  # dh0 stays here: it goes over no border
        dWx += dWx_k
        dWh += dWh_k
        db += db_k
        h = h_window[-1]
        hs.append(h_window)
    return np.concatenate(hs), dWx, dWh, db
    # </solution>
