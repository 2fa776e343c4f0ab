"""Leaderboards: one class of machines each, sorted, and never lost."""

import json

import pytest

from scratchlv.bench.own import leaderboard
from scratchlv.errors import UserError

from ..examples import timed

HERE = {
    "processor": "A Processor",
    "cores": 2,
    "threads": 2,
    "vector_width": 16,
    "date": "2026-11-29T12:00:00+00:00",
}


@pytest.fixture
def add(tmp_path):
    """Enters a result that took so long; the board."""
    kernel, path = tmp_path / "mine.py", tmp_path / "boards" / "board.json"
    kernel.write_text("…", "utf-8")

    def enter(name, seconds, operation="relu", here=HERE):
        row = timed(seconds, operation=operation)
        row.least_seconds = 1e-3
        return leaderboard.add(path, leaderboard.entry(name, kernel, [row], here), here)

    enter.path = path
    return enter


def test_the_fastest_stands_first(add):
    for name, seconds in (("slow", 4e-3), ("fast", 2e-3), ("middling", 3e-3)):
        board = add(name, seconds)
    assert [each["name"] for each in board["entries"]] == ["fast", "middling", "slow"]
    assert [each["score"] for each in board["entries"]] == pytest.approx([1 / 2, 1 / 3, 1 / 4])
    head, first, *_ = leaderboard.lines(board, "relu")
    assert "A Processor, 2 cores, 2 threads, vectors of 16 floats" in head
    assert first.split()[:3] == ["1.", "fast", "50%"]


def test_of_one_name_the_better_result_stays(add):
    add("mine", 2e-3)
    add("mine", 4e-3)
    board = add("mine", 3e-3, operation="tanh")
    assert [(each["operation"], round(each["score"], 3)) for each in board["entries"]] == [
        ("relu", 0.5),
        ("tanh", 0.333),
    ]
    assert json.loads(add.path.read_text("utf-8")) == board


def test_the_score_is_over_all_passes():
    forward, backward = timed(2e-3), timed(6e-3)
    forward.least_seconds, backward.least_seconds = 1e-3, 1e-3
    assert leaderboard.score([forward, backward]) == pytest.approx(2 / 8)


def test_another_machines_file_is_refused(add):
    add("mine", 2e-3)
    before = add.path.read_bytes()
    with pytest.raises(UserError, match="is of another machine"):
        add("mine", 1e-3, here=HERE | {"threads": 1})
    assert add.path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"scratchlv_leaderboard": 1}',
        '{"scratchlv_leaderboard": 1, "machine": "m", "entries": [{}]}',
    ],
)
def test_a_damaged_file_is_refused_and_kept(content, add):
    add.path.parent.mkdir()
    add.path.write_text(content, "utf-8")
    with pytest.raises(UserError, match=r"board.json is (damaged|no leaderboard)"):
        add("mine", 1e-3)
    assert add.path.read_text("utf-8") == content


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(leaderboard.machine, "describe", lambda: HERE)
    (tmp_path / "file").write_text("no folder", "utf-8")
    with pytest.raises(UserError, match="board.json cannot be written"):
        leaderboard.check(tmp_path / "file" / "board.json")
    leaderboard.check(tmp_path / "new" / "board.json")
