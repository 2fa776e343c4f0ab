"""For pytest, which loads this whenever it starts: the fixture ``assert_gradients``, and reports where asserts fail.

It imports nothing before a test asks for a gradient.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_gradients() -> Callable[..., Any]:
    """``assert_gradients(forward, backward, inputs)``: every gradient is compared with numerical ones, and is right."""
    from scratchlv.gradcheck.assertions import assert_gradients

    return assert_gradients


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A failed assert that asks a report of the gradient checker shows it."""
    failed = call.excinfo
    if (
        failed is None
        or "scratchlv.gradcheck.report" not in sys.modules
        or not isinstance(failed.value, AssertionError)
    ):
        return
    from scratchlv.gradcheck.assertions import explain

    last = failed.traceback[-1]
    explain(failed.value, last.frame.raw, str(last.statement))
