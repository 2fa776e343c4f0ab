"""The lecture's last slide: where the model looked, hop by hop, to answer a question, and what it would answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from scratchlv.show import FAINT, INK, PAPER, clip, fit, font, lay_out, text_width, wrap
from scratchlv.show.alignment_picture import shade
from scratchlv.show.attention_sheet import tile
from scratchlv.show.lettering import write
from scratchlv.show.overlay import lit

_SIDE = 208  # the longer side of each picture, in pixels
_COLUMNS = 4  # pictures in a row, at most
_GAP = 14
_QUESTION, _QUESTION_LINE = 20, 28  # size of its letters, and from one line to the next
_FONT = 16
_ANSWER = 32  # height of an answer's line
_WORD, _BAR, _NUMBER = 170, 130, 44  # widths: of an answer, at most; of the bar of a sure one; of its probability
_TICK = 30  # room for the mark of the right one
_SENTENCE = 440  # width of a sentence, at most
_CELL = (62, 28)
_GREY, _GREEN = (150, 160, 178), (46, 140, 87)

Answers = Sequence[tuple[str, float]]


def hops_picture(
    image: np.ndarray,
    question: Sequence[str],
    alphas: np.ndarray,
    answers: Answers,
    truth: str | None = None,
    names: Sequence[str] | None = None,
) -> Image.Image:
    """The picture, then the picture once for each hop, lit where the model looked; the question above, answers beside.

    Args:
        image: (H, W, 3) uint8, of any size.
        question: its words.
        alphas: attention weights of each hop over a grid laid over the picture, (hops, rows, cols).
        answers: the most likely answers and their probabilities, the most likely first.
        truth: the right answer where it is known; it is marked, and named if it is none of the answers.
        names: what is written under each hop; None: "hop 1", "hop 2" …

    Raises:
        ValueError: the shapes do not go together, or a weight or probability is out of range.
    """
    image, alphas = np.asarray(image), np.asarray(alphas, np.float64)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if alphas.ndim != 3 or not (np.isfinite(alphas).all() and (alphas >= 0).all()):
        raise ValueError(f"alphas must be (hops, rows, cols), finite and 0 or more; they are {alphas.shape}")
    names = [f"hop {k}" for k in range(1, len(alphas) + 1)] if names is None else names
    picture = fit(Image.fromarray(image), _SIDE)
    tiles = [tile(picture, ""), *(tile(lit(picture, alpha), name) for alpha, name in zip(alphas, names, strict=True))]
    return _sheet(question, lay_out(tiles, min(len(tiles), _COLUMNS), _GAP), _answers(answers, truth))


def hops_table(
    sentences: Sequence[str], alphas: np.ndarray, question: str, answers: Answers, truth: str | None = None
) -> Image.Image:
    """A story down the left, and for each hop a column of cells: the darker, the more of its weight fell on the sentence.

    Args:
        sentences: S of them.
        alphas: attention weights of each hop over the sentences, (hops, S), 0 to 1.
        question: in words.
        answers, truth: as in :func:`hops_picture`.

    Raises:
        ValueError: the shapes do not go together, or a weight or probability is out of range.
    """
    alphas = np.asarray(alphas, np.float64)
    if alphas.ndim != 2 or not sentences or alphas.shape[1] != len(sentences):
        raise ValueError(f"a story needs sentences and alphas (hops, S), not {len(sentences)} and {alphas.shape}")
    shades = shade(alphas)
    lines = [clip(sentence, _SENTENCE, _FONT) for sentence in sentences]
    left = 2 * _GAP + round(max(text_width(line, _FONT) for line in lines))
    width, height = _CELL
    table = Image.new("RGB", (left + len(alphas) * width + _GAP, (len(lines) + 1) * height + _GAP), PAPER)
    pen = ImageDraw.Draw(table)
    for s, line in enumerate(lines):
        write(table, (_GAP, (s + 1.5) * height), line, INK, _FONT, "lm")
    for hop, weights in enumerate(alphas):
        x = left + hop * width
        pen.text((x + width / 2, height / 2), f"hop {hop + 1}", FAINT, font(_FONT - 2), anchor="mm")
        for s, weight in enumerate(weights):
            box = (x, (s + 1) * height, x + width - 3, (s + 2) * height - 3)
            pen.rectangle(box, tuple(shades[hop, s]), outline=(214, 217, 222))
            if weight >= 0.005:
                ink = PAPER if weight > 0.5 else INK
                pen.text(
                    (x + width / 2 - 1, (s + 1.5) * height - 1), f"{weight:.2f}", ink, font(_FONT - 3), anchor="mm"
                )
    return _sheet(question.split(), table, _answers(answers, truth))


def _sheet(question: Sequence[str], body: Image.Image, answers: Image.Image) -> Image.Image:
    """The question, and under it where the model looked beside what it answers."""
    width = body.width + answers.width + _GAP
    lines = wrap(" ".join(question), width - 2 * _GAP, _QUESTION)
    top = _GAP + len(lines) * _QUESTION_LINE
    sheet = Image.new("RGB", (width, top + max(body.height, answers.height)), PAPER)
    for i, line in enumerate(lines):
        write(sheet, (_GAP, _GAP + i * _QUESTION_LINE), line, INK, _QUESTION, "lt")
    sheet.paste(body, (0, top))
    sheet.paste(answers, (body.width, top))
    return sheet


def _answers(answers: Answers, truth: str | None) -> Image.Image:
    """A bar for each answer; the right one is green and ticked."""
    if not answers or not all(0 <= p <= 1 + 1e-6 for _, p in answers):
        raise ValueError(f"answers are words with probabilities, 0 to 1, not {list(answers)!r}")
    missed = truth is not None and truth not in [word for word, _ in answers]
    words = [clip(word, _WORD, _FONT) for word, _ in answers] + ["right:"] * missed
    start = 2 * _GAP + round(max(text_width(word, _FONT) for word in words)) + 10  # of the bars
    top, end = 2 * _GAP, start + _BAR + _NUMBER + _TICK
    panel = Image.new("RGB", (end, top + len(words) * _ANSWER + _GAP), PAPER)
    pen, letters = ImageDraw.Draw(panel), font(_FONT)
    for i, word in enumerate(words):
        y = top + (i + 0.5) * _ANSWER
        write(panel, (start - 10, y), word, FAINT if i == len(answers) else INK, _FONT, "rm")
    for i, (word, p) in enumerate(answers):
        y, reach = top + (i + 0.5) * _ANSWER, start + round(p * _BAR)
        pen.rectangle((start, y - 8, reach, y + 8), _GREEN if word == truth else _GREY)
        pen.text((reach + 8, y), f"{p:.2f}", FAINT, letters, anchor="lm")
        if word == truth:
            x = reach + _NUMBER + 8
            pen.line(((x, y), (x + 5, y + 5), (x + 14, y - 7)), _GREEN, 3)
    if missed:
        y = top + (len(answers) + 0.5) * _ANSWER
        write(panel, (start, y), clip(str(truth), end - start, _FONT), _GREEN, _FONT, "lm")
    return panel
