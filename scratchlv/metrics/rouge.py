"""ROUGE: what do a summary and its reference share? ROUGE-L: the longest sequence of words, gaps allowed; ROUGE-N: n-grams.

Lin, "ROUGE: a Package for Automatic Evaluation of Summaries" (2004). With the length of the longest common subsequence,

    precision = LCS / words of the hypothesis,    recall = LCS / words of the reference,    F1 = 2 P R / (P + R).

ROUGE-N has the number of shared n-grams for LCS, and n-grams for words; one that stands twice is shared as often as both have it.
Lin weighs recall with β; of summaries β = 1, as in the package rouge-score. Of captions, which have several references,
COCO's evaluation (pycocoevalcap) takes the best precision and the best recall that any of them gives, not both of one, and

    F_β = (1 + β²) P R / (R + β² P),    β = 1.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from scratchlv.metrics.basic import require_references, require_tokens
from scratchlv.metrics.repetition import ngrams

Tokens = Sequence[str]


class Rouge(NamedTuple):
    """Means over the corpus, each 0 to 1."""

    precision: float
    recall: float
    f1: float


def rouge_l(hypotheses: Sequence[Tokens], references: Sequence[Tokens]) -> Rouge:
    """ROUGE-L of each hypothesis with its reference, the mean over all; zero where one of the two is empty.

    Raises:
        ValueError: there are no hypotheses, or not as many references.
        TypeError: a text is a string.
    """
    return _mean(hypotheses, references, lambda h, r: _rouge(_lcs(h, r), len(h), len(r)))


def rouge_n(hypotheses: Sequence[Tokens], references: Sequence[Tokens], n: int) -> Rouge:
    """ROUGE-N of each hypothesis with its reference, as :func:`rouge_l`; zero where one of the two has fewer than n words."""

    def sentence(hypothesis: Tokens, reference: Tokens) -> Rouge:
        ours, theirs = Counter(ngrams(hypothesis, n)), Counter(ngrams(reference, n))
        return _rouge((ours & theirs).total(), ours.total(), theirs.total())

    return _mean(hypotheses, references, sentence)


def caption_rouge_l(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], beta: float = 1.2) -> float:
    """ROUGE-L of captions, F_β of each with its references, the mean over all, 0 to 1; 0 for a caption without words.

    Raises:
        ValueError: there are no hypotheses, not as many sets of references, or a hypothesis is without a reference.
        TypeError: a text is a string.
    """
    require_tokens("hypotheses", hypotheses)
    require_references(references)
    scores = [_caption(h, several, beta) for h, several in zip(hypotheses, references, strict=True)]
    return sum(scores) / len(scores)


def _caption(hypothesis: Tokens, references: Sequence[Tokens], beta: float) -> float:
    common = [_lcs(hypothesis, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(hypothesis)
    recall = max(n / max(1, len(reference)) for n, reference in zip(common, references, strict=True))
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def _mean(
    hypotheses: Sequence[Tokens], references: Sequence[Tokens], sentence: Callable[[Tokens, Tokens], Rouge]
) -> Rouge:
    require_tokens("hypotheses", hypotheses)
    require_tokens("references", references)
    if not hypotheses:
        raise ValueError("there is no hypothesis to measure")
    scores = [sentence(h, r) for h, r in zip(hypotheses, references, strict=True)]
    return Rouge(*(sum(column) / len(scores) for column in zip(*scores, strict=True)))


def _rouge(common: int, of_hypothesis: int, of_reference: int) -> Rouge:
    if not common:
        return Rouge(0.0, 0.0, 0.0)
    precision, recall = common / of_hypothesis, common / of_reference
    return Rouge(precision, recall, 2 * precision * recall / (precision + recall))


def _lcs(a: Tokens, b: Tokens) -> int:
    """Length of the longest common subsequence, in time O(|a| |b|).

    With L[i][j] that of the first i words of a and the first j of b: L[i][j] = L[i−1][j−1] + 1 where word i of a is word j
    of b, else max(L[i−1][j], L[i][j−1]). Only one row is kept.
    """
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0  # L[i−1][j−1]
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]
