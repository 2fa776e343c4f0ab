"""Tables of tests of which some rows are slow."""

import pytest


def slow_unless(quick, rows):
    """The rows, those marked as slow for which ``quick(*row)`` is False."""
    return [row if quick(*row) else pytest.param(*row, marks=pytest.mark.slow) for row in rows]


def one_of(n, rows):
    """The rows, all but the first of every ``n`` marked as slow."""
    return [pytest.param(*row, marks=pytest.mark.slow) if k % n else pytest.param(*row) for k, row in enumerate(rows)]
