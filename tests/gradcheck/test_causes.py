"""The words of the causes."""

import pytest

from scratchlv.gradcheck.causes import CAUSES, cause


@pytest.mark.parametrize("key", CAUSES)
def test_every_cause_can_be_said_without_details(key):
    words = cause(key)
    assert words.strip()
    assert "{{" not in words


def test_details_fill_the_gaps():
    assert cause("mean missing", number="T·N").endswith("a division by T·N")
    assert cause("h_t") == "h_t used for h_{t−1}"
