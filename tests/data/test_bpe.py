"""Byte-pair encoding: what it learns, what it makes of words, and that nothing is lost."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchlv.data.bpe import BytePairs, learn
from scratchlv.errors import UserError

TEXT = [["low"] * 5 + ["lower"] * 2, ["newest"] * 6, ["widest"] * 3]  # the example of the paper


def slow_learn(words, n):
    """The algorithm as one says it: count all pairs anew for each merge."""
    texts = {word: [*(c + "@@" for c in word[:-1]), word[-1]] for word in words}
    merges = []
    for _ in range(n):
        pairs = Counter()
        for word, times in words.items():
            for pair in zip(texts[word], texts[word][1:], strict=False):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, parts in texts.items():
            merged = []
            for part in parts:
                if merged and (merged[-1], part) == best:
                    merged[-1] = best[0][:-2] + part
                else:
                    merged.append(part)
            texts[word] = merged
    return tuple(merges)


def test_the_example_of_the_paper():
    pairs = learn(TEXT, 4)
    assert pairs.merges == (("e@@", "s@@"), ("es@@", "t"), ("l@@", "o@@"), ("e@@", "w@@"))
    assert pairs.split(["lowest"]) == ["lo@@", "w@@", "est"]
    assert pairs.split(["low", "newest"]) == ["lo@@", "w", "n@@", "ew@@", "est"]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=7), st.integers(2, 9), min_size=1, max_size=6))
def test_what_is_kept_up_to_date_is_what_is_counted_anew(words):
    sentences = [[word] * times for word, times in words.items()]
    most = next(n for n in range(100) if not allowed(sentences, n + 1))
    assert learn(sentences, most).merges == slow_learn(words, most) if most else True


def allowed(sentences, n):
    try:
        learn(sentences, n)
    except UserError:
        return False
    return True


@given(st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=9)), st.integers(0, 9))
def test_pieces_are_put_together_again(words, n):
    learned = learn([["@@@", "a@@", "@@", "abab"] * 2, words], min(n, 3))
    for pairs in (BytePairs(), learned):
        pieces = pairs.split(words)
        assert pairs.join(pieces) == words
        assert all(pieces)


def test_a_last_word_that_was_not_ended_is_taken_as_it_is():
    assert BytePairs.join(["lo@@", "w@@", "est", "n@@"]) == ["lowest", "n"]
    assert BytePairs.join([]) == []


def test_equals_are_merged_in_the_order_of_the_alphabet():
    assert learn([["ba", "ab", "ba", "ab"]], 1).merges == (("a@@", "b"),)


def test_a_pair_that_overlaps_itself_is_merged_from_the_left():
    assert learn([["aaaa"] * 2], 1).split(["aaaaa"]) == ["aa@@", "aa@@", "a"]


def test_more_merges_than_the_texts_allow_are_refused_with_their_number():
    with pytest.raises(UserError, match=r"--bpe 9: the texts allow 2 merges of pieces that stand side by side twice"):
        learn([["abc"] * 3, ["xyz"]], 9)
    assert len(learn([["abc"] * 3, ["xyz"]], 2).merges) == 2


@pytest.mark.parametrize("nothing", [[], [[]], [[], []]])
def test_of_no_words_nothing_can_be_learned(nothing):
    with pytest.raises(UserError, match="--bpe 3: there is no word to learn from"):
        learn(nothing, 3)
