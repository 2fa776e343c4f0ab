"""The picture of hops and the table of hops: light, cells, bars and marks are where they belong, and texts are there."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scratchlv.data import scenes
from scratchlv.show import attention_sheet as attention
from scratchlv.show import hops_picture as hops
from scratchlv.show import lettering, text_width
from scratchlv.show.attention_sheet import _TITLE
from scratchlv.show.hops_picture import hops_picture, hops_table

GREY_PICTURE = np.full((64, 64, 3), 200, np.uint8)
ANSWERS = [("green", 0.5), ("red", 0.25), ("blue", 0.125), ("yellow", 0.06), ("purple", 0.0)]
STORY = ["Mary moved to the bathroom.", "Mary got the football there.", "John went to the kitchen."]


def one_hot(*cells: tuple[int, int]) -> np.ndarray:
    alphas = np.zeros((len(cells), 8, 8))
    for hop, cell in enumerate(cells):
        alphas[(hop, *cell)] = 1
    return alphas


@pytest.fixture
def written(monkeypatch):
    """Every line of text that is written, with where: (x, y, text, size)."""
    texts = []
    draw, write = ImageDraw.ImageDraw.text, lettering.write

    def drawn(self, xy, text, fill=None, font=None, anchor=None, **kwargs):
        if font.size < 4 * min(
            hops._FONT - 3, hops._QUESTION
        ):  # the letters of ``write`` are drawn large, and told below
            texts.append((*xy, text, font.size))
        draw(self, xy, text, fill, font, anchor=anchor, **kwargs)

    def set_in_letters(image, xy, text, colour, size, anchor="ls"):
        texts.append((*xy, text, size))
        write(image, xy, text, colour, size, anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", drawn)
    for module in (hops, attention):
        monkeypatch.setattr(module, "write", set_in_letters)
    return texts


def only(written) -> list[str]:
    return [text for _, _, text, _ in written if text]


def colour(sheet: Image.Image, wanted: tuple[int, int, int]) -> np.ndarray:
    return (np.asarray(sheet) == wanted).all(axis=2)


def bars(sheet: Image.Image, wanted: tuple[int, int, int]) -> list[tuple[int, int]]:
    """(top, width) of the bars of a colour, from the top; a bar is 17 rows of one width."""
    widths = colour(sheet, wanted).sum(axis=1)
    starts = np.flatnonzero((widths > 0) & (np.append(0, widths[:-1]) == 0))
    return [(int(y), int(widths[y])) for y in starts]


# --- the picture -------------------------------------------------------------------------------------------------


def test_each_hop_is_lit_where_it_looked():
    cells = [(0, 0), (5, 3)]
    sheet = hops_picture(GREY_PICTURE, ["what", "is", "it", "?"], one_hot(*cells), ANSWERS)
    top = hops._GAP + hops._QUESTION_LINE + hops._GAP + _TITLE
    pictures = []
    for k in range(3):
        left = hops._GAP + k * (hops._SIDE + hops._GAP)
        box = (left, top, left + hops._SIDE, top + hops._SIDE)
        pictures.append(np.asarray(sheet.crop(box), float)[..., 0])
    assert (pictures[0] == 200).all()  # the picture itself first
    for picture, (row, col) in zip(pictures[1:], cells, strict=True):
        assert picture[26 * row + 7 : 26 * row + 19, 26 * col + 7 : 26 * col + 19].mean() > 150
        assert np.median(picture) < 85


def test_the_words_of_a_picture(written):
    hops_picture(GREY_PICTURE, ["what", "is", "it", "?"], one_hot((0, 0), (1, 1), (2, 2)), ANSWERS, "red")
    texts = only(written)
    assert texts.count("what is it ?") == 1
    assert [t for t in texts if t.startswith("hop")] == ["hop 1", "hop 2", "hop 3"]
    for word, p in ANSWERS:
        assert word in texts and f"{p:.2f}" in texts
    assert "right:" not in texts


@pytest.mark.parametrize("n", [0, 1, 3, 4, 9])
def test_any_number_of_hops(n, written):
    sheet = hops_picture(GREY_PICTURE, ["so", "?"], one_hot(*[(0, 0)] * n), ANSWERS)
    assert sum(t.startswith("hop") for t in only(written)) == n
    rows = -(-(n + 1) // 4)
    assert sheet.height >= rows * hops._SIDE and sheet.width < 1300


@pytest.mark.parametrize("size", [(64, 64), (300, 480), (1, 1), (480, 200)])
def test_any_size_of_picture(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    given, alphas = image.copy(), np.random.default_rng(1).random((2, 3, 5))
    sheet = hops_picture(image, ["so", "?"], alphas, ANSWERS, "red")
    assert sheet.height >= 5 * hops._ANSWER and (image == given).all()


def test_a_scene():
    s = scenes.scene(0, 3)
    plain = hops_picture(scenes.draw(s), ["so", "?"], np.full((1, 8, 8), 1 / 64), ANSWERS)
    pixels = np.asarray(plain, int)
    top, left = hops._GAP + hops._QUESTION_LINE + hops._GAP + _TITLE, 2 * hops._GAP + hops._SIDE
    for o, tint in zip(s.objects, s.tints, strict=True):  # looked at everywhere: nothing is dimmed
        pixel = pixels[top + int(o.y * hops._SIDE / 64), left + int(o.x * hops._SIDE / 64)]
        assert np.abs(pixel - tint).max() < 40


def test_a_long_question_is_wrapped(written):
    question = ("is the thing that is left of the small blue thing " * 4).split()
    sheet = hops_picture(GREY_PICTURE, question, one_hot((0, 0)), ANSWERS)
    lines = [(y, text) for x, y, text, size in written if size == hops._QUESTION]
    assert len(lines) > 1 and " ".join(text for _, text in lines) == " ".join(question)
    assert all(hops._GAP + text_width(text, hops._QUESTION) <= sheet.width for _, text in lines)
    titles = [text for _, text in lines]
    pixels = np.asarray(sheet.convert("L"))
    first_picture = hops._GAP + len(titles) * hops._QUESTION_LINE + hops._GAP + _TITLE
    assert (pixels[first_picture : first_picture + hops._SIDE, hops._GAP : hops._GAP + hops._SIDE] == 200).all()


# --- the answers -------------------------------------------------------------------------------------------------


def test_bars_are_as_long_as_their_probabilities():
    sheet = hops_picture(GREY_PICTURE, ["so", "?"], one_hot((0, 0)), ANSWERS)
    found = bars(sheet, hops._GREY)
    assert [width for _, width in found] == [1 + round(p * hops._BAR) for _, p in ANSWERS]
    assert set(np.diff([top for top, _ in found])) == {hops._ANSWER}
    assert not colour(sheet, hops._GREEN).any()


@pytest.mark.parametrize("right", range(5))
def test_the_right_answer_is_marked(right):
    sheet = hops_picture(GREY_PICTURE, ["so", "?"], one_hot((0, 0)), ANSWERS, ANSWERS[right][0])
    unmarked = bars(hops_picture(GREY_PICTURE, ["so", "?"], one_hot((0, 0)), ANSWERS), hops._GREY)
    assert bars(sheet, hops._GREY) == unmarked[:right] + unmarked[right + 1 :]
    rows, columns = np.nonzero(colour(sheet, hops._GREEN))
    assert unmarked[right][0] - 8 <= rows.min() and rows.max() <= unmarked[right][0] + 24
    bar = colour(sheet, hops._GREEN)[unmarked[right][0]]
    assert columns.max() > np.flatnonzero(bar)[0] + ANSWERS[right][1] * hops._BAR + hops._NUMBER  # the tick


def test_a_right_answer_that_is_none_of_them_is_named(written):
    hops_picture(GREY_PICTURE, ["so", "?"], one_hot((0, 0)), ANSWERS, "turquoise")
    assert "right:" in only(written) and "turquoise" in only(written)


def test_nothing_runs_off_the_sheet(written):
    answers = [("W" * 99, 1.0), ("j" * 99, 0.0)]
    for truth in (None, "W" * 99, "m" * 99):
        sheet = hops_picture(GREY_PICTURE, ["W" * 300], one_hot((0, 0)), answers, truth)
        edge = np.asarray(sheet.convert("L")) < 200
        assert not (edge[:3].any() or edge[-3:].any() or edge[:, :3].any() or edge[:, -3:].any())
    assert sum(text.endswith("...") for text in only(written)) >= 9


# --- the table ---------------------------------------------------------------------------------------------------


def table_cells(alphas: np.ndarray, **kwargs) -> np.ndarray:
    """The grey (S, hops) near the corner of each cell, beside its number."""
    sheet = hops_table(STORY, alphas, "Where is the football?", ANSWERS, **kwargs)
    left = 2 * hops._GAP + round(max(text_width(s, hops._FONT) for s in STORY))
    top = hops._GAP + hops._QUESTION_LINE
    width, height = hops._CELL
    pixels = np.asarray(sheet, float).mean(axis=2)
    return np.array(
        [
            [pixels[top + (s + 1) * height + 3, left + hop * width + 3] for hop in range(len(alphas))]
            for s in range(len(STORY))
        ]
    )


def test_a_cell_for_each_sentence_and_hop():
    alphas = np.array([[0.02, 0.9, 0.08], [0.25, 0, 0.75]])
    expected = 255 + alphas.T * (np.mean((32, 33, 36)) - 255)
    np.testing.assert_allclose(table_cells(alphas), expected, atol=1)


def test_the_words_of_a_table(written):
    alphas = np.array([[0.02, 0.9, 0.08], [0.25, 0, 0.75]])
    hops_table([*STORY[:2], "x" * 200], alphas, "Where is the football?", ANSWERS, "turquoise")
    texts = only(written)
    for expected in (*STORY[:2], "hop 1", "hop 2", "Where is the football?", "0.02", "0.90", "0.75", "turquoise"):
        assert texts.count(expected) == 1, expected
    (clipped,) = [t for t in texts if t.startswith("xxx")]
    assert text_width(clipped, hops._FONT) <= hops._SENTENCE and clipped.endswith("...")
    rows = [y for _, y, text, _ in written if text in STORY or text == clipped]
    assert rows == sorted(rows) and len(set(rows)) == 3


@pytest.mark.parametrize("n", [1, 50])
def test_stories_of_any_length(n):
    sheet = hops_table(["It is."] * n, np.full((3, n), 1 / n), "Is it?", ANSWERS, "red")
    assert sheet.height >= max(n * hops._CELL[1], 5 * hops._ANSWER)


# --- mistakes ----------------------------------------------------------------------------------------------------

LOOK = np.full((1, 8, 8), 1 / 64)


@pytest.mark.parametrize(
    ("image", "alphas", "answers", "message"),
    [
        (GREY_PICTURE[..., 0], LOOK, ANSWERS, "image"),
        (GREY_PICTURE / 255, LOOK, ANSWERS, "image"),
        (GREY_PICTURE, LOOK[0], ANSWERS, "alphas"),
        (GREY_PICTURE, -LOOK, ANSWERS, "alphas"),
        (GREY_PICTURE, LOOK * np.nan, ANSWERS, "alphas"),
        (GREY_PICTURE, LOOK, [], "answers"),
        (GREY_PICTURE, LOOK, [("red", 1.5)], "answers"),
        (GREY_PICTURE, LOOK, [("red", float("nan"))], "answers"),
    ],
)
def test_a_picture_of_what_does_not_go_together(image, alphas, answers, message):
    with pytest.raises(ValueError, match=message):
        hops_picture(image, ["so", "?"], alphas, answers)


@pytest.mark.parametrize(
    ("sentences", "alphas"),
    [(STORY, np.ones((2, 2))), (STORY, np.ones(3)), ([], np.ones((2, 0))), (STORY, -np.ones((1, 3)))],
)
def test_a_table_of_what_does_not_go_together(sentences, alphas):
    with pytest.raises(ValueError, match="alphas"):
        hops_table(sentences, alphas, "Where?", ANSWERS)
