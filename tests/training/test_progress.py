"""Progress: what it says, when it says it, and that no terminal breaks it."""

import io
import sys

import pytest

from scratchlv.training import progress
from scratchlv.training.progress import Progress, format_rate, format_seconds, format_status, format_value, line_is_due


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3600, "1 h 00 min"),
        (2 * 3600 + 7 * 60 + 59, "2 h 07 min"),
        (3 * 86400 + 4 * 3600, "3 d 04 h"),
    ],
)
def test_seconds(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.25, "4.0 s/step"), (1.0, "1.0 steps/s"), (35.21, "35.2 steps/s"), (12345.6, "12,346 steps/s")],
)
def test_rate(rate, text):
    assert format_rate(rate, "step") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.31449, "2.314"), (0.5, "0.5000"), (1e-7, "1.000e-07"), (1234.0, "1234"), (7, "7"), ("a", "a"), (None, "None")],
)
def test_value(value, text):
    assert format_value(value) == text


def test_not_finite_values_are_shown_as_they_are():
    assert (format_value(float("nan")), format_value(float("inf"))) == ("nan", "inf")


def test_status():
    assert (
        format_status(120, 1000, "step", 35.2, {"loss": 2.3144}) == "step 120/1000  loss 2.314  35.2 steps/s  25 s left"
    )
    assert format_status(10, 10, "step", 2.0, {}) == "step 10/10  2.0 steps/s"
    assert format_status(0, 10, "image", 0.0, {}) == "image 0/10"


def test_when_a_line_is_due():
    assert line_is_due(advance=10, total=100, seconds=0.1, elapsed=0.1)
    assert not line_is_due(advance=9, total=100, seconds=4.9, elapsed=4.9)
    assert line_is_due(advance=1, total=100, seconds=5.0, elapsed=5.0)
    assert not line_is_due(advance=0, total=100, seconds=500.0, elapsed=500.0)
    assert not line_is_due(advance=1, total=100, seconds=20.0, elapsed=300.0)
    assert line_is_due(advance=1, total=100, seconds=30.0, elapsed=300.0)
    assert line_is_due(advance=1, total=100, seconds=60.0, elapsed=1e6)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def run(clock, steps, seconds_each, **settings):
    with Progress(steps, **settings) as shown:
        for step in range(1, steps + 1):
            clock[0] += seconds_each
            shown.update(step, loss=1.0 / step)


def test_lines_each_tenth(clock, capsys):
    run(clock, 100, 0.01)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/100" for n in range(10, 101, 10)]
    assert lines[0] == "step 10/100  loss 0.1000  100 steps/s  1 s left"


def test_slow_steps_get_a_line_each(clock, capsys):
    run(clock, 4, 7.0)
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 4


def test_long_runs_do_not_flood_the_log(clock, capsys):
    run(clock, 36_000, 1.0)  # ten hours
    assert len(capsys.readouterr().err.splitlines()) < 700


def test_the_last_line_is_never_lost(clock, capsys):
    with pytest.raises(KeyboardInterrupt), Progress(1000) as shown:
        shown.update(3, loss=0.5)
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "step 3/1000  loss 0.5000\n"


def test_after_resuming_the_speed_is_that_of_this_sitting(clock):
    with Progress(1000, enabled=False, start=900) as shown:
        clock[0] += 60.0
        shown.update(901)
        assert shown.rate == 0, "one update, which may have compiled kernels, says nothing of the speed"
        clock[0] += 2.0
        shown.update(911)
        assert shown.rate == pytest.approx(5.0)


def test_a_slow_beginning_is_forgotten(clock):
    with Progress(1000, enabled=False) as shown:
        clock[0] += 100.0
        for step in range(1, 101):
            clock[0] += 0.5
            shown.update(step)
        assert shown.rate == pytest.approx(2.0)


def test_disabled_is_silent(clock, capsys):
    with Progress(10, enabled=False) as shown:
        shown.update(10)
        shown.note("nobody hears this")
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", ["1", "2", "9", "20", "45", "200"])
def test_on_a_terminal_of_any_width(monkeypatch, columns):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm-256color")
    with Progress(3) as shown:
        for step in (1, 2, 3):
            shown.update(step, loss=0.125)
        shown.note("[bold]a note[/bold]")
    said = terminal.getvalue()
    assert said
    if columns == "200":
        assert "step 3/3" in said and "loss 0.1250" in said and "[bold]a note[/bold]" in said


def test_without_any_stderr(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress(2) as shown:
        shown.update(2)
        shown.note("a note")
    assert capsys.readouterr().out == ""
