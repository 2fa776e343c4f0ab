"""What a notebook shows of attention: choose a word or a hop, and see where the model looked. Without scripts: radio buttons.

    show.attention(image, words, probabilities, alphas)      # as the last line of a cell

A front end that shows no HTML gets the picture that the command line writes.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image

from scratchlv.show import fit
from scratchlv.show.alignment_picture import alignment_picture
from scratchlv.show.attention_sheet import attention_sheet
from scratchlv.show.hops_picture import Answers, hops_picture, hops_table
from scratchlv.show.looks import photo_url, veil_url

_SIDE = 320  # the longer side of a picture, in pixels
_numbers = itertools.count()  # of views: those of one notebook must not share the names of their buttons
_CSS = """
#{id} {{ font: 15px/1.6 system-ui, sans-serif; color: light-dark(#202124, #e8e9ec); color-scheme: light dark; max-width: 46rem; }}
#{id} input {{ position: absolute; opacity: 0; }}
#{id} label {{ display: inline-block; padding: .1rem .5rem; margin: .1rem; border: 1px solid #8886; border-radius: 6px; }}
#{id} label {{ cursor: pointer; }}
#{id} label small {{ opacity: .7; }}
#{id} input:checked + label {{ border-color: #0b57d0; box-shadow: 0 0 0 1px #0b57d0; }}
#{id} input:focus-visible + label {{ outline: 3px solid #0b57d0; outline-offset: 1px; }}
#{id} .at {{ display: none; margin: .6rem 0; }}
#{id} .photo {{ display: block; position: relative; max-width: 100%; border-radius: 6px; background-size: cover; }}
#{id} .photo img {{ display: block; width: 100%; height: 100%; }}
#{id} .at span {{ display: inline-block; padding: .05rem .35rem; margin: .1rem 0; border-radius: 4px; }}
#{id} .at p {{ margin: .1rem 0; }}
#{id} table {{ border-collapse: collapse; }}
#{id} td {{ padding: .1rem .6rem .1rem 0; text-align: left; }}
"""


class Choice(NamedTuple):
    """A word or a hop: its button, and what is seen when it is chosen, as HTML."""

    label: str
    note: str
    seen: str


class View:
    """Shown by notebooks; :attr:`picture` is the same on paper."""

    def __init__(
        self,
        picture: Image.Image,
        choices: Sequence[Choice],
        above: str = "",
        below: str = "",
        photo: Image.Image | None = None,
    ) -> None:
        """``photo`` stands in the page once: it is the ground of every choice of the class ``photo``."""
        self.picture, self._photo = picture, photo
        self._choices, self._above, self._below = choices, above, below

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture.save(buffer, "PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        name = f"scratchlv-{os.getpid()}-{next(_numbers)}"
        rules = [f"#{name}-{k}:checked ~ .at-{k} {{ display: block; }}" for k in range(len(self._choices))]
        buttons = [
            f'<input type="radio" name="{name}" id="{name}-{k}"{" checked" * (k == 0)}>'
            f'<label for="{name}-{k}" onpointerenter="this.control.checked = true">{escape(choice.label)}'
            f"{f' <small>{escape(choice.note)}</small>' if choice.note else ''}</label>"
            for k, choice in enumerate(self._choices)
        ]
        seen = [f'<div class="at at-{k}">{choice.seen}</div>' for k, choice in enumerate(self._choices)]
        if self._photo is not None:
            rules.append(f"#{name} .photo {{ background-image: url({photo_url(self._photo)}); }}")
        style = f"<style>{_CSS.format(id=name)}{' '.join(rules)}</style>"
        return f'{style}<div id="{name}">{self._above}{"".join(buttons)}{"".join(seen)}{self._below}</div>'


def attention(image: np.ndarray, words: Sequence[str], probabilities: Sequence[float], alphas: np.ndarray) -> View:
    """Where a captioner looked at each word; arguments and errors are those of :func:`attention_sheet`."""
    sheet = attention_sheet(image, words, probabilities, alphas)
    photo = fit(Image.fromarray(np.asarray(image)), _SIDE)
    choices = [
        Choice(word, f"{p:.2f}", _veiled(photo, alpha, f"where the model looked when it said {word}"))
        for word, p, alpha in zip(words, probabilities, alphas, strict=True)
    ]
    return View(sheet, choices, photo=photo)


def alignment(
    source: Sequence[str], target: Sequence[str], alphas: np.ndarray, copied: np.ndarray | None = None
) -> View:
    """What a translator looked at for each word of the target; arguments and errors are those of :func:`alignment_picture`."""
    picture = alignment_picture(source, target, alphas, copied)
    choices = [
        Choice(word, "", " ".join(map(_shaded, source, weights))) for word, weights in zip(target, alphas, strict=True)
    ]
    return View(picture, choices)


def hops(
    seen: np.ndarray | Sequence[str],
    question: Sequence[str] | str,
    alphas: np.ndarray,
    answers: Answers,
    truth: str | None = None,
) -> View:
    """Where a model looked, hop by hop, to answer: at a picture (H, W, 3) uint8, or at the sentences of a story.

    ``alphas`` are (hops, rows, cols) of a picture, (hops, S) of S sentences; errors are those of :func:`hops_picture` and
    :func:`hops_table`.
    """
    words = question.split() if isinstance(question, str) else [*question]
    photo = None
    if isinstance(seen, np.ndarray):
        picture = hops_picture(seen, words, alphas, answers, truth)
        photo = fit(Image.fromarray(seen), _SIDE)
        shown = [_veiled(photo, alpha, f"where the model looked at hop {k}") for k, alpha in enumerate(alphas, 1)]
    else:
        picture = hops_table(seen, alphas, " ".join(words), answers, truth)
        shown = [
            "".join(f"<p>{_shaded(line, weight)}</p>" for line, weight in zip(seen, alpha, strict=True))
            for alpha in alphas
        ]
    choices = [Choice(f"hop {k}", "", each) for k, each in enumerate(shown, 1)]
    rows = "".join(f"<tr><td>{escape(word)}{' ✓' * (word == truth)}</td><td>{p:.2f}</td></tr>" for word, p in answers)
    missed = truth is not None and truth not in [word for word, _ in answers]
    right = f"<p>right: {escape(str(truth))}</p>" if missed else ""
    return View(picture, choices, f"<p><b>{escape(' '.join(words))}</b></p>", f"<table>{rows}</table>{right}", photo)


def _veiled(photo: Image.Image, alpha: np.ndarray, told: str) -> str:
    """The photograph of the view under a veil."""
    over = veil_url(np.asarray(alpha, np.float64), photo.size)
    shape = f"width: {photo.width}px; aspect-ratio: {photo.width} / {photo.height}"
    return f'<div class="photo" style="{shape}"><img src="{over}" alt="{escape(told)}"></div>'


def _shaded(word: str, weight: float) -> str:
    """A word on a ground that is the darker, the more of the weight fell on it."""
    strength = min(1.0, max(0.0, float(weight)))
    told = f"{escape(word)}: {strength:.2f}"
    return f'<span style="background: rgba(11, 87, 208, {0.6 * strength:.3f})" title="{told}">{escape(word)}</span>'
