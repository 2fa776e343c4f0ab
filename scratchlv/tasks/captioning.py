"""Image captioning: train, evaluate and use a captioner on Scenes or on photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchlv import metrics
from scratchlv.arrays import Array
from scratchlv.data import coco
from scratchlv.data import scenes as scenes_world
from scratchlv.data.captions import CaptionSet
from scratchlv.data.drawn import draw_scenes
from scratchlv.data.flickr8k import Flickr8k
from scratchlv.data.karpathy import Karpathy
from scratchlv.data.photographs import Photographs
from scratchlv.data.scenes import Scene
from scratchlv.data.text import bare_words, clean, has_markers, spaced_characters
from scratchlv.data.views import in_memory
from scratchlv.data.vocabulary import Vocabulary, unknown_share
from scratchlv.decode import Generated, beam_search, greedy
from scratchlv.errors import UserError
from scratchlv.models.captioner import Captioner, CaptionerConfig
from scratchlv.models.context import INIT_STATES, QUERIES
from scratchlv.models.hard_attention import HardAttention
from scratchlv.parallel.team import team
from scratchlv.tasks import backbone as backbone_
from scratchlv.tasks import records, training
from scratchlv.tasks import results as results_
from scratchlv.tasks.pictures import Mirrored, as_seen, features_of, pictures_of
from scratchlv.tasks.training import Job, Say
from scratchlv.tokens import END, SPECIALS

if TYPE_CHECKING:
    from scratchlv.show.looks import Caption
    from scratchlv.vision.backbones import Pretrained
    from scratchlv.vision.features import Extractor

ATTENDING = ("attention", "hard-attention")  #: models that choose where they look
MOST_WORDS, _MOST_CHARACTERS = 40, 200  # at which a caption that was not ended is cut off


@dataclass(frozen=True, kw_only=True)
class Settings(records.WordSettings, backbone_.Settings):
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    query: str = QUERIES[0]  # of attention: the state before the last word was read, or the one after
    sharpening: float = 1.0  # of attention when a caption is said; above 1 it keeps to fewer regions
    frequencies: int = 0  # of the positional encoding of regions; 0: their coordinates alone
    grammar: str = "places"  # of the captions of Scenes
    input_dropout: float = 0.0  # of the word before, which the decoder is given
    gate: bool = False  # of the context of attention
    init_state: str = INIT_STATES[0]  # of a decoder that sees regions
    doubly_stochastic: float = 0.0  # λ of the penalty on soft attention
    drawn: float = 0.5  # of hard attention: the share of captions whose regions are drawn,
    reinforce: float = 0.1  # the weight of REINFORCE's term: 1 is unbiased, and learns less (docs/results.md),
    entropy: float = 0.01  # and that of the entropy of α
    samples: int = 1  # of fine-tuning: captions that are drawn for each picture; of 1, the greedy one is the baseline
    # photographs
    min_count: int = 5  # words of captions that are rarer become <unk>
    mirror: bool = False  # half of the time the model is shown them in a mirror
    by_length: bool = False  # captions of about one length are set side by side: less of a batch is padding

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_state not in INIT_STATES:
            raise UserError(f"init_state={self.init_state}: there are {', '.join(INIT_STATES)}")
        if self.grammar not in scenes_world.GRAMMARS:
            raise UserError(f"grammar={self.grammar}: there are {', '.join(scenes_world.GRAMMARS)}")
        if self.query not in QUERIES:
            raise UserError(f"query={self.query}: there are {', '.join(QUERIES)}")


_PHOTOGRAPHS = {
    "quick": Settings(
        steps=1500,
        batch=64,
        learning_rate=2e-3,
        embedding=128,
        hidden=256,
        attention=256,
        dropout=0.4,
        validate_every=250,
    ),
    "full": Settings(
        steps=3000,
        batch=64,
        learning_rate=2e-3,
        warmup=200,
        embedding=256,
        hidden=512,
        attention=256,
        dropout=0.5,
        input_dropout=0.4,
        label_smoothing=0.1,
        mirror=True,
        by_length=True,
        validate_every=500,
    ),
}
#: the readers of photographs, by kind of data
READERS: dict[str, Callable[..., Photographs]] = {"flickr8k": Flickr8k, "karpathy": Karpathy, "coco": coco.Coco}
PRESETS = {
    ("scenes", "quick"): Settings(steps=1700, batch=32, learning_rate=4e-3),
    ("scenes", "full"): Settings(
        steps=6000,
        batch=64,
        learning_rate=3e-3,
        n_train=100_000,
        most_objects=8,
        grammar="relations",
        hidden=256,
        query="current",
        sharpening=3.0,
        frequencies=4,
        validate_every=1000,
    ),
    **{(kind, preset): settings for kind in READERS for preset, settings in _PHOTOGRAPHS.items()},
}


# --- data --------------------------------------------------------------------------------------------------------


def scenes_set(seed: int, split: str, n: int, settings: Settings) -> CaptionSet:
    """``n`` scenes of a split, each with a caption."""
    vocabulary = Vocabulary(scenes_world.vocabulary_words())
    scenes, pictures = draw_scenes(seed, split, n, settings.world)
    captions = [vocabulary.encode(scenes_world.caption(s, settings.grammar).words) for s in scenes]
    names = [f"scene {s.seed}/{s.index}" for s in scenes]
    return CaptionSet(pictures, captions, np.arange(n), vocabulary, names, scenes)


def training_captions(config: Config, vocabulary: Vocabulary) -> Iterator[list[str]]:
    """The captions that a run was trained on, in the words that it knows; no picture is drawn or opened."""
    if config.argument.kind == "scenes":
        settings = config.settings
        for scene in scenes_world.first_scenes(config.seed, "train", settings.n_train, settings.world):
            yield list(scenes_world.caption(scene, settings.grammar).words)
        return
    cut = spaced_characters if config.characters else bare_words
    for _, captions in photographs(config).split("train", skip_missing=config.skip_missing):
        for caption in captions:
            yield vocabulary.decode(vocabulary.encode(cut(caption)))


def photographs(config: Config) -> Photographs:
    """The photographs and captions that a config names; no picture is opened."""
    return READERS[config.argument.kind](*config.argument.arguments)


def photographs_set(
    found: Photographs,
    split: str,
    vocabulary: Vocabulary | None,
    config: Config,
    show_progress: bool,
    n: int | None = None,
    extractor: Extractor | None = None,
    mirror: bool = False,
) -> CaptionSet:
    """The first ``n`` photographs of a split as features of ``extractor``; the vocabulary is made when not given.

    With ``mirror`` there are their features in a mirror as well.
    """
    items = found.split(split, skip_missing=config.skip_missing)[:n]
    cut = spaced_characters if config.characters else bare_words
    texts = [clean(caption) for _, captions in items for caption in captions]
    words = [cut(text) for text in texts]
    if vocabulary is None:
        vocabulary = Vocabulary.from_counts(words, config.settings.min_count)
        _refuse_no_words(vocabulary, words, config)
    assert extractor is not None
    paths = [path for path, _ in items]
    features = features_of(paths, extractor, show_progress)
    mirrored = features_of(paths, Mirrored(extractor), show_progress, "mirrored photograph") if mirror else None
    picture_of = np.repeat(np.arange(len(items)), [len(captions) for _, captions in items])
    names = [str(path) for path, _ in items]
    captions = [vocabulary.encode(w) for w in words]
    more: dict[str, Any] = {"mirrored": mirrored, "by_length": config.settings.by_length}
    return CaptionSet(features, captions, picture_of, vocabulary, names, texts=texts, **more)


def _refuse_no_words(vocabulary: Vocabulary, captions: Iterable[Sequence[str]], config: Config) -> None:
    """
    Raises:
        UserError: there is nothing that a captioner could learn to say.
    """
    if len(vocabulary) > len(SPECIALS):
        return
    if not any(captions):
        raise UserError(f"--data {config.data}: its captions to train on have no words; give another")
    raise UserError(
        f"min_count={config.settings.min_count}: no word of the captions occurs so often; choose a lower one"
    )


# --- a run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Config(backbone_.Config):
    settings: Settings
    blind: bool = False  # it is shown another image's picture
    skip_missing: bool = False  # of photographs, it goes on without those that are not there
    characters: bool = False  # captions of photographs are read, and said, character by character
    start_from: str | None = None  # the folder of a run whose parameters it begins with
    finetune_metric: str | None = None  # what it then learns by: see tasks.finetune_metric


@dataclass(frozen=True, kw_only=True)
class Fitted(backbone_.Fitted):
    pass


def config(
    task: str,
    data: str,
    model: str,
    preset: str,
    seed: int,
    overrides: list[str],
    *,
    backbone: str | None = None,
    weights: Path | None = None,
    layer: str | None = None,
    finetune: str | None = None,
    blind: bool = False,
    skip_missing: bool = False,
    characters: bool = False,
) -> Config:
    """The config of a new run.

    Raises:
        UserError: an argument is wrong.
    """
    more = {"blind": blind, "skip_missing": skip_missing, "characters": characters}
    asked = records.ask(Config, PRESETS, task, data, model, preset, seed, overrides, **more)
    kind = asked.argument.kind
    if skip_missing and kind == "scenes":
        raise UserError("--skip-missing goes with photographs; scenes are never missing")
    if characters and kind == "scenes":
        raise UserError("--characters goes with captions of your own; all words of scenes are known")
    of_others = ("min_count", "mirror", "by_length") if kind == "scenes" else ("grammar",)
    idle = dict.fromkeys(of_others, f"--data {kind}") | {"samples": "training by cross-entropy"}
    idle |= dict.fromkeys(_idle(model), f"--model {model}")
    records.refuse_idle(asked, overrides, idle)
    training.check_pictures(model, asked.settings)
    return backbone_.chosen(asked, backbone, weights, layer, finetune, overrides)


def _idle(model: str) -> list[str]:
    """The settings that change nothing of a model."""
    found = []
    if model not in ATTENDING:
        found += ["attention", "gate", "query", "sharpening", "frequencies"]
    if model not in (*ATTENDING, "uniform"):
        found += ["init_state"]
    if model != "attention":
        found += ["doubly_stochastic"]
    return found if model == "hard-attention" else [*found, "drawn", "reinforce", "entropy"]


class Run(backbone_.Run[Config, Fitted]):
    """A captioner and its words."""

    def dataset(self, split: str, n: int | None = None, show_progress: bool = False) -> CaptionSet:
        """Pictures of a split of the data that the run was trained on; another image's for a blind run."""
        training.check_n(n)
        data = dataset(self.config, self.vocabulary, split, n, show_progress, extractor=self.extractor)
        return self.seen(data)

    def seen(self, data: CaptionSet) -> CaptionSet:
        """The set as the run sees it."""
        return data.blind() if self.config.blind else data

    no_repeat = 0  #: as in :mod:`scratchlv.decode`, of all that it says

    def caption(self, pictures: Any, beam: int = 1, size: int = 100) -> list[Generated]:
        """Captions of pictures, bytes or features, by beam search; greedily when ``beam`` is 1.

        Processes that work together make some of them each.
        """
        found: list[list[Generated]] = []
        how: dict[str, Any] = {"max_length": most_words(self.config), "no_repeat": self.no_repeat}
        for at in team().mine(range(0, len(pictures), size)):
            batch = in_memory(pictures[at : at + size])
            found.append(
                greedy(self.model, batch, **how) if beam == 1 else beam_search(self.model, batch, beam=beam, **how)
            )
        return [generated for batch in team().in_order(found) for generated in batch]

    @property
    def looks(self) -> bool:
        """Whether it chooses where to look; uniform attention does not."""
        return self.config.model in ATTENDING

    def pictures_of(self, paths: list[Path]) -> Any:
        """Picture files as the model takes them.

        Raises:
            UserError: a file is missing, damaged, no picture or too large.
        """
        return pictures_of(paths, self.extractor)

    def seen_image(self, path: Path) -> Array:
        """What it sees of a picture file, (H, W, 3) uint8."""
        return as_seen(path, self.extractor)

    def words(self, generated: Generated) -> list[str]:
        return self.vocabulary.decode(generated.tokens)

    def text(self, words: list[str]) -> str:
        """The words as one writes them."""
        return ("" if self.config.characters else " ").join(words)


def dataset(
    config: Config,
    vocabulary: Vocabulary | None,
    split: str,
    n: int | None = None,
    show_progress: bool = False,
    found: Photographs | None = None,
    extractor: Extractor | None = None,
    mirror: bool = False,
) -> CaptionSet:
    """``n`` scenes of a split (default: as the settings say), or its first ``n`` photographs (default: all).

    Photographs that were read before are those of ``found``: a file of COCO takes seconds. Pictures are features of
    ``extractor``, or themselves where there is none. With ``mirror`` photographs are there in a mirror as well, to train on.
    """
    settings = config.settings
    if config.argument.kind == "scenes":
        training.check_split(split, scenes_world.SPLITS)
        n = n or (settings.n_train if split == "train" else settings.n_val)
        data = scenes_set(config.seed, split, n, settings)
        if extractor is None:
            return data
        return replace(data, pictures=features_of(data.pictures, extractor, show_progress, "scene"))
    return photographs_set(found or photographs(config), split, vocabulary, config, show_progress, n, extractor, mirror)


def prepare(config: Config, fitted: Fitted | None, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config."""
    if config.finetune_metric is not None:
        from scratchlv.tasks import finetune_metric

        return finetune_metric.prepare(config, show_progress, say, folder)
    weights = backbone_.pretrained(config, fitted)
    extractor = backbone_.extractor(config, weights)
    vocabulary = None if fitted is None else fitted.vocabulary
    train_set, val_set = sets(config, vocabulary, extractor, show_progress, say)
    run: Run = training.new(config, fitted or _fit(config, train_set, weights))
    run.extractor = extractor
    backbone_.begin_finetuning(run.model, config, weights)
    return training.job(run, run.seen(train_set), run.seen(val_set))


def sets(
    config: Config, vocabulary: Vocabulary | None, extractor: Extractor | None, show_progress: bool, say: Say
) -> tuple[CaptionSet, CaptionSet]:
    """What a run trains on and is validated on; what is worth knowing of them is said. The vocabulary is made if not given."""
    found = None if config.argument.kind == "scenes" else photographs(config)
    if found is None:
        say(f"drawing {config.settings.n_train} scenes")
    else:
        for split in ("train", "val"):  # what is wrong with the lists is said before features are made, for minutes
            found.split(split, skip_missing=config.skip_missing)
        _say_photographs(found, config.skip_missing, say)
    mirror = config.settings.mirror
    train_set = dataset(config, vocabulary, "train", None, show_progress, found, extractor, mirror)
    val_set = dataset(config, train_set.vocabulary, "val", None, show_progress, found, extractor)
    training.say_unknown(
        say, "the captions to validate on", val_set.captions, "" if config.characters else training.BY_CHARACTER
    )
    _say_long(train_set, config, say)
    return train_set, val_set


def most_words(config: Config) -> int:
    """The words, or characters, at which a caption that was not ended is cut off."""
    return _MOST_CHARACTERS if config.characters else MOST_WORDS


def _say_long(data: CaptionSet, config: Config, say: Say) -> None:
    """How many captions are longer than any that a run can say."""
    most, unit = most_words(config), "characters" if config.characters else "words"
    lengths = np.array([len(caption) + 1 for caption in data.captions])  # with <end>
    n = int((lengths > most).sum())
    if n:
        say(
            f"{n:,} of {len(lengths):,} captions to train on have {most} {unit} or more, the longest {lengths.max() - 1}: "
            "they are learned whole, but what the model says is cut off there"
        )


def _say_photographs(found: Photographs, skip_missing: bool, say: Say) -> None:
    """What is left out of the photographs and of their captions."""
    training.say_all(say, found.notes)
    if skip_missing:
        n = sum(len(found.missing(split)) for split in ("train", "val"))
        say(f"{n:,} photographs are missing, and left out")
    training.say_markers(say, sum(has_markers(c) for several in found.captions.values() for c in several))


def _fit(config: Config, train_set: CaptionSet, weights: Pretrained | None) -> Fitted:
    _, channels = backbone_.fitted_channels(config, train_set.pictures)
    checksum = None if weights is None else weights.checksum
    return Fitted(vocabulary=train_set.vocabulary, feature_channels=channels, weights_checksum=checksum)


def build(config: Config, fitted: Fitted) -> Captioner:
    """The model, with fresh parameters."""
    s = config.settings
    widths = CaptionerConfig(
        vocabulary=len(fitted.vocabulary),
        embedding=s.embedding,
        hidden=s.hidden,
        attention=s.attention,
        feature_channels=fitted.feature_channels,
        finetuned=config.finetuned,
        dropout=s.dropout,
        input_dropout=s.input_dropout,
        label_smoothing=s.label_smoothing,
        gate=s.gate,
        init_state=s.init_state,
        doubly_stochastic=s.doubly_stochastic,
        hard=HardAttention(drawn=s.drawn, reinforce=s.reinforce, entropy=s.entropy),
        own_words=s.own_words,
        model=config.model,
        query=s.query,
        sharpening=s.sharpening,
        frequencies=s.frequencies,
    )
    return Captioner(widths, config.seed)


# --- how good is it? ---------------------------------------------------------------------------------------------


def evaluate(
    run: Run,
    split: str = "val",
    n: int | None = None,
    show_progress: bool = False,
    beam: int = 1,
    results: Path | None = None,
) -> dict[str, float]:
    """``loss`` per word and ``perplexity``; on Scenes, how many captions are true and where the attention is; else how like
    people's captions those of the run are (:func:`~scratchlv.metrics.caption_metrics`), as COCO's evaluation counts it.

    What is compared are texts: a word that the run does not know is missed. ``unknown_share`` says how many of them there are,
    ``cut_off`` how many captions did not end within the most words. Of a run by character, the figures are of characters, and
    named so. Into the file ``results`` go the captions of photographs, in COCO's format.
    """
    if results is not None:
        _refuse_scenes_and_blind(run.config)
    data = run.dataset(split, n, show_progress)
    loss = data.mean_loss(run.model, most=len(data.captions))
    figures = {"loss": loss, "perplexity": metrics.perplexity(loss)}
    if data.scenes is not None:
        return figures | truth(run, data, beam)
    generated = run.caption(data.pictures[np.unique(data.picture_of)], beam)
    said = [run.text(run.words(g)) for g in generated]
    if results is not None:
        write_results(results, image_ids(run, split, data.names), said)
    counts = {"cut_off": sum(not g.finished for g in generated), "n": len(said)}
    return figures | likeness(run, data, said) | {"unknown_share": unknown_share(data.captions)} | counts


def likeness(run: Run, data: CaptionSet, said: Sequence[str]) -> dict[str, float]:
    """Captions beside those that people wrote of the same pictures."""
    assert data.texts is not None
    cut = spaced_characters if run.config.characters else metrics.ptb_words
    references: list[list[list[str]]] = [[] for _ in said]
    for picture, text in zip(data.picture_of, data.texts, strict=True):
        references[picture].append(cut(text))
    of = "_of_characters" if run.config.characters else ""
    figures = metrics.caption_metrics([cut(text) for text in said], references)
    return {name + of: value for name, value in figures.items()}


def _refuse_scenes_and_blind(config: Config) -> None:
    """
    Raises:
        UserError: there are no results that anyone could judge.
    """
    if config.argument.kind == "scenes" or config.blind:
        of = "scenes" if config.argument.kind == "scenes" else "a blind run, which is shown other pictures"
        raise UserError(f"--results is of photographs, not of {of}; leave it out")


def image_ids(run: Run, split: str, names: list[str]) -> list[int | str]:
    """What results call the pictures of a split: by the numbers of its files, or else by their names."""
    ids = {str(path): number for path, number in photographs(run.config).image_ids(split).items()}
    found = [ids[name] for name in names if name in ids]
    return [*found] if len(found) == len(names) else coco.image_ids_of([Path(name) for name in names])


def write_results(file: Path, ids: Sequence[int | str], captions: Iterable[str]) -> None:
    """Captions as COCO's evaluation takes them."""
    results_.write(file, "image_id", ids, "caption", captions)


def truth(run: Run, data: CaptionSet, beam: int = 1) -> dict[str, float]:
    """Share of true captions, and how often the attention pointed at what was named; ``chance`` is a random cell's."""
    assert data.scenes is not None
    return truth_of(run, data.scenes, run.caption(data.pictures[data.picture_of], beam))


def truth_of(run: Run, scenes: Sequence[Scene], captions: Sequence[Generated]) -> dict[str, float]:
    """The same of captions that were said before."""
    verdicts, hits, chances = [], [], []
    points = run.looks
    for g, scene in zip(captions, scenes, strict=True):
        words = run.words(g)
        verdict = scenes_world.judge(words, scene)
        verdicts.append(verdict)
        if verdict.true and points and g.alphas is not None:
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
    image: Array | None  # (H, W, 3) uint8, where it was asked for
    words: list[str]  # as said, <end> included
    text: str  # what they say
    probabilities: list[float]
    alphas: Array | None  # (T, rows, columns); None when the model does not look

    def __str__(self) -> str:
        said = [f"{w}({p:.2f})" for w, p in zip(self.words, self.probabilities, strict=True)]
        return " ".join(said)[:1].upper() + " ".join(said)[1:]


def caption_images(
    run: Run,
    paths: Sequence[Path],
    beam: int = 1,
    size: int = 64,
    *,
    images: bool = False,
    unread: list[UserError] | None = None,
    done: Callable[[int], None] | None = None,
) -> Iterator[Captioned]:
    """Caption pictures in any format that Pillow opens, ``size`` at a time; no more than these are in memory.

    Args:
        images: whether the pictures themselves are wanted as well: one at a time is then read again.
        unread: why pictures could not be read; these are left out. Without it the first ends the work.
        done: is told after how many pictures it is.

    Raises:
        UserError: a file is missing, damaged, no picture or too large.
    """
    for at in range(0, len(paths), size):
        some, pictures = _readable(run, list(paths[at : at + size]), unread)
        generated = run.caption(pictures, beam) if some else []
        for path, g in zip(some, generated, strict=True):
            yield captioned(run, str(path), run.seen_image(path) if images else None, g)
        if done is not None:
            done(min(at + size, len(paths)))


def _readable(run: Run, paths: list[Path], unread: list[UserError] | None) -> tuple[list[Path], Any]:
    """Those that can be read, and what the model takes of them. Mostly it is all, and each is decoded once."""
    from scratchlv.vision.images import load_image

    try:
        return paths, run.pictures_of(paths)
    except UserError:
        if unread is None:
            raise
    readable = []
    for path in paths:
        try:
            load_image(path)
            readable.append(path)
        except UserError as error:
            unread.append(error)
    return readable, run.pictures_of(readable) if readable else None


def captioned(run: Run, path: str, image: Array | None, g: Generated) -> Captioned:
    said = run.words(g)
    words = said + ([SPECIALS[END]] if g.finished else [])
    alphas = None if g.alphas is None else g.alphas.reshape(-1, *grid(g))
    return Captioned(path, image, words, run.text(said), [float(p) for p in g.probabilities], alphas)


def attention_picture(c: Captioned) -> Any:
    """Where the model looked at each word.

    Raises:
        UserError: it does not look.
    """
    from scratchlv.show.attention_sheet import attention_sheet

    if c.alphas is None:
        raise UserError("this captioner has no attention to draw; train one with --model attention")
    return attention_sheet(np.asarray(c.image), c.words, c.probabilities, c.alphas)


def looked_at(c: Captioned, by: str = "", verdict: str = "") -> Caption:
    """The caption as a page shows it beside its picture: :func:`scratchlv.show.looks.looks`."""
    from scratchlv.show.looks import Caption, Word

    alphas = [None] * len(c.words) if c.alphas is None else c.alphas
    words = [Word(w, f"{w}: {p:.2f}", alpha) for w, p, alpha in zip(c.words, c.probabilities, alphas, strict=True)]
    return Caption(words, by, verdict)
