"""``benchmarks/as_markdown.py``: the tables of docs/results.md, from what the benchmarks write."""

import json

import pytest

from .conftest import BENCHMARKS


@pytest.fixture
def as_markdown(benchmarks):
    return benchmarks("as_markdown")


def test_the_table_of_the_first_figures(as_markdown):
    rows = json.loads((BENCHMARKS / "results" / "cpu.json").read_text("utf-8"))
    page = as_markdown.page([rows])
    assert page.startswith("AMD EPYC")
    line = next(line for line in page.splitlines() if line.startswith("| `lstm-lm` "))
    assert [cell.strip() for cell in line.split("|")[2:9]] == ["70.4", "143", "75.2", "172", "56.8", "2.03", "1.07"]
    assert page.count("\n| `") == len(rows)
    assert len({row.count("|") for row in page.splitlines() if row.startswith("|")}) == 1


def test_a_side_that_was_left_out_and_a_ceiling_that_was_exceeded_are_told(as_markdown):
    (row, *_) = json.loads((BENCHMARKS / "results" / "cpu.json").read_text("utf-8"))
    row |= {"numpy_ms": None, "exceeds": ["scratchlv"], "isa": "avx2", "efficiency": 0.912}
    row["left_out"] = {"torch.compile: a": "torch.compile: a: loss differs"}
    page = as_markdown.page([[row]])
    for part in (
        "held to AVX2",
        "exceeds the ceiling",
        "| 91% |",
        "Left out of `lstm-lm`: torch.compile: a: loss differs.",
    ):
        assert part in page


def test_before_and_after(as_markdown):
    (before, *_) = json.loads((BENCHMARKS / "results" / "cpu.json").read_text("utf-8"))
    after = before | {"ours_ms": before["ours_ms"] / 2, "ratio_best": 2.0}
    assert "| `lstm-lm` | 70.4 | 35.2 | 2.00 | 1.07 | 2.00 |" in as_markdown.page([[before], [after]])


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"a": 1}]'])
def test_other_files_are_refused(as_markdown, tmp_path, monkeypatch, capsys, text):
    (tmp_path / "x.json").write_text(text)
    monkeypatch.setattr("sys.argv", ["as_markdown.py", str(tmp_path / "x.json")])
    with pytest.raises(SystemExit) as ended:
        as_markdown.main()
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_tables_of_the_document_are_those_of_their_files(as_markdown):
    text = (BENCHMARKS.parent / "docs" / "results.md").read_text("utf-8")
    assert len(as_markdown.MARKED.findall(text)) == text.count(".json -->\n")
    assert as_markdown.filled(text) == text, "python benchmarks/as_markdown.py --into docs/results.md"


def test_a_table_is_made_anew_and_the_text_around_it_stays(as_markdown):
    text = "before\n<!-- benchmarks/results/cpu.json -->\n| old |\n<!-- end -->\nafter\n"
    new = as_markdown.filled(text)
    assert new.startswith("before\n<!-- benchmarks/results/cpu.json -->\nAMD EPYC")
    assert new.endswith(" |\n<!-- end -->\nafter\n")
    assert "old" not in new
    assert as_markdown.filled(new) == new
    assert "\nNot measured yet.\n" in as_markdown.filled(text.replace("cpu.json", "none.json"))
