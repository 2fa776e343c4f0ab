"""What the models that answer questions have in common: the loss of an answer, and of where they looked for it.

ŷ = softmax(logits)          loss = mean over questions of -log ŷ[answer]  +  w · the loss of the attention, in training
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.models import attention_loss
from scratchlv.ops import softmax_cross_entropy


def forward(
    logits: Array,
    alphas: Array | None,
    batch: Any,
    weight: float,
    *,
    label_smoothing: float = 0.0,
    train: bool = True,
) -> tuple[Any, Any]:
    """The loss of ``logits`` (N, answers) and, where ``batch.attention_target`` tells where to look, of ``alphas`` (N, hops, L).

    A question whose ``batch.answers`` (N,) is negative has an answer that cannot be given: it counts for nothing. Of a part of a
    batch that is shared both losses are its shares. Labels are smoothed in training alone: what is reported is the loss without.
    """
    smoothing = label_smoothing if train else 0.0
    loss, answer_cache = softmax_cross_entropy.forward(
        logits, batch.answers, mask=batch.answers >= 0, label_smoothing=smoothing, train=train
    )
    loss, weight = loss * batch.part.share, weight * batch.part.taught
    if not train or batch.attention_target is None or alphas is None or weight == 0:
        return loss, (answer_cache, None, weight, batch.part.share)
    on_attention, attention_cache = attention_loss.forward(alphas, batch.attention_target)
    return loss + weight * on_attention, (answer_cache, attention_cache, weight, batch.part.share)


def backward(cache: Any) -> tuple[Array, Array | None]:
    """``dlogits`` and ``dalphas``; None where the attention was not supervised."""
    answer_cache, attention_cache, weight, share = cache
    (dlogits,) = softmax_cross_entropy.backward(share, answer_cache)
    return dlogits, None if attention_cache is None else weight * attention_loss.backward(attention_cache)


def probabilities(logits: Array) -> Array:
    """softmax(logits), (N, answers)."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
