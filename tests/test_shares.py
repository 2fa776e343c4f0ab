"""How slow tests are divided among runs: each is in one share, whoever divides."""

import pytest

from .conftest import in_share, share

NAMES = [f"tests/kernels/test_lstm.py::test_{k}[case {k % 7}]" for k in range(300)]


@pytest.mark.parametrize("parts", [1, 2, 6])
def test_every_test_is_in_one_share(parts):
    shares = [[name for name in NAMES if in_share(name, part, parts)] for part in range(1, parts + 1)]
    assert sorted(name for each in shares for name in each) == sorted(NAMES)
    assert min(map(len, shares)) > len(NAMES) / parts / 2


def test_a_share_is_what_it_was():
    """By the names alone: two machines run the same."""
    assert [in_share(name, 1, 3) for name in NAMES[:6]] == [False, True, False, False, False, False]


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "1/2/3"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError):
        share(text)
