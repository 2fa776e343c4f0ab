"""Sheets of scenes: each picture with its texts below it."""

import numpy as np
import pytest

from scratchlv.data import scenes
from scratchlv.show.scenes_sheet import STYLES, scenes_sheet


@pytest.mark.parametrize("n", [1, 3, 4, 5])
def test_scenes_sheet(n):
    some = [scenes.scene(0, i) for i in range(n)]
    sheet = scenes_sheet(some, [scenes.caption(s) for s in some])
    columns, rows = min(n, 4), -(-n // 4)
    step = 208 + 18
    assert sheet.width == columns * step + 18
    pixels = np.asarray(sheet)
    height = (sheet.height - 18) // rows
    for i, s in enumerate(some):
        row, column = divmod(i, 4)
        left, top = 18 + column * step, 18 + row * height
        for o, tint in zip(s.objects, s.tints, strict=True):
            pixel = pixels[top + int(o.y * 208 / 64), left + int(o.x * 208 / 64)].astype(int)
            assert np.abs(pixel - tint).max() < 40
        assert pixels[top + 208 : top + height, left : left + 208].min() < 100  # ink under it


def test_a_sheet_needs_a_caption_for_each():
    with pytest.raises(ValueError, match="caption for each"):
        scenes_sheet([scenes.scene(0, 0)], [])
    with pytest.raises(ValueError, match="needs pictures"):
        scenes_sheet([], [])


def test_texts_in_their_colours():
    """A list of texts: each in its own colour, one below the other, in the order given."""
    some = [scenes.scene(0, i) for i in range(2)]
    texts = [("what colour is the star ?", "text"), ("red", "answer"), ("beside it", "faint")]
    pixels = np.asarray(scenes_sheet(some, [texts, [("a star", "text")]]))
    tops = []
    for style in ("text", "answer", "faint"):
        rows, columns = np.nonzero((pixels == STYLES[style]).all(axis=2)[:, : 18 + 208 + 9])
        tops.append((rows.min(), rows.max()))
        assert columns.min() >= 18 and rows.min() > 18 + 208
    assert tops[0][1] < tops[1][0] and tops[1][1] < tops[2][0]
    with pytest.raises(ValueError, match="no style 'loud'"):
        scenes_sheet(some[:1], [[("red", "loud")]])
