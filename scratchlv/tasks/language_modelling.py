"""Language modelling: train, evaluate and use a language model on the captions of Scenes, or on any text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv import decode, metrics
from scratchlv.batches import StreamBatch
from scratchlv.data import scenes as scenes_world
from scratchlv.data import text as plain_text
from scratchlv.data.formats import notes_of_text
from scratchlv.data.scenes.entropy import caption_entropy
from scratchlv.data.stream import TokenStream, layout
from scratchlv.data.text import Sentences, unigram_perplexity
from scratchlv.data.vocabulary import Vocabulary, pad, unknown_share
from scratchlv.device import to_host
from scratchlv.errors import UserError
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
from scratchlv.models.neural_cache import NeuralCache
from scratchlv.models.neural_cache import parse as parse_cache
from scratchlv.parallel.shares import ALL, Share
from scratchlv.tasks import records, training
from scratchlv.tasks.training import Job, Say
from scratchlv.tokens import END, SPECIALS

SPLITS = ("train", "val", "test")
_MADE_UP = 50  # texts, of which is said how much they repeat
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
    tied: bool = False  # the output's weights are the embedding's, and the top layer is as wide
    variational: bool = False  # dropout drops the same units at every step
    embedding_dropout: float = 0.0  # the share of words that are dropped, wherever they stand in a batch
    weight_drop: float = 0.0  # the share of recurrent weights that are dropped
    init_scale: float = 0.0  # matrices begin uniform in ± this; 0: as suits each

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variational and not self.dropout:
            raise UserError("variational=true: dropout=0 drops nothing; set dropout, as dropout=0.4")


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
    # Their loss is a sum over the steps that are unrolled, ours a mean: so many times their learning rate (1), and so much of
    # their clip (5), is the same. An epoch of small is 2,323 steps, of medium 1,327.
    ("ptb", "zaremba-small"): Settings(
        steps=30_199,  # 13 epochs
        batch=20,
        unroll=20,
        embedding=200,
        hidden=200,
        layers=2,
        init_scale=0.1,
        optimiser="sgd",
        learning_rate=20.0,
        warmup=0,
        clip=0.25,
        decay=0.5,
        decay_from=9292,  # after 4 epochs
        decay_every=2323,
        validate_every=2323,
    ),
    ("ptb", "zaremba-medium"): Settings(
        steps=51_753,  # 39 epochs
        batch=20,
        unroll=35,
        embedding=650,
        hidden=650,
        layers=2,
        dropout=0.5,
        init_scale=0.05,
        optimiser="sgd",
        learning_rate=35.0,
        warmup=0,
        clip=0.142857,
        decay=0.833333,
        decay_from=7962,  # after 6 epochs
        decay_every=1327,
        validate_every=1327,
    ),
    # AWD-LSTM's means (Merity et al. 2018) in what two cores do in an hour; an epoch is 1,327 steps
    ("ptb", "regularised"): Settings(
        steps=10_000,  # seven epochs and a half
        batch=20,
        unroll=35,
        embedding=400,
        hidden=400,
        layers=2,
        tied=True,
        dropout=0.3,
        variational=True,
        embedding_dropout=0.05,
        weight_drop=0.1,
        learning_rate=2e-3,
        warmup=500,
        validate_every=1327,
    ),
    # AWD-LSTM itself, for a GPU: without its regularisation of activations and its unrolls of random length
    ("ptb", "awd-lstm"): Settings(
        steps=332_000,  # 500 epochs of 664 steps
        batch=20,
        unroll=70,
        embedding=400,
        hidden=1150,
        layers=3,
        tied=True,
        dropout=0.4,
        variational=True,
        embedding_dropout=0.1,
        weight_drop=0.5,
        optimiser="sgd",
        learning_rate=30.0,
        warmup=0,
        decay=1.0,
        clip=0.25,
        average_after=5,
        validate_every=664,
    ),
    # with --characters, a text of a million of them: 20 epochs
    ("text", "char-rnn"): Settings(
        steps=6260,
        batch=32,
        unroll=100,
        embedding=64,
        hidden=256,
        layers=2,
        dropout=0.25,
        learning_rate=3e-3,
        validate_every=313,
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

    def batch_at(step: int, share: Share = ALL) -> StreamBatch:
        return stream.training_batch(step, streams, unroll, config.seed, share)

    return training.job(run, stream, val, batch_at=batch_at)


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
        tied=s.tied,
        variational=s.variational,
        embedding_dropout=s.embedding_dropout,
        weight_drop=s.weight_drop,
        init_scale=s.init_scale,
    )
    return LanguageModel(widths, config.seed)


def evaluate(
    run: Run, split: str = "val", n: int | None = None, show_progress: bool = False, neural_cache: str | None = None
) -> dict[str, float]:
    """``loss`` and ``perplexity`` per word of the text as one stream; and per sentence, each read from nothing.

    Beside it, on Scenes, the true entropy of the generator; else the unigram's. Of sentences that the model makes up it is said
    how many of their 4-grams stood in them before, and how many stand in the training text. ``neural_cache`` is
    ``N[,THETA,LAMBDA]``: figures of a stream that is read with such a cache are added.
    """
    training.check_n(n)
    cache = None if neural_cache is None else NeuralCache(run.model, parse_cache(neural_cache))
    text = sentences(run.config, split)[0][:n]
    stream = run.encode(text)
    loss = stream.mean_loss(run.model)
    figures = {"loss": loss, "perplexity": metrics.perplexity(loss), "words": len(stream.ids)}
    figures["perplexity_per_sentence"] = metrics.perplexity(_loss_per_sentence(run, text))
    if cache is not None:
        figures["perplexity_with_cache"] = metrics.perplexity(stream.mean_loss(run.model, reader=cache))
    if run.config.data != "scenes":
        figures["unknown_share"] = unknown_share([stream.ids])  # <unk> is foreseen like a word, and more easily
    train = sentences(run.config, "train")[0]
    figures |= _made_up(run, train)
    ids = run.encode(train).ids
    figures["unigram_perplexity"] = unigram_perplexity(ids, stream.ids, len(run.vocabulary))
    if run.config.data == "scenes" and split != "compositional":
        entropy = caption_entropy(run.config.settings.world).nats_per_word
        figures |= {"entropy": entropy, "perplexity_of_the_truth": metrics.perplexity(entropy)}
        figures["above_entropy"] = loss / entropy - 1
    return figures


def _loss_per_sentence(run: Run, text: Sentences, size: int = 100) -> float:
    """Loss per word, end symbols included, of sentences that are each read from nothing, after an end symbol."""
    (end,) = run.vocabulary.encode([_separator(run.config)])
    sequences = sorted(([end, *run.vocabulary.encode(words), end] for words in text), key=len)
    total, count = 0.0, 0
    for at in range(0, len(sequences), size):
        tokens, lengths = pad(sequences[at : at + size])  # (T + 1, N), (N,)
        losses, _, _ = run.model.losses(tokens, run.model.zero_state(len(lengths)))
        counts = np.arange(len(tokens) - 1)[:, None] < lengths - 1
        total += float(np.where(counts, to_host(losses), 0).sum(dtype=np.float64))
        count += int(counts.sum())
    return total / count


def _made_up(run: Run, train: Sentences) -> dict[str, float]:
    """``repeated_4grams`` and ``seen_4grams`` of texts that the model makes up, words between spaces."""
    between = "" if run.config.characters else " "
    prompt = np.repeat(_read_before(run)[:, None], _MADE_UP, axis=1)
    drawn = decode.sample(run.model, _MADE_UP, seed=0, prompt=prompt, max_length=_longest(run.config))
    made = [between.join(run.vocabulary.decode(text.tokens)).split() for text in drawn]
    known = {gram for words in train for gram in metrics.ngrams(between.join(words).split())}
    return {"repeated_4grams": metrics.repeated_share(made), "seen_4grams": metrics.seen_share(made, known)}


def _longest(config: Config) -> int:
    """Words, or characters, at which a text is cut off."""
    return 400 if config.characters else 40


def _read_before(run: Run) -> np.ndarray:
    """In the one stream of training a sentence never began from nothing: the model reads a little before it writes."""
    return np.array(run.vocabulary.encode(run.fitted.opening), np.int64)


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
    options.setdefault("max_length", _longest(run.config))
    before = np.concatenate([_read_before(run), np.array(prompt, np.int64)])
    tokens = decode.stream(run.model, 1, prompt=before[:, None], **options)
    drawn = itertools.chain([next(tokens)], tokens)  # an option that is out of range shows before anything is said
    yield between.join(run.vocabulary.words[token] for token in prompt)
    first = not prompt
    for token in drawn:
        if token == END:
            return
        yield run.vocabulary.words[token] if first else between + run.vocabulary.words[token]
        first = False
