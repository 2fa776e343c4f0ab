"""A long check says how far it is; a short one says nothing."""

import re

import pytest

from scratchlv.gradcheck import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def steps(clock, seconds, count=50):
    shown = progress.Progress(2 * count)
    for _ in range(count):
        clock[0] += seconds
        shown.step()
    shown.finish()


def test_a_long_check_shows_what_is_done_and_the_time_left(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    steps(clock, 0.1)
    text = capsys.readouterr().err
    assert re.search(r"gradcheck: 4\d of about 100 runs of forward, [56] s left", text)
    assert text.endswith("\r\033[K")


def test_a_short_one_is_silent_and_so_is_one_without_a_terminal(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    steps(clock, 0.01)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False)
    steps(clock, 1.0)
    assert capsys.readouterr().err == ""
