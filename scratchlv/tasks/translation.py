"""Sequence to sequence: translation and summarization, on Scenes, on parallel files, or on the rows of one file.

Both are one system; they differ in the data, and in that a summary shares one vocabulary, and one embedding, with its source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv import metrics
from scratchlv.data import bpe as byte_pairs
from scratchlv.data import scenes as scenes_world
from scratchlv.data.bpe import BytePairs
from scratchlv.data.formats import notes_of_text
from scratchlv.data.pairs import PairSet
from scratchlv.data.parallel import Cut, Pair, Pairs, csv_pairs, jsonl_pairs, multi30k, parallel, tsv_pairs
from scratchlv.data.text import detokenize, spaced_characters, spaced_words, tokenize
from scratchlv.data.vocabulary import Vocabulary, pad, unknown_share
from scratchlv.decode import Generated, beam_search, greedy
from scratchlv.errors import UserError
from scratchlv.models.translator import Translator, TranslatorConfig
from scratchlv.parallel.team import team
from scratchlv.tasks import CELLS, records, training
from scratchlv.tasks.training import Job, Say
from scratchlv.training.progress import Progress

_MOST_SAID = 60  # words, at which a text that was not ended is cut off
_PIECES = 2  # of a word, at the most, on average
_LETTERS = 5  # of a word, about: by character texts are so many times as long


@dataclass(frozen=True, kw_only=True)
class Settings(records.WordSettings):
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    layers: int = 1  # of the encoder
    cell: str = CELLS[0]  # of encoder and decoder
    min_count: int = 1  # words that are rarer become <unk>
    most_words: int = 200  # (or characters) of a source or a target: longer ones are cut off
    grammar: str = "definite"  # of the captions of Scenes

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell not in CELLS:
            raise UserError(f"cell={self.cell}: there are {', '.join(CELLS)}")
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
    },
    "summarize": {
        ("scenes", "quick"): Settings(steps=2500, batch=64, learning_rate=3e-3),
        **{(kind, "quick"): _SUMMARIZE for kind in _READERS if kind != "multi30k"},
    },
}


@dataclass(frozen=True, kw_only=True)
class Config(records.Config):
    settings: Settings
    characters: bool = False  # both sides are read, and said, character by character
    bpe: int | None = None  # merges of byte-pair encoding, by which words become pieces

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
) -> Config:
    """The config of a new run. By ``characters``, or in pieces, most_words is larger if it is not among the ``overrides``.

    Raises:
        UserError: an argument is wrong.
    """
    more = {"characters": characters, "bpe": bpe}
    asked = records.ask(Config, PRESETS[task], task, data, model, preset, seed, overrides, **more)
    kind = asked.argument.kind
    idle = {} if model == "additive" else {"attention": f"--model {model}"}
    if (task, kind) != ("translate", "scenes"):
        idle["grammar"] = f"train {task} --data {kind}"
    if bpe is not None:
        idle["min_count"] = "--bpe, which keeps all its pieces"
    records.refuse_idle(asked, overrides, idle)
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
        sources = [self.source_vocabulary.encode(self.units(source)[:most]) for source, _ in pairs]
        words = [target for _, target in pairs]
        targets = [self.vocabulary.encode(self.units(target)[:most]) for target in words]
        return PairSet(sources, targets, self.source_vocabulary, self.vocabulary, words)

    def translate(self, sources: list[list[int]], beam: int = 1, size: int = 100) -> list[Generated]:
        """Translations of encoded sources, by beam search; greedily when ``beam`` is 1."""
        most = self._most_said
        order = np.argsort([len(source) for source in sources], kind="stable")
        found: list[tuple[list[int], list[Generated]]] = []
        for at in team().mine(range(0, len(order), size)):
            rows = order[at : at + size]
            batch = pad([sources[k] for k in rows])
            said = (
                greedy(self.model, batch, max_length=most)
                if beam == 1
                else beam_search(self.model, batch, beam=beam, max_length=most)
            )
            found.append((rows.tolist(), said))
        by_row = {
            k: generated for rows, said in team().in_order(found) for k, generated in zip(rows, said, strict=True)
        }
        return [by_row[k] for k in range(len(sources))]

    @property
    def _most_said(self) -> int:
        if self.config.characters:
            return self.config.settings.most_words
        return _MOST_SAID if self.byte_pairs is None else _PIECES * _MOST_SAID

    def words(self, generated: Generated) -> list[str]:
        """What was said; pieces are put together."""
        units = self.vocabulary.decode(generated.tokens)
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
        attention=s.attention,
        layers=s.layers,
        cell=s.cell,
        dropout=s.dropout,
        label_smoothing=s.label_smoothing,
        own_words=s.own_words,
    )
    return Translator(widths, config.seed)


def evaluate(
    run: Run, split: str = "val", n: int | None = None, show_progress: bool = False, beam: int = 1
) -> dict[str, float]:
    """Figures by name: ``loss``, ``perplexity``, ``exact_match``, and ``bleu`` of translations or ``rouge_l`` of summaries.

    ``rouge_l_lead`` is that of the first words of the source, as many as summaries have on average; ``unknown_share`` that of
    the target's words that the run cannot say. Of a run by character, BLEU and ROUGE-L are of characters, and named so.
    """
    training.check_n(n)
    found = pairs(run.config)
    splits = {"train": found.train, "val": found.val} | ({"test": found.test} if found.test else {})
    training.check_split(split, splits)
    chosen = splits[split][:n]
    data = run.encode(chosen)
    loss = data.mean_loss(run.model, most=len(chosen))
    with Progress(len(chosen), "sentence", show_progress) as progress:
        said = [run.words(g) for g in run.translate(data.sources, beam)]
        progress.update(len(chosen))
    figures = {"loss": loss, "perplexity": metrics.perplexity(loss)}
    figures["exact_match"] = metrics.exact_match(said, data.words)
    of = "_of_characters" if run.config.characters else ""
    if run.summarizes:
        length = round(float(np.mean([len(words) for words in data.words])))
        lead = [source[:length] for source, _ in chosen]
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
    unknown: list[str]  # words of the source that the run has never seen
    text: str  # the words, set as one writes them
    cut: int  # of these at the end of the source that were left away, for it was too long

    def __str__(self) -> str:
        return self.text


def translate_text(run: Run, text: str, beam: int = 1) -> Translated:
    """A text's translation, or its summary.

    Raises:
        UserError: there is no word in the text.
    """
    words = run.config.cut(text)  # as the run's data was
    if not words:
        raise UserError("the text is empty: give at least one word")
    units = run.units(words)
    source = units[: run.config.settings.most_words]
    (generated,) = run.translate([run.source_vocabulary.encode(source)], beam)
    unknown = sorted({word for word in words if any(unit not in run.source_vocabulary for unit in run.units([word]))})
    said = run.vocabulary.decode(generated.tokens)
    alphas = None if generated.alphas is None else generated.alphas[: len(said), : len(source)]
    text = _typeset(run, run.words(generated))
    return Translated(source, said, alphas, unknown, text, len(units) - len(source))


def alignment_of(t: Translated) -> Any:
    """The picture of which source words the decoder looked at.

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
    return alignment_picture(t.source, t.words, t.alphas)


def _typeset(run: Run, words: list[str]) -> str:
    if run.config.characters:
        return "".join(words)
    if run.config.argument.kind == "scenes":
        return " ".join(words) if run.summarizes else scenes_world.typeset(words)
    return " ".join(words) if run.config.argument.kind == "parallel" else detokenize(words)
