"""What a learner sees: one screen for a check, tables for the rest. It fits terminals of 40 columns, with and without colour."""

from __future__ import annotations

import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.grading import Verdict
from scratchlv.exercises.progress import Record
from scratchlv.output import spelt, styled

STAGES = ("shape", "dtype", "value", "gradient")
_PRINTED = 12  # lines of what the learner's file prints
_INDENT = 2


class Screen:
    """Prints to a terminal or a file; what its encoding lacks is spelt otherwise."""

    def __init__(self, out: TextIO | None = None, width: int | None = None) -> None:
        self.out = styled(out or sys.stdout)
        self._console = Console(file=self.out, width=width, highlight=False, emoji=False, markup=False)

    def print(self, *parts: RenderableType | str) -> None:
        with self._console.capture() as captured:
            for part in parts:
                self._console.print(self._text(part) if isinstance(part, str) else part)
        text = captured.get()
        if not self._console.is_terminal:  # Rich fills lines up with blanks
            text = re.sub(r" +$", "", text, flags=re.MULTILINE)
        self.out.write(text)
        self.out.flush()

    def prose(self, text: str) -> None:
        """Paragraphs, wrapped anew; lines that are indented stay lines, and go on below themselves."""
        for indent, line in _paragraphs(text):
            self.print(Padding(self._text(line), (0, 0, 0, _INDENT + indent)))

    def line(self, text: str) -> None:
        """A line as it is, however long: a command to copy, a solution."""
        print(spelt(text, getattr(self.out, "encoding", None)), file=self.out, flush=True)

    def _text(self, text: str, style: str = "", cut: bool = False) -> Text:
        if cut:  # Rich's own mark of what is cut off is not in every encoding
            most = self._console.width - 2 * _INDENT
            text = "\n".join(line if len(line) <= most else f"{line[: most - 3]}..." for line in text.split("\n"))
        shown = spelt(text, getattr(self.out, "encoding", None))
        return Text(shown, style=style, no_wrap=cut, overflow="fold")

    def _block(self, text: str, style: str = "", cut: bool = False) -> RenderableType:
        return Padding(self._text(text, style, cut), (0, 0, 0, _INDENT))

    # --- a check ---

    def verdict(self, exercise: Exercise, verdict: Verdict, file: str, notes: Sequence[str] = ()) -> None:
        """The screen of a check that failed."""
        title = Text.assemble(
            (f"{exercise.order:02d} {exercise.name}", "bold"), "  ", (f"not yet: {verdict.stage}", "red")
        )
        self.print(title)
        if verdict.stage in STAGES:
            self.print(Padding(self._stages(verdict.stage, gradient="backward" in exercise.stub), (0, 0, 0, _INDENT)))
        self.print("", self._block(verdict.sentence, "bold"))
        self.print(*(self._block(each, "dim") for each in _where(verdict, file)))
        if verdict.call and verdict.stage not in ("start", "limits"):
            self.print(self._block(verdict.call, "dim"))
        if verdict.expected or verdict.came:
            self.print("", self._side_by_side(verdict.expected, verdict.came))
        for sentence in verdict.diagnosis:
            self.print("", self._block(f"→ {sentence}", "yellow"))
        self._printed(verdict.printed)
        self.print("", *(self._block(f"note: {note}", "dim") for note in notes))

    def _stages(self, failed: str, gradient: bool) -> Text:
        stages = STAGES if gradient else STAGES[:3]
        line = Text()
        at = stages.index(failed)
        for i, stage in enumerate(stages):
            style, word = (
                ("green", f"{stage} right") if i < at else ("red", f"{stage} WRONG") if i == at else ("dim", stage)
            )
            line.append("  " if i else "").append(word, style)
        return line

    def _side_by_side(self, expected: str, came: str) -> RenderableType:
        """Two texts beside each other, or one below the other where they are too wide."""
        width = max((len(line) for line in (expected + "\n" + came).splitlines()), default=0)
        columns = [Group(self._text(head, "dim"), self._text(body, style, cut=True)) for head, body, style in
                   (("expected", expected, "green"), ("came", came, "red"))]  # fmt: skip
        if 2 * max(width, 8) + 3 * _INDENT > self._console.width:
            return Padding(Group(*columns), (0, 0, 0, _INDENT))
        table = Table.grid(padding=(0, 2 * _INDENT, 0, 0))
        table.add_row(*columns)
        return Padding(table, (0, 0, 0, _INDENT))

    def _printed(self, text: str) -> None:
        lines = text.rstrip().splitlines()
        if not lines:
            return
        more = [f"… and {len(lines) - _PRINTED} lines more"] if len(lines) > _PRINTED else []
        self.print("", self._block("your file printed:", "dim"))
        self.print(*(self._block("  " + _printable(line), cut=True) for line in lines[:_PRINTED] + more))

    def passed(self, exercise: Exercise, verdict: Verdict, following: Exercise | None, notes: Sequence[str]) -> None:
        """The screen of a check that is passed."""
        name = (f"{exercise.order:02d} {exercise.name}", "bold")
        self.print(Text.assemble(name, "  ", ("passed", "green"), f"  ({verdict.seconds:.1f} s)"))
        self.print("", self._block(" ".join(exercise.teaches.split())))
        self.print(*(self._block(note) for note in verdict.notes))
        if exercise.real:
            self.print("", self._block("The same in the project: " + ", ".join(exercise.real)))
        if following is not None:
            self.print("", self._block(f"Next: {following.order:02d} {following.name}, {following.title}"))
            self.line("  scratchlv exercise next")
        else:
            self.print("", self._block("That was the last one: all exercises of this course are solved."))
        self._printed(verdict.printed)
        self.print(*(self._block(f"note: {note}", "dim") for note in notes))

    # --- tables ---

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str | Text]], keep: int = 2) -> None:
        """Rows below headings; the first ``keep`` columns are never wrapped."""
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for i, heading in enumerate(headings):
            table.add_column(heading, no_wrap=i < keep, overflow="fold")
        for row in rows:
            table.add_row(*(self._text(cell) if isinstance(cell, str) else cell for cell in row))
        self.print(table)

    @property
    def narrow(self) -> bool:
        return self._console.width < 60


def _where(verdict: Verdict, file: str) -> list[str]:
    place = f"{file}, line {verdict.line}" if verdict.line else file
    inside = f" (in {verdict.function})" if verdict.function and verdict.stage not in ("start", "limits") else ""
    return [place + inside] + ([f"the case: {verdict.case}"] if verdict.case else [])


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Each paragraph as one line; each indented or numbered line by itself, with its indentation."""
    open_paragraph = ""
    for line in textwrap.dedent(text).strip().splitlines():
        bare = line.lstrip()
        apart = not bare or line != bare or re.match(r"(\d+\.|[-*(]) ?", bare) is not None
        if apart and open_paragraph:
            yield 0, open_paragraph
            open_paragraph = ""
        if apart:
            yield len(line) - len(bare), bare
        else:
            open_paragraph = f"{open_paragraph} {bare}".strip()
    if open_paragraph:
        yield 0, open_paragraph


def _printable(line: str) -> str:
    """Without what would change the terminal."""
    return "".join(each if each.isprintable() else "?" for each in line.expandtabs(4))


def state(record: Record | None) -> Text:
    """Passed, begun, or nothing."""
    if record is None or not record.begun:
        return Text("")
    if record.passed:
        return Text("passed", "green")
    return Text(f"fails at {record.failed}" if record.failed else "begun", "yellow")


def day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
