"""How much captions differ, on captions that one can count."""

import math

import pytest

from scratchlv.metrics.diversity import distinct_share, mean_length, novel_share, same_share, vocabulary_used

SAID = [["a", "dog"], ["a", "dog"], ["a", "cat"], ["a", "dog", "runs"]]


def test_counted_by_hand():
    assert distinct_share(SAID) == 3 / 4
    assert same_share(SAID) == 1 / 6  # of six pairs of pictures, one has the same caption
    assert novel_share(SAID, {("a", "dog"), ("dog", "runs")}) == 2 / 4
    assert vocabulary_used(SAID) == 4
    assert mean_length(SAID) == 9 / 4


def test_one_caption_for_everything_always_stays_the_same():
    assert same_share([["a", "dog"]] * 7) == 1
    assert same_share([[str(k)] for k in range(7)]) == 0


def test_of_nothing_there_is_no_share():
    assert all(math.isnan(of([])) for of in (distinct_share, same_share, mean_length))
    assert math.isnan(same_share([["a"]])) and math.isnan(novel_share([], set()))


@pytest.mark.parametrize("of", [distinct_share, same_share, vocabulary_used, mean_length])
def test_strings_are_no_captions(of):
    with pytest.raises(TypeError, match="list of tokens"):
        of(["a dog"])
