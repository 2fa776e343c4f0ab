"""BLEU: which share of the n-grams that a system wrote do the references have too?

Papineni, Roukos, Ward and Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation" (ACL 2002):

    BLEU = BP · exp(1/N Σ_n log p_n),    n = 1 … N = 4

p_n counts over the whole corpus, so BLEU is no mean over sentences. An n-gram counts at most as often as the one reference
that has it most often (clipped: "the the the" gains nothing). p_n would be won by few, safe words: BP = exp(1 − r / c)
where the c words of the hypotheses are fewer than the r words of the references, of each set the one closest in length.

Smoothing "exp" (Chen and Cherry, WMT 2014, method 3, as in mteval-v13a and sacrebleu) gives the first n without a match
1/2 of a match, the next 1/4, and so on. Captions are measured without: what is published of them is BLEU-1 … BLEU-4
(:attr:`Bleu.up_to`), counted by COCO's evaluation (pycocoevalcap), which only keeps from dividing by 0. That is "coco":
p_n = (matches + 1e-15) / (n-grams + 1e-9). So BLEU-4 of a few captions that have no 4-gram right is not 0, but 0.004 or so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from scratchlv.metrics.basic import require_references, require_tokens

Tokens = Sequence[str]


class Bleu(NamedTuple):
    """Score and precisions in percent, as they are published; lengths in tokens, over the corpus."""

    score: float
    precisions: tuple[float, ...]  # p_1 … p_N, smoothed
    brevity_penalty: float  # 0 to 1
    hypothesis_length: int
    reference_length: int

    @property
    def up_to(self) -> tuple[float, ...]:
        """BLEU-1 … BLEU-N, in percent: the score with the n-grams up to 1, up to 2, and so on."""
        p = [p_n / 100 for p_n in self.precisions]
        return tuple(_score(p[:n], self.brevity_penalty) for n in range(1, len(p) + 1))


def bleu(
    hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], max_n: int = 4, smooth: str = "exp"
) -> Bleu:
    """BLEU of a corpus; ``sacrebleu.corpus_bleu(..., tokenize="none")`` gives the same.

    Args:
        hypotheses: a list of tokens for each sentence.
        references: for each sentence the list of its references, one or more lists of tokens.
        max_n: N, the length of the longest n-grams, 1 or more.
        smooth: "exp"; "none": then one p_n of zero makes the score zero; or "coco", for captions.

    Raises:
        ValueError: no hypotheses, not as many sets of references, a hypothesis without a reference, no such smoothing, or
            ``max_n`` below 1.
        TypeError: a text is a string, or references are not nested as above.
    """
    if max_n < 1:
        raise ValueError(f"max_n={max_n}: give 1 or more")
    require_tokens("hypotheses", hypotheses)
    require_references(references)
    if smooth not in ("exp", "none", "coco"):
        raise ValueError(f"smooth={smooth!r}: there are 'exp', 'none' and 'coco'")

    matches, totals = [0] * max_n, [0] * max_n
    c = r = 0
    for hypothesis, several in zip(hypotheses, references, strict=True):
        c += len(hypothesis)
        r += min((len(reference) for reference in several), key=lambda length: (abs(length - len(hypothesis)), length))
        for n in range(1, max_n + 1):
            written = _ngrams(hypothesis, n)
            known: Counter = Counter()
            for reference in several:
                known |= _ngrams(reference, n)  # the larger count of the two
            matches[n - 1] += (written & known).total()  # the smaller: clipped
            totals[n - 1] += written.total()

    p = _precisions(matches, totals, smooth)
    brevity = 1.0 if c >= r else math.exp(1 - r / c) if c else 0.0
    return Bleu(_score(p, brevity), tuple(100 * p_n for p_n in p), brevity, c, r)


def _score(p: list[float], brevity: float) -> float:
    """BP times the geometric mean, in percent."""
    return 100 * (brevity * math.exp(sum(map(math.log, p)) / len(p)) if all(p) else 0.0)


def _ngrams(tokens: Tokens, n: int) -> Counter:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _precisions(matches: list[int], totals: list[int], smooth: str) -> list[float]:
    """p_n = matches / totals; zero where no n-gram was written at all, and everywhere when not one word is right."""
    if smooth == "coco":
        return [(m + 1e-15) / (total + 1e-9) for m, total in zip(matches, totals, strict=True)]
    p = [m / total if total else 0.0 for m, total in zip(matches, totals, strict=True)]
    if smooth == "none" or not any(matches):
        return p
    half = 1.0
    for i, total in enumerate(totals):
        if total and not matches[i]:
            half /= 2
            p[i] = half / total
    return p
