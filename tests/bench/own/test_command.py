"""``scratchlv bench OP --with FILE`` as it is typed."""

import pytest

from scratchlv.cli import main

from .examples import DX, RIGHT, changed


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(RIGHT, "utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--with", "{mine}"], "is of one operation"),
        (["tanh", "relu", "--with", "{mine}"], "is of one operation"),
        (["sine", "--with", "{mine}"], "there is no operation 'sine'"),
        (["tanh", "--with", "{mine}", "--variant", "cuda"], "--with and --variant do not go together"),
        (["tanh", "--with", "{mine}", "--name", "numba_cpu"], "--name numba_cpu is ours"),
        (["tanh", "--name", "mine"], "--name is of a kernel of your own"),
        (["tanh", "--leaderboard", "board.json"], "--leaderboard is of a kernel of your own"),
        (["tanh", "--with", "{mine}.none"], "give a Python file"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(arguments, said, mine, capsys):
    assert main(["bench", *(each.format(mine=mine) for each in arguments)]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_a_result_is_entered(mine, small, tmp_path, capsys):
    board = tmp_path / "board.json"
    assert main(["bench", "tanh", "--with", str(mine), "--name", "numpy", "--leaderboard", str(board)]) == 0
    assert "1. numpy" in capsys.readouterr().out
    assert board.is_file()


def test_a_wrong_one_does_not_get_in(mine, tmp_path, capsys):
    mine.write_text(changed(DX, "dx = dy * (1 - cache)"), "utf-8")
    board = tmp_path / "board.json"
    assert main(["bench", "tanh", "--with", str(mine), "--leaderboard", str(board)]) == 1
    assert "refused" in capsys.readouterr().out
    assert not board.exists()


def test_gradcheck_checks_it_alone(mine, capsys):
    assert main(["gradcheck", "tanh", "--with", str(mine)]) == 0
    assert "right on" in capsys.readouterr().out
    mine.write_text(changed(DX, "dx = dy * (1 - cache)"), "utf-8")
    assert main(["gradcheck", "tanh", "--with", str(mine)]) == 1
