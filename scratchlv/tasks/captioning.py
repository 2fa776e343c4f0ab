"""Image captioning: train, evaluate and use a captioner on Scenes or on photographs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv import metrics
from scratchlv.arrays import Array
from scratchlv.data import scenes as scenes_world
from scratchlv.data.captions import CaptionSet
from scratchlv.data.drawn import draw_scenes
from scratchlv.data.flickr8k import Flickr8k
from scratchlv.data.text import bare_words
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.decode import Generated, beam_search, greedy
from scratchlv.errors import UserError
from scratchlv.models.captioner import Captioner, CaptionerConfig
from scratchlv.tasks import records, training
from scratchlv.tasks.pictures import photograph_features, pictures_of
from scratchlv.tasks.training import Job, Say
from scratchlv.tokens import END, SPECIALS


@dataclass(frozen=True, kw_only=True)
class Settings(records.Settings):
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    grammar: str = "places"  # of the captions of Scenes
    min_count: int = 5  # of photographs' captions: words that are rarer become <unk>

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grammar not in scenes_world.GRAMMARS:
            raise UserError(f"grammar={self.grammar}: there are {', '.join(scenes_world.GRAMMARS)}")


PRESETS = {
    ("scenes", "quick"): Settings(steps=1700, batch=32, learning_rate=4e-3),
    ("scenes", "full"): Settings(
        steps=10_000,
        batch=64,
        learning_rate=3e-3,
        n_train=150_000,
        most_objects=8,
        grammar="relations",
        hidden=256,
        validate_every=1000,
    ),
    ("flickr8k", "quick"): Settings(
        steps=1500,
        batch=64,
        learning_rate=2e-3,
        embedding=128,
        hidden=256,
        attention=256,
        dropout=0.4,
        validate_every=250,
    ),
    ("flickr8k", "full"): Settings(
        steps=6000,
        batch=64,
        learning_rate=1e-3,
        embedding=256,
        hidden=512,
        attention=512,
        dropout=0.5,
        validate_every=500,
    ),
}


# --- data --------------------------------------------------------------------------------------------------------


def scenes_set(seed: int, split: str, n: int, settings: Settings) -> CaptionSet:
    """``n`` scenes of a split, each with a caption."""
    vocabulary = Vocabulary(scenes_world.vocabulary_words())
    scenes, pictures = draw_scenes(seed, split, n, settings.world)
    captions = [vocabulary.encode(scenes_world.caption(s, settings.grammar).words) for s in scenes]
    names = [f"scene {s.seed}/{s.index}" for s in scenes]
    return CaptionSet(pictures, captions, np.arange(n), vocabulary, names, scenes)


def photographs_set(
    folder: Path,
    split: str,
    vocabulary: Vocabulary | None,
    settings: Settings,
    show_progress: bool,
    skip_missing: bool = False,
) -> CaptionSet:
    """The photographs of a split as features of EfficientNet-Lite0; the vocabulary is made when not given."""
    items = Flickr8k(folder).split(split, skip_missing=skip_missing)
    words = [[bare_words(c) for c in captions] for _, captions in items]
    if vocabulary is None:
        vocabulary = Vocabulary.from_counts((w for captions in words for w in captions), settings.min_count)
    features = photograph_features([path for path, _ in items], show_progress)
    captions = [vocabulary.encode(w) for several in words for w in several]
    picture_of = np.repeat(np.arange(len(items)), [len(several) for several in words])
    return CaptionSet(features, captions, picture_of, vocabulary, [str(path) for path, _ in items])


# --- a run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Config(records.Config):
    settings: Settings
    encoder: str = "conv"  # what looks at the picture
    blind: bool = False  # it is shown another image's picture
    skip_missing: bool = False  # of photographs, it goes on without those that are not there


@dataclass(frozen=True, kw_only=True)
class Fitted(records.Fitted):
    feature_channels: int | None  # None: it has a conv extractor of its own


def config(
    task: str,
    data: str,
    model: str,
    preset: str,
    seed: int,
    overrides: list[str],
    *,
    encoder: str | None = None,
    blind: bool = False,
    skip_missing: bool = False,
) -> Config:
    """The config of a new run.

    Raises:
        UserError: an argument is wrong.
    """
    asked = records.ask(
        Config, PRESETS, task, data, model, preset, seed, overrides, blind=blind, skip_missing=skip_missing
    )
    kind = asked.argument.kind
    fits = "conv" if kind == "scenes" else "efficientnet-lite0"
    if encoder not in (None, fits):
        raise UserError(f"--encoder {encoder} does not go with --data {kind}; use --encoder {fits}")
    if skip_missing and kind == "scenes":
        raise UserError("--skip-missing goes with photographs; scenes are never missing")
    training.check_pictures(model, asked.settings)
    return replace(asked, encoder=fits)


class Run(training.Run[Config, Fitted]):
    """A captioner and its words."""

    def dataset(self, split: str, n: int | None = None, show_progress: bool = False) -> CaptionSet:
        """Pictures of a split of the data that the run was trained on; another image's for a blind run."""
        training.check_n(n)
        found = dataset(self.config, self.vocabulary, split, n, show_progress)
        return found.blind() if self.config.blind else found

    def caption(self, pictures: Array, beam: int = 1, size: int = 100) -> list[Generated]:
        """Captions of pictures, bytes or features, by beam search; greedily when ``beam`` is 1."""
        found: list[Generated] = []
        for at in range(0, len(pictures), size):
            batch = np.asarray(pictures[at : at + size])
            found += greedy(self.model, batch) if beam == 1 else beam_search(self.model, batch, beam=beam)
        return found

    def words(self, generated: Generated) -> list[str]:
        return self.vocabulary.decode(generated.tokens)


def dataset(
    config: Config, vocabulary: Vocabulary | None, split: str, n: int | None = None, show_progress: bool = False
) -> CaptionSet:
    """``n`` scenes of a split (default: as the settings say), or all its photographs."""
    argument, settings = config.argument, config.settings
    if argument.kind == "scenes":
        training.check_split(split, scenes_world.SPLITS)
        n = n or (settings.n_train if split == "train" else settings.n_val)
        return scenes_set(config.seed, split, n, settings)
    folder = Path(argument.arguments[0])
    return photographs_set(folder, split, vocabulary, settings, show_progress, config.skip_missing)


def prepare(config: Config, fitted: Fitted | None, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config."""
    if config.argument.kind == "scenes":
        say(f"drawing {config.settings.n_train} scenes")
    if config.skip_missing:
        photographs = Flickr8k(config.argument.arguments[0])
        n = sum(len(photographs.missing(split)) for split in ("train", "val"))
        say(f"{n:,} photographs are missing, and left out")
    vocabulary = None if fitted is None else fitted.vocabulary
    train_set = dataset(config, vocabulary, "train", show_progress=show_progress)
    run: Run = training.new(config, fitted or _fit(train_set))
    if config.blind:
        train_set = train_set.blind()
    return training.job(run, train_set, run.dataset("val", show_progress=show_progress))


def _fit(train_set: CaptionSet) -> Fitted:
    pictures = train_set.pictures
    channels = None if pictures.dtype == np.uint8 else int(pictures.shape[-1])
    return Fitted(vocabulary=train_set.vocabulary, feature_channels=channels)


def build(config: Config, fitted: Fitted) -> Captioner:
    """The model, with fresh parameters."""
    s = config.settings
    widths = CaptionerConfig(
        vocabulary=len(fitted.vocabulary),
        embedding=s.embedding,
        hidden=s.hidden,
        attention=s.attention,
        feature_channels=fitted.feature_channels,
        dropout=s.dropout,
        model=config.model,
    )
    return Captioner(widths, config.seed)


# --- how good is it? ---------------------------------------------------------------------------------------------


def evaluate(
    run: Run, split: str = "val", n: int | None = None, show_progress: bool = False, beam: int = 1
) -> dict[str, float]:
    """``loss`` per word and ``perplexity``; on Scenes, how many captions are true and where the attention is; else ``bleu``."""
    data = run.dataset(split, n, show_progress)
    loss = data.mean_loss(run.model, most=len(data.captions))
    figures = {"loss": loss, "perplexity": metrics.perplexity(loss)}
    if data.scenes is not None:
        return figures | truth(run, data, beam)
    said = [run.words(g) for g in run.caption(data.pictures[np.unique(data.picture_of)], beam)]
    references: list[list[list[str]]] = [[] for _ in said]
    for picture, caption in zip(data.picture_of, data.captions, strict=True):
        references[picture].append(data.vocabulary.decode(caption))
    return figures | {"bleu": metrics.bleu(said, references).score, "n": len(said)}


def truth(run: Run, data: CaptionSet, beam: int = 1) -> dict[str, float]:
    """Share of true captions, and how often the attention pointed at what was named; ``chance`` is a random cell's."""
    assert data.scenes is not None
    verdicts, hits, chances = [], [], []
    points = run.config.model == "attention"  # uniform attention points nowhere
    captions = run.caption(data.pictures[data.picture_of], beam)
    for g, scene in zip(captions, data.scenes, strict=True):
        words = run.words(g)
        verdict = scenes_world.judge(words, scene)
        verdicts.append(verdict)
        if verdict.true and points:
            hits.append(metrics.pointing(scene, words, g.alphas, grid(g)))
            chances.append(metrics.pointing_chance(scene, words, grid(g)))
    figures: dict[str, float] = {"true_share": metrics.true_share(verdicts)}
    if points:
        figures["pointing_accuracy"] = metrics.pointing_accuracy(hits) if hits else 0.0
        figures["pointing_chance"] = float(np.mean(chances)) if chances else 0.0
    return figures | {"n": len(verdicts)}


def grid(generated: Generated) -> tuple[int, int]:
    """Rows and columns of the regions."""
    side = int(generated.alphas.shape[1] ** 0.5)
    return side, side


# --- captions of any picture -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Captioned:
    """A picture with its caption, word by word."""

    path: str
    image: Array  # (H, W, 3) uint8
    words: list[str]  # as said, <end> included
    probabilities: list[float]
    alphas: Array | None  # (T, rows, columns); None when the model does not look

    def __str__(self) -> str:
        said = [f"{w}({p:.2f})" for w, p in zip(self.words, self.probabilities, strict=True)]
        return " ".join(said)[:1].upper() + " ".join(said)[1:]


def caption_images(run: Run, paths: list[Path], beam: int = 1) -> list[Captioned]:
    """Caption pictures in any format that Pillow opens.

    Raises:
        UserError: a file is missing, damaged, no picture or too large.
    """
    from scratchlv.vision.images import load_image

    images = [load_image(path) for path in paths]  # every file is looked at before the work begins
    generated = run.caption(pictures_of(paths, run.model.config.feature_channels), beam)
    return [captioned(run, str(p), image, g) for p, image, g in zip(paths, images, generated, strict=True)]


def captioned(run: Run, path: str, image: Array, g: Generated) -> Captioned:
    words = run.words(g) + ([SPECIALS[END]] if g.finished else [])
    alphas = None if g.alphas is None else g.alphas.reshape(-1, *grid(g))
    return Captioned(path, image, words, [float(p) for p in g.probabilities], alphas)


def attention_picture(c: Captioned) -> Any:
    """Where the model looked at each word.

    Raises:
        UserError: it does not look.
    """
    from scratchlv.show.attention import attention_sheet

    if c.alphas is None:
        raise UserError("this captioner has no attention to draw; train one with --model attention")
    return attention_sheet(c.image, c.words, c.probabilities, c.alphas)
