"""How figures are told."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def aligned(lines: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """A table; the columns ``left`` begin at the left, the others end at the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def brief(value: float) -> str:
    """For a table: about four digits, and no exponent where it can be helped."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
