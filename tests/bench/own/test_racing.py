"""Kernels of somebody's own, timed: who does not compute what is timed does not get through."""

import pytest

from scratchlv.bench.own import command

from .examples import CHEATS, DX, RIGHT, changed


@pytest.fixture
def entered(small, tmp_path, monkeypatch):
    """Enters a source on a shape that is quick to time; the status, and what is printed."""

    def enter(source, capsys, **options):
        path = tmp_path / "mine.py"
        path.write_text(source, "utf-8")
        status = command.run(["tanh"], path, **options)
        return status, capsys.readouterr().out

    return enter


def test_a_right_one_gets_a_score(entered, capsys):
    status, out = entered(RIGHT, capsys, name="slow and right")
    assert status == 0
    assert "right on" in out and "numba_cpu" in out and "slow and right" in out
    assert "score of slow and right: " in out


@pytest.mark.parametrize("which", CHEATS)
def test_a_cheat_is_refused(which, entered, capsys):
    source, said = CHEATS[which]
    status, out = entered(source, capsys)
    assert status == 1
    assert "refused: " in out and said in out
    assert "score" not in out


def test_a_wrong_one_is_not_timed(entered, capsys):
    status, out = entered(changed(DX, "dx = dy * (1 - cache)"), capsys)
    assert status == 1
    assert out.startswith("refused: ") and out.count("\n") == 1 and "case " in out


def test_it_can_be_checked_alone(entered, capsys):
    status, out = entered(RIGHT, capsys, timed=False)
    assert status == 0 and "score" not in out and "right on" in out
