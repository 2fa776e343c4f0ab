"""The true entropy of the captions: what no language model can go below.

A caption names two objects. It is one to one with three things: the (colour, shape) pair of the first, that of the
second, and all its other words, which say sizes, places and the relation. Outside the split ``compositional`` the
pairs are drawn uniformly from those not held out, of each other and of all geometry independently, and which two objects
a caption names depends on geometry alone. So

    H(caption) = 2 ln(number of pairs) + H(other words)

where the first term is exact, and the other words have a few hundred cells only, which are counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from scratchlv.data.scenes.captions import caption
from scratchlv.data.scenes.world import COLOURS, HELD_OUT, SHAPES, World, first_scenes


@dataclass(frozen=True)
class Entropy:
    """Entropy in nats; a caption's end symbol counts as a word. ``standard_error`` is that of ``nats_per_caption``."""

    nats_per_caption: float
    nats_per_word: float
    words_per_caption: float
    standard_error: float


def caption_entropy(world: World | None = None, grammar: str = "places", *, n: int = 20_000, seed: int = 0) -> Entropy:
    """The entropy of :func:`caption` over the scenes of ``train`` (or ``val``, or ``test``: they are alike).

    ``n`` scenes of ``seed`` are looked at and none is drawn. ``nats_per_word`` is nats over words, as a perplexity counts.

    Raises:
        ValueError: no such grammar, or ``n`` is less than 1.
    """
    if n < 1:
        raise ValueError(f"an entropy needs scenes to count, not {n}")
    captions = [caption(s, grammar).words for s in first_scenes(seed, "train", n, world)]
    other_words, standard_error = entropy_of_counts(Counter(map(without_kinds, captions)).values())
    n_pairs = len(COLOURS) * len(SHAPES) - len(HELD_OUT)
    nats = 2 * math.log(n_pairs) + other_words
    words = sum(len(words) + 1 for words in captions) / n
    return Entropy(nats, nats / words, words, standard_error)


def without_kinds(words: Iterable[str]) -> tuple[str, ...]:
    """The words that name neither a colour nor a shape."""
    return tuple(word for word in words if word not in COLOURS and word not in SHAPES)


def entropy_of_counts(counts: Iterable[int]) -> tuple[float, float]:
    """Entropy in nats of what was counted, and its standard error.

    The entropy of the frequencies is too low by about (cells - 1) / 2n, which is added (Miller 1955, "Note on the bias of
    information estimates"; Madow 1948). The standard error is that of the mean of -ln(frequency).
    """
    counts = list(counts)
    n = sum(counts)
    entropy = sum(c / n * -math.log(c / n) for c in counts)
    variance = sum(c / n * (-math.log(c / n) - entropy) ** 2 for c in counts)
    return entropy + (len(counts) - 1) / (2 * n), math.sqrt(variance / n)
