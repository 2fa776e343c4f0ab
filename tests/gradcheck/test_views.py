"""Views of a report: which elements a heatmap shows, and what terminals and notebooks make of it."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from rich.console import Console

from scratchlv.gradcheck import Gradient, Report, check, views

from .operations import check_rnn


def wrong(errors, **fields):
    errors = np.asarray(errors, float)
    return Gradient("dW", 1.0, 1e-6, (0, 0), 2.0, 1.0, errors.size, size=errors.size, errors=errors, **fields)


def pattern(*shape, bad):
    errors = np.zeros(shape)
    errors[bad] = 1.0
    return wrong(errors)


# --- heatmaps --------------------------------------------------------------------------------------------------------


def test_a_cell_is_an_element_with_its_error_in_levels():
    levels = views.heat(wrong([[0, np.nan, 1e-4, 5e-3], [1e-7, 0.05, 0.5, np.inf]]))
    np.testing.assert_array_equal(levels, [[0, -1, 1, 2], [0, 3, 4, 4]])


@pytest.mark.parametrize(
    ("shape", "cells"),
    [
        ((), None),
        ((7,), (1, 7)),
        ((3, 5), (3, 5)),
        ((2, 3, 5), (6, 5)),
        ((100, 100), (12, 34)),
        ((49,), (1, 25)),
        ((13, 2), (7, 2)),
    ],
)
def test_the_last_axis_has_the_columns_and_large_arrays_are_made_smaller(shape, cells):
    if shape == ():
        assert views.heat(wrong(1.0)) is None
        return
    bad = tuple(n - 1 for n in shape)
    levels = views.heat(pattern(*shape, bad=bad))
    assert levels.shape == cells and levels.shape <= (views.ROWS, views.COLUMNS)
    assert levels[-1, -1] == views.WORST and (levels > 0).sum() == 1


def test_no_wrong_element_is_lost_when_the_map_is_made_smaller():
    errors = np.full((500, 700), np.nan)
    errors[0, 0], errors[333, 444] = 0.0, 1.0
    assert (views.heat(wrong(errors)) == views.WORST).sum() == 1


def test_there_is_no_map_where_all_is_right_or_all_is_wrong():
    assert views.heat(wrong(np.ones((2, 2)))) is None
    assert views.heat(Gradient("dW", 0.0, 1e-6, errors=np.zeros((2, 2)))) is None
    assert views.heat(Gradient("dW", 1.0, 1e-6)) is None


def test_the_caption_says_what_a_cell_stands_for():
    assert views.cell_size(pattern(3, 5, bad=(0, 0))) == ""
    assert views.cell_size(pattern(100, 100, bad=(0, 0))) == "a cell is the worst of 9 × 3 elements"


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_has_both_values_and_how_much_was_compared():
    assert views.row(wrong([[1, 0, np.nan], [1, 0, 0]])) == ("dW", "WRONG", "1.0e+00", "0, 0", "2", "1", "5 of 6")
    assert views.row(Gradient("db", 1e-9, 1e-6, (0,), 1.0, 1.0, 2, size=2))[2:] == ("1.0e-09", "", "", "", "2 of 2")


def test_what_was_not_compared_is_said():
    nothing = Gradient("dx", 0.0, 1e-6, size=12, points=12, between=12, kinks=12, reason="every point lies on a kink")
    assert views.row(nothing)[1:] == ("not checked", "", "", "", "", "0 of 12")
    said = terminal(
        Report(gradients=[nothing, Gradient("dW", 0.0, 1e-6, kinks=2, points=3, size=5)]), color_system=None
    )
    assert "dx: not checked: every point lies on a kink" in said
    assert "dW: 2 points at a kink, where the one-sided slopes differ, skipped" in said


# --- the terminal ----------------------------------------------------------------------------------------------------


def terminal(report, width=100, encoding="utf-8", **options):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=out, width=width, force_terminal=True, **options).print(report)
    out.flush()
    return raw.getvalue().decode(encoding)


@pytest.fixture(scope="module")
def bug():
    return check_rnn("dropped time step")


def test_the_terminal_shows_the_table_the_map_and_the_diagnosis(bug):
    said = terminal(bug, color_system=None)
    assert said.startswith("WRONG\n")
    for gradient in bug.gradients:
        assert gradient.name in said
    assert "dx: 15 of the 60 elements compared are wrong (shape (4, 3, 5))" in said
    assert "dh0, dWx, dWh, db: all elements compared are wrong" in said
    assert "  █████\n" * 3 in said and "  ·····\n" * 9 in said  # the first step's three rows, and the others
    assert f"-> {bug.diagnosis[0]}"[:60] in said


def test_colours_come_and_go(bug, monkeypatch):
    assert "\x1b[" in terminal(bug, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in terminal(bug, color_system="standard")


def test_an_ascii_terminal_gets_other_characters(bug):
    bug.notes = ["W used for Wᵀ → √2"]
    said = terminal(bug, encoding="ascii", color_system=None)
    assert "  #####\n" * 3 in said and "  .....\n" in said
    assert "W used for W.T -> sqrt 2" in said


def test_eighty_columns_are_enough_for_the_table(bug):
    lines = terminal(bug, width=80, color_system=None).splitlines()
    assert any(line.split() == list(" ".join(views._HEADINGS).split()) for line in lines)


@pytest.mark.parametrize("width", [10, 20, 40])
def test_a_narrow_terminal_gets_sentences(bug, width):
    said = terminal(bug, width=width, color_system=None)
    assert max(map(len, said.splitlines())) <= width
    assert str(bug.gradients[0]).replace(" ", "") in said.replace("\n", "").replace(" ", "")


def test_markup_in_names_is_text():
    report = check(lambda x: (x, None), lambda dy, cache: 2 * dy, {"x": np.ones(3)}, subject="[red]layer[/]")
    assert "[red]layer[/]: WRONG" in terminal(report, color_system=None)


def test_what_is_no_terminal_gets_plain_text(bug):
    out = io.StringIO()
    views.show(bug, out)
    assert out.getvalue() == f"{bug}\n"
    raw = io.BytesIO()
    ascii_only = io.TextIOWrapper(raw, encoding="ascii")
    views.show(Report(not_checked="Wᵀ"), ascii_only)
    assert b"W.T" in raw.getvalue()


# --- the notebook ----------------------------------------------------------------------------------------------------


def test_the_html_is_well_formed_and_shows_the_same(bug):
    page = ElementTree.fromstring(bug._repr_html_())
    texts = " ".join(page.itertext())
    assert bug.diagnosis[0] in texts
    assert [cell.text for cell in page.iter("th")] == list(views._HEADINGS)
    assert len(list(page.iter("tr"))) == 1 + len(bug.gradients)
    fills = [rect.get("fill") for rect in next(page.iter("svg"))]
    assert len(fills) == 60 and len({*fills}) >= 2


def test_what_the_user_wrote_is_escaped():
    report = Report("<script>", problems=["a < b & <img src=x>"], gradients=[Gradient("d<x>", 1.0, 1e-6)])
    report.diagnosis, report.notes = ["x < y <script>"], ["<img>"]
    html = report._repr_html_()
    assert "<script" not in html and "<img" not in html and "d<x>" not in html
    ElementTree.fromstring(html)


def test_nothing_is_loaded_from_elsewhere(bug):
    html = bug._repr_html_()
    assert not any(word in html for word in ("http", "url(", "src=", "href", "class="))
