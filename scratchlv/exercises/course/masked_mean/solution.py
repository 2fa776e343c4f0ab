"""The mask in a mean: only words count, padding does not.

The sentences of a batch differ in length. They are padded to the longest
one, and a mask tells which places hold a word. The loss of the batch is the
mean over all its words:

    C = the number of places where the mask is True
    mean = (1/C) Σ over these places of ℓ_tn

T is time, N the number of sentences. What the functions get and return:

    forward(losses, mask)    losses (T, N) floats, mask (T, N) bools
                             -> the mean, a number; cache
    backward(dmean, cache)   dmean, a number -> dlosses (T, N)

A mask has no gradient. dmean is the gradient of what follows by this mean.

- It is one mean over all words, not the mean of the sentences' means: a
  sentence of ten words counts ten times as much as one of a single word.
- A loss at a padded place must not matter, whatever it is. It may well be
  infinite, as −log 0 is.
- If no place counts, the mean is 0.0, and so are all gradients.

A tiny example. The columns are two sentences, of two words and of one:

    >>> losses = np.array([[1.0, 2.0], [6.0, 50.0]])
    >>> mask = np.array([[True, True], [True, False]])
    >>> mean, cache = forward(losses, mask)
    >>> float(mean)
    3.0
    >>> backward(1.5, cache).tolist()
    [[0.5, 0.5], [0.5, 0.0]]

The mean is (1 + 2 + 6) / 3. Each word has the slope 1/3, times 1.5.

Why one wants it: divided by T N, a batch of short sentences would have a
small loss, and small gradients, for no other reason than its padding.
"""

import numpy as np


def forward(losses, mask):
    """losses (T, N), mask (T, N) bools -> the mean over the places where the mask is True, a number; cache."""
    # <solution>
    count = mask.sum()
    total = np.where(mask, losses, 0.0).sum()  # not losses * mask: 0 times infinity is not a number
    mean = total / max(count, 1)
    return mean, (mask, count)
    # </solution>


def backward(dmean, cache):
    """dmean, a number -> dlosses (T, N)."""
    # <solution>
    mask, count = cache
    return dmean * mask / max(count, 1)
    # </solution>
