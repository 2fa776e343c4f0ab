"""Where loops over windows begin and end, against what a padded picture shows."""

import itertools

import pytest

from scratchlv.kernels.building_blocks import window_loops

taps, holders, counted = (getattr(window_loops, name).py_func for name in ("taps", "holders", "counted"))


AXES = list(itertools.product((1, 4, 7), (1, 2, 3), (1, 2, 3), (0, 1, 2)))


@pytest.mark.parametrize(("pixels", "size", "stride", "before"), AXES)
def test_loops_go_over_what_lies_in_the_picture(pixels, size, stride, before):
    begins = [o * stride - before for o in range(5)]
    seen = [[b <= pixel < b + size for b in begins] for pixel in range(pixels)]
    for o, b in enumerate(begins):
        if b < pixels and b + size > 0:
            assert [i for i in range(size) if 0 <= b + i < pixels] == list(range(*taps(b, size, pixels)))
            assert counted(b, size, 0, pixels) == sum(row[o] for row in seen)
            assert counted(b, size, -before, pixels + 1) == sum(-before <= b + i < pixels + 1 for i in range(size))
    for pixel, row in enumerate(seen):
        first, end = holders(pixel + before, size, stride, len(begins))
        if stride <= size:
            assert [o for o, held in enumerate(row) if held] == list(range(first, end))
        else:  # a pixel between two windows: a window that begins before it, which a kernel asks for its place
            assert [o for o, held in enumerate(row) if held] in (list(range(first, end)), [])
