"""A report that is one file: it can be mailed, opened offline, and read in ten years."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from scratchlv.errors import UserError
from scratchlv.output import SPELT

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #202124; --faint: #6b6f76; --line: #dfe1e5; --card: #f7f8fa;
  --good: #1b7f4b; --bad: #b3372f; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e6e7e9; --faint: #9aa0a8; --line: #34383e;
  --card: #1e2125; --good: #5cc98f; --bad: #f0857c; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 74rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.75rem; margin: 0 0 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: 0; }
dt { color: var(--faint); } dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem; }
figure { margin: 0 0 1.25rem; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.examples { display: flex; flex-wrap: wrap; gap: 1.25rem; align-items: flex-start; } .examples figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
figcaption { margin-top: .75rem; width: 0; min-width: 100%; } .verdict { color: var(--bad); font-size: .875rem; }
.verdict.true { color: var(--good); }
"""


def write_report(
    path: str | Path,
    title: str,
    facts: Mapping[str, object],
    curves: Sequence[str],
    examples: Sequence[tuple[Image.Image, str, str]],
) -> Path:
    """Write one HTML file that needs nothing else, and return its path.

    Args:
        facts: what was run and what came out, by name.
        curves: SVG from :func:`scratchlv.show.curves.curves_svg`, put in as it is; everything else is escaped.
        examples: ``(picture, caption, verdict)``; the verdict "true" is green, any other reason red, "" is not shown.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_page(title, facts, curves, examples), encoding="utf-8", errors=SPELT)
    except OSError as error:
        raise UserError(f"the report {path} could not be written: {error.strerror}; give another path") from error
    return path


def _page(
    title: str, facts: Mapping[str, object], curves: Sequence[str], examples: Sequence[tuple[Image.Image, str, str]]
) -> str:
    rows = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    parts = [f"<h1>{escape(title)}</h1>", f"<dl>\n{rows}\n</dl>"]
    if curves:
        plots = "\n".join(f"<figure>{svg}</figure>" for svg in curves)
        parts.append(f'<h2>Curves</h2>\n<div class="curves">\n{plots}\n</div>')
    if examples:
        figures = "\n".join(_example(*example) for example in examples)
        parts.append(f'<h2>Examples</h2>\n<div class="examples">\n{figures}\n</div>')
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{viewport}\n<title>{escape(title)}</title>\n<style>{_CSS}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _example(picture: Image.Image, caption: str, verdict: str) -> str:
    if not verdict:
        mark = ""
    elif verdict == "true":
        mark = '<div class="verdict true">✓ true</div>'
    else:
        mark = f'<div class="verdict">✗ {escape(verdict)}</div>'
    size = f'width="{picture.width}" height="{picture.height}"'
    image = f'<img src="{_data_url(picture)}" {size} alt="{escape(caption)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}{mark}</figcaption></figure>"


def _data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")  # to optimise it takes six times as long, and saves a twentieth
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
