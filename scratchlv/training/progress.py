"""How far it is, how fast it goes, and how long it will take: a bar on a terminal, lines of text elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from time import monotonic
from types import TracebackType
from typing import Any

from scratchlv.output import harmless, styled

_WINDOW = 50  # the speed is measured over this many updates: the first, slow ones are soon forgotten


class Progress:
    """Shows progress on stderr inside a ``with`` block::

        with Progress(total=1000, start=200) as progress:
            progress.update(201, loss=2.31)

    On a terminal it is a bar; elsewhere a line each tenth of the way, and in between each 5 seconds at first, each minute
    in a long run. ``enabled=False`` shows nothing at all, and ``bar=False`` lines on a terminal, too: among other lines.
    """

    def __init__(
        self, total: int, unit: str = "step", enabled: bool = True, start: int = 0, *, bar: bool = True
    ) -> None:
        self.total, self.unit, self._wants_bar = total, unit, bar
        self.enabled = enabled and sys.stderr is not None  # None where there is no console at all
        self._done, self._fields = start, {}  # type: int, dict[str, Any]
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._began = self._said_at = monotonic()
        self._said, self._updated = self._done, False
        self._recent: deque[tuple[float, int]] = deque([(self._began, self._done)], maxlen=_WINDOW)
        if self.enabled and self._wants_bar and sys.stderr.isatty():
            self._bar, self._task = _start_bar(self.total, self._done)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._said != self._done:
            self._say()

    def update(self, done: int, **fields: Any) -> None:
        """``done`` of ``total`` are done; ``fields`` are shown by name, numbers with four digits."""
        now = monotonic()
        self._done, self._fields = done, fields
        if not self._updated:  # the first step may have compiled kernels: it says nothing of the others
            self._recent.clear()
            self._updated = True
        self._recent.append((now, done))
        if self._bar is not None:
            self._bar.update(self._task, completed=done, text=self._text())
        elif line_is_due(done - self._said, self.total, now - self._said_at, now - self._began):
            self._say()

    def note(self, text: str) -> None:
        """Print a line of text, above the bar if there is one."""
        if self._bar is not None:
            self._bar.console.print(harmless(text), markup=False, highlight=False)
        elif self.enabled:
            print(text, file=sys.stderr, flush=True)

    @property
    def rate(self) -> float:
        """Units a second, lately; 0 before the first update."""
        (then, done_then), (now, done) = self._recent[0], self._recent[-1]
        return (done - done_then) / (now - then) if now > then else 0.0

    def _text(self) -> str:
        return format_status(self._done, self.total, self.unit, self.rate, self._fields)

    def _say(self) -> None:
        self._said_at, self._said = monotonic(), self._done
        if self.enabled:
            print(self._text(), file=sys.stderr, flush=True)


def _start_bar(total: int, done: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    # what does not fit is cut without Rich's mark, which is not in every encoding
    text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="crop", ratio=3))
    bar = Bar(
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        text,
        console=Console(file=styled(sys.stderr)),
        expand=True,
    )
    bar.start()
    return bar, bar.add_task("", total=total, completed=done, text="")


def line_is_due(advance: int, total: int, seconds: float, elapsed: float) -> bool:
    """Whether to print a line, ``seconds`` and ``advance`` units after the one before, ``elapsed`` after the start.

    A tenth of the way is always worth one; so are 5 seconds, and in a long run a tenth of it, a minute at most.
    """
    return advance > 0 and (advance >= total / 10 or seconds >= min(60.0, max(5.0, elapsed / 10)))


def format_status(done: int, total: int, unit: str, rate: float, fields: dict[str, Any]) -> str:
    """``step 120/1000  loss 2.314  35.2 steps/s  25 s left``."""
    parts = [f"{unit} {done}/{total}", *(f"{name} {format_value(value)}" for name, value in fields.items())]
    if rate > 0:
        parts.append(format_rate(rate, unit))
        if done < total:
            parts.append(f"{format_seconds((total - done) / rate)} left")
    return "  ".join(parts)


def format_value(value: Any) -> str:
    """Four digits of a number that is not whole; anything else as it is."""
    try:
        return str(int(value)) if isinstance(value, int) else f"{float(value):#.4g}".rstrip(".")
    except (TypeError, ValueError):
        return str(value)


def format_rate(rate: float, unit: str) -> str:
    """``35.2 steps/s``; below one a second ``4.0 s/step``."""
    if rate >= 1:
        return f"{rate:,.0f} {unit}s/s" if rate >= 100 else f"{rate:.1f} {unit}s/s"
    return f"{1 / rate:.1f} s/{unit}"


def format_seconds(seconds: float) -> str:
    """``25 s``, ``3 min 05 s``, ``2 h 07 min``, ``3 d 04 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, s = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {s:02d} s"
    hours, m = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {m:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"
