"""The report of a probe: the table, the plots of the gradient's reach, and captions whose words are coloured by what they owe to
their picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scratchlv.arrays import Array
from scratchlv.metrics.grounding import attention_entropy
from scratchlv.show import report
from scratchlv.show.curves import curves_svg
from scratchlv.show.looks import Caption, Word, looks
from scratchlv.tasks import captioning
from scratchlv.tasks.probe import CLOSELY, FIGURES, OTHERS, Probe, Probed, header, rows
from scratchlv.tokens import END, SPECIALS

_STRONG = 4.0  # nats of image dependence at which the colour is full


def write(path: Path, found: Probe) -> Path:
    """
    Raises:
        UserError: the file cannot be written.
    """
    facts = {
        "runs": ", ".join(run.name for run in found.runs),
        "data": found.data,
        "pictures": f"{len(found.names):,} of the split {found.split}",
    }
    sections = {"Figures": _table(found), "Gradient reach": _reach(found), "Word by word": _captions(found)}
    return report.write_report(path, "Does it look at the picture?", facts, sections)


def _table(found: Probe) -> str:
    body = {FIGURES[name].label: cells for name, cells in rows(found)}
    told = "".join(report.note(f"{FIGURES[name].label}: {FIGURES[name].told}.") for name, _ in rows(found))
    intervals = (
        "Below a mean stands the interval in which 95% of its resamples lie (bootstrap over captions). Gradients and hidden "
        f"regions are of {CLOSELY} captions drawn by chance. Blind runs are shown the pictures themselves here."
    )
    table = report.table(header(found), body) + report.note(intervals)
    return f"{table}<details><summary>What the rows are</summary>{told}</details>"


def _reach(found: Probe) -> str:
    lines = {run.name: run.reach for run in found.runs}
    passed = {run.name: run.passed for run in found.runs}
    plots = [
        curves_svg(lines, "What of a word gets back to the picture", "word", "‖∂ log p(word) / ∂ x‖", log_y=True),
        curves_svg(passed, "… of a unit at the logits", "word", "‖∂ log p / ∂ x‖ / ‖∂ log p / ∂ logits‖", log_y=True),
    ]
    told = (
        "The lecture's dependency distance: from word t back to the picture are t steps of the cell in a naive captioner, and "
        "one with a shortcut or attention. A word that is certain sends no gradient, whoever says it; the second plot leaves "
        "that out."
    )
    return report.curves(plots) + report.note(told)


def _captions(found: Probe) -> str:
    told = (
        f"A word is the bluer, the more likely its picture makes it than {OTHERS} others do; orange, if less likely. Point at a "
        "word, or go to it by the Tab key: where the run looked is seen in the picture; inside the line it is half of the peak "
        "and more."
    )
    shown = [_picture(found, k) for k in range(len(found.images))]
    return report.note(told) + "\n".join(shown)


def _picture(found: Probe, k: int) -> str:
    captions = [_caption(run, k, run.view == found.runs[0].view) for run in found.runs]
    return looks(found.images[k], captions, " ".join(found.references[k]))


def _caption(run: Probed, k: int, same_view: bool) -> Caption:
    """Where a run looked can be drawn on what it saw only."""
    g, dependence = run.generated[k], run.dependence[k]
    text = run.words[k] + ([SPECIALS[END]] if g.finished else [])
    alphas: list[Array | None] = [None] * len(text)
    if g.alphas is not None and "attention_entropy" not in run.missing and same_view:
        alphas = [*g.alphas.reshape(-1, *captioning.grid(g))]
    words = [
        Word(w, _told(w, p, d, a), a, d / _STRONG)
        for w, p, d, a in zip(text, g.probabilities, dependence, alphas, strict=True)
    ]
    return Caption(words, f"{run.name} ({'blind ' * run.config.blind}{run.config.model})")


def _told(word: str, p: float, dependence: float, alpha: Array | None) -> str:
    other = p * np.exp(-dependence)
    told = f"{word}: p {p:.2f} with this picture, {other:.2g} with others; image dependence {dependence:+.2f} nats"
    if alpha is None:
        return told
    entropy = float(attention_entropy(alpha.reshape(-1)))
    return f"{told}; attention entropy {entropy:.2f} of {np.log(alpha.size):.2f}"
