"""Where a model looked, as light on the picture: what must be seen is there, at the right place, for any size of input."""

import numpy as np
import pytest
from PIL import Image

from scratchlv.show import attention_sheet as attention
from scratchlv.show import fit, text_width
from scratchlv.show.attention_sheet import attention_sheet
from scratchlv.show.overlay import _MARK


def one_hot(*cells: tuple[int, int], rows: int = 8, cols: int = 8) -> np.ndarray:
    alphas = np.zeros((len(cells), rows, cols))
    for t, cell in enumerate(cells):
        alphas[(t, *cell)] = 1
    return alphas


GREY = np.full((64, 64, 3), 200, np.uint8)


def tile(sheet: Image.Image, k: int, columns: int, height: int = 176) -> np.ndarray:
    """The k-th picture of a sheet, (176, 176, 3) float, without its title."""
    row, column = divmod(k, columns)
    left = attention._GAP + column * (176 + attention._GAP)
    top = attention._GAP + row * (height + attention._TITLE + attention._GAP) + attention._TITLE
    return np.asarray(sheet.crop((left, top, left + 176, top + height)), float)


def test_light_falls_where_the_model_looked():
    cells = [(0, 0), (3, 5), (7, 7), (4, 0)]
    sheet = attention_sheet(GREY, ["a", "red", "star", "<end>"], [1, 0.8, 0.68, 0.5], one_hot(*cells))
    np.testing.assert_array_equal(tile(sheet, 0, 5), 200)  # the original first
    for k, (row, col) in enumerate(cells, 1):
        picture = tile(sheet, k, 5)[..., 0]
        inside = picture[22 * row + 5 : 22 * row + 17, 22 * col + 5 : 22 * col + 17]
        assert inside.mean() > 150  # nearly as bright as the picture
        assert np.median(picture) < 85  # what is not looked at


def test_looking_everywhere_dims_nothing():
    sheet = attention_sheet(GREY, ["a"], [1.0], np.full((1, 7, 7), 1 / 49))
    np.testing.assert_allclose(tile(sheet, 1, 2), 200, atol=1)


def test_looking_nowhere_dims_all():
    assert tile(attention_sheet(GREY, ["a"], [1.0], np.zeros((1, 7, 7))), 1, 2).max() < 85


def test_titles_are_written(monkeypatch):
    written = []
    real = attention.ImageDraw.ImageDraw.text

    def text(self, xy, text, *args, **kwargs):
        written.append(text)
        real(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(attention.ImageDraw.ImageDraw, "text", text)
    attention_sheet(GREY, ["a", "small", "<end>"], [1.0, 0.804, 0.68], one_hot((0, 0), (1, 1), (2, 2)))
    assert "".join(written) == "A(1.00)small(0.80)<end>(0.68)"
    written.clear()
    attention_sheet(GREY, ["incomprehensibilities" * 3], [0.5], one_hot((0, 0)))
    title = "".join(written)
    assert title.startswith("Incompr") and title.endswith("...(0.50)") and text_width(title, attention._FONT) <= 176


def test_ink_stays_between_the_pictures():
    """A title is above its picture and no wider than it."""
    sheet = attention_sheet(GREY, ["W" * 40, "j" * 40], [1.0, 1.0], one_hot((0, 0), (0, 0)))
    pixels = np.asarray(sheet.convert("L"), int)
    gap = slice(attention._GAP + 176, 2 * attention._GAP + 176)
    assert (pixels[:, gap] == 255).all()
    for k in (1, 2):
        left = attention._GAP + k * (176 + attention._GAP)
        assert pixels[attention._GAP : attention._GAP + attention._TITLE, left : left + 176].min() < 100


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (7, 300), (480, 300), (33, 64)])
def test_any_size_of_picture(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    sheet = attention_sheet(image, list("abcdefg"), [0.5] * 7, np.random.default_rng(1).random((7, 3, 5)), mark=True)
    assert sheet.width == 4 * (fit(Image.fromarray(image), 176).width + attention._GAP) + attention._GAP


def test_the_mark_frames_the_most_attended_cell():
    sheet = attention_sheet(GREY, ["a"], [1.0], one_hot((2, 5)), mark=True)
    rows, cols = np.nonzero((tile(sheet, 1, 2) == _MARK).all(axis=2))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (44, 65, 110, 131)


@pytest.mark.parametrize(
    ("image", "words", "probabilities", "alphas"),
    [
        (GREY, ["a", "b"], [1.0], np.ones((2, 8, 8))),
        (GREY, ["a"], [1.0], np.ones((2, 8, 8))),
        (GREY, ["a"], [1.0], np.ones((1, 64))),
        (GREY, ["a"], [1.0], np.full((1, 8, 8), np.nan)),
        (GREY, ["a"], [1.0], -np.ones((1, 8, 8))),
        (GREY[..., 0], ["a"], [1.0], np.ones((1, 8, 8))),
        (GREY / 255, ["a"], [1.0], np.ones((1, 8, 8))),
    ],
)
def test_what_does_not_go_together(image, words, probabilities, alphas):
    with pytest.raises(ValueError, match="alphas|image"):
        attention_sheet(image, words, probabilities, alphas)


def test_nothing_given_is_changed():
    image, alphas = GREY.copy(), one_hot((1, 1))
    attention_sheet(image, ["a"], [1.0], alphas, mark=True)
    assert (image == GREY).all() and (alphas == one_hot((1, 1))).all()
