"""Windows laid over pictures: what convolution and pooling share. Their settings, how many there are, and where they stand.

Along one axis, a picture of n pixels has b places of padding before it and a behind it. Window o begins at place o s − b, s
being the stride; its k taps stand d apart (the dilation), so that it spans (k − 1) d + 1 places: tap i of window o meets
the pixel o s − b + i d. As many windows are taken as fit, and with ``ceil_mode`` one more, of which only the beginning fits, if
it begins in the picture or before it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

Pair = int | tuple[int, int]  # both ways, or (rows, columns)
Sides = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))
_INTEGERS = int, np.integer
Padding = Pair | Sides  # all around, or (above and below, left and right), or each side


class Windows(NamedTuple):
    """Pairs are (rows, columns)."""

    picture: tuple[int, int]
    size: tuple[int, int]
    stride: tuple[int, int]
    padding: Sides
    dilation: tuple[int, int]
    grid: tuple[int, int]  # how many windows there are

    @property
    def corner(self) -> tuple[int, int]:
        """(top, left): how far the first window begins before the picture."""
        (top, _), (left, _) = self.padding
        return top, left

    @property
    def plain(self) -> bool:
        """Whether all windows lie in the picture."""
        return self.reach() == ((0, 0), (0, 0))

    def reach(self) -> Sides:
        """The padding, made larger where the last window of ``ceil_mode`` hangs over it."""
        (top, bottom), (left, right) = self.padding
        below, beyond = (
            (count - 1) * stride + span(size, dilation) - before - pixels
            for count, stride, size, dilation, before, pixels in zip(
                self.grid, self.stride, self.size, self.dilation, (top, left), self.picture, strict=True
            )
        )
        return (top, max(bottom, below)), (left, max(right, beyond))

    def taps(self) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """For each tap (i, j), row by row: the rows and columns of the padded picture that it meets, one for each window."""
        for i, j in np.ndindex(*self.size):
            rows, columns = (
                slice(tap * d, tap * d + s * (n - 1) + 1, s)
                for tap, d, s, n in zip((i, j), self.dilation, self.stride, self.grid, strict=True)
            )
            yield i, j, (rows, columns)


def windows(
    picture: tuple[int, int], size: Pair, stride: Pair, padding: Padding, dilation: Pair = 1, *, ceil_mode: bool = False
) -> Windows:
    """The windows over a picture of this height and width.

    Raises:
        ValueError: a setting is none, or no window fits.
    """
    size, stride, dilation = pair("size", size, 1), pair("stride", stride, 1), pair("dilation", dilation, 1)
    around = sides(padding)
    grid = tuple(
        [
            _count(pixels + before + after - span(k, d), s, pixels + before, ceil_mode)
            for pixels, k, s, (before, after), d in zip(picture, size, stride, around, dilation, strict=True)
        ]
    )
    if min(grid) < 1 or min(picture) < 1:
        (kh, kw), (dh, dw), (H, W) = size, dilation, picture
        spans = f" of dilation {_said(dilation)} spans {span(kh, dh)}x{span(kw, dw)}, and" if max(dilation) > 1 else ""
        padded = f" with padding {padding}" if padding else ""
        raise ValueError(f"a {kh}x{kw} window{spans} does not fit into x, which is {H}x{W}{padded}")
    return Windows((picture[0], picture[1]), size, stride, around, dilation, (grid[0], grid[1]))


def pooling_windows(
    picture: tuple[int, int], size: Pair, stride: Pair | None, padding: Padding, ceil_mode: bool
) -> Windows:
    """The windows that are pooled, ``stride`` (None: ``size``) apart; each sees a pixel.

    Raises:
        ValueError: a setting is none, no window fits, or ``padding`` is more than half of the window; that of each side is taken
            as it is, if it is smaller than the window.
    """
    found = windows(picture, size, size if stride is None else stride, padding, ceil_mode=ceil_mode)
    each_side = not isinstance(padding, _INTEGERS) and not isinstance(padding[0], _INTEGERS)
    for (before, after), k in zip(found.padding, found.size, strict=True):
        if each_side and max(before, after) >= k:
            raise ValueError(
                f"padding must be smaller than the window, which is {found.size[0]}x{found.size[1]} and must see a pixel;"
                f" it is {padding}"
            )
        if not each_side and 2 * before > k:
            raise ValueError(
                f"padding may be at most half of the window, which is {found.size[0]}x{found.size[1]}; it is {padding}"
            )
    return found


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """``value``, a number or (rows, columns), as (rows, columns).

    Raises:
        ValueError: it is neither, or a number is below ``least``.
    """
    if type(value) is int and value >= least:  # the usual case: this runs before every call of a kernel
        return value, value
    numbers = (value, value) if isinstance(value, _INTEGERS) else value
    if not _are_numbers(numbers):
        raise ValueError(f"{name} must be a whole number, or a pair (rows, columns); it is {value!r}")
    if min(numbers) < least:
        raise ValueError(f"{name} must be at least {least}; it is {value}")
    return int(numbers[0]), int(numbers[1])


def sides(padding: Padding) -> Sides:
    """``padding``, however it is given, as ((top, bottom), (left, right)).

    Raises:
        ValueError: it is given in another way, or is negative.
    """
    if type(padding) is int and padding >= 0:
        return (padding, padding), (padding, padding)
    both: Any = (padding, padding) if isinstance(padding, _INTEGERS) else padding
    if _are_numbers(both):
        both = tuple((n, n) for n in both)
    if not (isinstance(both, tuple | list) and len(both) == 2 and all(_are_numbers(side) for side in both)):
        raise ValueError(
            "padding must be a whole number, a pair (rows, columns), or ((top, bottom), (left, right)); "
            f"it is {padding!r}"
        )
    (top, bottom), (left, right) = both
    if min(top, bottom, left, right) < 0:
        raise ValueError(f"padding must be at least 0; it is {padding}")
    return (int(top), int(bottom)), (int(left), int(right))


def span(size: int, dilation: int) -> int:
    """How many places a window of ``size`` taps covers."""
    return (size - 1) * dilation + 1


def _count(room: int, stride: int, end: int, ceil_mode: bool) -> int:
    """How many windows begin at 0, stride, … up to ``room``; with ``ceil_mode`` once more, if that is before ``end``."""
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count if (count - 1) * stride < end else count - 1


def _are_numbers(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(n, int | np.integer) for n in value)


def _said(numbers: tuple[int, int]) -> str:
    return str(numbers[0]) if numbers[0] == numbers[1] else str(numbers)
