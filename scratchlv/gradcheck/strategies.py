"""Inputs for property-based tests with Hypothesis: any sizes, any numbers.

    @given(inputs("x: (N, D), W: (D, H)"))
    def test_linear(inputs):
        assert_gradients(forward, backward, inputs, repair=False)

The line of a bug is not to be sought in every example: that takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchlv.errors import UserError
from scratchlv.gradcheck import shapes

SMALLEST, LARGEST = 1, 6  # sizes of axes


def inputs(declared: str, sizes: Mapping[str, int] | None = None, *, largest: int = LARGEST) -> Any:
    """A strategy of inputs by name, float64, as :mod:`scratchlv.gradcheck.shapes` declares them.

    Args:
        declared: such as ``"x: (N, D), W: (D, H), labels: (N,) int < C"``.
        sizes: of letters that are not to vary.
        largest: size of an axis; the smallest is 1, and failures shrink to it.

    Raises:
        UserError: Hypothesis is not installed; the declaration cannot be read; ``largest`` is below 1.
    """
    try:
        from hypothesis import strategies
    except ImportError:
        raise UserError("strategies need Hypothesis, which is not installed: pip install hypothesis") from None
    if largest < SMALLEST:
        raise UserError(f"largest is {largest}: give a size of {SMALLEST} or more")
    fixed = sizes or {}
    parsed = tuple(shapes.parse(declared))
    letters = list(shapes.sizes_of(parsed))
    unknown = [letter for letter in fixed if letter not in letters]
    if unknown:
        raise UserError(f"sizes names {', '.join(unknown)}; {declared!r} has {', '.join(letters) or 'no letters'}")
    size = strategies.integers(SMALLEST, largest)
    chosen = {letter: strategies.just(fixed[letter]) if letter in fixed else size for letter in letters}
    drawn = strategies.tuples(strategies.fixed_dictionaries(chosen), strategies.integers(0, 2**32 - 1))
    return drawn.map(lambda pair: shapes.Recipe(parsed, pair[0], pair[1])())
