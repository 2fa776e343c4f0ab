"""Which lines make a variable."""

import importlib.util

import pytest

from scratchlv.gradcheck.lineage import lines_that_make, said

TEXT = """
def backward(dy, cache):
    x, W = cache
    da = dy @ W.T
    db = da * x
    dc = db + 1
    for t in range(3):
        dc[t] += da[t]
    de = da.sum(0)
    return dc, de
"""


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "made.py"
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location("made", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.backward.__code__


def test_the_lines_go_back_to_what_is_given(code):
    assert lines_that_make("dc", code) == [4, 5, 6, 7, 8]
    assert lines_that_make("de", code) == [4, 9]


def test_what_is_right_ends_them(code):
    assert lines_that_make("dc", code, right=["da"]) == [5, 6, 7, 8]
    assert lines_that_make("de", code, right=["da"]) == [9]


def test_without_a_source_there_are_none():
    assert lines_that_make("x", compile("x = 1", "<nowhere>", "exec")) == []


def test_lines_in_words():
    assert said([3]) == "line 3"
    assert said([3, 5]) == "lines 3 and 5"
    assert said([3, 4, 7]) == "lines 3, 4 and 7"
    assert said([3, 4, 5]) == said([3, 4, 5]) == "lines 3 to 5"
    assert said([3, 9, 11, 20]) == "lines 3 to 20"
