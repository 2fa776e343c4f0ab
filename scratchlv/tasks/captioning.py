"""Image captioning: train, evaluate and use a captioner on Scenes or on photographs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv import __version__, metrics
from scratchlv.data import scenes as scenes_world
from scratchlv.data.captions import CaptionSet
from scratchlv.data.drawn import draw_scenes
from scratchlv.data.vocabulary import END, SPECIALS, Vocabulary
from scratchlv.decode import Generated, greedy
from scratchlv.errors import UserError
from scratchlv.models.captioner import Captioner, CaptionerShape
from scratchlv.tasks import run_folder
from scratchlv.trainer import Trainer, TrainSettings, load_model_tensors

Array = Any


@dataclass(frozen=True)
class Settings:
    """Everything that ``--set`` can change; a preset is a set of values."""

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100
    clip: float = 1.0
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    dropout: float = 0.0
    validate_every: int = 0  # steps
    # Scenes
    n_train: int = 20_000
    n_val: int = 500
    least_objects: int = 3
    most_objects: int = 4
    grammar: str = "places"
    # photographs
    min_count: int = 5  # words that are rarer become <unk>

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if name in ("learning_rate", "clip"):
                right, wanted = 0 < value < float("inf"), "above 0"
            elif name == "dropout":
                right, wanted = 0 <= value < 1, "0 or more and below 1"
            elif name in ("warmup", "validate_every"):
                right, wanted = value >= 0, "0 or more"
            else:
                right, wanted = isinstance(value, str) or value >= 1, "1 or more"
            if not right:
                raise UserError(f"{name}={value}: it must be {wanted}")


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


def data_kind(data: str) -> tuple[str, Path | None]:
    """``scenes`` or ``flickr8k:DIR``, taken apart."""
    kind, _, where = data.partition(":")
    if kind == "scenes" and not where:
        return kind, None
    if kind == "flickr8k" and where:
        return kind, Path(where)
    raise UserError(f"--data {data}: give 'scenes' or 'flickr8k:DIR'")


def world_of(settings: Settings) -> scenes_world.World:
    if settings.grammar not in scenes_world.GRAMMARS:
        raise UserError(f"grammar={settings.grammar}: there are {', '.join(scenes_world.GRAMMARS)}")
    try:
        return scenes_world.World((settings.least_objects, settings.most_objects))
    except ValueError as error:
        raise UserError(f"least_objects, most_objects: {error}") from None


def scenes_set(seed: int, split: str, n: int, settings: Settings) -> CaptionSet:
    """``n`` scenes of a split, each with a caption."""
    vocabulary = Vocabulary(scenes_world.vocabulary_words())
    scenes, pictures = draw_scenes(seed, split, n, world_of(settings))
    captions = [vocabulary.encode(scenes_world.caption(s, settings.grammar).words) for s in scenes]
    names = [f"scene {s.seed}/{s.index}" for s in scenes]
    return CaptionSet(pictures, captions, np.arange(n), vocabulary, names, scenes)


def photographs_set(
    folder: Path, split: str, vocabulary: Vocabulary | None, settings: Settings, show_progress: bool
) -> CaptionSet:
    """The photographs of a split as features of EfficientNet-Lite0; the vocabulary is made when not given."""
    from scratchlv.data.flickr8k import Flickr8k, tokenize

    items = Flickr8k(folder).split(split)
    words = [[tokenize(c) for c in captions] for _, captions in items]
    if vocabulary is None:
        vocabulary = Vocabulary.from_counts((w for captions in words for w in captions), settings.min_count)
    features = photograph_features([path for path, _ in items], show_progress)
    captions = [vocabulary.encode(w) for several in words for w in several]
    picture_of = np.repeat(np.arange(len(items)), [len(several) for several in words])
    return CaptionSet(features, captions, picture_of, vocabulary, [str(path) for path, _ in items])


def photograph_features(paths: list[Path], show_progress: bool) -> Array:
    """Region features (n, 7, 7, C), from the cache where they are in it."""
    from scratchlv.progress import Progress
    from scratchlv.vision.efficientnet_lite import EfficientNetLite0
    from scratchlv.vision.features import extract

    with Progress(len(paths), "photograph", show_progress) as progress:
        return extract(paths, EfficientNetLite0.load(), progress=lambda done, total: progress.update(done))


# --- a run -------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A captioner with all that is needed to use it."""

    config: dict[str, Any]
    settings: Settings
    vocabulary: Vocabulary
    model: Captioner

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def blind(self) -> bool:
        return self.config["blind"]

    def dataset(self, split: str, n: int | None = None, show_progress: bool = False) -> CaptionSet:
        """Pictures of a split of the data that the run was trained on; another image's for a blind run."""
        kind, folder = data_kind(self.config["data"])
        if kind == "scenes":
            if split not in scenes_world.SPLITS:
                raise UserError(f"--split {split}: Scenes has {', '.join(scenes_world.SPLITS)}")
            if n is not None and n < 1:
                raise UserError(f"--n {n}: give 1 or more")
            n = n or (self.settings.n_train if split == "train" else self.settings.n_val)
            found = scenes_set(self.seed, split, n, self.settings)
        else:
            assert folder is not None
            found = photographs_set(folder, split, self.vocabulary, self.settings, show_progress)
        return found.blind() if self.blind else found

    def caption(self, pictures: Array, size: int = 100) -> list[Generated]:
        """Captions of pictures, bytes or features, greedily."""
        return [
            g for at in range(0, len(pictures), size) for g in greedy(self.model, np.asarray(pictures[at : at + size]))
        ]

    def words(self, generated: Generated) -> list[str]:
        return self.vocabulary.decode(generated.tokens)

    def grid(self, generated: Generated) -> tuple[int, int]:
        """Rows and columns of the regions."""
        side = int(generated.alphas.shape[1] ** 0.5)
        return side, side


def train(
    folder: Path,
    *,
    data: str,
    preset: str,
    model: str = "attention",
    backbone: str | None = None,
    seed: int = 0,
    blind: bool = False,
    overrides: list[str] | None = None,
    resume: bool = False,
    overfit_one_batch: bool = False,
    show_progress: bool = True,
    say: Callable[[str], None] = print,
) -> Run:
    """Train a captioner into ``folder``, or take an interrupted run up again."""
    if resume:
        config = run_folder.read_config(folder, "caption")
    else:
        kind, _ = data_kind(data)
        backbone = backbone or ("conv" if kind == "scenes" else "efficientnet-lite0")
        if (backbone == "conv") != (kind == "scenes"):
            fits = "conv" if kind == "scenes" else "efficientnet-lite0"
            raise UserError(f"--backbone {backbone} does not go with --data {kind}; use --backbone {fits}")
        settings = run_folder.override(PRESETS[kind, preset], overrides or [])
        config = {
            "task": "caption",
            "scratchlv": __version__,
            "data": data if kind == "scenes" else f"{kind}:{Path(data.partition(':')[2]).resolve()}",
            "model": model,
            "backbone": backbone,
            "preset": preset,
            "seed": seed,
            "blind": blind,
            "settings": dataclasses.asdict(settings),
        }
    return _train(folder, config, resume, overfit_one_batch, show_progress, say)


def _train(
    folder: Path, config: dict, resume: bool, overfit_one_batch: bool, show_progress: bool, say: Callable[[str], None]
) -> Run:
    settings = Settings(**config["settings"])
    kind, where = data_kind(config["data"])
    if kind == "scenes":
        world_of(settings)  # a mistake in the settings shows before anything is made
        say(f"drawing {settings.n_train} scenes")
        train_set = scenes_set(config["seed"], "train", settings.n_train, settings)
        val_set = scenes_set(config["seed"], "val", settings.n_val, settings)
    else:
        assert where is not None
        vocabulary = Vocabulary.from_json(config["vocabulary"]) if resume else None
        train_set = photographs_set(where, "train", vocabulary, settings, show_progress)
        val_set = photographs_set(where, "val", train_set.vocabulary, settings, show_progress)
    if config["blind"]:
        train_set, val_set = train_set.blind(), val_set.blind()
    config.setdefault("vocabulary", train_set.vocabulary.to_json())
    config.setdefault("feature_channels", None if kind == "scenes" else int(train_set.pictures.shape[-1]))
    run = new(config)
    trainer = Trainer(
        run.model,
        lambda step: train_set.training_batch(step, settings.batch, config["seed"]),
        TrainSettings(settings.steps, settings.learning_rate, settings.warmup, settings.clip, settings.validate_every),
        folder,
        lambda: {"loss": val_set.mean_loss(run.model)},
        show_progress,
    )
    if overfit_one_batch:
        say(trainer.check_initial_loss(len(run.vocabulary)))
        say(trainer.overfit_one_batch())
        return run
    if resume:
        trainer.resume()
        say(f"resuming {folder} at step {trainer.step} of {settings.steps}")
    else:
        run_folder.create(folder, config)
        say("compiling kernels (once)" if _kernels_are_new() else "kernels are compiled already")
        say(trainer.check_initial_loss(len(run.vocabulary)))
    trainer.run()
    return run


def new(config: dict[str, Any]) -> Run:
    """The run of a config, with fresh parameters."""
    settings, vocabulary = Settings(**config["settings"]), Vocabulary.from_json(config["vocabulary"])
    shape = CaptionerShape(
        vocabulary=len(vocabulary),
        embedding=settings.embedding,
        hidden=settings.hidden,
        attention=settings.attention,
        feature_channels=config["feature_channels"],
        dropout=settings.dropout,
    )
    return Run(config, settings, vocabulary, Captioner(shape, config["seed"]))


def _kernels_are_new() -> bool:
    """Whether nothing has been compiled on this machine yet."""
    from scratchlv.kernels.building_blocks.compiling import kernel_folder

    return not any(kernel_folder().rglob("*.nbi"))


def load(folder: Path, step: int | None = None) -> Run:
    """A trained run, from the best checkpoint it has.

    Raises:
        UserError: no run, no checkpoint, or a damaged one.
    """
    config = run_folder.read_config(folder, "caption")
    try:
        run = new(config)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'}: {error} is missing or wrong; this run cannot be used") from None
    tensors, _ = run_folder.load_weights(folder, step)
    load_model_tensors(run.model, tensors, folder)
    return run


# --- how good is it? ---------------------------------------------------------------------------------------------


def evaluate(run: Run, split: str = "val", n: int | None = None, show_progress: bool = False) -> dict[str, float]:
    """Figures by name: ``loss`` per word and ``perplexity``; on Scenes also ``true_share`` and ``pointing_accuracy``."""
    data = run.dataset(split, n, show_progress)
    loss = data.mean_loss(run.model, most=len(data.captions))
    figures = {"loss": loss, "perplexity": float(np.exp(loss))}
    if data.scenes is not None:
        figures.update(truth(run, data))
    return figures


def truth(run: Run, data: CaptionSet) -> dict[str, float]:
    """Share of true captions, and how often the attention pointed at what was named; ``chance`` is a random cell's."""
    assert data.scenes is not None
    verdicts, hits, chances = [], [], []
    for g, scene in zip(run.caption(data.pictures[data.picture_of]), data.scenes, strict=True):
        words = run.words(g)
        verdict = scenes_world.judge(words, scene)
        verdicts.append(verdict)
        if verdict.true:
            hits.append(metrics.pointing(scene, words, g.alphas, run.grid(g)))
            chances.append(metrics.pointing_chance(scene, words, run.grid(g)))
    return {
        "true_share": metrics.true_share(verdicts),
        "pointing_accuracy": metrics.pointing_accuracy(hits) if hits else 0.0,
        "pointing_chance": float(np.mean(chances)) if chances else 0.0,
        "n": len(verdicts),
    }


# --- captions of any picture -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Captioned:
    """A picture with its caption, word by word."""

    path: str
    image: Array  # (H, W, 3) uint8
    words: list[str]  # as said, <end> included
    probabilities: list[float]
    alphas: Array  # (T, rows, columns)

    def __str__(self) -> str:
        said = [f"{w}({p:.2f})" for w, p in zip(self.words, self.probabilities, strict=True)]
        return " ".join(said)[:1].upper() + " ".join(said)[1:]


def caption_images(run: Run, paths: list[Path]) -> list[Captioned]:
    """Caption pictures in any format that Pillow opens.

    Raises:
        UserError: a file is missing, damaged, no picture or too large.
    """
    from scratchlv.vision.images import load_image

    images = [load_image(path) for path in paths]  # every file is looked at before the work begins
    if run.model.shape.feature_channels is None:
        from scratchlv.vision.conv_extractor import SIDE

        pictures = np.stack([load_image(path, size=(SIDE, SIDE)) for path in paths])
    else:
        from scratchlv.vision.efficientnet_lite import EfficientNetLite0

        pictures = EfficientNetLite0.load().features(np.stack([load_image(path, size=(224, 224)) for path in paths]))
    generated = run.caption(pictures)
    return [captioned(run, str(p), image, g) for p, image, g in zip(paths, images, generated, strict=True)]


def captioned(run: Run, path: str, image: Array, g: Generated) -> Captioned:
    words = run.words(g) + ([SPECIALS[END]] if g.finished else [])
    return Captioned(path, image, words, [float(p) for p in g.probabilities], g.alphas.reshape(-1, *run.grid(g)))
