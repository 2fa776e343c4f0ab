"""What the models that answer questions have in common: the loss of an answer, and of where they looked for it.

ŷ = softmax(logits)          loss = mean over questions of -log ŷ[answer]  +  w · the loss of the gaze, in training
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.models import attention_loss
from scratchlv.ops import softmax_cross_entropy


def forward(
    logits: Array, alphas: Array | None, batch: Any, gaze_weight: float, *, train: bool = True
) -> tuple[Any, Any]:
    """The loss of ``logits`` (N, answers) and, where ``batch.gaze`` tells where to look, of ``alphas`` (N, hops, L).

    A question whose ``batch.answers`` (N,) is negative has an answer that cannot be given: it counts for nothing.
    """
    loss, answered = softmax_cross_entropy.forward(logits, batch.answers, mask=batch.answers >= 0, train=train)
    if not train or batch.gaze is None or alphas is None or gaze_weight == 0:
        return loss, (answered, None, gaze_weight)
    gaze_loss, looked = attention_loss.forward(alphas, batch.gaze)
    return loss + gaze_weight * gaze_loss, (answered, looked, gaze_weight)


def backward(cache: Any) -> tuple[Array, Array | None]:
    """``dlogits`` and ``dalphas``; None where the gaze was not taught."""
    answered, looked, gaze_weight = cache
    (dlogits,) = softmax_cross_entropy.backward(1.0, answered)
    return dlogits, None if looked is None else gaze_weight * attention_loss.backward(looked)


def probabilities(logits: Array) -> Array:
    """softmax(logits), (N, answers)."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
