"""Reports: one file with everything in it."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from scratchlv.data import scenes
from scratchlv.errors import UserError
from scratchlv.show import report
from scratchlv.show.curves import curves_svg
from scratchlv.show.looks import Caption, Word, looks
from scratchlv.show.report import write_report


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
    picture = scenes.draw(scenes.scene(0, 0))
    svg = curves_svg({"loss": [(0, 2), (1, 1)]}, "Loss", "step", "nats")
    captions = [
        Caption([Word("a", "p 1.00", np.eye(8)), Word("<b>", 'p "0.5"', tint=-0.5)], "run & <i>", "true"),
        Caption([Word("x", "")], verdict="there is no & star"),
    ]
    sections = {
        "Curves": report.curves([svg]),
        "A <table>": report.table(["", "<run>"], {"loss <u>": [("1.5", "1.4 to <1.6>")]}) + report.note("a & <note>"),
        "Examples": looks(picture, captions, "a <ref>"),
    }
    path = write_report(tmp_path / "new" / "report.html", "Run & <i>", {"seed": 0, "<k>": "<v>"}, sections)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    text = path.read_text("utf-8")
    page = Page(text)
    shown = "".join(page.text)
    for expected in (
        *("Run & <i>", "<k>", "<v>", "<b>", "run & <i>", "✗ there is no & star", "✓ true", "Loss", "a <ref>"),
        *("A <table>", "<run>", "loss <u>", "1.4 to <1.6>", "a & <note>"),
    ):
        assert expected in shown
    assert not {tag for tag, _ in page.tags} & {"b", "i", "u", "link", "iframe"}
    assert sum(tag == "script" for tag, _ in page.tags) == sum(tag == "svg" for tag, _ in page.tags) == 1
    photo, over = (
        attrs for tag, attrs in page.tags if tag == "img"
    )  # only one word has a place where the model looked
    for attrs, size in ((photo, (320, 320)), (over, (240, 240))):
        kind, data = attrs["src"].split(",")
        assert kind.startswith("data:image/") and kind.endswith(";base64")
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == size
    assert photo["alt"] == "a <b>; x" and over["alt"] == ""
    words = [attrs for tag, attrs in page.tags if tag == "button"]
    assert [word["data-of"] for word in words] == ["0-0", "0-1", "1-0"] and over["data-of"] == "0-0"
    assert [word["data-told"] for word in words] == ["p 1.00", 'p "0.5"', ""]
    assert [word.get("style") for word in words] == [None, "background: rgba(var(--negative), 0.275)", None]
    outside = re.findall(r"""(?:src|href)=["'](?!data:)|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", text)
    assert not outside


def test_a_portrait_is_as_wide_as_it_is():
    page = Page(looks(np.zeros((640, 320, 3), np.uint8), [Caption([Word("a", "", np.ones((7, 7)))])]))
    (style,) = [attrs["style"] for tag, attrs in page.tags if attrs.get("class") == "photo"]
    assert style == "width: 160px"


def test_report_of_nothing(tmp_path):
    text = write_report(tmp_path / "r.html", "T", {}, {}).read_text("utf-8")
    assert "<h2>" not in text


def test_report_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="could not be written"):
        write_report(tmp_path, "T", {}, {})


def test_a_file_name_that_is_not_utf_8_is_escaped(tmp_path):
    path = write_report(tmp_path / "report.html", "t", {"run": "caf\udce9"}, {})
    assert r"caf\xe9" in path.read_text(encoding="utf-8")
