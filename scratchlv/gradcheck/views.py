"""A report to look at: for a terminal (Rich), and for a notebook (HTML). A heatmap shows which elements are wrong."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from scratchlv.gradcheck.report import NOT_CHECKED, RIGHT, WRONG, Gradient, Report
from scratchlv.output import spelt, styled

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

ROWS, COLUMNS = 12, 48  # of a heatmap, at most
SKIPPED, FINE, WORST = -1, 0, 4  # levels of its cells: not compared, right, and from 1 up wrong
_LEVELS = (1e-3, 1e-2, 1e-1)  # errors, as shares of the element, at which the next level begins
_BLOCKS = {SKIPPED: " ", FINE: "·", 1: "░", 2: "▒", 3: "▓", WORST: "█"}
_ASCII = {SKIPPED: " ", FINE: ".", 1: ":", 2: ":", 3: "#", WORST: "#"}
_STYLES = {RIGHT: "green", WRONG: "red", NOT_CHECKED: "yellow"}
_COLOURS = {RIGHT: "#1a7f45", WRONG: "#c6362b", NOT_CHECKED: "#946200"}
_HEADINGS = ("gradient", "verdict", "error", "worst at", "backward", "numeric", "compared")


def heat(gradient: Gradient) -> np.ndarray | None:
    """Levels of the elements' errors, the last axis as columns; a cell is the worst of what it stands for.

    None if no element was compared, or if all of them are wrong: there is no pattern to see.
    """
    errors = gradient.errors
    if errors is None or not errors.size or gradient.verdict != WRONG:
        return None
    table = errors.reshape(-1, errors.shape[-1] if errors.ndim else 1)
    table = _worst_of_blocks(_worst_of_blocks(table, ROWS).T, COLUMNS).T
    levels = np.where(table > gradient.tolerance, 1 + np.searchsorted(_LEVELS, table, side="right"), FINE)
    levels[np.isnan(table)] = SKIPPED
    return levels if (levels > FINE).any() and (levels == FINE).any() else None


def _worst_of_blocks(table: np.ndarray, most: int) -> np.ndarray:
    """As many rows as fit, each the maximum of some neighbours; NaN only where all are."""
    size = -(-len(table) // most)
    return np.array([np.fmax.reduce(table[start : start + size]) for start in range(0, len(table), size)])


def cell_size(gradient: Gradient) -> str:
    """How many elements a cell of the heatmap stands for; empty if it is one."""
    shape = _shape(gradient)
    columns = shape[-1] if shape else 1
    rows = int(np.prod(shape[:-1])) if shape else 1
    a, b = -(-rows // ROWS), -(-columns // COLUMNS)
    return "" if a * b == 1 else f"a cell is the worst of {a} × {b} elements"


def _shape(gradient: Gradient) -> tuple[int, ...]:
    return () if gradient.errors is None else gradient.errors.shape


def row(gradient: Gradient) -> tuple[str, ...]:
    """What a table says of a gradient, by the columns' headings; the values are those of a wrong one."""
    if gradient.verdict == NOT_CHECKED:
        return gradient.name, NOT_CHECKED, "", "", "", "", f"0 of {gradient.size:,}"
    values: tuple[str, ...] = ("", "", "")
    if gradient.verdict == WRONG and gradient.points:
        worst = "a direction" if gradient.worst is None else ", ".join(map(str, gradient.worst)) or "()"
        values = (worst, *gradient.values())
    return gradient.name, gradient.verdict, f"{gradient.error:.1e}", *values, _compared(gradient)


def _compared(gradient: Gradient) -> str:
    if not gradient.size:
        return f"{gradient.points:,}"
    known = gradient.points if gradient.errors is None else int(np.isfinite(gradient.errors).sum())
    return f"{min(known, gradient.size):,} of {gradient.size:,}"


def _maps(report: Report) -> Iterator[tuple[str, np.ndarray | None]]:
    """Of each wrong gradient how many elements are wrong, and where; in one line those of which all are."""
    altogether = []
    for gradient in report.gradients:
        if gradient.verdict != WRONG or gradient.errors is None:
            continue
        wrong, known = (int(count.sum()) for count in (gradient.errors > gradient.tolerance, gradient.errors >= 0))
        levels = heat(gradient)
        if levels is not None:
            notes = "; ".join(filter(None, [f"shape {_shape(gradient)}", cell_size(gradient)]))
            yield f"{gradient.name}: {wrong:,} of the {known:,} elements compared are wrong ({notes})", levels
        elif wrong > 1:
            altogether.append(gradient.name)
    if altogether:
        yield f"{', '.join(altogether)}: all elements compared are wrong", None


def _sentences(report: Report) -> Iterator[tuple[str, str]]:
    """What is said besides the table, each with the verdict that it speaks for."""
    yield from ((NOT_CHECKED, report.not_checked),) if report.not_checked else ()
    yield from ((WRONG, problem) for problem in report.problems)
    for gradient in report.gradients:
        if gradient.verdict == NOT_CHECKED:
            yield NOT_CHECKED, str(gradient)
        elif gradient.notes():
            yield gradient.verdict, f"{gradient.name}: {'; '.join(gradient.notes())}"


# --- a terminal ------------------------------------------------------------------------------------------------------


def show(report: Report, out: TextIO) -> None:
    """The view on a terminal, plain text elsewhere; what the encoding lacks is spelt otherwise."""
    if out.isatty():
        from rich.console import Console

        Console(file=styled(out)).print(report)
    else:
        print(spelt(str(report), getattr(out, "encoding", None)), file=out, flush=True)


class TerminalView:
    """What Rich prints of a report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        def line(*parts: tuple[str, str]) -> Text:
            return Text.assemble(*((spelt(text, options.encoding), style) for text, style in parts))

        report = self.report
        title = report.title()
        yield line((f"{title}: " if title else "", "bold"), (report.verdict, f"bold {_STYLES[report.verdict]}"))
        if report.gradients:
            table = _table(report)
            if console.measure(table, options=options.update(max_width=1000)).maximum <= options.max_width:
                yield table
            else:
                yield from (line((str(each), _STYLES[each.verdict])) for each in report.gradients)
        for verdict, sentence in _sentences(report):
            yield line((sentence, _STYLES[verdict]))
        for caption, levels in _maps(report):
            yield line((caption, ""))
            if levels is not None:
                yield _blocks(levels, options.ascii_only)
        yield from (line((note, "dim")) for note in report.notes)
        yield from (line((f"-> {sentence}", "bold")) for sentence in report.diagnosis)


def _table(report: Report) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in _HEADINGS[:2] else "right", overflow="fold")
    for gradient in report.gradients:
        cells = [Text(cell) for cell in row(gradient)]
        cells[1].stylize(_STYLES[gradient.verdict])
        table.add_row(*cells)
    return table


def _blocks(levels: np.ndarray, ascii_only: bool) -> Any:
    from rich.text import Text

    characters = _ASCII if ascii_only else _BLOCKS
    text = Text(no_wrap=True, overflow="crop")
    for i, levels_of_row in enumerate(levels):
        text.append("\n  " if i else "  ")
        for level in levels_of_row:
            text.append(characters[int(level)], "red" if level > FINE else "dim")
    return text


# --- a notebook ------------------------------------------------------------------------------------------------------

_CELL = "padding:2px 10px;text-align:{};border-bottom:1px solid rgba(128,128,128,.35);white-space:nowrap"
_SIDE = 9  # of a cell of a heatmap, in pixels


def as_html(report: Report) -> str:
    """A page's part that needs nothing else, for a light or a dark background."""
    title = html.escape(report.title())
    parts = [f"<div style='margin:4px 0'><b>{title}</b> {_badge(report.verdict)}</div>"]
    if report.gradients:
        parts.append(_html_table(report))
    parts += [_paragraph(sentence, _COLOURS[verdict]) for verdict, sentence in _sentences(report)]
    for caption, levels in _maps(report):
        parts += [_paragraph(caption), "" if levels is None else _svg(levels)]
    parts += [_paragraph(note) for note in report.notes]
    parts += [f"<div style='margin:6px 0'>→ <b>{html.escape(sentence)}</b></div>" for sentence in report.diagnosis]
    return f"<div style='font-family:sans-serif;font-size:13px;line-height:1.5'>{''.join(parts)}</div>"


def _badge(verdict: str) -> str:
    return f"<span style='background:{_COLOURS[verdict]};color:#fff;border-radius:3px;padding:1px 6px'>{verdict}</span>"


def _paragraph(text: str, colour: str = "") -> str:
    mark = f"border-left:3px solid {colour};padding-left:6px;" if colour else ""
    return f"<div style='{mark}margin:6px 0'>{html.escape(text)}</div>"


def _html_table(report: Report) -> str:
    def cells(tag: str, texts: tuple[str, ...]) -> str:
        aligned = [_CELL.format("left" if i < 2 else "right") for i in range(len(texts))]
        return "".join(f"<{tag} style='{style}'>{text}</{tag}>" for style, text in zip(aligned, texts, strict=True))

    rows = []
    for gradient in report.gradients:
        name, verdict, *numbers = row(gradient)
        rows.append(cells("td", (html.escape(name), _badge(verdict), *map(html.escape, numbers))))
    body = "".join(f"<tr style='background:none'>{each}</tr>" for each in rows)
    return f"<table style='border-collapse:collapse;font-size:inherit'><tr>{cells('th', _HEADINGS)}</tr>{body}</table>"


def _svg(levels: np.ndarray) -> str:
    def cell(i: int, j: int, level: int) -> str:
        fill = f"rgba(214,54,43,{0.25 * level:.2f})" if level > FINE else "rgba(128,128,128,.22)"
        place = f"x='{j * _SIDE}' y='{i * _SIDE}' width='{_SIDE - 1}' height='{_SIDE - 1}'"
        return f"<rect {place} fill='{fill}'/>"

    height, width = levels.shape
    drawn = "".join(cell(i, j, int(level)) for (i, j), level in np.ndenumerate(levels) if level != SKIPPED)
    return f"<svg role='img' width='{width * _SIDE}' height='{height * _SIDE}'>{drawn}</svg>"
