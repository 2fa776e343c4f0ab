"""Accuracy of visual question answering: each quirk of the official evaluation, by hand."""

import numpy as np
import pytest

from scratchlv.metrics import vqa_accuracy
from scratchlv.metrics.vqa import normalised


@pytest.mark.parametrize(
    ("same", "accuracy"),
    [
        (0, 0),
        (1, 0.3),
        (2, 0.6),
        (3, 0.9),
        (4, 1),
        (10, 1),
    ],  # 1: nine times 1/3, and once 0; 3: three times 2/3, else 1
)
def test_how_many_people_said_it(same, accuracy):
    answers = ["red"] * same + [f"other {k}" for k in range(10 - same)]
    np.testing.assert_allclose(vqa_accuracy(["red"], [answers]), [accuracy])


def test_by_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(50):
        given = [str(word) for word in rng.choice(["red", "blue", "green"], rng.integers(1, 12))]
        left_out = [min(1, (given[:k] + given[k + 1 :]).count("red") / 3) for k in range(len(given))]
        np.testing.assert_allclose(vqa_accuracy(["red"], [given]), [np.mean(left_out)], atol=1e-15)


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ("Yes", "yes"),
        ("none", "0"),
        ("zero", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("the  red a bus", "red bus"),
        ("isnt", "isn't"),
        ("couldntve", "couldntve"),  # both forgotten: not in the table
        ("couldn'tve", "couldn't've"),
        ("'ows'at", "'ow's'at"),
        ("somebody'd", "somebodyd"),  # the wrong way round
        ("shes", "shes"),
        ("im", "im"),  # the table has it with a capital, behind lower case
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("black-white", "black white"),
        ("black -white", "black white"),
        ("10,000 a-b", "10000 ab"),  # a comma between digits: every mark is deleted
        ("1,x-b", "1 x b"),
        ("a-b c -d", "ab c d"),  # one that is next to a space deletes all of its kind
        ("U.S.A.", "usa"),
        ("3.5", "3.5"),
        ("5.", "5"),  # meant to be spared
        (".5", ".5"),
        ("it's", "it's"),
        ("7:30", "7:30"),
        ("a" + "." * 40, "a" + "." * 8),  # 32 periods are deleted, for a flag stands where a number does
        ("the", ""),
    ],
)
def test_answers_are_normalised(answer, same):
    assert normalised(answer) == same


def test_only_where_people_do_not_agree():
    assert list(vqa_accuracy(["Yes", "Yes"], [["yes"] * 10, ["yes"] * 9 + ["no"]])) == [0, 1]
    assert list(vqa_accuracy([" yes\n", "a\tb"], [["yes"] * 10, ["a b"] * 10])) == [1, 1]  # these always go


def test_what_cannot_be_judged():
    with pytest.raises(ValueError, match="no answers"):
        vqa_accuracy(["a"], [[]])
    with pytest.raises(ValueError):
        vqa_accuracy(["a"], [])
    assert vqa_accuracy([], []).shape == (0,)
