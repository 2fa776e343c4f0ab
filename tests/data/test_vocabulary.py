"""Words to numbers and back."""

import json

import numpy as np
import pytest

from scratchlv.data.vocabulary import Vocabulary, pad, unknown_share
from scratchlv.errors import UserError
from scratchlv.tokens import END, PAD, START, UNK


def test_symbols_come_first():
    vocabulary = Vocabulary(["cat", "dog"])
    assert vocabulary.words == ("<pad>", "<start>", "<end>", "<unk>", "cat", "dog")
    assert (PAD, START, END, UNK) == (0, 1, 2, 3)
    assert len(vocabulary) == 6 and "cat" in vocabulary and "cow" not in vocabulary


def test_there_and_back():
    vocabulary = Vocabulary(["cat", "dog"])
    assert vocabulary.encode(["dog", "cow", "cat"]) == [5, UNK, 4]
    assert vocabulary.decode([5, UNK, 4]) == ["dog", "<unk>", "cat"]
    assert vocabulary.decode(np.array([4, END, 5, END, PAD])) == ["cat"]
    assert vocabulary.decode([END]) == vocabulary.decode([]) == []


@pytest.mark.parametrize("i", [-1, 6])
def test_numbers_of_no_word(i):
    with pytest.raises(ValueError, match=f"{i} is the number of no word"):
        Vocabulary(["cat", "dog"]).decode([4, i])


@pytest.mark.parametrize("words", [["a", "b", "a"], ["<end>"]])
def test_no_word_twice(words):
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(words)


def test_from_counts():
    sentences = [["b", "a", "c"], ["a", "b"], ["a", "d", "<unk>"]]
    assert Vocabulary.from_counts(sentences, 1).words[4:] == ("a", "b", "c", "d")
    assert Vocabulary.from_counts(iter(sentences), 2).words[4:] == ("a", "b")
    assert Vocabulary.from_counts([["z", "b", "z"]]).words[4:] == ("z", "b")
    assert len(Vocabulary.from_counts([])) == 4


def test_json():
    vocabulary = Vocabulary(["été", "dog"])
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again.words == vocabulary.words


@pytest.mark.parametrize(
    "damaged", [["cat"], {"cat": 4}, None, ["<pad>", "<start>", "<end>", "<unk>", 7], ["<pad>", "<start>", "<end>"]]
)
def test_damaged_json(damaged):
    with pytest.raises(UserError, match="vocabulary is damaged"):
        Vocabulary.from_json(damaged)


def test_damaged_json_with_a_word_twice():
    with pytest.raises(UserError, match="vocabulary is damaged.*twice"):
        Vocabulary.from_json([*Vocabulary([]).to_json(), "cat", "cat"])


def test_pad():
    ids, lengths = pad([[5, 6, 7], [], [8]])
    np.testing.assert_array_equal(ids, [[5, 0, 8], [6, 0, 0], [7, 0, 0]])
    np.testing.assert_array_equal(lengths, [3, 0, 1])
    assert ids.dtype == lengths.dtype == np.int64
    assert pad([[1], [2, 3]], value=-1)[0].tolist() == [[1, 2], [-1, 3]]
    assert pad([])[0].shape == (0, 0) and pad([[], []])[0].shape == (0, 2)


def test_a_text_that_was_not_cut_is_refused():
    """It would be read letter by letter."""
    vocabulary = Vocabulary(["cat"])
    for use in (vocabulary.encode, lambda text: Vocabulary.from_counts([text])):
        with pytest.raises(TypeError, match="'the cat' is one text; cut it into a list of words"):
            use("the cat")


def test_the_share_of_unknown_words():
    assert unknown_share([[4, UNK, END], [END], [UNK, UNK, 5, 6]]) == 0.5
    assert unknown_share([np.array([4])]) == unknown_share([]) == 0


def test_a_vocabulary_is_extended_for_one_text():
    vocabulary = Vocabulary(["the", "cat"])
    words = ["the", "zorp", "cat", "blorp", "zorp"]
    more = vocabulary.lacking(words)
    assert more == ["zorp", "blorp"]
    ids = vocabulary.encode([*words, "other"], more)
    assert ids == [4, 6, 5, 7, 6, UNK]
    assert vocabulary.decode([*ids[:5], END, 4], more) == words
    with pytest.raises(ValueError, match="8 is the number of no word: the vocabulary has 8"):
        vocabulary.decode([8], more)
    assert vocabulary.encode(words) == [4, UNK, 5, UNK, UNK]
