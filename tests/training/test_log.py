"""The log of a run: never a reason to stop, or to lose more than the line that is damaged."""

import errno
import json
import os

import pytest

from scratchlv.training.log import Log, read_log


@pytest.fixture
def said():
    return []


@pytest.fixture
def log(tmp_path, said):
    log = Log(tmp_path, said.append)
    for step in (10, 20, 30):
        log.add({"step": step, "loss": 1 / step})
    log.add({"step": 30, "validation": {"loss": 2.0}})
    log.add({"step": 40, "loss": 0.025})
    return log


def steps(log) -> list[int]:
    return [entry["step"] for entry in read_log(log.path)]


DAMAGED = {
    "a bad byte": b'{"step": 20, "lo\xff": 1.0}',
    "half a line": b'{"step": 20, "lo',
    "nothing": b"",
    "NUL": b"\0" * 40,
    "a number": b"20",
    "a list": b"[20]",
    "a text": b'"step"',
    "no step": b'{"loss": 1.0}',
    "a step that is a text": b'{"step": "20", "loss": 1.0}',
    "a step that is true": b'{"step": true, "loss": 1.0}',
    "a loss that is a text": b'{"step": 20, "loss": "1.0"}',
    "a loss that is none": b'{"step": 20, "loss": null}',
    "a loss that is NaN": b'{"step": 20, "loss": NaN}',
    "a loss that is infinite": b'{"step": 20, "loss": 1e999}',
    "a validation without figures": b'{"step": 20, "validation": 3}',
    "a validation of texts": b'{"step": 20, "validation": {"loss": "x"}}',
    "nested": b"[" * 100_000,
    "a number of many digits": b'{"step": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_passed_over_and_those_after_it_stay(log, said, line):
    lines = log.path.read_bytes().split(b"\n")
    log.path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    assert steps(log) == [10, 30, 30, 40]
    log.rewind(30)
    assert steps(log) == [10, 30, 30]
    assert [json.loads(line)["step"] for line in log.path.read_bytes().splitlines()] == [10, 30, 30]
    assert said == []


def test_what_stands_twice_counts_once_and_as_it_was_said_last(log):
    log.add({"step": 30, "loss": 7.0})
    assert steps(log) == [10, 20, 30, 30, 40]
    assert [entry["loss"] for entry in read_log(log.path) if "loss" in entry] == [0.1, 0.05, 7.0, 0.025]


def test_no_log_is_no_entries(tmp_path, said):
    log = Log(tmp_path, said.append)
    assert read_log(log.path) == []
    log.rewind(3)
    assert not log.path.exists()


def test_a_kill_while_it_is_rewound_loses_nothing(log, monkeypatch):
    before = log.path.read_bytes()

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        log.rewind(20)
    assert log.path.read_bytes() == before


def test_a_log_that_cannot_be_written_is_said_once_and_training_goes_on(log, said, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr("scratchlv.training.log.open", full, raising=False)
        context.setattr("scratchlv.training.checkpoint.os.replace", full)
        log.rewind(10)
        for step in (50, 60):
            log.add({"step": step, "loss": 1.0})
    assert len(said) == 1
    assert "log.jsonl could not be written" in said[0]
    with open(log.path, "a") as file:
        file.write('{"step": 6')  # what a full disk left of a line
    log.add({"step": 70, "loss": 1.0})
    assert steps(log) == [10, 20, 30, 30, 40, 70]


def test_a_log_that_is_a_folder_is_no_reason_to_stop(tmp_path, said):
    (tmp_path / "log.jsonl").mkdir()
    log = Log(tmp_path, said.append)
    log.rewind(3)
    log.add({"step": 3})
    assert read_log(log.path) == []
    assert len(said) == 1
