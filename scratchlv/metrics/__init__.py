"""What a model is measured by.

:mod:`~scratchlv.metrics.pointing` is for Scenes, whose truth is known; the others compare texts with references.
Texts are lists of tokens: how to cut them is decided where they are read. Answers to questions are strings, as people gave them.
"""

from scratchlv.metrics.basic import exact_match, perplexity
from scratchlv.metrics.bleu import Bleu, bleu
from scratchlv.metrics.captions import caption_metrics
from scratchlv.metrics.cider import CiderD
from scratchlv.metrics.diversity import distinct_share, mean_length, novel_share, same_share, vocabulary_used
from scratchlv.metrics.pointing import pointing, pointing_accuracy, pointing_chance, true_share
from scratchlv.metrics.ptb import ptb_words
from scratchlv.metrics.repetition import ngrams, repeated_share, seen_share
from scratchlv.metrics.rouge import Rouge, caption_rouge_l, rouge_l, rouge_n
from scratchlv.metrics.vqa import vqa_accuracy

__all__ = [
    "Bleu",
    "CiderD",
    "Rouge",
    "bleu",
    "caption_metrics",
    "caption_rouge_l",
    "distinct_share",
    "exact_match",
    "mean_length",
    "ngrams",
    "novel_share",
    "perplexity",
    "pointing",
    "pointing_accuracy",
    "pointing_chance",
    "ptb_words",
    "repeated_share",
    "rouge_l",
    "rouge_n",
    "same_share",
    "seen_share",
    "true_share",
    "vocabulary_used",
    "vqa_accuracy",
]
