"""Memory that all processes of a machine see, played by threads that map one file several times."""

import os

import numpy as np
import pytest

from scratchlv.parallel import one_machine
from tests.parallel.threads import run_together

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot promise memory to a file")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(one_machine, "_FOLDER", str(tmp_path))
    return tmp_path


def test_each_has_an_array_that_all_see(folder):
    def work(team):
        found = one_machine.shared(team, (2, 3), np.float32, common=False)
        assert found.own is found.everybody[team.rank]
        assert not found.own.any()
        found.own[...] = team.rank + 1
        team.exchange(0)
        return [array.tolist() for array in found.everybody]

    expected = [[[rank + 1.0] * 3] * 2 for rank in range(3)]
    assert run_together(3, work) == [expected] * 3
    assert not list(folder.iterdir()), "no name is left of it"


def test_what_is_common_is_one_array():
    def work(team):
        found = one_machine.shared(team, (4,), np.float64, common=True)
        assert len(found.everybody) == team.size
        assert all(array is found.own for array in found.everybody)
        found.own[team.rank] = team.rank + 1
        team.exchange(0)
        return found.own.tolist()

    assert run_together(2, work) == [[1.0, 2.0, 0.0, 0.0]] * 2


def test_an_array_of_nothing():
    assert (
        run_together(2, lambda team: one_machine.shared(team, (0,), np.float32, common=False).own.shape) == [(0,)] * 2
    )


def no_room(*_):
    raise OSError("no space left on device")


def test_without_such_memory_nobody_has_it(folder, monkeypatch):
    def work(team):
        return one_machine.shared(team, (5,), np.float32, common=False)

    monkeypatch.setattr(one_machine.os, "posix_fallocate", no_room)
    assert run_together(2, work) == [None] * 2
    assert not list(folder.iterdir())
    monkeypatch.undo()
    monkeypatch.setattr(one_machine, "_FOLDER", str(folder / "nowhere"))
    assert run_together(2, work) == [None] * 2


def test_where_one_cannot_see_it_nobody_uses_it(folder, monkeypatch):
    mapped = one_machine._mapped

    def work(team):
        return one_machine.shared(team, (5,), np.float32, common=False)

    answers = iter((None, mapped))
    monkeypatch.setattr(one_machine, "_mapped", lambda *some: (next(answers) or (lambda *_: None))(*some))
    assert run_together(2, work) == [None] * 2
    assert not list(folder.iterdir())
