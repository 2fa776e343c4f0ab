"""Pictures: that what they must show is there, at the right place, for any size of input."""

import base64
import html.parser
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from scratchlv.data import scenes
from scratchlv.errors import UserError
from scratchlv.show import attention, clip, fit, text_width, wrap
from scratchlv.show.attention import attention_map, attention_sheet
from scratchlv.show.curves import curves_svg, log_ticks, ticks
from scratchlv.show.report import write_report
from scratchlv.show.scenes_sheet import STYLES, scenes_sheet

# --- attention -----------------------------------------------------------------------------------------------------


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
        brightest = np.unravel_index(picture.argmax(), picture.shape)
        assert (brightest[0] // 22, brightest[1] // 22) == (row, col)
        assert picture.max() > 195 and picture.min() < 60
        # smooth: no step between neighbouring pixels as large as an unsmoothed cell would make
        assert np.abs(np.diff(picture, axis=1)).max() < 30


def test_looking_everywhere_dims_nothing():
    sheet = attention_sheet(GREY, ["a"], [1.0], np.full((1, 7, 7), 1 / 49))
    np.testing.assert_allclose(tile(sheet, 1, 2), 200, atol=1)


def test_looking_nowhere_dims_all():
    assert tile(attention_sheet(GREY, ["a"], [1.0], np.zeros((1, 7, 7))), 1, 2).max() < 60


def test_light_does_not_depend_on_the_scale_of_the_weights():
    alpha = np.random.default_rng(0).random((8, 8))
    np.testing.assert_allclose(attention_map(alpha, (176, 176)), attention_map(alpha * 1e-6, (176, 176)), atol=0.01)
    assert attention_map(alpha, (176, 100)).shape == (100, 176) and attention_map(alpha, (176, 100)).max() == 1


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
    rows, cols = np.nonzero((tile(sheet, 1, 2) == attention._MARK).all(axis=2))
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


# --- text and sheets -----------------------------------------------------------------------------------------------


def test_wrapping():
    text = "a small red circle at the top left and a large blue square on the right"
    lines = wrap(text, 120, 15)
    assert " ".join(lines) == text and len(lines) > 2
    assert all(text_width(line, 15) <= 120 for line in lines)
    assert wrap("", 100, 15) == []
    long = wrap("a " + "x" * 200, 100, 15)
    assert len(long) == 2 and long[1].endswith("...") and text_width(long[1], 15) <= 100
    assert clip("short", 200, 15) == "short"


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
    with pytest.raises(ValueError, match="needs scenes"):
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


# --- curves --------------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    return [[tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in lines]


def texts(svg: str) -> list[str]:
    return [t.text for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_curves_are_where_they_belong():
    svg = curves_svg({"a": [(0, 0), (5, 5), (10, 10)], "b": [(0, 10), (10, 0)]}, "T", "x", "y")
    a, b = polylines(svg)
    assert a[0][0] == b[0][0] < a[1][0] < a[2][0] == b[1][0]
    assert a[0][1] == b[1][1] > a[1][1] > a[2][1] == b[0][1]  # up is where y is smaller
    assert a[1][1] == pytest.approx((a[0][1] + a[2][1]) / 2, abs=0.2)
    assert {"T", "x", "y", "a", "b", "0", "10"} <= set(texts(svg))
    for x, y in a + b:
        assert 0 <= x <= 640 and 0 <= y <= 360


def test_a_log_axis_makes_powers_straight():
    svg = curves_svg({"a": [(i, 10.0**-i) for i in range(5)]}, "T", "x", "y", log_y=True)
    (line,) = polylines(svg)
    np.testing.assert_allclose(np.diff([y for _, y in line]), (line[-1][1] - line[0][1]) / 4, atol=0.2)
    assert {"1", "0.1", "0.001"} <= set(texts(svg))


def test_gaps_where_a_value_is_not_finite():
    nan, inf = float("nan"), float("inf")
    svg = curves_svg({"a": [(0, 1), (1, 2), (2, nan), (3, 1), (4, 2), (5, inf), (6, 1)]}, "T", "x", "y")
    assert [len(line) for line in polylines(svg)] == [2, 2] and svg.count("<circle") == 1
    assert "nan" not in svg and "inf" not in svg
    log = curves_svg({"a": [(0, 1), (1, 10), (2, 0), (3, -1)]}, "T", "x", "y", log_y=True)
    assert [len(line) for line in polylines(log)] == [2]


@pytest.mark.parametrize("points", [[], [(3, 2)], [(0, 0), (1, 0)], [(1, 5), (2, 5)], [(0, 1e-200), (1, 1e200)]])
@pytest.mark.parametrize("log_y", [False, True])
def test_strange_curves(points, log_y):
    svg = curves_svg({"a": points}, "T", "x", "y", log_y=log_y)
    numbers = re.findall(r' (?:x|y|cx|cy)="([^"]+)"', svg)
    assert np.isfinite([float(n) for n in numbers]).all()
    drawable = [p for p in points if p[1] > 0 or not log_y]
    assert ("no points yet" in svg) == (not drawable)


def test_text_is_escaped():
    svg = curves_svg({"<b>&": [(0, 1), (1, 2)]}, 'T"<script>', "<x>", "&y")
    assert "<script>" not in svg and {"<b>&", 'T"<script>', "<x>", "&y"} <= set(texts(svg))


def test_long_curves_are_thinned_but_end_where_they_end():
    svg = curves_svg({"a": [(i, i) for i in range(100_000)]}, "T", "x", "y")
    (line,) = polylines(svg)
    assert 300 < len(line) <= 601 and line[-1][0] == 624


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 7, [-2, 0, 2, 4, 6]),
        (0, 90, [0, 20, 40, 60, 80]),
    ],
)
def test_ticks(low, high, expected):
    assert ticks(low, high) == expected


def test_log_ticks():
    assert log_ticks(-2, 2) == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert log_ticks(-0.5, 0.5) == pytest.approx([0.5, 1, 2])
    assert 2 <= len(log_ticks(-300, 300)) <= 10
    assert len(log_ticks(0.31, 0.33)) >= 2  # a range that holds no round number


# --- report --------------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_report_is_one_file_with_everything_in_it(tmp_path):
    picture = Image.fromarray(scenes.draw(scenes.scene(0, 0)))
    svg = curves_svg({"loss": [(0, 2), (1, 1)]}, "Loss", "step", "nats")
    examples = [
        (picture, "a red star", "true"),
        (picture, "a <b>bold</b> star", "there is no & star"),
        (picture, "x", ""),
    ]
    path = write_report(tmp_path / "new" / "report.html", "Run & <i>", {"seed": 0, "<k>": "<v>"}, [svg], examples)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    text = path.read_text("utf-8")
    page = Page(text)
    shown = "".join(page.text)
    for expected in ("Run & <i>", "<k>", "<v>", "a <b>bold</b> star", "✗ there is no & star", "✓ true", "Loss"):
        assert expected in shown
    assert not {tag for tag, _ in page.tags} & {"b", "i", "script", "link"}
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 3 and sum(tag == "svg" for tag, _ in page.tags) == 1
    for attrs in images:
        kind, data = attrs["src"].split(",")
        assert kind == "data:image/png;base64"
        found = Image.open(io.BytesIO(base64.b64decode(data)))
        assert found.size == (64, 64) and np.array_equal(np.asarray(found), np.asarray(picture))
    assert sum(attrs.get("class") == "verdict true" for _, attrs in page.tags) == 1
    assert sum(attrs.get("class") == "verdict" for _, attrs in page.tags) == 1
    outside = re.findall(r"""(?:src|href)=["'](?!data:)|url\(|@import""", text)
    assert not outside


def test_report_without_curves_or_examples(tmp_path):
    text = write_report(tmp_path / "r.html", "T", {}, [], []).read_text("utf-8")
    assert "Curves" not in text and "Examples" not in text


def test_report_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="could not be written"):
        write_report(tmp_path, "T", {}, [], [])
