"""What an exported exercise expects is read as it was written, or refused with a sentence."""

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.exercises import record, wire
from scratchlv.exercises.mistakes import Mistake

CASES = {0: [{"case": "a", "y": (np.float32([1, np.nan]), 3), "inputs": {"f": wire.Source("lambda x: x")}}], 1: []}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / record.FILE
    path.write_bytes(record.packed(CASES, [Mistake("no_two", "gradient", "it lacks a 2", (((), ()),))]))
    found = record.read_record(path)
    assert list(found.cases) == [0, 1]
    (case,) = found.cases[0]
    assert case["case"] == "a" and isinstance(case["inputs"]["f"], wire.Source)
    assert case["y"][0].dtype == np.float32 and np.isnan(case["y"][0][1]) and case["y"][1] == 3
    assert found.mistakes == [Mistake("no_two", "gradient", "it lacks a 2")]  # and not how it is made


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 100,
        wire.encode([1]),
        wire.encode({"format": 1}),
        wire.encode({"format": 1, "cases": 3, "mistakes": []}),
    ],
)
def test_what_is_damaged_gets_a_sentence(tmp_path, data):
    (tmp_path / record.FILE).write_bytes(data)
    with pytest.raises(UserError, match=r"expected\.bin is damaged: get the course again"):
        record.read_record(tmp_path / record.FILE)


def test_another_format_gets_a_sentence(tmp_path):
    (tmp_path / record.FILE).write_bytes(wire.encode({"format": 99}))
    with pytest.raises(UserError, match="another version of scratchlv"):
        record.read_record(tmp_path / record.FILE)
