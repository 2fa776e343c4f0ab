"""The loss of words: -log p of each that counts, averaged; where words have weights, each times its own.

    loss = 1/W Σ_{t,n} w_tn (-log ŷ_tn[y_tn])          W: how many words count; w is 1 where none is given

With w = reward - baseline, of a sentence that the model has sampled, the gradient is REINFORCE's (Williams 1992), and that of
self-critical training where the baseline is the reward of the greedy sentence (Rennie et al. 2017): w is a number, and no
gradient flows through it.

Shapes: T steps, N sentences, V words known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.ops import softmax_cross_entropy


class Cache(NamedTuple):
    kernel: Any
    dloss: Any  # 1 of the mean; (T, N) where each word has a loss of its own: what that is multiplied by
    losses: Array | None  # (T, N): w (-log ŷ), 0 where nothing counts; None where only the mean was asked for


def forward(
    logits: Array,
    targets: Array,
    counts: Array,
    *,
    word_weights: Array | None = None,
    each: bool = False,
    label_smoothing: float = 0.0,
    share: float = 1.0,
    train: bool = True,
) -> tuple[Any, Cache]:
    """The loss of ``logits`` (T, N, V), whose memory is used up, where ``counts`` (T, N) is True.

    ``word_weights`` are (T, N), or (N,), one for all words of a sentence; any numbers, also below 0. Labels are smoothed only
    without them: a reward is for what was said. With ``each`` the cache has the loss of every word. ``share`` is that of these
    words in all of a batch that several processes share: the loss is so much of their mean.

    Raises:
        ValueError: weights of another shape.
    """
    if word_weights is None and not each:
        loss, kernel = softmax_cross_entropy.forward(
            logits, targets, mask=counts, label_smoothing=label_smoothing, train=train, overwrite=True
        )
        return loss * share, Cache(kernel, share, None)
    if word_weights is None:
        weights = counts
    elif word_weights.shape in (counts.shape, counts.shape[1:]):
        weights, label_smoothing = np.where(counts, word_weights, 0), 0.0
    else:
        raise ValueError(
            f"word_weights has the shape {word_weights.shape}; it is (T, N) = {counts.shape}, or (N,), "
            "a weight for each sentence"
        )
    losses, kernel = softmax_cross_entropy.forward(
        logits,
        targets,
        mask=counts,
        label_smoothing=label_smoothing,
        reduction="none",
        train=train,
        overwrite=True,
    )  # (T, N), 0 where nothing counts
    weights = weights.astype(losses.dtype)
    losses = weights * losses
    words = np.maximum(counts.sum(), 1).astype(losses.dtype)
    if share != 1:
        words = words / losses.dtype.type(share) if share else words * losses.dtype.type(np.inf)
    return losses.sum() / words, Cache(kernel, weights / words, losses)


def backward(cache: Cache) -> Array:
    """``dlogits`` (T, N, V)."""
    (dlogits,) = softmax_cross_entropy.backward(cache.dloss, cache.kernel)
    return dlogits
