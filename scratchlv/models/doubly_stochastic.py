"""The doubly stochastic penalty (Xu et al. 2015, equation 14): every region is looked at about once in a sentence.

    S_nl = Σ_t α_tnl                            over the words of sentence n: past its end α means nothing
    P    = λ/W Σ_n Σ_l (1 - S_nl)²              over the regions that there are

α_t sums to 1 over the regions by its softmax; this asks that it sum to 1 over time as well. W is the number of words, as it is
for the loss of words: so λ is the paper's, which adds λ Σ_l (1 - S_l)² to the -log p of a whole sentence.

The gradient is the same for every word of a sentence: dα_tnl = -2 λ/W (1 - S_nl).

Shapes: T steps, N sentences, L regions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Cache(NamedTuple):
    rest: Array  # (N, L): 1 - S; 0 where there is no region
    counts: Array  # (T, N)
    scale: Array  # λ / W


def forward(alphas: Array, counts: Array, mask: Array | None, weight: float) -> tuple[Any, Cache]:
    """P of ``alphas`` (T, N, L); ``counts`` (T, N) says where a sentence has words, ``mask`` (N, L) which regions there are.

    ``weight`` is λ.
    """
    rest = 1 - np.where(counts[:, :, None], alphas, 0).sum(axis=0)  # (N, L)
    if mask is not None:
        rest = np.where(mask, rest, 0)
    scale = (weight / np.maximum(counts.sum(), 1)).astype(alphas.dtype)
    return scale * (rest * rest).sum(), Cache(rest, counts, scale)


def backward(cache: Cache) -> Array:
    """``dalphas`` (T, N, L)."""
    rest, counts, scale = cache
    return np.where(counts[:, :, None], -2 * scale * rest, rest.dtype.type(0))
