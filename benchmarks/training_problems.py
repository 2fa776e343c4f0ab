"""What the whole runs of ``benchmarks/runs.py`` train: a task's config, its words, and its training set, ready in memory."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from running import Problem

from scratchlv.tasks import captioning, language_modelling, translation

#: of the generated texts: as the Penn Treebank (Mikolov's preparation) and Multi30k have them
PTB_SENTENCES, PTB_WORDS, PTB_VOCABULARY = 42_068, 20, 10_000
MULTI30K_PAIRS, MULTI30K_WORDS, MULTI30K_VOCABULARY = 29_000, 13, 9_000


def caption(folder: Path, options: argparse.Namespace) -> Problem:
    config = captioning.config("caption", "scenes", "attention", "quick", 0, [])
    s = config.settings
    data = captioning.scenes_set(config.seed, "train", s.n_train, s)
    fitted = captioning.Fitted(vocabulary=data.vocabulary, feature_channels=None)
    size = min(s.batch, s.n_train)
    return Problem("caption", "captioner on Scenes", "pictures", config, fitted, data, s.n_train // size)


def language_model(folder: Path, options: argparse.Namespace) -> Problem:
    what = "language model on the Penn Treebank"
    if options.ptb is None:
        what = "language model on a generated text of the Treebank's size"
        rng = np.random.default_rng(0)
        options.ptb = str(folder)
        for name, n in (("train", PTB_SENTENCES), ("valid", 100)):
            write(folder / f"ptb.{name}.txt", zipf(rng, n, PTB_WORDS, PTB_VOCABULARY))
    config = language_modelling.config("lm", f"ptb:{options.ptb}", "lstm", "quick", 0, [])
    sentences, _ = language_modelling.sentences(config, "train")
    fitted = language_modelling._fit(config, sentences)
    stream = language_modelling.Run(config, fitted, None).encode(sentences)
    epoch = (len(stream.ids) // fitted.streams - 1) // fitted.unroll
    return Problem("lm", what, "words", config, fitted, stream, epoch)


def translate(folder: Path, options: argparse.Namespace) -> Problem:
    what = "translator on Multi30k"
    if options.multi30k is None:
        what = "translator on generated pairs, as many and as long as Multi30k's"
        rng = np.random.default_rng(0)
        files = [folder / "source.txt", folder / "target.txt"]
        for file in files:
            write(file, zipf(rng, MULTI30K_PAIRS, MULTI30K_WORDS, MULTI30K_VOCABULARY))
        options.multi30k = ",".join(map(str, files))
    config = translation.config("translate", f"parallel:{options.multi30k}", "additive", "quick", 0, [])
    train = translation.pairs(config).train
    fitted = translation._fit(config, train)
    pairs = translation.Run(config, fitted, None).encode(train)
    return Problem("translate", what, "pairs", config, fitted, pairs, len(train) // config.settings.batch)


PROBLEMS: dict[str, Callable[[Path, argparse.Namespace], Problem]] = {
    "caption": caption,
    "lm": language_model,
    "translate": translate,
}


def zipf(rng: np.random.Generator, sentences: int, words: int, vocabulary: int) -> list[str]:
    """Sentences of ``words`` words on average, of different lengths; the k-th word is 1/k as frequent as the first."""
    shares = 1 / np.arange(1, vocabulary + 1)
    lengths = np.maximum(3, rng.normal(words, words / 3, sentences).round().astype(int))
    drawn = rng.choice(vocabulary, lengths.sum(), p=shares / shares.sum())
    drawn[:vocabulary] = np.arange(vocabulary)[: len(drawn)]  # each word is there
    names = np.char.add("w", drawn.astype(str))
    return [" ".join(part) for part in np.split(names, lengths.cumsum()[:-1])]


def write(file: Path, lines: list[str]) -> None:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
