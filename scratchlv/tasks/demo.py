"""The demo: from nothing to a captioner of unseen pictures, with its blind twin, a picture and a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.data import scenes as scenes_world
from scratchlv.data.captions import CaptionSet
from scratchlv.tasks import captioning, training
from scratchlv.tasks.captioning import Captioned, Run
from scratchlv.tasks.encoder import encode
from scratchlv.training.log import read_log
from scratchlv.training.trainer import Trainer

_BLIND_PICTURES = 4000
_BLIND_STEPS = 400  # it learns the grammar and what is frequent, and there is no more to learn
_EXAMPLES = 8


def demo(
    folder: Path,
    *,
    seed: int = 0,
    overrides: list[str] | None = None,
    show_progress: bool = True,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train, evaluate on unseen scenes, compare with the blind twin, and write ``attention.png`` and ``report.html``."""
    began = time.monotonic()
    config = captioning.config("caption", "scenes", "attention", "quick", seed, overrides or [])
    run = training.train(folder, config, show_progress=show_progress, say=say)
    test = run.dataset("test")
    say(f"captioning {len(test.pictures)} unseen pictures")
    figures = captioning.truth(run, test)
    blind_figures = captioning.truth(*_blind_twin(run, test, seed))
    examples = _examples(run, test)
    for example, verdict in examples:
        say(f"{'true ' if verdict.true else 'FALSE'}  {example}")
    facts = {
        "seconds": round(time.monotonic() - began, 1),
        "true_share": round(figures["true_share"], 4),
        "blind_true_share": round(blind_figures["true_share"], 4),
        "pointing_accuracy": round(figures["pointing_accuracy"], 4),
        "pointing_chance": round(figures["pointing_chance"], 4),
        "run": str(folder),
    }
    write_report(folder, f"A captioner after {facts['seconds']:.0f} seconds", facts, examples)
    say("")
    say(f"true captions of unseen pictures  {facts['true_share']:.1%}   (cannot see: {facts['blind_true_share']:.1%})")
    say(
        f"attention on the object named     {facts['pointing_accuracy']:.1%}   (at random: {facts['pointing_chance']:.1%})"
    )
    say(f"in {facts['seconds']:.0f} s; pictures and curves: {folder / 'report.html'}, {folder / 'attention.png'}")
    return facts


def _blind_twin(run: Run, test: CaptionSet, seed: int) -> tuple[Run, CaptionSet]:
    """The same decoder, trained and tested on the features of other pictures: what it gets right, it did not see."""
    train_set = run.dataset("train", n=_BLIND_PICTURES)
    config = replace(run.config, blind=True)
    twin: Run = training.new(config, replace(run.fitted, feature_channels=run.model.config.channels[-1]))
    features = replace(train_set, pictures=encode(run.model, train_set.pictures)).blind()
    batch = config.settings.batch
    trainer = Trainer(
        twin.model,
        lambda step: features.training_batch(step, batch, seed),
        replace(training.train_settings(config.settings), steps=_BLIND_STEPS),
        show_progress=False,
    )
    trainer.run()
    return twin, replace(test, pictures=encode(run.model, test.pictures)).blind()


def _examples(run: Run, data: CaptionSet) -> list[tuple[Captioned, scenes_world.Verdict]]:
    assert data.scenes is not None
    pictures = data.pictures[:_EXAMPLES]
    generated = run.caption(pictures)
    found = []
    for name, picture, g, scene in zip(data.names, pictures, generated, data.scenes, strict=False):
        found.append((captioning.captioned(run, name, picture, g), scenes_world.judge(run.words(g), scene)))
    return found


def write_report(
    folder: Path, title: str, facts: dict[str, Any], examples: list[tuple[Captioned, scenes_world.Verdict]]
) -> None:
    """``report.html``, one file with curves, pictures and captions; and ``attention.png``, the first picture of it."""
    from scratchlv.show import report
    from scratchlv.show.curves import curves_svg
    from scratchlv.show.looks import looks

    log = [line for line in read_log(folder / "log.jsonl") if "loss" in line]
    loss = [(line["step"], line["loss"]) for line in log]
    svg = curves_svg({"training": loss}, "Loss per word", "step", "nats", log_y=True)
    captioning.attention_picture(examples[0][0]).save(folder / "attention.png")
    figures = [
        looks(np.asarray(e.image), [captioning.looked_at(e, verdict="true" if v.true else f"false: {v.reason}")])
        for e, v in examples
    ]
    told = report.note("Point at a word, or go to it by the Tab key, to see where the model looked when it said it.")
    sections = {"Curves": report.curves([svg]), "Examples": told + "\n".join(figures)}
    report.write_report(folder / "report.html", title, {k: str(v) for k, v in facts.items()}, sections)
