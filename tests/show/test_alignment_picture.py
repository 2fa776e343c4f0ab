"""The alignment picture: its cells are the weights, at the right place, and its words are whole and apart."""

import numpy as np
import pytest
from PIL import Image

from scratchlv.show import INK, PAPER
from scratchlv.show.alignment_picture import _GAP, alignment_picture, shade

SOURCE = ["there", "is", "a", "small", "red", "circle", "left", "of", "the", "square", "."]
TARGET = ["il", "y", "a", "un", "petit", "cercle", "rouge", "à", "gauche", "du", "carré", ".", "<end>"]


def weights(T: int, S: int, seed: int = 0) -> np.ndarray:
    p = np.random.default_rng(seed).random((T, S)) ** 8
    return p / p.sum(axis=1, keepdims=True)


def corner(sheet: Image.Image, T: int, S: int) -> tuple[int, int, int]:
    """Left, top and side of the cells, found by the lines between them: no other row or column has so much of their grey."""
    line = (np.asarray(sheet) == (214, 217, 222)).all(axis=2)
    across, down = np.flatnonzero(line.sum(axis=0) > 0.6 * line.sum(axis=0).max()), np.flatnonzero(line.any(axis=1))
    assert len(across) == S + 1 and len(set(np.diff(across))) == 1
    assert (down[-1] - down[0]) == T * np.diff(across)[0]
    return across[0], down[0], np.diff(across)[0]


def cells(sheet: Image.Image, T: int, S: int) -> np.ndarray:
    """The grey (T, S) in the middle of each cell."""
    left, top, side = corner(sheet, T, S)
    pixels = np.asarray(sheet.convert("RGB"), float)
    return pixels[top + side // 2 :: side, left + side // 2 :: side][:T, :S].mean(axis=2)


@pytest.mark.parametrize(("T", "S"), [(len(TARGET), len(SOURCE)), (3, 10), (10, 3), (60, 60), (1, 1)])
def test_cells_are_as_dark_as_their_weights(T, S):
    alphas = weights(T, S)
    sheet = alignment_picture((SOURCE * 6)[:S], (TARGET * 6)[:T], alphas)
    paper, ink = np.mean(PAPER), np.mean(INK)
    np.testing.assert_allclose(cells(sheet, T, S), paper + alphas * (ink - paper), atol=1)


def test_darkness_is_not_relative():
    """Half a weight is half as dark, whatever the others in its row are: rows can be compared."""
    shown = cells(alignment_picture(["a", "b"], ["c", "d"], np.array([[1, 0], [0.5, 0.5]])), 2, 2)
    assert shown[0, 0] == pytest.approx(np.mean(INK), abs=1) and shown[0, 1] == 255
    assert shown[1, 0] == shown[1, 1] == pytest.approx((255 + np.mean(INK)) / 2, abs=1)


def test_what_was_copied_is_red():
    T, S = 3, 2
    sheet = alignment_picture(["l", "m"], ["xx", "xx", "xx"], np.ones((T, S)), np.array([0, 0.5, 1]))
    left, top, side = corner(sheet, T, S)
    pixels = np.asarray(sheet).astype(int)
    redness = pixels[..., 0] - pixels[..., 2]
    of_cells = redness[top + side // 2 :: side, left + side // 2][:T]
    assert of_cells[0] == INK[0] - INK[2] and of_cells[0] < of_cells[1] < of_cells[2]
    for t in range(T):
        word = pixels[top + t * side : top + (t + 1) * side, :left].reshape(-1, 3)
        darkest = word[word.sum(axis=1).argmin()]
        assert (darkest[0] - darkest[2] > 50) == (t > 0)


def ink(sheet: Image.Image) -> np.ndarray:
    return np.asarray(sheet.convert("L")) < 120


def test_each_word_stands_at_its_row_and_rises_from_its_column():
    T, S = 4, 5
    sheet = alignment_picture(list("lmnop"), ["il", "un", "à", "xx"], np.zeros((T, S)))
    left, top, side = corner(sheet, T, S)
    for t in range(T):
        assert ink(sheet)[top + t * side + 4 : top + (t + 1) * side - 4, :left].any()
        assert not ink(sheet)[top + t * side - 3 : top + t * side + 3, :left].any()  # none between two rows
    foot = ink(sheet)[top - 16 : top]
    for s in range(S):
        assert foot[:, left + s * side + side // 4 : left + (s + 1) * side].any()
    blank = alignment_picture(["l", "m", " ", "o", "p"], ["il", "un", "à", "xx"], np.zeros((T, S)))
    gone = ink(sheet) & ~ink(blank)
    columns = np.flatnonzero(gone.any(axis=0))
    assert left + 2 * side < columns.min() and columns.max() < left + 3 * side + side // 2


def test_long_words_are_clipped_and_nothing_runs_off_the_sheet():
    long = ["W" * 400, "j" * 400, "x"]
    sheet = alignment_picture(long, long, np.zeros((3, 3)))
    assert max(sheet.size) < 500
    edge = ink(sheet)
    assert not (edge[:3].any() or edge[-3:].any() or edge[:, :3].any() or edge[:, -3:].any())


def test_sixty_words_by_sixty_can_be_read():
    sheet = alignment_picture((SOURCE * 6)[:60], (TARGET * 6)[:60], weights(60, 60))
    assert corner(sheet, 60, 60)[2] >= 16 and max(sheet.size) <= 1300
    assert sheet.size[0] > 60 * 16 + 2 * _GAP


@pytest.mark.parametrize(
    ("source", "target", "alphas"),
    [
        (["a"], ["b"], np.ones((1, 2))),
        (["a", "b"], ["c"], np.ones((2, 1))),
        (["a"], ["b"], np.ones(1)),
        ([], ["b"], np.ones((1, 0))),
        (["a"], [], np.ones((0, 1))),
        (["a"], ["b"], np.full((1, 1), np.nan)),
        (["a"], ["b"], -np.ones((1, 1))),
    ],
)
def test_what_does_not_go_together(source, target, alphas):
    with pytest.raises(ValueError, match="alphas"):
        alignment_picture(source, target, alphas)


def test_shades():
    np.testing.assert_array_equal(shade(np.array([0.0, 1.0, 7.0])), [PAPER, INK, INK])
    assert (np.diff(shade(np.linspace(0, 1, 11)).astype(int), axis=0) < 0).all()
