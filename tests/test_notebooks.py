"""The notebooks: they run, nothing that they said is kept in git, and their pages are theirs."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="the tests are not in a checkout")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("pages_of_notebooks", ROOT / "notebooks/pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(source, **more):
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **more}


def prose(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def left_over(notebook):
    """What a run, or an editor, has left in a notebook."""
    cells = notebook["cells"]
    found = [
        key for cell in cells for key in ("outputs", "execution_count", "metadata", "attachments") if cell.get(key)
    ]
    names = {"kernelspec": {"display_name", "language", "name"}, "language_info": {"name"}}
    if {key: set(value) for key, value in notebook["metadata"].items()} != names:
        found.append("metadata of the notebook")
    return found


@each_notebook
def test_nothing_that_a_run_leaves_is_in_git(path):
    assert not left_over(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "more", [{"outputs": [{"output_type": "stream"}]}, {"execution_count": 1}, {"metadata": {"collapsed": True}}]
)
def test_what_a_run_leaves_is_found(more):
    notebook = json.loads(NOTEBOOKS[0].read_text("utf-8"))
    notebook["cells"].append(code("1", **more))
    assert left_over(notebook) == [*more]


def test_there_are_five():
    told = (ROOT / "notebooks/README.md").read_text("utf-8")
    assert len(NOTEBOOKS) == 5
    assert all(f"({path.name})" in told and f"(../docs/notebooks/{path.stem}.md)" in told for path in NOTEBOOKS)


@each_notebook
def test_a_learner_without_the_project_is_told_what_to_do(path):
    """In the first cell that imports anything: a kernel of another Python is what most often goes wrong."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    caught = re.search(r"^try:\n    from scratchlv.*\nexcept ModuleNotFoundError.*pip install", first, re.S | re.M)
    assert caught and "scratchlv" not in first[: caught.start()]


# --- pages -----------------------------------------------------------------------------------------------------------


@each_notebook
def test_the_page_is_that_of_the_notebook(path, pages):
    page = (ROOT / f"docs/notebooks/{path.stem}.md").read_text("utf-8")
    assert pages.differs(page, path.stem, pages.read(path.stem)) == "", f"python notebooks/pages.py {path.stem}"
    shown = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert all((ROOT / "docs/notebooks" / name).stat().st_size < 200_000 for name in shown)


def test_no_picture_is_left_of_a_page_that_was():
    shown = {
        name
        for page in (ROOT / "docs/notebooks").glob("*.md")
        for name in re.findall(r"\((\w+\.(?:png|svg))\)", page.read_text("utf-8"))
    }
    assert shown == {path.name for path in (ROOT / "docs/notebooks").iterdir() if path.suffix != ".md"}


CELLS = [
    prose("# A *title*, and [another](other.ipynb), [a file](../kernels/lstm/README.md)"),
    code(
        "print(1)\n1 + 1",
        outputs=[
            {"output_type": "stream", "name": "stdout", "text": "1\n"},
            {"output_type": "stream", "name": "stderr", "text": "a warning\n"},
            {"output_type": "stream", "name": "stdout", "text": "more\n\n```\n"},
            {"output_type": "execute_result", "data": {"text/plain": "2"}},
            {"output_type": "display_data", "data": {"image/svg+xml": '<svg style="width:1px"></svg>', "text/plain": "<SVG>"}},
        ],
    ),
    code("print(2)"),
    prose("The end."),
]  # fmt: skip


def test_a_page_has_cells_outputs_and_pictures(pages, tmp_path):
    page = pages.page_of("lesson", CELLS, tmp_path)
    assert "[another](other.md), [a file](../../kernels/lstm/README.md)" in page
    assert "```python\nprint(1)\n1 + 1\n```\n\n```\n1\n```\n" in page and "a warning" not in page
    assert "![lesson, picture 1](lesson_1.svg)" in page and "<SVG>" not in page
    assert (tmp_path / "lesson_1.svg").read_text("utf-8").startswith('<svg style="color:')


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells[:-1],
        lambda cells: [*cells, prose("More.")],
        lambda cells: [cells[0], *cells[2:]],
        lambda cells: [prose("# A title"), *cells[1:]],
        lambda cells: [*cells[:2], code("print(3)"), cells[3]],
        lambda cells: [*cells[:2], code("print(2)\n"), cells[3]],
    ],
)
def test_a_page_of_other_cells_is_found(change, pages, tmp_path):
    page = pages.page_of("lesson", CELLS, tmp_path)
    assert pages.differs(page, "lesson", CELLS) == ""
    assert pages.differs(page, "lesson", change(CELLS))
    assert pages.differs(page, "another", CELLS)


def test_a_notebook_that_is_not_there_is_told(pages, capsys):
    assert pages.main(["gone"]) == 2
    assert "there is no notebook 'gone'; there are attention" in capsys.readouterr().err


# --- they run --------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # 50 CPU seconds together; .ci/run runs them each time
@each_notebook
def test_it_runs_from_the_top_to_the_bottom(path, pages):
    pytest.importorskip("nbclient", reason="nbclient runs notebooks: pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="nbclient runs notebooks: pip install nbclient ipykernel")
    if path.stem == "cuda":
        from scratchlv.cuda.emulator import why_not

        if why_not():
            pytest.skip(why_not())
    cells = pages.run(path)
    assert all(cell["outputs"] or "print" not in cell["source"] for cell in cells if cell["cell_type"] == "code")


@pytest.mark.slow
def test_a_cell_that_raises_is_found(pages, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs notebooks: pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="nbclient runs notebooks: pip install nbclient ipykernel")
    notebook = json.loads(NOTEBOOKS[0].read_text("utf-8"))
    notebook["cells"] = [code("1 / 0", id="one")]
    (tmp_path / "wrong.ipynb").write_text(json.dumps(notebook), "utf-8")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        pages.run(tmp_path / "wrong.ipynb")
