"""Language modelling: train, evaluate and use a language model on the captions of Scenes, or on any text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv import decode, metrics
from scratchlv.data import scenes as scenes_world
from scratchlv.data import text as plain_text
from scratchlv.data.formats import notes_of_text
from scratchlv.data.scenes.entropy import caption_entropy
from scratchlv.data.stream import TokenStream, layout
from scratchlv.data.text import Sentences, unigram_perplexity
from scratchlv.data.vocabulary import Vocabulary, unknown_share
from scratchlv.errors import UserError
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
from scratchlv.tasks import records, training
from scratchlv.tasks.training import Job, Say
from scratchlv.tokens import END, SPECIALS

SPLITS = ("train", "val", "test")
_OPENING = 5  # sentences of the training text that a run keeps, to read before it writes
_LONGEST = 50  # of each of them, the last words
NEW_LINE = "\n"  # ends a line of characters; sentences of words end in <end>


@dataclass(frozen=True, kw_only=True)
class Settings(records.WordSettings):
    """``batch`` streams are read side by side, ``unroll`` words at a time."""

    unroll: int = 35
    embedding: int = 128
    hidden: int = 256
    layers: int = 1
    min_count: int = 1  # words that are rarer become <unk>


PRESETS = {
    ("scenes", "quick"): Settings(steps=1500, batch=32, learning_rate=4e-3, n_val=2000),
    ("ptb", "quick"): Settings(
        steps=6600,
        batch=20,
        learning_rate=2e-3,
        embedding=200,
        hidden=200,
        layers=2,
        dropout=0.25,
        clip=5.0,
        validate_every=660,
    ),
    ("text", "quick"): Settings(
        steps=2000, batch=32, learning_rate=2e-3, unroll=50, dropout=0.1, min_count=2, validate_every=250
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config(records.Config):
    settings: Settings
    characters: bool = False


@dataclass(frozen=True, kw_only=True)
class Fitted(records.Fitted):
    opening: tuple[str, ...]  # words of the training text, to read before it writes
    streams: int  # read side by side, as many as the text can have
    unroll: int


def config(
    task: str, data: str, model: str, preset: str, seed: int, overrides: list[str], *, characters: bool = False
) -> Config:
    """The config of a new run.

    Raises:
        UserError: an argument is wrong.
    """
    asked = records.ask(Config, PRESETS, task, data, model, preset, seed, overrides, characters=characters)
    if characters and asked.argument.kind != "text":
        raise UserError(f"--characters goes with --data text:FILE, not with {asked.argument.kind}")
    records.refuse_idle(asked, overrides, {})
    return asked


class Run(training.Run[Config, Fitted]):
    """A language model and its words."""

    def encode(self, sentences: Iterable[list[str]]) -> TokenStream:
        """Sentences as one stream; each ends in its end symbol, or in the character that ends a line.

        Raises:
            UserError: they are no more than one empty line, in which there is nothing to predict.
        """
        ends = self.vocabulary.encode([_separator(self.config)])
        ids = [i for words in sentences for i in (*self.vocabulary.encode(words), *ends)]
        if len(ids) < 2:
            raise UserError(f"--data {self.config.data}: a part of it is one empty line, too short; take that line out")
        return TokenStream(np.array(ids, np.int64))


def _separator(config: Config) -> str:
    return NEW_LINE if config.characters else SPECIALS[END]


def sentences(config: Config, split: str) -> tuple[Sentences, int]:
    """The text of a split, and the number of lines of the whole text whose markers were left out."""
    argument, settings = config.argument, config.settings
    if argument.kind == "scenes":
        training.check_split(split, scenes_world.SPLITS)
        n = settings.n_train if split == "train" else settings.n_val
        scenes = scenes_world.first_scenes(config.seed, split, n, settings.world)
        return [list(scenes_world.caption(scene).words) for scene in scenes], 0
    splits, marked = read(config)
    training.check_split(split, splits)
    return splits[split], marked


def read(config: Config) -> plain_text.Text:
    """The text that a config names."""
    file = config.argument.arguments[0]
    return plain_text.ptb(file) if config.argument.kind == "ptb" else plain_text.text(file, config.characters)


def prepare(config: Config, fitted: Fitted | None, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config."""
    train, marked = sentences(config, "train")
    if config.argument.kind == "text":
        training.say_all(say, notes_of_text(*config.argument.arguments))
    training.say_markers(say, marked)
    run: Run = training.new(config, fitted or _fit(config, train))
    stream, val = run.encode(train), run.encode(sentences(config, "val")[0])
    unit = "characters" if config.characters else "words"
    say(f"{len(stream.ids):,} {unit}, {len(run.vocabulary):,} different ones; {len(val.ids):,} to validate on")
    by_character = config.argument.kind == "text" and not config.characters
    training.say_unknown(say, "the part to validate on", [val.ids], training.BY_CHARACTER if by_character else "")
    streams, unroll = run.fitted.streams, run.fitted.unroll
    return training.job(
        run, stream, val, batch_at=lambda step: stream.training_batch(step, streams, unroll, config.seed)
    )


def _fit(config: Config, train: Sentences) -> Fitted:
    s = config.settings
    line_ends = [[NEW_LINE] * s.min_count] if config.characters else []
    streams, unroll = layout(sum(len(sentence) + 1 for sentence in train), s.batch, s.unroll)
    return Fitted(
        vocabulary=Vocabulary.from_counts([*train, *line_ends], s.min_count),
        opening=tuple(word for words in train[:_OPENING] for word in (*words[-_LONGEST:], _separator(config))),
        streams=streams,
        unroll=unroll,
    )


def build(config: Config, fitted: Fitted) -> LanguageModel:
    """The model, with fresh parameters."""
    s = config.settings
    widths = LanguageModelConfig(
        vocabulary=len(fitted.vocabulary),
        embedding=s.embedding,
        hidden=s.hidden,
        layers=s.layers,
        cell=config.model,
        dropout=s.dropout,
        label_smoothing=s.label_smoothing,
        own_words=s.own_words,
        streams=fitted.streams,
    )
    return LanguageModel(widths, config.seed)


def evaluate(run: Run, split: str = "val", n: int | None = None, show_progress: bool = False) -> dict[str, float]:
    """``loss`` and ``perplexity`` per word. Beside it, on Scenes, the true entropy of the generator; else the unigram's."""
    training.check_n(n)
    stream = run.encode(sentences(run.config, split)[0][:n])
    loss = stream.mean_loss(run.model)
    figures = {"loss": loss, "perplexity": metrics.perplexity(loss), "words": len(stream.ids)}
    if run.config.data != "scenes":
        figures["unknown_share"] = unknown_share([stream.ids])  # <unk> is foreseen like a word, and more easily
    train = run.encode(sentences(run.config, "train")[0])
    figures["unigram_perplexity"] = unigram_perplexity(train.ids, stream.ids, len(run.vocabulary))
    if run.config.data == "scenes" and split != "compositional":
        entropy = caption_entropy(run.config.settings.world).nats_per_word
        figures |= {"entropy": entropy, "perplexity_of_the_truth": metrics.perplexity(entropy)}
        figures["above_entropy"] = loss / entropy - 1
    return figures


# --- writing -----------------------------------------------------------------------------------------------------


def read_prompt(run: Run, text: str) -> tuple[list[int], list[str]]:
    """The tokens of the beginning of a text, and those of its words that the run does not know."""
    words = plain_text.characters(text) if run.config.characters else plain_text.spaced_words(text)
    unknown = sorted({word for word in words if word not in run.vocabulary})
    return run.vocabulary.encode(words), unknown


def write(run: Run, prompt: list[int], **options: Any) -> Iterator[str]:
    """A text that begins with ``prompt``, piece by piece as it is drawn; ``options`` are those of :func:`decode.stream`.

    Raises:
        UserError: an option is out of range.
    """
    between = "" if run.config.characters else " "
    options.setdefault("max_length", 400 if run.config.characters else 40)
    # In the one stream of training a sentence never began from nothing: the model reads a little before it writes.
    before = run.vocabulary.encode(run.fitted.opening)
    tokens = decode.stream(run.model, 1, prompt=np.array(before + prompt)[:, None], **options)
    drawn = itertools.chain([next(tokens)], tokens)  # an option that is out of range shows before anything is said
    yield between.join(run.vocabulary.words[token] for token in prompt)
    first = not prompt
    for token in drawn:
        if token == END:
            return
        yield run.vocabulary.words[token] if first else between + run.vocabulary.words[token]
        first = False
