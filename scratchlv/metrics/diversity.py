"""How much a captioner has to say: are its captions different from each other, and from those that it was trained on?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence

from scratchlv.metrics.basic import require_tokens

Tokens = Sequence[str]


def distinct_share(captions: Sequence[Tokens]) -> float:
    """Different captions, as a share of all; NaN where there are none."""
    require_tokens("captions", captions)
    return len(set(map(tuple, captions))) / len(captions) if captions else float("nan")


def same_share(captions: Sequence[Tokens]) -> float:
    """How often the caption stays the same when the picture is swapped: the share of all pairs of pictures with the same.

    NaN of fewer than two.
    """
    require_tokens("captions", captions)
    n = len(captions)
    same = sum(k * (k - 1) for k in Counter(map(tuple, captions)).values())
    return same / (n * (n - 1)) if n > 1 else float("nan")


def novel_share(captions: Sequence[Tokens], known: Container[tuple[str, ...]]) -> float:
    """The share of captions that are not ``known``: that stand nowhere, word for word, in what was trained on."""
    require_tokens("captions", captions)
    return sum(tuple(caption) not in known for caption in captions) / len(captions) if captions else float("nan")


def vocabulary_used(captions: Sequence[Tokens]) -> int:
    """How many different words they use."""
    require_tokens("captions", captions)
    return len({word for caption in captions for word in caption})


def mean_length(captions: Sequence[Tokens]) -> float:
    """Words of a caption, on average; NaN where there are none."""
    require_tokens("captions", captions)
    return sum(map(len, captions)) / len(captions) if captions else float("nan")
