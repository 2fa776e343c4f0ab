"""Words and their numbers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from scratchlv.errors import UserError
from scratchlv.parallel.shares import Part, share_of, words_of
from scratchlv.tokens import END, PAD, SPECIALS, START, UNK


class Vocabulary:
    """A word for every number, and a number for every word.

    The numbers 0 to 3 are ``<pad>`` (behind the end of a shorter sequence), ``<start>``, ``<end>`` and ``<unk>`` (any word
    that is not here); the words follow in the order given.

    Raises:
        ValueError: a word is given twice, or is one of the four symbols.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words: tuple[str, ...] = (*SPECIALS, *words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            twice = next(word for word, n in Counter(self.words).items() if n > 1)
            raise ValueError(f"the word {twice!r} is in the vocabulary twice")

    @classmethod
    def from_counts(cls, sentences: Iterable[Iterable[str]], min_count: int = 1) -> Vocabulary:
        """The words that occur at least ``min_count`` times: the most frequent first, ties in alphabetical order."""
        counts = Counter(word for sentence in sentences for word in _words(sentence))
        frequent = [word for word, n in counts.items() if n >= min_count and word not in SPECIALS]
        return cls(sorted(frequent, key=lambda word: (-counts[word], word)))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def encode(self, words: Iterable[str], more: Sequence[str] = ()) -> list[int]:
        """The number of each word; ``UNK`` for one that is not here. No symbol is added at either end.

        ``more`` words, that are not here, are numbered from ``len(self)`` on: a vocabulary that is extended for one text.
        """
        beyond = {word: len(self) + k for k, word in enumerate(more)}
        return [self._ids.get(word, beyond.get(word, UNK)) for word in _words(words)]

    def lacking(self, words: Iterable[str]) -> list[str]:
        """Those of the words that are not here, each once."""
        return list(dict.fromkeys(word for word in _words(words) if word not in self._ids))

    def decode(self, ids: Iterable[int], more: Sequence[str] = ()) -> list[str]:
        """The words up to the first ``<end>``, which is left out; ``more`` as in :meth:`encode`.

        Raises:
            ValueError: a number is that of no word.
        """
        words, n = [], len(self)
        for i in ids:
            if i == END:
                break
            if not 0 <= i < n + len(more):
                raise ValueError(f"{i} is the number of no word: the vocabulary has {n + len(more)}")
            words.append(self.words[i] if i < n else more[i - n])
        return words

    def to_json(self) -> list[str]:
        """All words, the four symbols first: a word's number is its position."""
        return list(self.words)

    @classmethod
    def from_json(cls, words: list[str]) -> Vocabulary:
        """The vocabulary that :meth:`to_json` wrote.

        Raises:
            UserError: it is no such list.
        """
        is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
        if not is_list or tuple(words[: len(SPECIALS)]) != SPECIALS:
            raise UserError(f"the vocabulary is damaged: it must be a list of words that begins {', '.join(SPECIALS)}")
        try:
            return cls(words[len(SPECIALS) :])
        except ValueError as error:
            raise UserError(f"the vocabulary is damaged: {error}") from None


def _words(words: Iterable[str]) -> Iterable[str]:
    """
    Raises:
        TypeError: it is a text that was not cut into words, and would be read letter by letter.
    """
    if isinstance(words, str):
        raise TypeError(f"{words[:40]!r} is one text; cut it into a list of words, or of characters, first")
    return words


def unknown_share(sequences: Iterable[Sequence[int]]) -> float:
    """Which share of all words, end symbols left out, is ``<unk>``: 0 to 1; 0 where there are no words."""
    ids = np.concatenate([np.zeros(0, np.int64), *(np.asarray(ids, np.int64) for ids in sequences)])
    words = ids[ids != END]
    return float((words == UNK).mean()) if words.size else 0.0


def pad(sequences: Sequence[Sequence[int]], value: int = PAD) -> tuple[np.ndarray, np.ndarray]:
    """Stand sequences side by side: ``ids`` (T, N) int64, time-major, and their ``lengths`` (N,) int64.

    T is the length of the longest; shorter ones are filled with ``value``.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)  # (N,)
    ids = np.full((lengths.max(initial=0), len(sequences)), value, np.int64)  # (T, N)
    for n, sequence in enumerate(sequences):
        ids[: len(sequence), n] = sequence
    return ids, lengths


def part_of_texts(said: Sequence[Sequence[int]], some: slice, known: int) -> Part:
    """Which part of a batch of texts, ``said`` without symbols, the rows ``some`` are.

    Words from number ``known`` on are in no vocabulary: they are read as ``<unk>``.
    """
    counts = np.array([len(text) + 1 for text in said])  # with <end>
    words = np.array([PAD, START, END, *itertools.chain(*said)])
    read = words_of(np.where(words < known, words, UNK))
    return Part(some.start, len(said), share_of(counts[some].sum(), counts.sum()), words=read)
