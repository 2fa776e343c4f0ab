"""A picture in a page with what was said of it: the word under the pointer, or the one that the Tab key has come to, shows where
the model looked.

The photograph stands in the page once. Each word has its veil (:mod:`scratchlv.show.overlay`), which the browser lays over it;
the script only says which one is seen. Without scripts a page still has the picture and all words.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image

from scratchlv.show import fit
from scratchlv.show.overlay import veil

_SIDE = 320  # the longer side of a picture, in pixels
_VEIL = 0.75  # the size of a veil, over that of the picture: of a page most bytes are veils

STYLE = """
.looks { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: flex-start; }
.photo { position: relative; flex: none; max-width: 100%; border-radius: 6px; overflow: hidden; }
.photo img { display: block; width: 100%; height: auto; }
.photo .veil { position: absolute; inset: 0; width: 100%; height: 100%; visibility: hidden; }
.photo .veil.on { visibility: visible; }
.said { flex: 1 1 20rem; min-width: 0; }
.said p { margin: 0 0 .7rem; line-height: 2; overflow-wrap: anywhere; }
.said .by { display: block; color: var(--faint); font-size: .875rem; line-height: 1.4; }
.said .told { min-height: 3em; color: var(--faint); font-size: .875rem; font-variant-numeric: tabular-nums; line-height: 1.5; }
.word { font: inherit; color: inherit; background: none; border: 0; border-radius: 5px; padding: .1rem .3rem; margin: 0 .05rem;
  cursor: pointer; box-shadow: inset 0 0 0 1px var(--line); }
.word:hover, .word.on { box-shadow: inset 0 0 0 2px var(--accent); }
.word:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
.verdict { display: block; color: var(--bad); font-size: .875rem; line-height: 1.4; } .verdict.true { color: var(--good); }
"""

SCRIPT = """
for (const looks of document.querySelectorAll(".looks")) {
  const words = looks.querySelectorAll(".word"), told = looks.querySelector(".told");
  let held = null;  // the word that was clicked, or that the keyboard is at
  const show = word => {
    for (const each of looks.querySelectorAll(".on")) each.classList.remove("on");
    told.textContent = word ? word.dataset.told : "";
    if (!word) return;
    word.classList.add("on");
    const veil = looks.querySelector(`.veil[data-of="${word.dataset.of}"]`);
    if (veil) veil.classList.add("on");
  };
  for (const word of words) {
    word.addEventListener("pointerenter", event => { if (event.pointerType !== "touch") show(word); });
    word.addEventListener("pointerleave", event => { if (event.pointerType !== "touch") show(held); });
    word.addEventListener("focus", () => { held = word; show(word); });
    word.addEventListener("click", () => { held = word; show(word); });
    word.addEventListener("blur", () => { held = null; show(null); });
    word.addEventListener("keydown", event => { if (event.key === "Escape") { held = null; show(null); } });
  }
}
"""


class Word(NamedTuple):
    """A word of a caption."""

    text: str
    told: str  # what is said of it when somebody points at it
    alpha: np.ndarray | None = None  # (rows, cols): where the model looked
    tint: float = 0.0  # how strong the colour behind it is, 0 to 1; below 0 in the other colour


class Caption(NamedTuple):
    """What one model said of a picture."""

    words: Sequence[Word]
    by: str = ""  # which model
    verdict: str = ""  # "true" is green, any other reason red, "" is not shown


def looks(image: np.ndarray, captions: Sequence[Caption], reference: str = "") -> str:
    """A picture (H, W, 3) uint8, beside it the captions, as HTML; a page needs :data:`STYLE` and :data:`SCRIPT` once.

    A ``reference``, what a person said of the picture, stands below them.
    """
    picture = fit(Image.fromarray(image), _SIDE)
    text = "; ".join(" ".join(word.text for word in caption.words) for caption in captions)
    veils, said = [], []
    for k, caption in enumerate(captions):
        for t, word in enumerate(caption.words):
            if word.alpha is not None:
                veils.append(f'<img class="veil" data-of="{k}-{t}" src="{veil_url(word.alpha, picture.size)}" alt="">')
        said.append(_caption(k, caption))
    if reference:
        said.append(f'<p><span class="by">reference</span>{escape(reference)}</p>')
    size = f'width="{picture.width}" height="{picture.height}"'
    photo = f'<img src="{photo_url(picture)}" {size} alt="{escape(text)}">{"".join(veils)}'
    return (
        f'<figure class="looks"><div class="photo" style="width: {picture.width}px">{photo}</div>'
        f'<div class="said">{"".join(said)}<p class="told" aria-live="polite"></p></div></figure>'
    )


def _caption(k: int, caption: Caption) -> str:
    by = f'<span class="by">{escape(caption.by)}</span>' if caption.by else ""
    words = " ".join(_word(f"{k}-{t}", word) for t, word in enumerate(caption.words))
    verdict = ""
    if caption.verdict:
        right = caption.verdict == "true"
        sentence = "✓ true" if right else f"✗ {escape(caption.verdict)}"
        verdict = f'<span class="verdict{" true" * right}">{sentence}</span>'
    return f"<p>{by}{words}{verdict}</p>"


def _word(of: str, word: Word) -> str:
    colour = ""
    if word.tint:
        hue = "var(--positive)" if word.tint > 0 else "var(--negative)"
        colour = f' style="background: rgba({hue}, {min(1.0, abs(word.tint)) * 0.55:.3f})"'
    return (
        f'<button type="button" class="word" data-of="{of}" data-told="{escape(word.told)}"{colour}>'
        f"{escape(word.text)}</button>"
    )


# --- pictures in pages -------------------------------------------------------------------------------------------


def photo_url(picture: Image.Image) -> str:
    """A photograph, within the page."""
    return _url(picture, "JPEG", quality=88)


def veil_url(alpha: np.ndarray, size: tuple[int, int]) -> str:
    """The veil of attention weights over a picture of this size, within the page: smaller, for the browser makes it as large."""
    width, height = (max(1, round(side * _VEIL)) for side in size)
    return _url(veil(alpha, (width, height)), "PNG")


def _url(picture: Image.Image, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
