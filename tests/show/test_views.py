"""What a notebook shows."""

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from scratchlv import show

IMAGE = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
GRIDS = np.linspace(0, 1, 3 * 2 * 4).reshape(3, 2, 4)
WORDS = ["a", "<b>", "éclair"]
ANSWERS = [("red", 0.7), ("<i>", 0.3)]
VIEWS = {
    "attention": lambda: show.attention(IMAGE, WORDS, [0.9, 0.5, 0.1], GRIDS),
    "alignment": lambda: show.alignment(["un", "<deux>"], WORDS, GRIDS.reshape(3, 8)[:, :2]),
    "hops over a picture": lambda: show.hops(IMAGE, ["what", "<is>", "it"], GRIDS[:2], ANSWERS, "blue"),
    "hops over a story": lambda: show.hops(
        ["Ann went <home>.", "Bob did not."], "where is Ann", GRIDS[0, :, :2], ANSWERS, "red"
    ),
}
each_view = pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)


class Balanced(HTMLParser):
    """Tags that are opened and not closed, and the words between them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


@each_view
def test_html_is_whole_and_what_users_say_is_escaped(make):
    found = Balanced(make()._repr_html_())
    assert found.open == []
    assert {tag for tag, _ in found.tags} <= {
        "style",
        "div",
        "p",
        "b",
        "input",
        "label",
        "small",
        "span",
        "img",
        "table",
        "tr",
        "td",
    }
    assert any("<" in word for word in found.words)


@each_view
def test_each_choice_has_a_button_and_something_to_see(make):
    found = Balanced(make()._repr_html_())
    buttons = [attributes["id"] for tag, attributes in found.tags if tag == "input"]
    labels = [attributes["for"] for tag, attributes in found.tags if tag == "label"]
    seen = [attributes["class"] for tag, attributes in found.tags if attributes.get("class", "").startswith("at ")]
    assert buttons == labels and len(buttons) == len(seen) == len(set(seen)) >= 2
    assert all(attributes.get("alt") for tag, attributes in found.tags if tag == "img")


@each_view
def test_the_picture_is_png(make):
    view = make()
    assert Image.open(io.BytesIO(view._repr_png_())).size == view.picture.size


@each_view
def test_two_views_of_a_notebook_do_not_share_buttons(make):
    view = make()
    names = [set(re.findall(r'name="([^"]+)"', view._repr_html_())) for _ in range(2)]
    assert all(len(each) == 1 for each in names) and names[0] != names[1]


def test_the_weight_of_a_word_is_its_shade():
    text = show.alignment(["un", "deux"], ["one"], np.array([[0.25, 0.75]]))._repr_html_()
    assert re.findall(r"rgba\(11, 87, 208, ([\d.]+)\)", text) == ["0.150", "0.450"]


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="each word needs a probability"):
        show.attention(IMAGE, WORDS, [0.5], GRIDS)
    with pytest.raises(ValueError, match="an alignment needs"):
        show.alignment(["un"], WORDS, GRIDS[:, 0])
    with pytest.raises(ValueError, match="a story needs sentences"):
        show.hops(["one"], "what", GRIDS[0], ANSWERS)
    with pytest.raises(AttributeError):
        show.nothing  # noqa: B018
