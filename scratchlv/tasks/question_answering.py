"""Visual question answering: train, evaluate and use a model on Scenes, easy-VQA, DAQUAR, VQA or CLEVR.

As the lecture's CNN comes trained on ImageNet, the encoder is trained before: on Scenes it is the conv extractor of a captioner
(trained first, into ``encoder/``, or given by ``--encoder``), or a pretrained network that ``--backbone`` names, as it is for
photographs. Only easy-VQA's pictures, with one shape each, are simple enough to learn to see from answers alone.

On Scenes it is known what each step of an answer depends on, and in training the hops are taught to look there: from answers
alone stacked attention does not find the second hop in minutes. Glimpses do (``--model glimpses``): see
:mod:`scratchlv.models.glimpses`, and docs/results.md for what prevents the others.

Beside each score stand two that see no picture: a twin that reads only the question (trained after the model, into ``blind/``),
and the prior, which gives the commonest answer of the training part (to questions of that type, where types are known).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import QuestionBatch
from scratchlv.data import question_set
from scratchlv.data import scenes as scenes_world
from scratchlv.data.clevr import clevr
from scratchlv.data.daquar import daquar
from scratchlv.data.easy_vqa import easy_vqa
from scratchlv.data.picture_questions import Question as Asked
from scratchlv.data.picture_questions import Questions, in_mirror
from scratchlv.data.question_set import NO_ANSWER, InMirror, QuestionSet
from scratchlv.data.text import bare_words, first_few
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.data.vqa import vqa
from scratchlv.device import to_backend
from scratchlv.errors import UserError
from scratchlv.metrics import vqa_accuracy, wups
from scratchlv.models import word_pairs
from scratchlv.models.captioner import Captioner
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.models.question_answerer import QuestionAnswerer, QuestionAnswererConfig
from scratchlv.parallel.shares import ALL
from scratchlv.parallel.team import team
from scratchlv.tasks import backbone as backbone_
from scratchlv.tasks import encoder as encoder_
from scratchlv.tasks import records, run_folder, training
from scratchlv.tasks import results as results_
from scratchlv.tasks.pictures import Mirrored, as_seen, features_of, pictures_of
from scratchlv.tasks.training import Job, Say
from scratchlv.training import checkpoint
from scratchlv.training.trainer import Trainer, load_model_tensors
from scratchlv.vision import conv_extractor

if TYPE_CHECKING:
    from scratchlv.vision.backbones import Pretrained
    from scratchlv.vision.features import Extractor

_TOP_K = 5
_MOST_WORDS = 1000  # of a question


@dataclass(frozen=True, kw_only=True)
class Settings(backbone_.Settings):
    """``batch`` counts pictures, each with all its questions."""

    GONE: ClassVar[dict[str, Any]] = {"query": "question", "shared_hops": False, "frequencies": 0}

    hops: int = 1
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    questions: int = 8  # about each scene
    attention_loss: float = 0.3  # the weight of the loss that teaches where to look; 0: only the answers teach
    encoder_steps: int = 1200  # for the captioner of Scenes whose encoder it has
    min_count: int = 1  # answers that are rarer cannot be given
    glimpses: int = 2  # chains of hops side by side
    curriculum: int = 0  # steps at first in which only questions of one hop are asked, and one is made
    answers: int = 0  # only so many of the most frequent answers can be given; 0: all
    blind_steps: int = 600  # for the twin that reads only the question
    input_dropout: float = 0.0  # of the words' vectors; `dropout` is of what the answer is read from
    question_dropout: float = 0.0  # of what was read of the question, before any hop
    feature_dropout: float = 0.0  # of the channels of the regions' features, the same ones for a whole batch
    pairs: int = 0  # pairs of words that occur so often in the questions are read as such, too; 0: none are
    mirror: bool = False  # half of the time photographs are shown in a mirror, and "left" and "right" are exchanged

    def __post_init__(self) -> None:
        super().__post_init__()


PRESETS = {
    ("scenes", "quick"): Settings(
        steps=3000, batch=32, learning_rate=3e-3, hops=2, n_train=10_000, least_objects=5, most_objects=6
    ),
    # from answers alone: what one hop can find first, and then from there
    ("scenes", "glimpses"): Settings(
        steps=5000,
        batch=32,
        learning_rate=3e-3,
        hops=2,
        n_train=20_000,
        least_objects=5,
        most_objects=6,
        curriculum=1500,
        attention_loss=0.0,
    ),
    ("easy-vqa", "quick"): Settings(steps=2500, batch=16, learning_rate=2e-3, validate_every=500),
    ("daquar", "quick"): Settings(
        steps=600, batch=16, learning_rate=1e-3, dropout=0.5, hidden=256, attention=256, validate_every=60
    ),
    # for --backbone efficientnet-lite2
    ("daquar", "daquar"): Settings(
        steps=1000,
        batch=16,
        learning_rate=4e-3,
        warmup=50,
        dropout=0.5,
        input_dropout=0.2,
        question_dropout=0.4,
        feature_dropout=0.3,
        label_smoothing=0.1,
        embedding=64,
        hidden=128,
        attention=64,
        min_count=2,
        pairs=6,
        mirror=True,
        average_from=450,
        validate_every=500,
        blind_steps=500,
    ),
    ("vqa", "quick"): Settings(
        steps=8000,
        batch=32,
        learning_rate=1e-3,
        dropout=0.3,
        embedding=128,
        hidden=256,
        attention=256,
        min_count=9,
        validate_every=1000,
    ),
    ("clevr", "quick"): Settings(
        steps=8000, batch=32, learning_rate=1e-3, hops=2, embedding=128, hidden=256, attention=256, validate_every=1000
    ),
}
#: settings that a memory network has not
_OF_ANSWERERS = ("label_smoothing", "input_dropout", "question_dropout", "feature_dropout", "pairs")
#: the readers of photographs (and of pictures like them), by kind of data
_READERS: dict[str, Callable[..., Questions]] = {"daquar": daquar, "vqa": vqa, "clevr": clevr}


@dataclass(frozen=True, kw_only=True)
class Config(backbone_.Config):
    settings: Settings
    encoder: str | None = None  # the folder of a captioner of Scenes; None: one is trained first, in the run's own
    skip_missing: bool = False  # it goes on without questions whose picture is missing


@dataclass(frozen=True, kw_only=True)
class Fitted(backbone_.Fitted):
    answers: tuple[str, ...]
    prior: dict[str, int]  # the commonest answer, by the type of question
    regions: int  # of a picture
    pairs: tuple[int, ...] = ()  # of words, that are read as such: see models.word_pairs


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
    encoder: Path | None = None,
    skip_missing: bool = False,
) -> Config:
    """The config of a new run.

    Raises:
        UserError: an argument is wrong.
    """
    resolved = None if encoder is None else str(encoder.resolve())
    asked = records.ask(
        Config, PRESETS, task, data, model, preset, seed, overrides, encoder=resolved, skip_missing=skip_missing
    )
    kind = asked.argument.kind
    if encoder is not None and kind != "scenes":
        raise UserError(f"--encoder goes with --data scenes, not with {kind}; leave it out")
    if encoder is not None and backbone not in (None, backbone_.CONV):
        raise UserError(
            f"--encoder lends what is looked with, and so does --backbone {backbone}; leave one of the two out"
        )
    if skip_missing and kind not in _READERS:
        raise UserError(f"--skip-missing goes with photographs; pictures of {kind} are never missing")
    asked = backbone_.chosen(asked, backbone, weights, layer, finetune, overrides)
    records.refuse_idle(asked, overrides, _idle(asked))
    training.check_pictures(model, asked.settings)
    return asked


def _idle(config: Config) -> dict[str, str]:
    """The settings that do nothing, each with what it does not go with."""
    kind, model = config.argument.kind, config.model
    found: dict[str, str] = {}
    if model == "memory":
        found |= dict.fromkeys(_OF_ANSWERERS, "--model memory")
    if model not in ("attention", "glimpses"):
        found["attention"] = f"--model {model}"
    if model != "glimpses":
        found |= dict.fromkeys(("glimpses", "curriculum"), f"--model {model}")
    else:
        found["attention_loss"] = "--model glimpses"
    if model == "naive":
        found |= dict.fromkeys(("hops", "attention_loss"), "--model naive")
    if config.encoder is not None:
        found["encoder_steps"] = "--encoder"
    elif config.backbone != backbone_.CONV:
        found["encoder_steps"] = f"--backbone {config.backbone}"
    of_others = (
        ("min_count", "answers") if kind == "scenes" else ("questions", "attention_loss", "encoder_steps", "curriculum")
    )
    if kind in backbone_.DRAWN:
        found["mirror"] = f"--data {kind}"
    return found | dict.fromkeys(of_others, f"--data {kind}")


class Run(backbone_.Run[Config, Fitted]):
    """A question answerer, its words and its answers."""

    @property
    def choices(self) -> int:
        return len(self.fitted.answers)

    @cached_property
    def encoder(self) -> Captioner | None:
        """The captioner of Scenes whose encoder it has; None where it sees with its own, or with a pretrained network."""
        if not lent(self.config):
            return None
        assert self.folder is not None
        return encoder_.load(Path(self.config.encoder or run_folder.encoder(self.folder)))

    def dataset(self, split: str, n: int | None = None, show_progress: bool = False) -> QuestionSet:
        """The questions of a split; ``n`` counts scenes, or questions about other pictures."""
        return dataset(self.config, self.fitted, self.encoder, split, n, show_progress, extractor=self.extractor)


def lent(config: Config) -> bool:
    """Whether the pictures are seen with the conv extractor of a captioner."""
    return config.argument.kind == "scenes" and config.backbone == backbone_.CONV


# --- data --------------------------------------------------------------------------------------------------------


def dataset(
    config: Config,
    fitted: Fitted | None,
    captioner: Captioner | None,
    split: str,
    n: int | None = None,
    show_progress: bool = False,
    found: Questions | None = None,
    extractor: Extractor | None = None,
) -> QuestionSet:
    """The questions of a split, in the words and answers of ``fitted``; in their own where it is None.

    Those of pictures that were read before are ``found``: a file of VQA takes seconds.
    """
    settings = config.settings
    if config.argument.kind == "scenes":
        training.check_split(split, scenes_world.SPLITS)
        n = n or (settings.n_train if split == "train" else settings.n_val)
        data = question_set.scenes_questions(config.seed, split, n, settings.questions, settings.world)
        if extractor is not None:
            return replace(data, pictures=features_of(data.pictures, extractor, show_progress, "scene"))
        assert captioner is not None
        # half precision halves the memory, and is far finer than what one learns from
        return replace(data, pictures=encoder_.encode(captioner, data.pictures, np.float16))
    splits = (found or read(config)).splits
    training.check_split(split, splits)
    return _picture_questions(splits[split][:n], config, fitted, show_progress, extractor, split == "train")


def read(config: Config) -> Questions:
    """The questions about pictures that a config names; no picture is opened."""
    argument = config.argument
    if argument.kind == "easy-vqa":
        return easy_vqa()
    return _READERS[argument.kind](*argument.arguments, skip_missing=config.skip_missing)


def _picture_questions(
    items: Sequence[Asked],
    config: Config,
    fitted: Fitted | None,
    show_progress: bool,
    extractor: Extractor | None,
    learned: bool = False,
) -> QuestionSet:
    """Questions about picture files: as features of ``extractor``, or as bytes for a conv extractor where there is none.

    Of those that are ``learned`` from, an answer of several that cannot be given whole is the first of them (DAQUAR).
    """
    paths = sorted({q.image for q in items})
    place = {path: k for k, path in enumerate(paths)}
    items = sorted(items, key=lambda q: place[q.image])  # the questions about one picture together
    pictures = pictures_of(paths, None) if extractor is None else features_of(paths, extractor, show_progress)
    if fitted is not None:
        vocabulary, answers = fitted.vocabulary, fitted.answers
    else:
        vocabulary = Vocabulary.from_counts(q.words for q in items)
        answers = question_set.answers_of(
            [q.answer for q in items], config.settings.min_count, config.settings.answers or None
        )
    texts = [_answer(q, answers) if learned else q.answer for q in items]
    mirrored = None
    if learned and config.settings.mirror and extractor is not None:
        mirrored = InMirror(
            features_of(paths, Mirrored(extractor), show_progress, "mirrored photograph"),
            [vocabulary.encode([in_mirror(word) for word in q.words]) for q in items],
            question_set.numbers_of([in_mirror(text) for text in texts], answers),
        )
    return QuestionSet(
        pictures,
        [vocabulary.encode(q.words) for q in items],
        np.array([place[q.image] for q in items], np.int64),
        question_set.numbers_of(texts, answers),
        vocabulary,
        answers,
        [str(path) for path in paths],
        asked=items,
        in_mirror=mirrored,
    )


def _answer(question: Asked, answers: Sequence[str]) -> str:
    several = ", " in question.answer
    return question.answers[0] if several and question.answer not in answers else question.answer


# --- training ----------------------------------------------------------------------------------------------------


def prepare(config: Config, fitted: Fitted | None, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config; of Scenes, the encoder is trained first where none is given."""
    settings = config.settings
    found = None if config.argument.kind == "scenes" else read(config)
    if found is not None:
        training.say_all(say, found.notes)
    if config.skip_missing and found is not None:
        say(f"{found.skipped:,} questions are left out, for their pictures are missing")
    captioner = _encoder(config, folder, show_progress, say)
    weights = backbone_.pretrained(config, fitted)
    extractor = backbone_.extractor(config, weights)
    train_set = dataset(config, fitted, captioner, "train", None, show_progress, found, extractor)
    run: Run = training.new(config, fitted or _fit(config, train_set, weights))
    run.extractor = extractor
    backbone_.begin_finetuning(run.model, config, weights)
    if config.argument.kind == "scenes" and config.model not in ("naive", "glimpses") and settings.attention_loss > 0:
        grid, _ = backbone_.fitted_channels(config, train_set.pictures)
        assert grid is not None  # of features, or of what is finetuned
        train_set = train_set.with_attention_target(settings.hops, grid)
    train_set = replace(train_set, curriculum=settings.curriculum)
    val_set = dataset(config, run.fitted, captioner, "val", None, show_progress, found, extractor)
    say(
        f"{len(train_set.answers):,} questions about {len(train_set.pictures):,} pictures, {run.choices} answers; "
        f"{len(val_set.answers):,} to validate on"
    )
    training.say_unknown(say, "the questions to validate on", val_set.questions)
    _say_unanswerable(say, val_set)
    return training.job(
        run,
        train_set,
        val_set,
        validate=lambda: val_set.validate(run.model),
        finish=lambda folder: _train_blind(run, replace(train_set, curriculum=0), folder, say),
    )


def _say_unanswerable(say: Say, data: QuestionSet) -> None:
    none = int((data.answers == NO_ANSWER).sum())
    if none:
        say(
            f"{none:,} of {len(data.answers):,} questions to validate on have an answer that cannot be given: they count as wrong"
        )


def _fit(config: Config, train_set: QuestionSet, weights: Pretrained | None) -> Fitted:
    if not train_set.answer_names:
        raise UserError(f"min_count={config.settings.min_count}: no answer is given so often; choose a lower one")
    grid, channels = backbone_.fitted_channels(config, train_set.pictures)
    return Fitted(
        vocabulary=train_set.vocabulary,
        answers=tuple(train_set.answer_names),
        prior=_prior(train_set),
        feature_channels=channels,
        weights_checksum=None if weights is None else weights.checksum,
        regions=conv_extractor.GRID**2 if grid is None else grid[0] * grid[1],
        pairs=_pairs(config.settings.pairs, train_set),
    )


def _pairs(least: int, data: QuestionSet) -> tuple[int, ...]:
    """The pairs of words of which there are enough; those of questions asked in a mirror are counted with the others."""
    if not least:
        return ()
    mirrored = [] if data.in_mirror is None else data.in_mirror.questions
    found = word_pairs.frequent([*data.questions, *mirrored], len(data.vocabulary), least)
    if not found:
        raise UserError(f"pairs={least}: no pair of words is asked with so often; choose a lower one, or 0 for none")
    return found


def _encoder(config: Config, folder: Path, show_progress: bool, say: Say) -> Captioner | None:
    """The encoder for Scenes: the one that the config names, or a new one, in the run's folder."""
    if not lent(config):
        return None
    if config.encoder:
        return encoder_.load(Path(config.encoder))
    own, s = run_folder.encoder(folder), config.settings
    # of fewer objects than the questions are about: they are easier to learn from, and look the same
    overrides = [f"n_train={s.n_train}", f"n_val={s.n_val}", f"steps={s.encoder_steps}"]
    encoder_.train(own, config.seed, overrides, show_progress, say)
    return encoder_.load(own)


def build(config: Config, fitted: Fitted) -> MemoryNetwork | QuestionAnswerer:
    """The model, with fresh parameters."""
    s = config.settings
    if config.model != "memory":
        return _question_answerer(config, fitted, config.model)
    widths = MemoryNetworkConfig(
        vocabulary=len(fitted.vocabulary),
        answers=len(fitted.answers),
        memories=fitted.regions,
        pictures=True,
        hops=s.hops,
        width=s.hidden,
        feature_channels=fitted.feature_channels,
        finetuned=config.finetuned,
        attention_loss=s.attention_loss,
    )
    return MemoryNetwork(widths, config.seed)


def _question_answerer(config: Config, fitted: Fitted, model: str) -> QuestionAnswerer:
    s, side = config.settings, math.isqrt(fitted.regions)
    widths = QuestionAnswererConfig(
        vocabulary=len(fitted.vocabulary),
        answers=len(fitted.answers),
        model=model,
        hops=s.hops,
        embedding=s.embedding,
        hidden=s.hidden,
        attention=s.attention,
        feature_channels=fitted.feature_channels,
        finetuned=config.finetuned,
        dropout=s.dropout,
        input_dropout=s.input_dropout,
        question_dropout=s.question_dropout,
        feature_dropout=s.feature_dropout,
        label_smoothing=s.label_smoothing,
        regions=fitted.regions if lent(config) else None,
        grid=(side, side),
        glimpses=s.glimpses,
        attention_loss=s.attention_loss,
        pairs=fitted.pairs,
    )
    return QuestionAnswerer(widths, config.seed)


# --- baselines that see nothing ------------------------------------------------------------------------------------


def _train_blind(run: Run, train_set: QuestionSet, folder: Path, say: Say) -> None:
    """The twin that reads only the question, into ``folder/blind``; it learns soon all that there is to learn."""
    blind, s = folder / "blind", run.config.settings
    say("training the twin that reads only the question")
    team().first(lambda: checkpoint.make_folder(blind))
    trainer = Trainer(
        _question_answerer(run.config, run.fitted, "blind"),
        lambda step, share=ALL: train_set.training_batch(step, s.batch, run.config.seed, share)._replace(pictures=None),
        replace(training.train_settings(s), steps=s.blind_steps),
        blind,
        show_progress=False,
    )
    trainer.resume()  # where it was interrupted
    trainer.run()


def _blind_twin(run: Run, folder: Path) -> Any | None:
    """The twin, or None where the training was interrupted before it was done."""
    blind = folder / "blind"
    if not (blind.is_dir() and checkpoint.latest_steps(blind)):
        return None
    tensors, state = checkpoint.load(blind)
    if state["step"] < run.config.settings.blind_steps:
        return None
    model = _question_answerer(run.config, run.fitted, "blind")
    load_model_tensors(to_backend(model), tensors, blind)
    return model


def _types(data: QuestionSet) -> list[str]:
    """The type of each question; where none is known they are all of one."""
    if data.truth is not None:
        return [question.template for question in data.truth]
    return [question.type for question in data.asked or []] or ["" for _ in data.answers]


def _prior(data: QuestionSet) -> dict[str, int]:
    """The commonest answer by the type of question."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for kind, answer in zip(_types(data), data.answers, strict=True):
        if answer != NO_ANSWER:
            counts[kind][int(answer)] += 1
    return {kind: min(counter, key=lambda a: (-counter[a], a)) for kind, counter in counts.items()}


# --- how good is it? ---------------------------------------------------------------------------------------------


def evaluate(
    run: Run,
    split: str = "val",
    n: int | None = None,
    show_progress: bool = False,
    results: Path | None = None,
) -> dict[str, Any]:
    """``loss`` and ``accuracy`` (where types are known also by type), beside what can be had without the picture.

    Where several people answered (VQA), ``vqa_accuracy`` is by the official evaluation. Into the file ``results`` go the answers,
    in VQA's format; of a split whose answers are kept secret there is nothing else.
    """
    training.check_n(n)
    if results is not None and run.config.argument.kind not in ("vqa", "clevr"):
        raise UserError(
            f"--results is of VQA and CLEVR, whose questions have numbers, not of {run.config.argument.kind}"
        )
    data = run.dataset(split, n, show_progress)
    secret = data.asked is not None and not any(question.answers for question in data.asked)
    if secret and results is None:
        raise UserError(f"--split {split}: its answers are not public; give --results FILE.json for those of the run")
    predicted = data.predict(run.model)
    if results is not None and data.asked is not None:
        results_.write(results, "question_id", [q.id for q in data.asked], "answer", data.texts(predicted))
    return {"n": len(predicted)} if secret else _figures(run, data, predicted)


def _figures(run: Run, data: QuestionSet, predicted: Array) -> dict[str, Any]:
    loss = data.mean_loss(run.model, most=len(data.answers))
    prior = np.array([run.fitted.prior.get(kind, -1) for kind in _types(data)])
    twin = None if run.folder is None else _blind_twin(run, run.folder)
    blind = None if twin is None else data.predict(twin)
    figures: dict[str, Any] = {"loss": loss}
    for name, said in (("", predicted), ("question_only_", blind), ("prior_", prior)):
        if said is not None:
            figures[f"{name}accuracy"] = data.accuracy(said)
            if run.config.argument.kind == "vqa":
                figures[f"{name}vqa_accuracy"] = float(_rights(run, data, said).mean())
    figures |= _wups(run, data, predicted)
    figures["n"] = len(data.answers)
    if (data.answers == NO_ANSWER).any():
        figures["answers_out_of_vocabulary"] = float((data.answers == NO_ANSWER).mean())  # they count as wrong
    figures |= data.accuracy_by(_rights(run, data, predicted))
    if blind is not None:
        figures |= {f"question_only_{by}": table for by, table in data.accuracy_by(_rights(run, data, blind)).items()}
    return figures


def _wups(run: Run, data: QuestionSet, predicted: Array) -> dict[str, Any]:
    """Of DAQUAR how near the answers are in WordNet, by two thresholds; or that it is not installed."""
    if run.config.argument.kind != "daquar" or data.asked is None:
        return {}
    similarity = wups.wordnet_similarity()
    if similarity is None:
        return {"wups": wups.MISSING}
    said = [[answer.strip() for answer in text.split(",")] for text in data.texts(predicted)]
    known = [question.answers for question in data.asked]
    return {f"wups@{at}": float(wups.wups(said, known, at, similarity).mean()) for at in (0.9, 0.0)}


def _rights(run: Run, data: QuestionSet, predicted: Array) -> Array:
    """How right each answer is, 0 to 1; of VQA, whose questions several people answered, by the official evaluation."""
    if run.config.argument.kind != "vqa" or data.asked is None:
        return data.rights(predicted)
    return vqa_accuracy(data.texts(predicted), [question.answers for question in data.asked])


# --- any question about any picture ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """A question about a picture with its most likely answers; ``alphas`` (hops, rows, columns), None if it does not look."""

    image: Array  # (H, W, 3) uint8
    question: list[str]
    answers: list[tuple[str, float]]  # the most likely first
    alphas: Array | None
    looks: list[str]  # the names of the hops
    unknown: list[str]  # words that the run has never seen
    notes: tuple[str, ...] = ()  # what the reader should know besides


def answer(run: Run, image: Path, question: str) -> Answered:
    """Answer a question about a picture in any format that Pillow opens.

    Raises:
        UserError: the file is missing, damaged or no picture; or there is no word in the question.
    """
    words = question_words(question, run.vocabulary)
    shown = as_seen(image, run.extractor)
    if run.encoder is not None:
        pictures = encoder_.encode(run.encoder, pictures_of([image], None))
    else:
        pictures = pictures_of([image], run.extractor)
    tokens = np.array(run.vocabulary.encode(words))[:, None]  # (T, 1)
    one = np.zeros(1, np.int64)
    probabilities, alphas = run.model.answer(QuestionBatch(pictures, one, tokens, one + len(words), one))
    if alphas is not None:
        side = int(alphas.shape[2] ** 0.5)
        alphas = alphas[0].reshape(-1, side, side)
    unknown = sorted({word for word in words if word not in run.vocabulary})
    notes = (
        (f"{image} is of one colour all over: there is nothing to ask about",) if (shown == shown[0, 0]).all() else ()
    )
    return Answered(
        shown, words, top_k(probabilities[0], run.fitted.answers), alphas, _looks(run.config), unknown, notes
    )


def _looks(config: Config) -> list[str]:
    """What its looks are called, in the order of their attention."""
    hops = [f"hop {k}" for k in range(1, config.settings.hops + 1)]
    if config.model != "glimpses":
        return hops
    return [f"glimpse {g}, {hop}" for g in range(1, config.settings.glimpses + 1) for hop in hops]


def question_words(question: str, vocabulary: Vocabulary) -> list[str]:
    """The words of a question as the run's data has them: with their question marks, or without any punctuation.

    Raises:
        UserError: there is no word in it, none that is known, or far too many.
    """
    words = bare_words(question)
    if not words:
        raise UserError("the question is empty: give at least one word")
    if len(words) > _MOST_WORDS:
        raise UserError(f"the question has {len(words):,} words: give {_MOST_WORDS:,} at the most")
    if not any(word in vocabulary for word in words):
        raise UserError(
            f"the run knows no word of the question ({first_few(words)}): ask in words that it was trained on"
        )
    if "?" in vocabulary:  # Scenes: a mark ends each question, and is written after a space
        spaced = question.lower().replace("?", " ? ").split()
        words = spaced if spaced[-1] == "?" else [*spaced, "?"]
    return words


def top_k(probabilities: Array, names: Sequence[str], k: int = _TOP_K) -> list[tuple[str, float]]:
    """The ``k`` most likely answers with their probabilities, the most likely first."""
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [(names[k], float(probabilities[k])) for k in order]


def picture(answered: Answered) -> Any:
    """Where the model looked at each hop, with its most likely answers.

    Raises:
        UserError: it does not look.
    """
    from scratchlv.show.hops_picture import hops_picture

    if answered.alphas is None:
        raise UserError("this run has no attention to draw; train one with --model attention or --model memory")
    return hops_picture(answered.image, answered.question, answered.alphas, answered.answers, names=answered.looks)
