"""Attention supervision: a loss on the attention of each hop, for questions of which it is known what they depend on.

    loss = mean over the hops that are taught of -log Σ_{l ∈ G} α_l

G are the regions that the hop ought to look at; how the weight is shared among them is left open. (Attention was supervised
in visual question answering by Gan et al. 2017 and Qiao et al. 2018, with regions that people had marked.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.arrays import Array


def forward(alphas: Array, target: Array) -> tuple[Any, Any]:
    """The loss of ``alphas`` (N, K, L), which sum to 1 over the regions, where ``target`` (N, K, L) is True on G.

    A hop without a region to look at is not taught; when none is, the loss is 0.
    """
    taught = target.any(axis=2)  # (N, K)
    inside = np.where(taught, (alphas * target).sum(axis=2), 1)  # (N, K)
    inside = np.maximum(
        inside, np.finfo(alphas.dtype).tiny
    )  # a weight that is 0 in this precision costs much, not infinity
    count = np.maximum(taught.sum(), 1).astype(alphas.dtype)
    return -np.log(inside).sum() / count, (inside, target, count)


def backward(cache: Any) -> Array:
    """``dalphas`` (N, K, L)."""
    inside, target, count = cache
    return np.where(target, -1 / (inside[:, :, None] * count), inside.dtype.type(0))
