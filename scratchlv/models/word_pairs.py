"""Pairs of words that stand side by side, added to what a recurrent network has read of a question.

    u_0 = h_T + Σ_{t=0..T} P[w_t, w_{t+1}]

where w_0 and w_{T+1} stand for nothing: "what is the", "the lamp ?". Each pair that is known has a vector of its own, others have
none. Of few questions such a bag learns sooner than a recurrent network which words go together ("on top", "garbage bin"), and
the network what the bag has lost, their order. Yang et al. 2016 read questions by convolutions over words, pairs and triples.

A pair is known by one number, a V + b of the tokens a and b, for a vocabulary of V words; padding is nothing.

Shapes: T words, N questions, H wide state.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.device import on_gpu
from scratchlv.initialisers import normal
from scratchlv.ops import embedding
from scratchlv.tokens import PAD

_SCALE = 0.1  # of the vectors at first: a question has about eight of them


def frequent(questions: Iterable[Sequence[int]], vocabulary: int, least: int) -> tuple[int, ...]:
    """The pairs, by their numbers, that occur at least so often."""
    counts: Counter[int] = Counter()
    for words in questions:
        counts.update(a * vocabulary + b for a, b in zip([PAD, *words], [*words, PAD], strict=True))
    return tuple(sorted(pair for pair, n in counts.items() if n >= least))


def init(rng: np.random.Generator, pairs: int, H: int) -> dict[str, Array]:
    """A vector of each pair."""
    return {"pairs.P": normal(rng, pairs, H, scale=_SCALE)}


def forward(
    params: dict, tokens: Array, pairs: tuple[int, ...], vocabulary: int, *, train: bool = True
) -> tuple[Array, Any]:
    """The sum of the vectors of the pairs in each question of ``tokens`` (T, N), padding behind: (N, H)."""
    nothing = np.zeros_like(tokens[:1])  # PAD
    numbers = np.concatenate([nothing, tokens]) * vocabulary + np.concatenate([tokens, nothing])  # (T + 1, N)
    known = _array(pairs, tokens.device.id if on_gpu(tokens) else None)
    at = np.minimum(np.searchsorted(known, numbers), len(pairs) - 1)
    vectors, cache = embedding.forward(at, params["pairs.P"], train=train)  # (T + 1, N, H)
    there = (known[at] == numbers)[:, :, None].astype(vectors.dtype)
    vectors *= there
    return vectors.sum(axis=0), (there, cache)


def backward(du: Array, cache: Any) -> dict[str, Array]:
    """The gradient of the vectors."""
    there, looked_up = cache
    dvectors = np.multiply(du, there, out=empty((len(there), *du.shape), du))
    (dP,) = embedding.backward(dvectors, looked_up)
    return {"pairs.P": dP}


@functools.lru_cache(maxsize=4)
def _array(pairs: tuple[int, ...], gpu: int | None) -> Array:
    """The numbers of the pairs, on that GPU, or on the CPU."""
    numbers = np.array(pairs, np.int64)
    if gpu is None:
        return numbers
    import cupy

    return cupy.asarray(numbers)
