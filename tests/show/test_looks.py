"""A picture with its captions, in a browser where there is one: the word under the pointer shows where the model looked."""

import html.parser

import numpy as np
import pytest

from scratchlv.show import report
from scratchlv.show.looks import Caption, Word, looks

from .explain.browser import needs_browser, run

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two pictures; the first has a run that looks and one that does not."""
    grids = np.eye(6).reshape(6, 2, 3)
    seeing = Caption([Word(f"w{t}", f"told {t}", grids[t]) for t in range(4)], "seeing")
    blind = Caption([Word("a", "told a"), Word("b", "told b", tint=0.7)], "blind")
    other = Caption([Word("x", "told x", grids[5])])
    figures = looks(PHOTO, [seeing, blind], "a reference") + looks(PHOTO, [other])
    path = report.write_report(tmp_path_factory.mktemp("page") / "r.html", "T", {}, {"Word by word": figures})
    return path.read_text("utf-8")


HELP = """
const words = [...document.querySelectorAll(".word")];
const word = text => words.find(each => each.textContent === text);
const point = (text, kind = "mouse") => word(text).dispatchEvent(new PointerEvent("pointerenter", {pointerType: kind}));
const leave = text => word(text).dispatchEvent(new PointerEvent("pointerleave", {pointerType: "mouse"}));
const visible = veil => getComputedStyle(veil).visibility === "visible";
const seen = () => [...document.querySelectorAll(".veil")].filter(visible).map(veil => veil.dataset.of);
const told = () => document.querySelector(".told").textContent;
const focus = word => {  // a window that has no focus itself sends no events
  const before = document.activeElement;
  word.focus();
  if (document.hasFocus()) return;
  before.dispatchEvent(new FocusEvent("blur"));
  word.dispatchEvent(new FocusEvent("focus"));
};
const state = () => [seen().join(), told()];
"""


@needs_browser
def test_the_word_under_the_pointer_shows_its_attention(page, tmp_path):
    script = """
const found = [state()];
point("w2"); found.push(state());
point("w0"); found.push(state());
leave("w0"); found.push(state());
point("b"); found.push(state());
leave("b"); point("w1", "touch"); found.push(state());
return found;"""
    found, complaints = run(page, HELP + script, tmp_path)
    assert found == [["", ""], ["0-2", "told 2"], ["0-0", "told 0"], ["", ""], ["", "told b"], ["", ""]]
    assert complaints == []


@needs_browser
def test_the_keyboard_comes_to_every_word_and_a_click_holds_it(page, tmp_path):
    script = """
const found = [];
for (const each of words) { focus(each); found.push([document.activeElement.textContent, each.tabIndex, ...state()]); }
focus(word("w1")); point("w3"); const over = seen().join(); leave("w3"); found.push(["held", over, ...state()]);
word("w1").dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"})); found.push(["escaped", 0, ...state()]);
return found;"""
    found, complaints = run(page, HELP + script, tmp_path)
    assert found[:4] == [[f"w{t}", 0, f"0-{t}", f"told {t}"] for t in range(4)]
    assert found[4:6] == [["a", 0, "", "told a"], ["b", 0, "", "told b"]]
    assert found[6][:3] == ["x", 0, "0-0"]  # of the second picture; the first shows nothing any more
    assert found[7] == ["held", "0-3", "0-1", "told 1"]
    assert found[8] == ["escaped", 0, "", ""]
    assert complaints == []


@needs_browser
@pytest.mark.parametrize("width", [360, 1200])
def test_veils_lie_on_the_picture_and_nothing_is_wider_than_the_window(page, tmp_path, width):
    script = """
point("w2");
const box = element => { const r = element.getBoundingClientRect(); return [r.left, r.top, r.width, r.height].map(Math.round); };
const photo = document.querySelector(".photo > img:not(.veil)");
const fits = document.documentElement.scrollWidth <= window.innerWidth;
return [box(photo), box(document.querySelector(".veil.on")), fits, photo.naturalWidth];"""
    (photo, veil, fits, loaded), _ = run(page, HELP + script, tmp_path, width)
    assert photo == veil and photo[2] > 200 and abs(photo[3] - photo[2] * 2 / 3) <= 1
    assert fits and loaded == 320


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_every_veil_belongs_to_a_word(page):
    found = Tags(page).found
    words = [a["data-of"] for tag, a in found if a.get("class") == "word"]
    veils = [a["data-of"] for tag, a in found if a.get("class") == "veil"]
    assert words == ["0-0", "0-1", "0-2", "0-3", "1-0", "1-1", "0-0"]
    assert veils == ["0-0", "0-1", "0-2", "0-3", "0-0"]
    assert sum(tag == "img" and "veil" not in a.get("class", "") for tag, a in found) == 2
