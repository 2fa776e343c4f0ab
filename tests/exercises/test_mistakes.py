"""Patches that plant a mistake in a solution."""

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises.mistakes import Mistake, read_mistake

HEAD = "stage: value\nsays: it is doubled: twice\n\n"


@pytest.fixture
def mistake(tmp_path):
    def make(body, head=HEAD):
        path = tmp_path / "doubled.patch"
        path.write_text(head + body, "utf-8")
        return read_mistake(path)

    return make


def test_a_patch_has_a_name_a_stage_a_sentence_and_lines(mistake):
    found = mistake("-    a\n+    b\n")
    assert found == Mistake("doubled", "value", "it is doubled: twice", ((("    a",), ("    b",)),))
    assert found.planted("x\n    a\ny\n") == "x\n    b\ny\n"


def test_hunks_are_parted_and_the_headings_of_diff_are_passed_over(mistake):
    found = mistake("--- a/solution.py\n+++ b/solution.py\n@@ -1,2 +1,2 @@\n x\n-a\n+b\n@@\n-c\n+d\n+e\n\n\n")
    assert found.planted("x\na\nz\nc\n") == "x\nb\nz\nd\ne\n"


def test_lines_around_find_the_place_where_a_line_is_there_twice(mistake):
    text = "def f():\n    y = 1\n\ndef g():\n    y = 1\n"
    with pytest.raises(UserError, match=r"^mistakes/doubled.patch: `y = 1` is there 2 times: add lines around it$"):
        mistake("-    y = 1\n+    y = 2\n").planted(text)
    assert mistake(" def g():\n-    y = 1\n+    y = 2\n").planted(text).endswith("def g():\n    y = 2\n")


def test_lines_may_come_alone_or_go_alone_and_be_empty(mistake):
    assert mistake(" a\n+b\n").planted("a\nc\n") == "a\nb\nc\n"
    assert mistake(" a\n-\n-b\n").planted("a\n\nb\nc\n") == "a\nc\n"


def test_lines_that_are_not_there_are_told(mistake):
    with pytest.raises(UserError, match=r"^mistakes/doubled.patch: `q` is not in the solution$"):
        mistake("-q\n+r\n").planted("a\n")


@pytest.mark.parametrize("head", ["stage: value\n\n", "says: it\n\n", "stage:\nsays: x\n\n", "-a\n+b\n\n"])
def test_a_patch_without_a_stage_or_a_sentence_is_told(mistake, head):
    with pytest.raises(UserError, match=r"doubled.patch begins with the lines `stage: …` and `says: …`"):
        mistake("-a\n+b\n", head)


@pytest.mark.parametrize("body", ["", " a\n", "-a\n+a\n", "@@\n@@\n"])
def test_a_patch_that_changes_nothing_is_told(mistake, body):
    with pytest.raises(UserError, match="changes nothing: lines that go begin with -"):
        mistake(body)


def test_a_patch_in_another_encoding_is_told(tmp_path):
    (tmp_path / "odd.patch").write_bytes("stage: value\nsays: é\n".encode("utf-16"))
    with pytest.raises(UserError, match="odd.patch is not UTF-8 text"):
        read_mistake(tmp_path / "odd.patch")
