"""WUPS, the accuracy of answers that may be sets, by how near words are in WordNet (Malinowski & Fritz 2014, section 4).

For the answers A that are given and T that are right

    min( Π_{a ∈ A} max_{t ∈ T} μ(a, t),  Π_{t ∈ T} max_{a ∈ A} μ(a, t) )

where μ is the Wu–Palmer similarity of two words, and a tenth of it where that is below a threshold: at 0.9 little but synonyms
count, at 0.0 every common ancestor does. So who names too few is marked down, and so is who names too many.

The similarity of two meanings is 2 d / (d + l_1 + d + l_2): d the depth of their lowest common ancestor, l_1 and l_2 the steps up
to it (Wu & Palmer 1994); that of two words is the largest of their meanings as nouns, and 1 where the words are the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scratchlv.arrays import Array

Similarity = Callable[[str, str], float]
MISSING = "not measured, for WordNet is not installed: pip install nltk, then python -m nltk.downloader wordnet"


def wups(
    predicted: Sequence[Sequence[str]], truth: Sequence[Sequence[str]], threshold: float, similarity: Similarity
) -> Array:
    """Of each question (n,), 0 to 1; the answers to one are a set, in any order.

    Raises:
        ValueError: there are not as many predictions as questions.
    """

    def near(a: str, t: str) -> float:
        found = 1.0 if a == t else similarity(a, t)
        return found if found >= threshold else 0.1 * found

    def covered(some: Sequence[str], others: Sequence[str]) -> float:
        return math.prod(max((near(one, other) for other in others), default=0.0) for one in some)

    return np.array([min(covered(a, t), covered(t, a)) for a, t in zip(predicted, truth, strict=True)], np.float64)


def wordnet_similarity() -> Similarity | None:
    """The Wu–Palmer similarity of two words as nouns, 0 where one has no meaning; None where nltk's WordNet is not there."""
    try:
        from nltk.corpus import wordnet

        wordnet.ensure_loaded()
    except (ImportError, LookupError, OSError):  # the last where it is there in part
        return None

    @functools.lru_cache(maxsize=1 << 16)
    def similarity(a: str, b: str) -> float:
        meanings = (wordnet.synsets(word.replace(" ", "_"), pos=wordnet.NOUN) for word in (a, b))
        first, second = map(list, meanings)
        return max((wu_palmer(x, y) for x in first for y in second), default=0.0)

    return similarity


def wu_palmer(one: Any, other: Any) -> float:
    """Of two meanings, which have ``hypernyms()`` and ``instance_hypernyms()``; 0 where they have no ancestor in common."""
    up, others_up = _steps_up(one), _steps_up(other)
    common = up.keys() & others_up.keys()
    if not common:
        return 0.0
    # the lowest is the deepest by its shortest way to the root, as nltk has it; then the longest way counts
    lowest = min(common, key=lambda meaning: (-_depth(meaning, min), meaning != one, meaning.name()))
    d = _depth(lowest, max)
    return 2 * d / (d + up[lowest] + d + others_up[lowest])


def _above(meaning: Any) -> list[Any]:
    return [*meaning.hypernyms(), *meaning.instance_hypernyms()]


def _steps_up(meaning: Any) -> dict[Any, int]:
    """The ancestors of a meaning, itself among them, each with the fewest steps up to it."""
    steps, here = {meaning: 0}, [meaning]
    while here:
        following = []
        for below in here:
            for above in _above(below):
                if above not in steps:
                    steps[above] = steps[below] + 1
                    following.append(above)
        here = following
    return steps


@functools.lru_cache(maxsize=1 << 16)
def _depth(meaning: Any, way: Callable[..., int]) -> int:
    """Meanings from the root to this one, both counted, by the shortest (``min``) or the longest (``max``) way."""
    return 1 + way((_depth(above, way) for above in _above(meaning)), default=0)
