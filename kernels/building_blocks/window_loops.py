"""Where loops over windows begin and end: what lies outside the picture is left out, so that no padded copy is made."""

from numba import njit


@njit(inline="always")
def taps(start, size, pixels):
    """The taps of a window without dilation, which begins at ``start``, that lie in the picture: first, and last + 1."""
    return max(0, -start), min(size, pixels - start)


@njit(inline="always")
def holders(place, size, stride, count):
    """The windows without dilation that hold a place of the padded picture: first, and last + 1."""
    return max(0, (place - size) // stride + 1), min(place // stride + 1, count)


@njit(inline="always")
def counted(start, size, first, end):
    """How many places of a window are counted, where those from ``first`` to ``end`` - 1 are."""
    return min(start + size, end) - max(start, first)
