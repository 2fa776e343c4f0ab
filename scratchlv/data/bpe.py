"""Byte-pair encoding: units smaller than words, learned from text (Sennrich, Haddow and Birch 2016).

A word begins as its characters. The two neighbours that stand beside each other most often, over all words of the text, become
one unit, wherever they do; and so on, N times. So frequent words become units of their own, rare ones stay in pieces, and a
new word is known if its pieces are.

A piece that another one of its word follows ends in ``@@``: ``low@@ er``. So a sentence of pieces can be put together again.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from scratchlv.errors import UserError

GOES_ON = "@@"  # at the end of a piece: the word is not over
_LEAST = 2  # times that two pieces must stand side by side: what stood so once is no pattern

Merge = tuple[str, str]


class BytePairs:
    """Merges, the first learned first, and what they make of words."""

    def __init__(self, merges: Iterable[Merge] = ()) -> None:
        self.merges = tuple(merges)
        rank = {pair: k for k, pair in enumerate(self.merges)}

        @lru_cache(maxsize=1 << 16)
        def pieces(word: str) -> tuple[str, ...]:
            parts = _characters(word)
            while len(parts) > 1:
                first = min(zip(parts, parts[1:], strict=False), key=lambda pair: rank.get(pair, len(rank)))
                if first not in rank:
                    break
                parts = _merged(parts, first)
            return tuple(parts)

        self._pieces = pieces

    def split(self, words: Iterable[str]) -> list[str]:
        """The pieces of all words, one after the other."""
        return [piece for word in words for piece in self._pieces(word)]

    @staticmethod
    def join(pieces: Iterable[str]) -> list[str]:
        """The words that the pieces are of; a last word that was not ended is taken as it is."""
        words, begun = [], ""
        for piece in pieces:
            begun += piece.removesuffix(GOES_ON)
            if not piece.endswith(GOES_ON):
                words.append(begun)
                begun = ""
        return [*words, begun] if begun else words


def learn(sentences: Iterable[Sequence[str]], n: int) -> BytePairs:
    """``n`` merges of the words of ``sentences``; of pairs that stand equally often the first in the alphabet.

    What is counted is kept up to date: a merge looks at the words in which its pair stands, and at no others.

    Raises:
        UserError: there are no words, or they do not allow so many merges.
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    if not counts:
        raise UserError(f"--bpe {n}: there is no word to learn from")
    words = {word: _characters(word) for word in counts}
    totals, where = _count(words, counts)
    queue = [(-total, pair) for pair, total in totals.items()]
    heapq.heapify(queue)
    merges: list[Merge] = []
    while queue and len(merges) < n:
        total, pair = heapq.heappop(queue)
        if -total != totals.get(pair) or -total < _LEAST:
            continue  # it was counted anew since
        merges.append(pair)
        for changed in _merge(pair, words, counts, totals, where):
            heapq.heappush(queue, (-totals[changed], changed))
    if len(merges) < n:
        raise UserError(
            f"--bpe {n}: the texts allow {len(merges):,} merges of pieces that stand side by side twice or more; "
            "give that or fewer"
        )
    return BytePairs(merges)


def _count(words: Mapping[str, list[str]], counts: Mapping[str, int]) -> tuple[Counter[Merge], dict[Merge, set[str]]]:
    """How often each pair stands in the text, and in which words."""
    totals: Counter[Merge] = Counter()
    where: dict[Merge, set[str]] = defaultdict(set)
    for word, parts in words.items():
        for pair in _pairs(parts):
            totals[pair] += counts[word]
            where[pair].add(word)
    return totals, where


def _merge(
    pair: Merge,
    words: dict[str, list[str]],
    counts: Mapping[str, int],
    totals: Counter[Merge],
    where: dict[Merge, set[str]],
) -> set[Merge]:
    """Merge ``pair`` in all words, and count anew what stands beside it; which pairs stand more or less often now."""
    changed: set[Merge] = set()
    for word in where.pop(pair):
        before, after = words[word], _merged(words[word], pair)
        words[word] = after
        more: dict[Merge, int] = defaultdict(int)  # in this word
        for new in _pairs(after):
            more[new] += 1
        for old in _pairs(before):
            more[old] -= 1
        for each, times in more.items():
            if times:
                totals[each] += times * counts[word]
                changed.add(each)
                if times > 0:
                    where[each].add(word)
    return {each for each in changed if totals[each] > 0 and each != pair}


def _characters(word: str) -> list[str]:
    return [*(character + GOES_ON for character in word[:-1]), word[-1:]]


def _pairs(parts: Sequence[str]) -> list[Merge]:
    """The neighbours that may be merged: what ends a word must not look as if it went on."""
    pairs = list(zip(parts, parts[1:], strict=False))
    if pairs and parts[-1][-1:] == GOES_ON[-1] and _joined(*pairs[-1]).endswith(GOES_ON):
        pairs.pop()
    return pairs


def _joined(left: str, right: str) -> str:
    return left.removesuffix(GOES_ON) + right


def _merged(parts: Sequence[str], pair: Merge) -> list[str]:
    """The pieces, with each ``pair`` of neighbours made one, from the left."""
    merged: list[str] = []
    k = 0
    while k < len(parts):
        if tuple(parts[k : k + 2]) == pair:
            merged.append(_joined(*pair))
            k += 2
        else:
            merged.append(parts[k])
            k += 1
    return merged
