"""Sequence to sequence: translation and summarization, on Scenes, on parallel files, or on the rows of one file.

Both are one system; they differ in the data, and in that a summary shares one vocabulary, and one embedding, with its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv import metrics
from scratchlv.data import bpe as byte_pairs
from scratchlv.data import scenes as scenes_world
from scratchlv.data.bpe import BytePairs
from scratchlv.data.formats import notes_of_text
from scratchlv.data.pairs import PairSet
from scratchlv.data.parallel import Cut, Pair, Pairs, csv_pairs, jsonl_pairs, multi30k, parallel, tsv_pairs
from scratchlv.data.text import detokenize, spaced_characters, spaced_words, tokenize
from scratchlv.data.vocabulary import Vocabulary, unknown_share
from scratchlv.decode import Generated, beam_search, greedy
from scratchlv.device import to_host
from scratchlv.errors import UserError
from scratchlv.models.context import QUERIES
from scratchlv.models.translator import Translator, TranslatorConfig
from scratchlv.parallel.team import team
from scratchlv.tasks import CELLS, records, training
from scratchlv.tasks import results as results_
from scratchlv.tasks.training import Job, Say
from scratchlv.tokens import UNK
from scratchlv.training.progress import Progress

_MOST_SAID = 60  # words, at which a text that was not ended is cut off
_PIECES = 2  # of a word, at the most, on average
_AT_ONCE = 500  # lines that are translated before the first of them is printed
_LETTERS = 5  # of a word, about: by character texts are so many times as long


@dataclass(frozen=True, kw_only=True)
class Settings(records.WordSettings):
    embedding: int = 64
    hidden: int = 128
    decoder_hidden: int = 0  # the width of the decoder's state; 0: the encoder's, hidden
    attention: int = 128
    layers: int = 1  # of the encoder
    cell: str = CELLS[0]  # of encoder and decoder
    input_dropout: float = 0.0  # of the words that are read, on both sides
    tied: bool = False  # the output's weights are the embedding's
    query: str = QUERIES[0]  # of attention; "current" is input feeding
    coverage: float = 0.0  # the weight of the coverage loss, of a run that copies
    min_count: int = 1  # words that are rarer become <unk>
    most_words: int = 200  # (or characters) of a source or a target: longer ones are cut off
    grammar: str = "definite"  # of the captions of Scenes

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell not in CELLS:
            raise UserError(f"cell={self.cell}: there are {', '.join(CELLS)}")
        if self.query not in QUERIES:
            raise UserError(f"query={self.query}: there are {', '.join(QUERIES)}")
        if self.grammar not in scenes_world.TRANSLATION_GRAMMARS:
            raise UserError(f"grammar={self.grammar}: there are {', '.join(scenes_world.TRANSLATION_GRAMMARS)}")


_TRANSLATE = Settings(
    steps=4500,
    batch=64,
    learning_rate=2e-3,
    embedding=256,
    hidden=256,
    attention=256,
    dropout=0.3,
    min_count=2,
    most_words=60,
    validate_every=450,
)
_SUMMARIZE = Settings(
    steps=1200,
    batch=32,
    learning_rate=2e-3,
    embedding=128,
    hidden=192,
    attention=192,
    dropout=0.4,
    min_count=2,
    most_words=80,
    validate_every=120,
)
# Multi30k (29,000 pairs), with --bpe 8000: seven epochs
_MULTI30K = replace(
    _TRANSLATE,
    steps=6000,
    dropout=0.4,
    input_dropout=0.2,
    label_smoothing=0.1,
    tied=True,
    query="current",
    validate_every=400,
)
# a few thousand articles and their headlines, with --copy: rare words are better copied than learned
_NEWS = replace(
    _SUMMARIZE,
    steps=1600,
    input_dropout=0.3,
    tied=True,
    query="current",
    min_count=5,
    validate_every=100,
)
#: the readers of pairs of texts, by kind of data
_READERS: dict[str, Callable[..., Pairs]] = {
    "parallel": parallel,
    "multi30k": multi30k,
    "csv": csv_pairs,
    "tsv": tsv_pairs,
    "jsonl": jsonl_pairs,
}
#: by task, then by kind of data
PRESETS = {
    "translate": {
        # without dropout the encoder remembers so well that the decoder may look anywhere
        ("scenes", "quick"): Settings(steps=1500, batch=64, learning_rate=4e-3, dropout=0.3),
        **{(kind, "quick"): _TRANSLATE for kind in _READERS},
        **{(kind, "multi30k"): _MULTI30K for kind in ("parallel", "multi30k")},
    },
    "summarize": {
        ("scenes", "quick"): Settings(steps=2500, batch=64, learning_rate=3e-3),
        **{(kind, "quick"): _SUMMARIZE for kind in _READERS if kind != "multi30k"},
        **{(kind, "news"): _NEWS for kind in ("csv", "tsv", "jsonl")},
    },
}


@dataclass(frozen=True, kw_only=True)
class Config(records.Config):
    settings: Settings
    characters: bool = False  # both sides are read, and said, character by character
    bpe: int | None = None  # merges of byte-pair encoding, by which words become pieces
    copy: bool = False  # words may be copied from the source (a pointer-generator)

    @property
    def units(self) -> str:
        """What a vocabulary holds."""
        return "characters" if self.characters else "words" if self.bpe is None else "pieces"

    @property
    def cut(self) -> Cut:
        """How texts become words."""
        if self.characters:
            return spaced_characters
        return spaced_words if self.argument.kind == "parallel" else tokenize


@dataclass(frozen=True, kw_only=True)
class Fitted(records.Fitted):
    source_vocabulary: Vocabulary | None  # None: one vocabulary for both sides
    merges: tuple[str, ...] = ()  # of byte-pair encoding, learned from both sides: "lo@@ w@@"


def config(
    task: str,
    data: str,
    model: str,
    preset: str,
    seed: int,
    overrides: list[str],
    *,
    characters: bool = False,
    bpe: int | None = None,
    copy: bool = False,
) -> Config:
    """The config of a new run. By ``characters``, or in pieces, most_words is larger if it is not among the ``overrides``.

    Raises:
        UserError: an argument is wrong.
    """
    more = {"characters": characters, "bpe": bpe, "copy": copy}
    asked = records.ask(Config, PRESETS[task], task, data, model, preset, seed, overrides, **more)
    kind = asked.argument.kind
    idle = {} if model == "additive" else {"attention": f"--model {model}"}
    if model == "naive":
        idle["query"] = "--model naive, which does not look"
    if (task, kind) != ("translate", "scenes"):
        idle["grammar"] = f"train {task} --data {kind}"
    if bpe is not None:
        idle["min_count"] = "--bpe, which keeps all its pieces"
    if not copy:
        idle["coverage"] = "a decoder that does not copy (--copy)"
    records.refuse_idle(asked, overrides, idle)
    if copy:
        _check_copying(asked)
    if asked.units == "words":
        return asked
    if bpe is not None and bpe < 1:
        raise UserError(f"--bpe {bpe}: give the number of merges, 1 or more")
    if bpe is not None and characters:
        raise UserError("--bpe and --characters are two ways to cut words; give one of them")
    if kind == "scenes":
        option = "--characters" if characters else "--bpe"
        raise UserError(f"{option} goes with texts of your own; all words of scenes are known")
    longer = _LETTERS if characters else _PIECES
    most = longer * PRESETS[task][kind, preset].most_words
    return replace(asked, settings=records.override(replace(asked.settings, most_words=most), overrides))


def _check_copying(config: Config) -> None:
    """
    Raises:
        UserError: the decoder cannot copy.
    """
    if config.model == "naive":
        raise UserError("--copy: what is copied is what attention looks at; give --model additive or --model dot")
    if config.settings.cell != CELLS[0]:
        raise UserError(f"--copy goes with cell={CELLS[0]}, not with cell={config.settings.cell}")
    if config.settings.label_smoothing:
        raise UserError("--copy smooths no labels, for a word may be copied with certainty; leave label_smoothing out")


@dataclass(frozen=True)
class Decoding:
    """How translations are looked for."""

    beam: int = 1  # its width; 1 is greedy
    max_ratio: float | None = None  # words of a target to each of its source, at the most
    replace_unknown: bool = False  # <unk> may be said, and the word of the source that was looked at most stands for it

    def check(self, run: Run) -> None:
        """
        Raises:
            UserError: a value is out of range, or not for this run.
        """
        if self.max_ratio is not None and not 0 < self.max_ratio < math.inf:
            raise UserError(
                f"--max-ratio {self.max_ratio:g}: give a number above 0, as 1.5 for half as many words again"
            )
        if not self.replace_unknown:
            return
        problem = None
        if run.config.model == "naive":
            problem = "it has no attention that says which word of the source to put there"
        elif run.config.copy:
            problem = "it copies by itself (--copy)"
        elif run.config.units != "words":
            problem = f"it says {run.config.units}, of which it knows all"
        if problem:
            raise UserError(f"--replace-unknown does nothing for this run: {problem}; leave it out")


class Run(training.Run[Config, Fitted]):
    """A translator (or summarizer) and the words of both sides."""

    @property
    def source_vocabulary(self) -> Vocabulary:
        own = self.fitted.source_vocabulary
        return self.vocabulary if own is None else own

    @property
    def summarizes(self) -> bool:
        return self.config.task == "summarize"

    @cached_property
    def byte_pairs(self) -> BytePairs | None:
        """How words become pieces; None where they stay whole."""
        return _byte_pairs(self.fitted.merges)

    def units(self, words: list[str]) -> list[str]:
        """The words as the vocabularies have them: whole, or in pieces."""
        return words if self.byte_pairs is None else self.byte_pairs.split(words)

    def encode(self, pairs: Iterable[Pair]) -> PairSet:
        pairs, most = list(pairs), self.config.settings.most_words
        sources, targets = ([self.units(pair[side])[:most] for pair in pairs] for side in (0, 1))
        data = PairSet(
            [self.source_vocabulary.encode(source) for source in sources],
            [self.vocabulary.encode(target) for target in targets],
            self.source_vocabulary,
            self.vocabulary,
            [target for _, target in pairs],
        )
        if not self.config.copy:
            return data
        lacking = [self.vocabulary.lacking(source) for source in sources]

        def extended(texts: list[list[str]]) -> list[list[int]]:
            return [self.vocabulary.encode(text, more) for text, more in zip(texts, lacking, strict=True)]

        return replace(data, targets=extended(targets), copied_from=extended(sources))

    def translate(self, data: PairSet, how: Decoding, size: int = 100) -> list[Generated]:
        """Translations of the sources."""
        found: list[tuple[list[int], list[Generated]]] = []
        for rows in team().mine(data.by_length(size)):
            batch = data.batch(rows)
            source: tuple = (batch.source, batch.source_lengths)
            if batch.copied_from is not None:
                source += (batch.copied_from,)
            options: dict[str, Any] = {"max_length": self._most_said, "say_unknown": how.replace_unknown}
            if how.max_ratio is not None:
                longest = np.ceil(how.max_ratio * batch.source_lengths)
                options["max_length"] = np.minimum(longest, self._most_said).astype(np.int64)
            said = (
                greedy(self.model, source, **options)
                if how.beam == 1
                else beam_search(self.model, source, beam=how.beam, **options)
            )
            found.append((rows.tolist(), said))
        by_row = {
            k: generated for rows, said in team().in_order(found) for k, generated in zip(rows, said, strict=True)
        }
        return [by_row[k] for k in range(len(data.sources))]

    @property
    def _most_said(self) -> int:
        if self.config.characters:
            return self.config.settings.most_words
        return _MOST_SAID if self.byte_pairs is None else _PIECES * _MOST_SAID

    def units_said(self, generated: Generated, source: Sequence[str]) -> list[str]:
        """What was said of a source, cut as the run cuts it; for ``<unk>``, its word that was looked at most."""
        source = source[: self.config.settings.most_words]
        units = self.vocabulary.decode(generated.tokens, self.vocabulary.lacking(source) if self.config.copy else ())
        for t, token in enumerate(generated.tokens):
            if token == UNK:
                units[t] = source[int(generated.alphas[t, : len(source)].argmax())]
        return units

    def joined(self, units: list[str]) -> list[str]:
        """Words; pieces are put together."""
        return units if self.byte_pairs is None else self.byte_pairs.join(units)


def _byte_pairs(merges: Sequence[str]) -> BytePairs | None:
    """
    Raises:
        UserError: a merge of a run is damaged.
    """
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else () for merge in merges]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError(
            "the merges of byte-pair encoding are damaged: each must be two pieces with a space between them"
        )
    return BytePairs(pairs) if pairs else None  # type: ignore[arg-type]


def pairs(config: Config, say: Say = lambda line: None) -> Pairs:
    """The pairs to train on, and those to validate on."""
    argument = config.argument
    if argument.kind == "scenes":
        return Pairs(list(_scene_pairs(config, "train")), list(_scene_pairs(config, "val")))
    found = _READERS[argument.kind](*argument.arguments, cut=config.cut)
    if argument.kind == "parallel":
        training.say_all(say, notes_of_text(*argument.arguments))
    training.say_markers(say, found.marked)
    if found.dropped:
        say(f"{found.dropped:,} pairs left out: one side of them, or both, is empty")
    if found.repeated:
        say(f"{found.repeated:,} training pairs left out: their source is also in the validation part")
    return found


def _scene_pairs(config: Config, split: str) -> Iterator[Pair]:
    settings = config.settings
    n = settings.n_train if split == "train" else settings.n_val
    for scene in scenes_world.first_scenes(config.seed, split, n, settings.world):
        if config.task == "summarize":
            yield list(scenes_world.description(scene)), list(scenes_world.headline(scene))
        else:
            english, french = scenes_world.translation(scene, settings.grammar)
            yield list(english), list(french)


def prepare(config: Config, fitted: Fitted | None, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config."""
    train, val = pairs(config, say)[:2]
    run: Run = training.new(config, fitted or _fit(config, train))
    most = config.settings.most_words
    longer = sum(max(len(run.units(side)) for side in pair) > most for pair in (*train, *val))
    if longer:
        say(f"{longer:,} pairs cut off: texts longer than most_words={most} {config.units} lose their ends")
    say(
        f"{len(train):,} pairs, {len(run.source_vocabulary):,} {config.units} of the source and {len(run.vocabulary):,} of the "
        f"target; {len(val):,} pairs to validate on"
    )
    val_set = run.encode(val)
    advice = "" if config.units != "words" or config.argument.kind == "scenes" else training.IN_PIECES
    for side, sequences in (("sources", val_set.sources), ("targets", val_set.targets)):
        training.say_unknown(say, f"the {side} to validate on", sequences, advice)
    return training.job(run, run.encode(train), val_set)


def _fit(config: Config, train: list[Pair]) -> Fitted:
    merges: tuple[str, ...] = ()
    least = config.settings.min_count
    if config.bpe is not None:
        learned = byte_pairs.learn((side for pair in train for side in pair), config.bpe)
        merges, least = tuple(" ".join(pair) for pair in learned.merges), 1
        train = [(learned.split(source), learned.split(target)) for source, target in train]
    sources, targets = ([pair[side] for pair in train] for side in (0, 1))
    if config.task == "summarize":
        both = Vocabulary.from_counts([*sources, *targets], least)
        return Fitted(vocabulary=both, source_vocabulary=None, merges=merges)
    of_sources, of_targets = (Vocabulary.from_counts(side, least) for side in (sources, targets))
    return Fitted(vocabulary=of_targets, source_vocabulary=of_sources, merges=merges)


def build(config: Config, fitted: Fitted) -> Translator:
    """The model, with fresh parameters."""
    s, source_vocabulary = config.settings, fitted.source_vocabulary
    widths = TranslatorConfig(
        vocabulary=len(fitted.vocabulary),
        source_vocabulary=None if source_vocabulary is None else len(source_vocabulary),
        model=config.model,
        embedding=s.embedding,
        hidden=s.hidden,
        decoder_hidden=s.decoder_hidden,
        attention=s.attention,
        layers=s.layers,
        cell=s.cell,
        dropout=s.dropout,
        input_dropout=s.input_dropout,
        tied=s.tied,
        query=s.query,
        label_smoothing=s.label_smoothing,
        own_words=s.own_words,
        copy=config.copy,
        coverage=s.coverage,
    )
    return Translator(widths, config.seed)


def evaluate(
    run: Run,
    split: str = "val",
    n: int | None = None,
    show_progress: bool = False,
    results: Path | None = None,
    **how: Any,
) -> dict[str, float]:
    """Figures by name: ``loss``, ``perplexity``, ``exact_match``, and ``bleu`` of translations or ``rouge_1``, ``rouge_2`` and
    ``rouge_l`` of summaries; ``how`` are the fields of :class:`Decoding`.

    ``rouge_l_lead`` is that of the first words of the source, as many as summaries have on average; ``unknown_share`` that of
    the target's words that the run cannot say. Of a run by character, BLEU and ROUGE-L are of characters, and named so.
    Into the file ``results`` goes what is said, a text each line.
    """
    training.check_n(n)
    decoding = Decoding(**how)
    decoding.check(run)
    found = pairs(run.config)
    splits = {"train": found.train, "val": found.val} | ({"test": found.test} if found.test else {})
    training.check_split(split, splits)
    chosen = splits[split][:n]
    data = run.encode(chosen)
    loss = data.mean_loss(run.model, most=len(chosen))
    with Progress(len(chosen), "sentence", show_progress) as progress:
        generated = run.translate(data, decoding)
        progress.update(len(chosen))
    units = [run.units_said(g, run.units(source)) for g, (source, _) in zip(generated, chosen, strict=True)]
    said = [run.joined(each) for each in units]
    if results is not None:
        results_.write_lines(results, (_typeset(run, words) for words in said))
    figures = {"loss": loss, "perplexity": metrics.perplexity(loss)}
    figures["exact_match"] = metrics.exact_match(said, data.words)
    of = "_of_characters" if run.config.characters else ""
    if run.summarizes:
        length = round(float(np.mean([len(words) for words in data.words])))
        lead = [source[:length] for source, _ in chosen]
        for n_gram in (1, 2):
            figures[f"rouge_{n_gram}{of}"] = metrics.rouge_n(said, data.words, n_gram).f1
            figures[f"rouge_{n_gram}{of}_lead"] = metrics.rouge_n(lead, data.words, n_gram).f1
        figures[f"rouge_l{of}"] = metrics.rouge_l(said, data.words).f1
        figures[f"rouge_l{of}_lead"] = metrics.rouge_l(lead, data.words).f1
    else:
        figures[f"bleu{of}"] = metrics.bleu(said, [[words] for words in data.words]).score
    if run.config.argument.kind != "scenes":
        figures["unknown_share"] = unknown_share(data.targets)
    return figures | {"n": len(chosen)}


@dataclass(frozen=True)
class Translated:
    """A text with its translation (or summary); ``alphas`` (T, S) is where the decoder looked, None if it cannot."""

    source: list[str]  # words, or what the run cuts them into
    words: list[str]
    alphas: np.ndarray | None
    copied: np.ndarray | None  # (T,): how much of each word's probability is that of copying it; None if it cannot
    unknown: list[str]  # words of the source that the run has never seen
    text: str  # the words, set as one writes them
    cut: int  # of these at the end of the source that were left away, for it was too long

    def __str__(self) -> str:
        return self.text


def translate_text(run: Run, text: str, decoding: Decoding | None = None) -> Translated:
    """A text's translation, or its summary.

    Raises:
        UserError: there is no word in the text.
    """
    decoding = decoding or Decoding()
    decoding.check(run)
    words = run.config.cut(text)  # as the run's data was
    if not words:
        raise UserError("the text is empty: give at least one word")
    units = run.units(words)
    source = units[: run.config.settings.most_words]
    (generated,) = run.translate(run.encode([(words, [])]), decoding)
    said = run.units_said(generated, source)
    alphas = None if generated.alphas is None else generated.alphas[: len(said), : len(source)]
    copied = None
    if run.config.copy:
        pair = run.encode([(words, [])])
        told = replace(pair, targets=[generated.tokens[: len(said)].tolist()])
        copied = to_host(run.model.copied(told.batch(np.zeros(1, np.int64))))[: len(said), 0]
    cut = len(units) - len(source)
    return Translated(source, said, alphas, copied, _unknown(run, words), _typeset(run, run.joined(said)), cut)


def _unknown(run: Run, words: list[str]) -> list[str]:
    """Those of them that the run has never seen."""
    return sorted({word for word in words if any(unit not in run.source_vocabulary for unit in run.units([word]))})


class Line(NamedTuple):
    """What was said of one of many texts."""

    text: str
    unknown: list[str]  # words of the source that the run has never seen
    cut: int  # words, or pieces, at its end that were left away


def translate_lines(run: Run, texts: Sequence[str], decoding: Decoding | None = None) -> Iterator[Line]:
    """Translations, or summaries, of many texts, in their order and a few hundred at a time; of a text without a word none."""
    decoding = decoding or Decoding()
    decoding.check(run)
    most = run.config.settings.most_words
    for first in range(0, len(texts), _AT_ONCE):
        some = [run.config.cut(text) for text in texts[first : first + _AT_ONCE]]
        with_words = [words for words in some if words]
        said = iter(run.translate(run.encode([(words, []) for words in with_words]), decoding))
        for words in some:
            if not words:
                yield Line("", [], 0)
                continue
            units = run.units(words)
            text = _typeset(run, run.joined(run.units_said(next(said), units)))
            yield Line(text, _unknown(run, words), max(0, len(units) - most))


def alignment_of(t: Translated) -> Any:
    """The picture of which source words the decoder looked at, and which it copied.

    Raises:
        UserError: it does not look, or it said nothing.
    """
    from scratchlv.show.alignment_picture import alignment_picture

    if t.alphas is None:
        raise UserError("this run has no attention to draw; train one with --model additive or --model dot")
    if not t.words:
        raise UserError(
            f"nothing was said of {' '.join(t.source)[:60]!r}, so there is no alignment to draw; leave --alignment out"
        )
    return alignment_picture(t.source, t.words, t.alphas, t.copied)


def _typeset(run: Run, words: list[str]) -> str:
    if run.config.characters:
        return "".join(words)
    if run.config.argument.kind == "scenes":
        return " ".join(words) if run.summarizes else scenes_world.typeset(words)
    return " ".join(words) if run.config.argument.kind == "parallel" else detokenize(words)
