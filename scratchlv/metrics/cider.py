"""CIDEr-D: does a caption say what people say of this picture, and not of every other?

Vedantam, Zitnick and Parikh, "CIDEr: Consensus-based Image Description Evaluation" (CVPR 2015). A sentence is a vector for each
n = 1 … 4, with a number for every n-gram ω: how often it is there, times how rare it is among the pictures,

    g_ω(c) = count of ω in c · ln(I / max(1, I_ω)),    I pictures, of which I_ω have ω in a reference.

A caption c is compared with each reference s of its picture, and the mean over references and n is taken:

    CIDEr-D_n(c, s) = 10 exp(−(l_c − l_s)² / 2σ²) · Σ_ω min(g_ω(c), g_ω(s)) g_ω(s) / (‖g(c)‖ ‖g(s)‖)

The minimum and the penalty on lengths l, σ = 6, are what the D stands for: plain CIDEr is the cosine alone, and is won by
saying a rare word again and again. What pycocoevalcap calls Cider, and what is published as CIDEr, is this, CIDEr-D.

Quirks: an n-gram that is in a reference of every picture weighs nothing, so of a single picture every score is 0; and one
that is in none weighs as much as one of one picture. Document frequencies come from the references that are scored with, so
scores of a part of a set are not those of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.metrics.basic import require_references, require_tokens

Tokens = Sequence[Hashable]
_BITS = 31  # of a number: two of them are a key


class CiderD:
    """CIDEr-D against the references of a set of pictures, which are counted once.

    Every n-gram has a number; that of its first n − 1 words, and its last word's, are the key by which it is found. So all the
    sentences of a call are one array, and a batch costs a few sorts and searches, not a loop over n-grams: reinforcement
    learning (:mod:`scratchlv.tasks.self_critical`) needs scores at every step.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]], max_n: int = 4, sigma: float = 6.0) -> None:
        """
        Args:
            references: for each picture the list of its references, lists of tokens: words, or their numbers.

        Raises:
            ValueError: there are no pictures, or one is without a reference.
            TypeError: a text is a string.
        """
        require_references(references)
        self.max_n, self.sigma = max_n, sigma
        self._pictures = len(references)
        self._count = np.array([len(several) for several in references])  # of references, by picture
        self._first = np.cumsum(self._count) - self._count  # the first reference of each picture
        flat = [reference for several in references for reference in several]
        self._lengths = np.array([len(reference) for reference in flat])
        self._words: dict[Hashable, int] = {}
        for reference in flat:
            for word in reference:
                self._words.setdefault(word, len(self._words))
        self._known: list[Array] = []  # by n: the keys of the n-grams of all references, sorted
        self._idf: list[Array] = []  # ln(I / I_ω), by number
        self._references: list[_Vectors] = []
        picture = np.repeat(np.arange(self._pictures), self._count)
        word, sentence = self._read(flat)
        start, number = np.arange(len(word)), np.zeros_like(word)
        for n in range(max_n):
            start, key = _longer(start, number, n, word, sentence)
            known, number = np.unique(key, return_inverse=True)
            seen = np.unique(picture[sentence[start]] << _BITS | number)  # an n-gram once a picture
            self._known.append(known)
            self._idf.append(np.log(self._pictures / np.bincount(seen & (1 << _BITS) - 1, minlength=len(known))))
            self._references.append(self._vectors(n, sentence[start], number, len(flat)))

    def scores(self, hypotheses: Sequence[Tokens], pictures: Array | None = None) -> Array:
        """CIDEr-D of each hypothesis (N,), 0 to 10; one without words scores 0.

        Args:
            pictures: (N,), which picture each is about; by default the first, the second, and so on.

        Raises:
            ValueError: there are not as many pictures as hypotheses.
            TypeError: a text is a string.
        """
        require_tokens("hypotheses", hypotheses)
        N, picture = len(hypotheses), np.arange(self._pictures) if pictures is None else np.asarray(pictures)
        if len(picture) != N:
            raise ValueError(f"there are {N} hypotheses of {len(picture)} pictures: give one for each")
        counts = self._count[picture]
        hypothesis = np.repeat(np.arange(N), counts)  # (P,): of each pair of a hypothesis and a reference
        reference = _ranges(self._first[picture], counts)  # (P,)
        similar = np.zeros(len(hypothesis))  # (P,)
        word, sentence = self._read(hypotheses)
        start, number = np.arange(len(word)), np.zeros_like(word)
        for n in range(self.max_n):
            start, key = _longer(start, number, n, word, sentence)
            number = _look_up(self._known[n], key)
            vectors = self._vectors(n, sentence[start], number, N)
            similar += _clipped_cosine(vectors, self._references[n], hypothesis, reference)
        lengths = np.array([len(each) for each in hypotheses], np.int64)
        similar *= np.exp(-((lengths[hypothesis] - self._lengths[reference]) ** 2) / (2 * self.sigma**2))
        return 10 * np.bincount(hypothesis, similar, N) / (self.max_n * counts)

    def _read(self, sentences: Sequence[Tokens]) -> tuple[Array, Array]:
        """All words as numbers (M,), and the sentence of each; words that no reference has get numbers past the known ones."""
        strange: dict[Hashable, int] = {}
        numbers = [
            self._words[word] if word in self._words else strange.setdefault(word, len(self._words) + len(strange))
            for sentence in sentences
            for word in sentence
        ]
        lengths = [len(sentence) for sentence in sentences]
        return np.array(numbers, np.int64), np.repeat(np.arange(len(sentences)), lengths)

    def _vectors(self, n: int, sentence: Array, number: Array, sentences: int) -> _Vectors:
        """Of n-grams, one by one, the sentence and the number: the vectors g."""
        key, counts = np.unique(sentence << _BITS | number, return_counts=True)
        sentence, number = key >> _BITS, key & (1 << _BITS) - 1
        idf = np.full(len(key), math.log(self._pictures))  # of what no reference has
        known = number < len(self._idf[n])
        idf[known] = self._idf[n][number[known]]
        g = counts * idf
        norm = np.sqrt(np.bincount(sentence, g * g, sentences))
        return _Vectors(key, g, norm, np.searchsorted(key, np.arange(sentences + 1) << _BITS))


class _Vectors(NamedTuple):
    """Vectors of sentences, of which most numbers are 0, and are not kept."""

    key: Array  # sentence and number of the n-gram, sorted
    g: Array
    norm: Array  # by sentence
    begins: Array  # by sentence, where its numbers begin in ``key``; and one more, the end


def _longer(start: Array, number: Array, n: int, word: Array, sentence: Array) -> tuple[Array, Array]:
    """Of the n-grams that begin at ``start`` those that are followed by a word of their sentence: their keys as (n+1)-grams."""
    follows = start + n < len(word)
    follows[follows] = sentence[start[follows] + n] == sentence[start[follows]]
    start, number = start[follows], number[follows]
    return start, number << _BITS | word[start + n]


def _look_up(known: Array, key: Array) -> Array:
    """The numbers of keys; those that are not known get numbers past the others, the same key the same."""
    number: Array = np.searchsorted(known, key)
    strange = known[np.minimum(number, len(known) - 1)] != key if len(known) else np.ones(len(key), bool)
    number[strange] = len(known) + np.unique(key[strange], return_inverse=True)[1]
    return number


def _ranges(first: Array, counts: Array) -> Array:
    """first[0], first[0] + 1, … (counts[0] of them), first[1], and so on."""
    return np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)


def _clipped_cosine(hypotheses: _Vectors, references: _Vectors, hypothesis: Array, reference: Array) -> Array:
    """Σ_ω min(g(c), g(s)) g(s) / (‖g(c)‖ ‖g(s)‖) of pairs (P,); 0 where a vector is 0."""
    counts = np.diff(hypotheses.begins)[hypothesis]
    pair = np.repeat(np.arange(len(hypothesis)), counts)
    at = _ranges(hypotheses.begins[hypothesis], counts)
    key = reference[pair] << _BITS | hypotheses.key[at] & (1 << _BITS) - 1
    found = np.minimum(np.searchsorted(references.key, key), max(0, len(references.key) - 1))
    both = references.key[found] == key if len(references.key) else np.zeros(len(key), bool)
    g = references.g[found[both]]
    dot = np.bincount(pair[both], np.minimum(hypotheses.g[at[both]], g) * g, len(hypothesis))
    norms = hypotheses.norm[hypothesis] * references.norm[reference]
    return dot / np.where(norms > 0, norms, 1)
