"""Accuracy of visual question answering as its official evaluation has it (Antol et al. 2015), with its quirks.

Each question was answered by ten people. An answer is right by min(1, n / 3) where n of nine of them gave it, averaged over who
is left out. Where the ten do not agree, all answers are normalised before they are compared: punctuation, capitals, numbers in
words, articles, apostrophes that were forgotten. Where they agree, they are compared as they are: "yes." is then no "yes".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np

from scratchlv.arrays import Array

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_BETWEEN_DIGITS = re.compile(r"\d,\d")
# The original means to spare a point behind a digit, too, but its (?!<=\d) is no look-behind, and is always true.
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = int(re.UNICODE)  # 32: the original gives this flag where the number of replacements stands
_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(n) for n, word in enumerate(_TO_TEN)} | {"none": "0"}
_ARTICLES = ("a", "an", "the")
_APOSTROPHES = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's how'd
    how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock oughtn't
    'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
    someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd they'd've
    they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've
    who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd
    you'd've you'll you're you've
"""
#: each with one of its apostrophes forgotten -> as it ought to be; and the one that the original has the wrong way round
_CONTRACTIONS = {
    word[:i] + word[i + 1 :]: word for word in _APOSTROPHES.split() for i, letter in enumerate(word) if letter == "'"
} | {"somebody'd": "somebodyd"}


def vqa_accuracy(predicted: Sequence[str], answers: Sequence[Sequence[str]]) -> Array:
    """The accuracy of each prediction (n,), 0 to 1, against the answers that people gave to its question.

    Raises:
        ValueError: there are not as many predictions as questions, or a question has no answers.
    """
    if not all(answers):
        raise ValueError("a question has no answers to compare with")
    pairs = zip(predicted, answers, strict=True)
    return np.array([_accuracy(answer, given) for answer, given in pairs], np.float64)


def _accuracy(answer: str, given: Sequence[str]) -> float:
    answer, given = _bare(answer), [_bare(a) for a in given]
    if len(set(given)) > 1:
        answer, given = normalised(answer), [normalised(a) for a in given]
    same = given.count(answer)
    # of the people who are left out, `same` gave this answer: then one fewer of the others did
    without = min(1, max(same - 1, 0) / 3)
    return (same * without + (len(given) - same) * min(1, same / 3)) / len(given)


def _bare(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


@functools.lru_cache(maxsize=1 << 16)
def normalised(answer: str) -> str:
    """An answer as it is compared where people do not agree.

    >>> normalised("The dogs, and two cats.")
    'dogs and 2 cats'
    """
    words = [_NUMBERS.get(word, word) for word in _without_punctuation(answer).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(answer: str) -> str:
    """Without periods before no digit; other marks are spaces, unless one is next to a space, or a comma between digits."""
    found = answer
    for mark in _PUNCTUATION:
        drop = f"{mark} " in answer or f" {mark}" in answer or _BETWEEN_DIGITS.search(answer)
        found = found.replace(mark, "" if drop else " ")
    return _PERIOD.sub("", found, count=_MOST_PERIODS)
