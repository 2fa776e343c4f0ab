"""How rows are shared."""

import pytest

from scratchlv.parallel.shares import ALL, WHOLE, Part, Share, TooFewRows, nobody_waits, share_of


@pytest.mark.parametrize("n", [1, 2, 5, 7, 32])
@pytest.mark.parametrize("of", [1, 2, 3, 5])
def test_every_row_has_one_owner_and_shares_are_alike(n, of):
    if n < of:
        with pytest.raises(TooFewRows, match=f"{n} rows cannot be shared by {of}"):
            Share(0, of).rows(n)
        return
    rows = [list(range(n))[Share(k, of).rows(n)] for k in range(of)]
    assert [row for some in rows for row in some] == list(range(n))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_shards_of_a_process_are_its_share_where_they_divide():
    """So a checkpoint of one number of processes can be taken up by another."""
    whole = Share(1, 2).rows(12)
    shards = [Share(k, 6).rows(12) for k in (3, 4, 5)]
    assert (shards[0].start, shards[-1].stop) == (whole.start, whole.stop)


def test_a_part_knows_where_it_stands():
    assert Part(3, 9, 0.5).window == (3, 9)
    assert WHOLE.window is None
    assert WHOLE.share == 1
    assert ALL.rows(5) == slice(0, 5)


def test_share_of():
    assert share_of(1, 4) == 0.25
    assert share_of(0, 0) == 0
    assert nobody_waits({}) is None
