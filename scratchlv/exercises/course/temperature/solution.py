"""Temperature, top-k and sampling: from scores to a word.

    p = softmax(z / τ)        z (V,) the scores of a model, τ the temperature

A small τ makes the likely words likelier (τ → 0 is argmax), a large one makes
all words alike. Top-k keeps the k words with the largest scores alone; the
others get p = 0, and what is left still sums to 1. Of words with equal scores
the lower number is kept.

A word is drawn with a number u from [0, 1): lay the probabilities side by
side on a line of length 1; the word drawn is the one on whose piece u falls.
That is the first v with p_0 + … + p_v > u.

          p = 0.5, 0.3, 0.2     |----- 0 -----|--- 1 ---|- 2 -|
                                0            0.5       0.8    1

Why: the most likely word each time makes dull texts, which repeat themselves.
To draw from p itself now and then takes a word that is nonsense. Temperature
and top-k lie between.

    logits (N, V)    temperature > 0    k in 1 … V    p (N, V)
    u (N,)           tokens (N,), integers

Scores may be large and τ small: no number may overflow. Rounding may make a
sum of probabilities a little less than 1, and u may lie above it: even then
the token is a word with p > 0.

A tiny example. The scores are log 1, log 2, log 4; with τ = 1/2 the weights
1, 2, 4 are squared: 1, 4, 16.

    >>> z = np.log([[1.0, 2.0, 4.0]])
    >>> (7 * probabilities(z, 1.0, 3)).round(4).tolist()
    [[1.0, 2.0, 4.0]]
    >>> (21 * probabilities(z, 0.5, 3)).round(4).tolist()
    [[1.0, 4.0, 16.0]]
    >>> (20 * probabilities(z, 0.5, 2)).round(4).tolist()
    [[0.0, 4.0, 16.0]]
    >>> p = np.array([[0.5, 0.25, 0.25]] * 4)
    >>> sample(p, np.array([0.0, 0.4, 0.5, 0.9])).tolist()
    [0, 0, 1, 2]
"""

import numpy as np


def probabilities(logits, temperature, k):
    """p (N, V) of the k best words of each row."""
    # <solution>
    z = logits / temperature
    order = np.argsort(-z, axis=1, kind="stable")  # the most likely first, of equals the lower number
    np.put_along_axis(z, order[:, k:], -np.inf, axis=1)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
    # </solution>


def sample(p, u):
    """A token for each row of p (N, V), drawn with u (N,)."""
    # <solution>
    reached = p.cumsum(axis=1)
    reached = reached / reached[:, -1:]  # the last is 1 now, in spite of rounding
    return (reached <= u[:, None]).sum(axis=1)
    # </solution>
