"""Gradients in tests: ``assert_gradients(forward, backward, inputs)``, and what a failed ``assert check(...)`` says."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import FrameType
from typing import Any

from scratchlv.gradcheck.check import check
from scratchlv.gradcheck.report import Report


def assert_gradients(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    inputs: dict[str, Any],
    **options: Any,
) -> Report:
    """Every gradient is compared, and is right; the arguments are those of :func:`scratchlv.gradcheck.check`.

    Returns:
        The report.

    Raises:
        AssertionError: a gradient is wrong, or could not be checked; its text is the report.
        UserError: as of ``check``.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    report = check(forward, backward, inputs, **options)
    if not report:
        raise AssertionError(str(report))
    return report


def explain(error: AssertionError, frame: FrameType, statement: str) -> None:
    """Add to a failed ``assert`` the reports that it asked, those that are not right.

    They are the values that pytest's rewritten assert has kept in the frame, and those whose names the statement has.
    """
    words = set(re.findall(r"\w+", statement))
    known = frame.f_globals | frame.f_locals
    asked = [value for name, value in known.items() if name in words or name.startswith("@py_assert")]
    reports = {id(value): value for value in asked if isinstance(value, Report) and not value.ok}
    said = str(error)
    more = [text for text in map(str, reports.values()) if text not in said]
    if more:
        error.args = ("\n".join(filter(None, [said, *more])),)
