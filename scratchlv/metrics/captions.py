"""Captions beside references: the figures that are published of captioners, counted as COCO's evaluation counts them."""

from __future__ import annotations

from collections.abc import Sequence

from scratchlv.metrics.bleu import bleu
from scratchlv.metrics.cider import CiderD
from scratchlv.metrics.rouge import caption_rouge_l

Tokens = Sequence[str]


def caption_metrics(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> dict[str, float]:
    """``bleu_1`` … ``bleu_4`` in percent, ``rouge_l`` (0 to 1) and ``cider_d`` (0 to 10; 1 is about as people score).

    pycocoevalcap 1.2 gives the same numbers (BLEU as shares), if texts are cut by :func:`~scratchlv.metrics.ptb.ptb_words`.

    Args:
        hypotheses: for each picture a caption.
        references: for each picture the captions of people; CIDEr-D counts by them how rare an n-gram is.

    Raises:
        ValueError: there are no hypotheses, not as many sets of references, or a hypothesis is without a reference.
        TypeError: a text is a string: cut it into words first.
    """
    figures = {f"bleu_{n}": score for n, score in enumerate(bleu(hypotheses, references, smooth="coco").up_to, 1)}
    figures["rouge_l"] = caption_rouge_l(hypotheses, references)
    return figures | {"cider_d": float(CiderD(references).scores(hypotheses).mean())}
