"""The progress of a folder: written whole, read back, and never thrown away when it is damaged."""

import json

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises.progress import FILE, Record, changing, read


def test_what_is_changed_is_read_back(tmp_path):
    notes = []
    with changing(tmp_path, notes) as progress:
        progress.course, progress.current = "mine.zip", "softmax"
        progress.of("softmax").attempts = 3
    found = read(tmp_path)
    assert (found.course, found.current, found.records) == ("mine.zip", "softmax", {"softmax": Record(attempts=3)})
    assert notes == [] and [each.name for each in tmp_path.iterdir()] == [FILE]


def test_a_folder_without_progress_has_none(tmp_path):
    assert read(tmp_path).records == {} and read(tmp_path).passed == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "exercises": [1]}', '{"version": "1"}']
)
def test_a_damaged_file_is_named_and_left_alone(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(
        UserError, match=r"\.scratchlv-exercises\.json .*: rename it, and the count begins anew; your files stay"
    ):
        read(tmp_path)
    assert (tmp_path / FILE).read_text() == text


def test_a_file_from_a_later_version_is_not_read(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"version": 2}))
    with pytest.raises(UserError, match="is from a later scratchlv: update"):
        read(tmp_path)


def test_a_key_that_nobody_knows_is_passed_over(tmp_path):
    records = {"softmax": {"attempts": 2, "mood": "good"}}
    (tmp_path / FILE).write_text(json.dumps({"version": 1, "course": "", "current": "", "exercises": records}))
    assert read(tmp_path).of("softmax") == Record(attempts=2)


def test_an_exception_leaves_the_progress_as_it_was(tmp_path):
    with changing(tmp_path, []) as progress:
        progress.current = "softmax"
    with pytest.raises(KeyError), changing(tmp_path, []) as progress:
        progress.current = "lstm"
        raise KeyError
    assert read(tmp_path).current == "softmax"
