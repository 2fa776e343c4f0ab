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
from scratchlv.show.curves import curves_svg
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


def test_a_file_name_that_is_not_utf_8_is_escaped(tmp_path):
    path = write_report(tmp_path / "report.html", "t", {"run": "caf\udce9"}, [], [])
    assert r"caf\xe9" in path.read_text(encoding="utf-8")
