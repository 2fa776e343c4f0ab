"""Whether a text that was made up says the same again, or what it has read: by its n-grams, n words in a row."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from scratchlv.metrics.basic import require_tokens

Tokens = Sequence[str]


def ngrams(tokens: Tokens, n: int = 4) -> Iterator[tuple[str, ...]]:
    """All of a text, in their order."""
    return (tuple(tokens[k : k + n]) for k in range(len(tokens) - n + 1))


def repeated_share(texts: Sequence[Tokens], n: int = 4) -> float:
    """The share of n-grams that stood before in the same text; NaN where there are none."""
    require_tokens("texts", texts)
    total = again = 0
    for text in texts:
        seen: set[tuple[str, ...]] = set()
        for gram in ngrams(text, n):
            again += gram in seen
            seen.add(gram)
            total += 1
    return again / total if total else float("nan")


def seen_share(texts: Sequence[Tokens], known: Container[tuple[str, ...]], n: int = 4) -> float:
    """The share of n-grams that are ``known``, as those of a training text are; NaN where there are none."""
    require_tokens("texts", texts)
    found = [gram in known for text in texts for gram in ngrams(text, n)]
    return sum(found) / len(found) if found else float("nan")
