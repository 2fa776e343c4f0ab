"""A team: what is shared out comes together again, in order."""

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.parallel.shares import Share
from scratchlv.parallel.team import Memory, SharedError, Team, gather_of_batch, joined, sum_of_batch, team
from tests.parallel.threads import run_together


def test_alone_everything_is_its_own():
    alone = Team()
    assert not alone.active
    assert alone.shares() == [Share(0, 1)]
    assert alone.exchange(5) == [5]
    assert alone.broadcast(5) == 5
    assert alone.in_order([1, 2]) == [1, 2]
    assert list(alone.mine(range(4))) == [0, 1, 2, 3]
    out = np.zeros(4)
    assert alone.start_sum(Memory(np.arange(8.0).reshape(2, 4)), slice(1, 4), out, 0).advance()
    np.testing.assert_array_equal(out, [0, 6, 8, 10])
    assert gather_of_batch() is None
    np.testing.assert_array_equal(sum_of_batch(out), out)
    with pytest.raises(UserError, match="enough"):
        alone.abort("enough")


def test_shards_make_one_process_a_team():
    assert Team(4).active
    assert [share.number for share in Team(4).shares()] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 4, 11])
def test_work_is_shared_out_and_comes_back_in_order(size, n):
    def work(team):
        return team.in_order([k * k for k in team.mine(range(n))])

    assert run_together(size, work) == [[k * k for k in range(n)]] * size


def test_an_error_of_one_is_that_of_all():
    def work(team):
        def fail():
            raise UserError(f"process {team.rank} found no file")

        with pytest.raises(SharedError) as found:
            team.together(fail if team.rank else lambda: 1)
        return str(found.value)

    assert run_together(3, work) == ["process 1 found no file"] * 3


def test_the_first_alone_works_and_the_others_hear_of_it():
    worked = []

    def work(team):
        team.first(lambda: worked.append(team.rank))
        with pytest.raises(SharedError, match="the disk is full"):
            team.first(lambda: (_ for _ in ()).throw(UserError("the disk is full")))

    run_together(3, work)
    assert worked == [0]


def test_statistics_of_a_batch_are_those_of_all_but_with_shards():
    def work(_):
        gather = gather_of_batch()
        return None if gather is None else gather(np.array([float(team().rank)])).ravel().tolist()

    assert run_together(3, work) == [[0.0, 1.0, 2.0]] * 3
    assert run_together(3, work, shards=3) == [None] * 3
    assert run_together(2, lambda team: sum_of_batch(np.array([1.0, team.rank])).tolist()) == [[2, 1]] * 2


def test_a_team_is_left_again():
    other = Team(2)
    with joined(other):
        assert team() is other
    assert team() is not other
