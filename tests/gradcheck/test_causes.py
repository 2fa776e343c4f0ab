"""The words of the causes."""

import pytest

from scratchlv.gradcheck.causes import CAUSES, at_odds, cause, without_mend


@pytest.mark.parametrize("key", CAUSES)
def test_every_cause_can_be_said_without_details(key):
    words = cause(key)
    assert words.strip()
    assert "{{" not in words


def test_details_fill_the_gaps():
    assert cause("mean missing", number="T·N").endswith("a division by T·N")
    assert cause("h_t") == "h_t used for h_{t−1}"


def test_a_mend_and_the_numbers_are_at_odds_only_where_a_mend_may_be_an_accident():
    assert at_odds("local derivative", "another's gradient")
    assert not at_odds("local derivative", "tanh")  # the particular
    assert (
        not at_odds("local derivative", "")
        and not at_odds("= for +=", "missing path")
        and not at_odds("sum", "epsilon")
    )


def test_a_cause_can_be_told_without_the_mend():
    assert without_mend(cause("wrong name", one="x", other="dx")) == "a wrong variable"
    assert (
        without_mend(cause("wrong place", which=": 0 for t")) == "a wrong index, so that another row or place is taken"
    )
    assert without_mend(cause("tanh")) == cause("tanh") and without_mend("") == ""
