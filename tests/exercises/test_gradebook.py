"""The CSV can be opened by a spreadsheet, which executes nothing of it; the screen shows who has what, in whatever width."""

import csv
import io
from pathlib import Path

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises.gradebook import Gradebook, safe, show
from scratchlv.exercises.marking import Mark, Row
from scratchlv.exercises.students import Student


def row(name, near, far, *notes):
    return Row(Student(name, Path("class") / name), {"near": near, "far": far}, notes)


ADA = row("ada", Mark("passed"), Mark("gradient", "line 3: it lacks a 2"), "a.py is taken for near")
BOB = row("=1+1", Mark("missing"), Mark("start", "the file raises ValueError: \n=2;=3"))


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_a_row_says_all_of_a_student(small_course, tmp_path):
    with Gradebook(tmp_path / "marks.csv", list(small_course)) as book:
        book.add(ADA)
    headings, line = read(tmp_path / "marks.csv")
    assert dict(zip(headings, line, strict=True)) == {
        "student": "ada",
        "passed": "1",
        "of": "2",
        "01 near": "passed",
        "01 near: why": "",
        "02 far": "gradient",
        "02 far: why": "line 3: it lacks a 2",
        "notes": "a.py is taken for near",
        "folder": str(Path("class") / "ada"),
    }


def test_excel_knows_the_letters_of_a_name(small_course, tmp_path):
    with Gradebook(tmp_path / "marks.csv", list(small_course)) as book:
        book.add(row("Größe \N{GREEK SMALL LETTER SIGMA}", Mark("passed"), Mark("passed")))
    assert (tmp_path / "marks.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert read(tmp_path / "marks.csv")[1][0] == "Größe σ"


def test_no_cell_is_a_formula(small_course, tmp_path):
    with Gradebook(tmp_path / "marks.csv", list(small_course)) as book:
        book.add(BOB)
    line = read(tmp_path / "marks.csv")[1]
    assert line[0] == "'=1+1"
    assert line[6] == "the file raises ValueError: =2,=3"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", " \n=1", "＝1", "\x00=1", "\u200b=1"])
def test_what_a_spreadsheet_would_take_for_a_formula_is_quoted(text):
    assert safe(text).startswith("'")


def test_a_cell_is_one_line_of_bounded_length():
    assert safe("a\nb\tc\x1b[31m;d") == "a b c [31m,d"
    assert len(safe("x" * 10**6)) == 600


def test_the_file_is_there_as_soon_as_it_can_be_and_whole_in_the_end(small_course, tmp_path):
    (tmp_path / "marks.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt), Gradebook(tmp_path / "marks.csv", list(small_course)) as book:
        book.add(ADA)
        (new,) = tmp_path.glob(".marks.csv.*")
        assert len(read(new)) == 2 and (tmp_path / "marks.csv").read_text() == "old"
        raise KeyboardInterrupt
    assert [line[0] for line in read(tmp_path / "marks.csv")] == ["student", "ada"]
    assert not list(tmp_path.glob(".marks*"))


def test_a_folder_is_no_csv(small_course, tmp_path):
    with pytest.raises(UserError, match="is a folder: give the name of a file in it"):
        Gradebook(tmp_path, list(small_course))


def shown(rows, course, width, encoding="utf-8"):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    show(rows, list(course), out, width)
    out.seek(0)
    return out.read()


def test_the_screen_has_a_letter_for_each_exercise(small_course):
    assert shown([ADA, BOB], small_course, 80).splitlines() == [
        "student  passed   each exercise",
        "ada       1/2     +g",
        "=1+1      0/2     .s",
        "in the order near, …, far; + passed, . missing, s start, g gradient",
        "far: 2 failed; 1 of them: it lacks a 2",
    ]


def test_a_narrow_screen_has_the_numbers_alone(small_course):
    lines = shown([ADA, BOB], small_course, 17).splitlines()
    assert lines[:3] == ["student  passed", "ada       1/2", "=1+1      0/2"]
    assert all(len(line) <= 17 for line in lines)


def test_a_stage_of_an_authors_own_has_a_letter_too(small_course):
    text = shown([row("ada", Mark("speed", "too slow"), Mark("unreadable", "a link"))], small_course, 80)
    assert "xx" in text and "x speed or unreadable" in text


def test_the_sentence_that_most_were_told_is_shown(small_course):
    told = [Mark("value", text) for text in ("line 3: a sum", "line 9: a sum", "a mean")]
    assert "near: 3 failed; 2 of them: a sum" in shown(
        [row("x", each, Mark("missing")) for each in told], small_course, 80
    )


def test_a_mistake_that_is_known_is_shown_rather_than_the_numbers(small_course):
    known = [Mark("value", f"line {i}: y is {i}", "a sum") for i in range(3)]
    assert "near: 3 failed; a sum" in shown([row("x", each, Mark("missing")) for each in known], small_course, 80)


def test_names_cannot_change_the_terminal(small_course):
    text = shown([row("a\x1b[2Jb" + "c" * 100, Mark("passed"), Mark("passed"))], small_course, 80)
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= 80


def test_a_terminal_without_unicode_gets_ascii(small_course):
    assert "student" in shown([row("größe", Mark("passed"), Mark("value", "→ …"))], small_course, 80, "ascii")
