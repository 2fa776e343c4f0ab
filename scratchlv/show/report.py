"""A report that is one file: it can be mailed, opened offline, and read in ten years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from scratchlv.errors import UserError
from scratchlv.output import SPELT
from scratchlv.show import looks

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #202124; --faint: #5f6368; --line: #dfe1e5; --card: #f7f8fa;
  --good: #1b7f4b; --bad: #b3372f; --accent: #0b57d0; --positive: 21, 101, 192; --negative: 214, 90, 10; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e6e7e9; --faint: #a2a6ad; --line: #3a3f46;
  --card: #1e2125; --good: #5cc98f; --bad: #f0857c; --accent: #8ab4f8; --positive: 66, 150, 245; --negative: 240, 125, 45; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 74rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.75rem; margin: 0 0 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: 0; }
dt { color: var(--faint); } dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem; }
figure { margin: 0 0 1.25rem; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
figcaption, .note { color: var(--faint); font-size: .875rem; max-width: 46rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem 0 .35rem 1.2rem; text-align: right; vertical-align: baseline; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } th[scope=row] { text-align: left; font-weight: 400; padding-left: 0; min-width: 14rem; }
td small { display: block; color: var(--faint); font-size: .8rem; max-width: 12rem; margin-left: auto; }
summary { cursor: pointer; margin-top: .75rem; }
"""


def write_report(path: str | Path, title: str, facts: Mapping[str, object], sections: Mapping[str, str]) -> Path:
    """Write one HTML file that needs nothing else, and return its path.

    Args:
        facts: what was run and what came out, by name.
        sections: HTML by its heading, put in as it is: of :func:`curves`, :func:`examples`, :func:`table`. The rest is escaped.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_page(title, facts, sections), encoding="utf-8", errors=SPELT)
    except OSError as error:
        raise UserError(f"the report {path} could not be written: {error.strerror}; give another path") from error
    return path


def curves(plots: Sequence[str]) -> str:
    """SVG from :func:`scratchlv.show.curves.curves_svg`, side by side."""
    return '<div class="curves">\n' + "\n".join(f"<figure>{svg}</figure>" for svg in plots) + "\n</div>"


def table(header: Sequence[str], rows: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """A table: rows by what stands at their left; a cell is a text, and what stands small below it."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = []
    for name, cells in rows.items():
        inner = "".join(
            f"<td>{escape(text)}{f'<small>{escape(below)}</small>' * bool(below)}</td>" for text, below in cells
        )
        body.append(f'<tr><th scope="row">{escape(name)}</th>{inner}</tr>')
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def note(text: str) -> str:
    """A paragraph that explains."""
    return f'<p class="note">{escape(text)}</p>'


def _page(title: str, facts: Mapping[str, object], sections: Mapping[str, str]) -> str:
    rows = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    parts = [f"<h1>{escape(title)}</h1>", f"<dl>\n{rows}\n</dl>"]
    parts += [f"<h2>{escape(heading)}</h2>\n{html}" for heading, html in sections.items()]
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    style = f"<style>{_CSS}{looks.STYLE}</style>"
    head = f'<meta charset="utf-8">{viewport}\n<title>{escape(title)}</title>\n{style}'
    body = "\n".join([*parts, f"<script>{looks.SCRIPT}</script>"])
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'
