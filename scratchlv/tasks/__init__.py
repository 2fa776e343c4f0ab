"""Tasks: what ties data, a model and the trainer together into a run that can be trained, evaluated and used.

Every module of a task has ``PRESETS``, the records ``Config`` (what was asked for) and ``Fitted`` (what was fitted from the
data), ``Run`` and

    config(task, data, model, preset, seed, overrides, …) -> Config     what was asked for, checked
    prepare(config, fitted, show_progress, say, folder) -> Job          the data and the model, ready to train; fitted where None
    build(config, fitted) -> model                                      fresh parameters
    evaluate(run, split, n, show_progress) -> {name: figure}

This file imports none of them: the command line reads it, and must be quick.
"""

import importlib
from types import ModuleType
from typing import NamedTuple


class Task(NamedTuple):
    """What a task is called and what it takes; the first model and the first kind of data are the defaults."""

    title: str
    module: str
    models: tuple[str, ...]
    data: tuple[str, ...]
    command: str  # that uses a run
    beam: bool = False  # whether it can be evaluated by beam search
    results: bool = False  # whether what it says of a split can be written for other programs to judge
    presets: tuple[str, ...] = ("quick", "full")  # of some kind of data
    neural_cache: bool = False  # whether it can be evaluated with one

    def load(self) -> ModuleType:
        """The module, imported."""
        return importlib.import_module(f"scratchlv.tasks.{self.module}")


#: networks that look at pictures; the first is trained along, the others come pretrained
BACKBONES = ("conv", "efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "vgg16", "resnet50")
CELLS = ("lstm", "gru", "rnn")  #: of recurrent networks; the first is the default
_TRANSLATORS = ("additive", "dot", "naive")
_ROWS = ("csv", "tsv", "jsonl")
TASKS = {
    "lm": Task(
        "language modelling",
        "language_modelling",
        CELLS,
        ("scenes", "ptb", "text"),
        "generate",
        presets=("quick", "zaremba-small", "zaremba-medium", "regularised", "awd-lstm", "char-rnn"),
        neural_cache=True,
    ),
    "translate": Task(
        "translation",
        "translation",
        _TRANSLATORS,
        ("scenes", "parallel", "multi30k", *_ROWS),
        "translate",
        beam=True,
        results=True,
        presets=("quick", "multi30k"),
    ),
    "summarize": Task(
        "summarization",
        "translation",
        _TRANSLATORS,
        ("scenes", *_ROWS, "parallel"),
        "summarize",
        beam=True,
        results=True,
        presets=("quick", "news"),
    ),
    "caption": Task(
        "image captioning",
        "captioning",
        ("attention", "hard-attention", "naive", "shortcut", "uniform"),
        ("scenes", "flickr8k", "karpathy", "coco"),
        "caption",
        beam=True,
        results=True,
    ),
    "vqa": Task(
        "visual question answering",
        "question_answering",
        ("attention", "glimpses", "naive", "memory"),
        ("scenes", "easy-vqa", "daquar", "vqa", "clevr"),
        "answer",
        results=True,
        presets=("quick", "glimpses", "daquar"),
    ),
    "babi": Task(
        "questions about stories", "story_answering", ("memory",), ("babi",), "answer", presets=("quick", "joint")
    ),
}
