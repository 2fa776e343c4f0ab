"""The notebooks as pages, for which nobody needs Jupyter: ``python notebooks/pages.py [NAME…]`` writes ``docs/notebooks/``.

Each cell is copied, with what it said and showed when it ran; pictures lie beside the page. ``tests/test_notebooks.py``
compares the cells of each page with its notebook's.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, PAGES = ROOT / "notebooks", ROOT / "docs/notebooks"
SECONDS = 900  # for one cell, on a slow machine that has to compile the kernels first
_COLOURS = 256  # of a picture on a page, which is then a third as large
_GREY = "#7d838c"  # an axis that is seen on white and on black, where a page does not tell its own colour


def run(path: Path) -> list[dict]:
    """The cells of a notebook with their outputs. They run with this project, in a folder of their own.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raises.
    """
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    project = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(
            notebook, timeout=SECONDS, startup_timeout=SECONDS, resources={"metadata": {"path": folder}}
        )
        client.execute(env={**os.environ, "PYTHONPATH": project})
    return notebook.cells


def read(name: str) -> list[dict]:
    """The cells of a notebook as it lies in git."""
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text("utf-8"))["cells"]


# --- pages -----------------------------------------------------------------------------------------------------------


def source_of(cell: Any) -> str:
    """A cell as it stands on the page; links lead from ``docs/notebooks/``, where they led from ``notebooks/``."""
    text = "".join(cell["source"])
    if cell["cell_type"] == "code":
        return f"```python\n{text}\n```\n"
    text = text.replace("](../docs/", "](../").replace("](../kernels/", "](../../kernels/")
    text = text.replace("](../scratchlv/", "](../../scratchlv/")
    return re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", text) + "\n"


def head_of(name: str) -> str:
    """What stands above a page."""
    return f"<!-- `python notebooks/pages.py {name}` makes this of notebooks/{name}.ipynb -->\n\n"


def page_of(name: str, cells: list[dict], folder: Path) -> str:
    """The page of a notebook that was run; its pictures are written to ``folder``."""
    parts, pictures = [], 0
    for cell in cells:
        parts.append(source_of(cell))
        for output in _joined(cell.get("outputs", [])):
            data = output.get("data", {})
            if "image/png" in data or "image/svg+xml" in data:
                pictures += 1
                file = _keep(data, folder, f"{name}_{pictures}")
                parts.append(f"![{name}, picture {pictures}]({file.name})\n")
            elif text := _said(output):
                fence = "`" * (3 + text.count("```"))
                parts.append(f"{fence}\n{text}\n{fence}\n")
    return head_of(name) + "\n".join(parts)


def _joined(outputs: list[Any]) -> list[Any]:
    """What was printed in one go, whenever it came."""
    joined: list[Any] = []
    for output in outputs:
        stream = output["output_type"] == "stream"
        if stream and joined and joined[-1].get("name") == output["name"]:
            joined[-1]["text"] += output["text"]
        else:
            joined.append(dict(output))
    return joined


def _said(output: Any) -> str:
    """What a cell printed or returned; what it said on stderr is of the run, not of the lesson."""
    if output["output_type"] == "stream":
        text = output["text"] if output["name"] == "stdout" else ""
    else:
        text = output.get("data", {}).get("text/plain", "")
    return re.sub(r"\b\d+\.py, line", "line", text).rstrip()  # the kernel names each cell by a number


def _keep(data: dict, folder: Path, stem: str) -> Path:
    from PIL import Image

    if "image/svg+xml" in data:
        file = folder / f"{stem}.svg"
        file.write_text(data["image/svg+xml"].replace('style="', f'style="color:{_GREY};', 1), "utf-8")
    else:
        file = folder / f"{stem}.png"
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        picture.quantize(_COLOURS).save(file, optimize=True)
    return file


_OUTPUT = re.compile(r"\n((`{3,})\n.*?\n\2|!\[[^\n]*?\]\([^\n]*?\))\n", re.DOTALL)


def differs(page: str, name: str, cells: list[dict]) -> str:
    """Where a page is not that of these cells, in a sentence; empty if it is. Outputs may be anything."""
    if not page.startswith(head_of(name)):
        return "its head is another"
    at = len(head_of(name))
    for number, cell in enumerate(cells, 1):
        text = source_of(cell)
        if not page.startswith(text, at):
            return f"cell {number} is another there: {text[:60]!r}"
        at += len(text)
        while cell["cell_type"] == "code" and (output := _OUTPUT.match(page, at)):
            at = output.end()
        at += page.startswith("\n", at)
    return "" if at == len(page) else f"it goes on after the last cell: {page[at : at + 60]!r}"


def main(names: list[str]) -> int:
    known = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no notebook {unknown[0]!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    try:
        import ipykernel
        import nbclient
    except ModuleNotFoundError as error:
        print(f'{error}: run  pip install --editable ".[test]"  first', file=sys.stderr)
        return 2
    assert ipykernel and nbclient
    PAGES.mkdir(exist_ok=True)
    for name in names or known:
        for old in PAGES.glob(f"{name}_*.*"):
            old.unlink()
        page = page_of(name, run(NOTEBOOKS / f"{name}.ipynb"), PAGES)
        (PAGES / f"{name}.md").write_text(page, "utf-8")
        print(f"wrote docs/notebooks/{name}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
