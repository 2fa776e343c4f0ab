"""A step of beam search: the best K of K·V ways to go on.

A beam is the beginning of a sentence, with its score log p(y_1 … y_t). Each
of K beams can go on with each of V words, and log-probabilities add up:

    candidate (k, v):    scores[k] + log_probs[k, v]

A beam that has said `end` is finished. It has one candidate alone: `end`
once more, and its score stays. Of all candidates together the K with the
highest scores are the new beams, the best first; of equals the one with the
lower k comes first, then the one with the lower v. For each of them one must
know which beam it continues (its parent), which word it says, its score, and
whether it is finished.

Why: the most likely word each time need not lead to the most likely sentence.
A beam keeps K beginnings, so that a good one with a bad word in it can live
on. In the first step all beams are the same, so all but one begin with the
score -∞.

    log_probs (K, V)    scores (K,)    finished (K,), bool    end: a word
    -> new scores (K,), tokens (K,), parents (K,), finished (K,)

The new beams are in another order, and so must be whatever belongs to a beam.
No input is changed. log_probs are finite, and at least one score is.

A tiny example: K = 2, V = 3, the end is word 0, and beam 1 is finished. The
candidates have the scores, of beam 0: -2.5 - 3, -2.5 - 0.5, -2.5 - 1; of
beam 1: -2 alone. The best two are -2 (beam 1, word 0) and -3 (beam 0, word 1).

    >>> log_probs = np.array([[-3.0, -0.5, -1.0], [-0.5, -0.75, -9.0]])
    >>> scores, finished = np.array([-2.5, -2.0]), np.array([False, True])
    >>> for result in beam_step(log_probs, scores, finished, 0):
    ...     print(result.tolist())
    [-2.0, -3.0]
    [0, 1]
    [1, 0]
    [True, False]

`sentence` reads the words of a beam when all is over: tokens and parents
(T, K) are what the T steps returned, slot is the beam's place after the last.

    >>> tokens = np.array([[5, 6], [7, 8]])
    >>> parents = np.array([[0, 0], [1, 0]])
    >>> sentence(tokens, parents, 0).tolist()
    [6, 7]
"""

import numpy as np


def beam_step(log_probs, scores, finished, end):
    """scores, tokens, parents, finished of the K best beams, (K,) each."""
    # <solution>
    K, V = log_probs.shape
    cost = np.where(finished[:, None], -np.inf, log_probs)
    cost[finished, end] = 0
    candidates = (scores[:, None] + cost).ravel()  # (K V,)
    best = np.argsort(-candidates, kind="stable")[:K]
    parents, tokens = best // V, best % V
    return candidates[best], tokens, parents, finished[parents] | (tokens == end)
    # </solution>


def sentence(tokens, parents, slot):
    """The T words (T,) of the beam that stands in `slot` after the last step."""
    # <solution>
    words = []
    for t in reversed(range(len(tokens))):
        words.append(tokens[t, slot])
        slot = parents[t, slot]
    return np.array(words[::-1])
    # </solution>
