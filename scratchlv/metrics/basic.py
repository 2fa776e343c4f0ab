"""Figures of one line each."""

from __future__ import annotations

import math
from collections.abc import Sequence


def perplexity(nats: float) -> float:
    """exp of the mean loss per word, in nats: as unsure as a fair choice among so many words. Inf where exp overflows."""
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def exact_match(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Share of hypotheses that equal their reference, token by token, 0 to 1.

    Raises:
        ValueError: there are none, or not as many of one as of the other.
    """
    if not hypotheses:
        raise ValueError("there is no hypothesis to measure")
    pairs = zip(hypotheses, references, strict=True)
    return sum(list(h) == list(r) for h, r in pairs) / len(hypotheses)
