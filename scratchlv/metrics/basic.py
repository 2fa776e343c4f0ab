"""Figures of one line each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any


def require_tokens(name: str, texts: Iterable[Any]) -> None:
    """Each of ``texts`` is a list of tokens. A string would be one, too: of characters.

    Raises:
        TypeError: one is a string.
    """
    text = texts if isinstance(texts, str) else next((text for text in texts if isinstance(text, str)), None)
    if text is not None:
        raise TypeError(
            f"{name} holds the string {text[:40]!r}: give each text as a list of tokens, as text.split() does"
        )


def require_references(references: Sequence[Any]) -> None:
    """For each of one or more pictures, or sentences, there is a list of references; each is a list of tokens.

    Raises:
        ValueError: there are none, or one is without a reference.
        TypeError: a text is a string.
    """
    name = "references (a list of references for each hypothesis)"
    require_tokens(name, references)
    if not references or not all(references):
        raise ValueError("there is no hypothesis to measure, or one is without a reference")
    require_tokens(name, (text for several in references for text in several))


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
        TypeError: a text is a string.
    """
    require_tokens("hypotheses", hypotheses)
    require_tokens("references", references)
    if not hypotheses:
        raise ValueError("there is no hypothesis to measure")
    pairs = zip(hypotheses, references, strict=True)
    return sum(list(h) == list(r) for h, r in pairs) / len(hypotheses)
