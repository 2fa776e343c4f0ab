"""Visual question answering: train, evaluate and use a model on Scenes, easy-VQA or DAQUAR.

As the lecture's CNN comes trained on ImageNet, the encoder is trained before: on Scenes it is the conv extractor of a captioner
(trained first, into ``encoder/``, or given by ``--encoder``); photographs are encoded by EfficientNet-Lite0. Only
easy-VQA's pictures, with one shape each, are simple enough to learn to see from answers alone.

On Scenes it is known what each step of an answer depends on, and in training the hops are taught to look there: from answers
alone the second hop is not found in minutes.

Beside each score stand two that see no picture: a twin that reads only the question (trained after the model, into ``blind/``),
and the prior, which gives the commonest answer of the training part (to questions of that type, where types are known).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import QuestionBatch
from scratchlv.data import question_set
from scratchlv.data import scenes as scenes_world
from scratchlv.data.daquar import Questions, daquar
from scratchlv.data.easy_vqa import easy_vqa
from scratchlv.data.question_set import QuestionSet
from scratchlv.data.text import bare_words
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.device import to_backend
from scratchlv.errors import UserError
from scratchlv.models.captioner import Captioner
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.models.question_answerer import QuestionAnswerer, QuestionAnswererConfig
from scratchlv.tasks import data_argument, run_folder, training
from scratchlv.tasks import encoder as encoder_
from scratchlv.tasks.pictures import photograph_features, pictures_of
from scratchlv.tasks.training import Job, Say
from scratchlv.training import checkpoint
from scratchlv.training.trainer import Trainer, TrainSettings, load_model_tensors

_TOP_K = 5


@dataclass(frozen=True, kw_only=True)
class Settings(training.Settings):
    """``batch`` counts pictures, each with all its questions."""

    hops: int = 1
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    questions: int = 8  # about each scene
    attention_loss: float = 0.3  # the weight of the loss that teaches where to look; 0: only the answers teach
    encoder_steps: int = 1200  # for the captioner of Scenes whose encoder it has
    min_count: int = 1  # answers that are rarer cannot be given
    blind_steps: int = 600  # for the twin that reads only the question


PRESETS = {
    ("scenes", "quick"): Settings(
        steps=3000, batch=32, learning_rate=3e-3, hops=2, n_train=10_000, least_objects=5, most_objects=6
    ),
    ("easy-vqa", "quick"): Settings(steps=2500, batch=16, learning_rate=2e-3, validate_every=500),
    ("daquar", "quick"): Settings(
        steps=600, batch=16, learning_rate=1e-3, dropout=0.5, hidden=256, attention=256, validate_every=60
    ),
}


def config(
    task: str,
    data: str,
    model: str,
    preset: str,
    seed: int,
    overrides: list[str],
    *,
    encoder: Path | None = None,
    skip_missing: bool = False,
) -> dict[str, Any]:
    """The config of a new run; ``skip_missing`` goes on without questions whose picture is missing.

    ``encoder`` is the folder of a captioner of Scenes; None trains one first.

    Raises:
        UserError: an argument is wrong.
    """
    argument = data_argument.parse(data, task)
    settings = training.preset_of(PRESETS, argument.kind, preset, overrides)
    training.check_pictures(model, settings)
    if encoder is not None and argument.kind != "scenes":
        raise UserError(f"--encoder goes with --data scenes, not with {argument.kind}; leave it out")
    if skip_missing and argument.kind == "scenes":
        raise UserError("--skip-missing goes with photographs; scenes are never missing")
    resolved = None if encoder is None else str(encoder.resolve())
    return training.new_config(
        task, str(argument), model, preset, seed, settings, encoder=resolved, skip_missing=skip_missing
    )


@dataclass
class Run(training.Run[Settings]):
    """A question answerer, its words and its answers."""

    vocabulary: Vocabulary
    answer_names: tuple[str, ...]

    @cached_property
    def encoder(self) -> Captioner | None:
        """The captioner of Scenes whose encoder it has; None where it sees with its own, or with a pretrained network."""
        if self.config["data"] != "scenes":
            return None
        assert self.folder is not None
        return encoder_.load(Path(self.config["encoder"] or self.folder / run_folder.ENCODER))

    def dataset(self, split: str, n: int | None = None, show_progress: bool = False) -> QuestionSet:
        """The questions of a split; ``n`` counts scenes, or questions about other pictures."""
        return dataset(self.config, self.settings, self.encoder, split, n, show_progress)


# --- data --------------------------------------------------------------------------------------------------------


def dataset(
    config: dict[str, Any],
    settings: Settings,
    captioner: Captioner | None,
    split: str,
    n: int | None = None,
    show_progress: bool = False,
) -> QuestionSet:
    """The questions of a split, in the words and answers of the config where it has them."""
    argument = data_argument.parse(config["data"], config["task"])
    if argument.kind == "scenes":
        training.check_split(split, scenes_world.SPLITS)
        assert captioner is not None
        n = n or (settings.n_train if split == "train" else settings.n_val)
        data = question_set.scenes_questions(config["seed"], split, n, settings.questions, settings.world)
        # half precision halves the memory, and is far finer than what one learns from
        return replace(data, pictures=encoder_.encode(captioner, data.pictures, np.float16))
    splits = _read(argument, config["skip_missing"]).splits
    training.check_split(split, splits)
    return _picture_questions(splits[split][:n], config, settings, argument.kind == "easy-vqa", show_progress)


def _read(argument: data_argument.DataArgument, skip_missing: bool) -> Questions:
    return easy_vqa() if argument.kind == "easy-vqa" else daquar(argument.arguments[0], skip_missing=skip_missing)


def _picture_questions(
    items: Sequence[Any], config: dict[str, Any], settings: Settings, small: bool, show_progress: bool
) -> QuestionSet:
    """Questions about picture files: small ones as bytes, photographs as features."""
    items = sorted(items, key=lambda q: q.image)  # the questions about one picture together
    paths = sorted({q.image for q in items})
    place = {path: k for k, path in enumerate(paths)}
    pictures = pictures_of(paths, None) if small else photograph_features(paths, show_progress)
    if "vocabulary" in config:
        vocabulary, answers = Vocabulary.from_json(config["vocabulary"]), tuple(config["answers"])
    else:
        vocabulary = Vocabulary.from_counts(q.words for q in items)
        answers = question_set.answers_of([q.answer for q in items], settings.min_count)
    return QuestionSet(
        pictures,
        [vocabulary.encode(q.words) for q in items],
        np.array([place[q.image] for q in items], np.int64),
        question_set.numbers_of([q.answer for q in items], answers),
        vocabulary,
        answers,
        [str(path) for path in paths],
    )


# --- training ----------------------------------------------------------------------------------------------------


def prepare(config: dict[str, Any], show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config, which is told the words, the answers, and the width of the features."""
    settings = Settings(**config["settings"])
    if config["skip_missing"]:
        skipped = _read(data_argument.parse(config["data"], config["task"]), skip_missing=True).skipped
        say(f"{skipped:,} questions are left out, for their pictures are missing")
    captioner = _encoder(config, settings, folder, show_progress, say)
    train_set = dataset(config, settings, captioner, "train", show_progress=show_progress)
    if not train_set.answer_names:
        raise UserError(f"min_count={settings.min_count}: no answer is given so often; choose a lower one")
    config.setdefault("vocabulary", train_set.vocabulary.to_json())
    config.setdefault("answers", list(train_set.answer_names))
    config.setdefault("prior", _prior(train_set))
    channels = None if train_set.pictures.dtype == np.uint8 else int(train_set.pictures.shape[-1])
    config.setdefault("feature_channels", channels)
    config.setdefault("regions", int(np.prod(train_set.pictures.shape[1:3])) if channels else 64)
    if config["data"] == "scenes" and config["model"] != "naive" and settings.attention_loss > 0:
        train_set = train_set.with_attention_target(settings.hops, train_set.pictures.shape[1:3])
    val_set = dataset(config, settings, captioner, "val", show_progress=show_progress)
    say(
        f"{len(train_set.answers):,} questions about {len(train_set.pictures):,} pictures, {len(config['answers'])} answers; "
        f"{len(val_set.answers):,} to validate on"
    )
    run = new(config)

    def finish(folder: Path) -> None:
        _train_blind(run, train_set, folder, say)

    return Job(
        run,
        lambda step: train_set.training_batch(step, settings.batch, config["seed"]),
        lambda: {"loss": val_set.mean_loss(run.model), "accuracy": val_set.accuracy(val_set.predict(run.model))},
        len(run.answer_names),
        finish,
    )


def _encoder(
    config: dict[str, Any], settings: Settings, folder: Path, show_progress: bool, say: Say
) -> Captioner | None:
    """The encoder for Scenes: the one that the config names, or a new one, in the run's folder."""
    if config["data"] != "scenes":
        return None
    if config["encoder"]:
        return encoder_.load(Path(config["encoder"]))
    own = folder / run_folder.ENCODER
    # of fewer objects than the questions are about: they are easier to learn from, and look the same
    overrides = [f"n_train={settings.n_train}", f"n_val={settings.n_val}", f"steps={settings.encoder_steps}"]
    encoder_.train(own, config["seed"], overrides, show_progress, say)
    return encoder_.load(own)


def new(config: dict[str, Any]) -> Run:
    """The run of a config, with fresh parameters."""
    s, vocabulary = Settings(**config["settings"]), Vocabulary.from_json(config["vocabulary"])
    answers = tuple(config["answers"])
    return Run(config, s, _model(config, s, config["model"]), vocabulary, answers)


def _model(config: dict[str, Any], s: Settings, model: str) -> Any:
    words, answers = len(config["vocabulary"]), len(config["answers"])
    if model == "memory":
        memory = MemoryNetworkConfig(
            vocabulary=words,
            answers=answers,
            memories=config["regions"],
            pictures=True,
            hops=s.hops,
            width=s.hidden,
            feature_channels=config["feature_channels"],
            attention_loss=s.attention_loss,
        )
        return MemoryNetwork(memory, config["seed"])
    shape = QuestionAnswererConfig(
        vocabulary=words,
        answers=answers,
        model=model,
        hops=s.hops,
        embedding=s.embedding,
        hidden=s.hidden,
        attention=s.attention,
        feature_channels=config["feature_channels"],
        dropout=s.dropout,
        regions=config["regions"] if config["data"] == "scenes" else None,
        attention_loss=s.attention_loss,
    )
    return QuestionAnswerer(shape, config["seed"])


# --- baselines that see nothing ------------------------------------------------------------------------------------


def _train_blind(run: Run, train_set: QuestionSet, folder: Path, say: Say) -> None:
    """The twin that reads only the question, into ``folder/blind``; it learns soon all that there is to learn."""
    blind, s = folder / "blind", run.settings
    say("training the twin that reads only the question")
    blind.mkdir(exist_ok=True)
    trainer = Trainer(
        _model(run.config, s, "blind"),
        lambda step: train_set.training_batch(step, s.batch, run.seed)._replace(pictures=None),
        TrainSettings(s.blind_steps, s.learning_rate, s.warmup, s.clip),
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
    if state["step"] < run.settings.blind_steps:
        return None
    model = _model(run.config, run.settings, "blind")
    load_model_tensors(to_backend(model), tensors, blind)
    return model


def _types(data: QuestionSet) -> list[str]:
    """The type of each question; where none is known they are all of one."""
    return ["" for _ in data.answers] if data.truth is None else [question.template for question in data.truth]


def _prior(data: QuestionSet) -> dict[str, int]:
    """The commonest answer by the type of question."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for kind, answer in zip(_types(data), data.answers, strict=True):
        counts[kind][int(answer)] += 1
    return {kind: min(counter, key=lambda a: (-counter[a], a)) for kind, counter in counts.items()}


# --- how good is it? ---------------------------------------------------------------------------------------------


def evaluate(run: Run, split: str = "val", n: int | None = None, show_progress: bool = False) -> dict[str, Any]:
    """``loss`` and ``accuracy`` (on Scenes also by type and by hops), beside what can be had without the picture."""
    training.check_n(n)
    data = run.dataset(split, n, show_progress)
    predicted = data.predict(run.model)
    loss = data.mean_loss(run.model, most=len(data.answers))
    prior = np.array([run.config["prior"].get(kind, -1) for kind in _types(data)])
    twin = None if run.folder is None else _blind_twin(run, run.folder)
    figures: dict[str, Any] = {"loss": loss, "accuracy": data.accuracy(predicted)}
    blind = None if twin is None else data.predict(twin)
    if blind is not None:
        figures["question_only_accuracy"] = data.accuracy(blind)
    figures |= {"prior_accuracy": data.accuracy(prior), "n": len(data.answers)}
    if data.truth is not None:
        figures |= data.accuracy_by(predicted)
        if blind is not None:
            figures |= {f"question_only_{by}": table for by, table in data.accuracy_by(blind).items()}
    return figures


# --- any question about any picture ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """A question about a picture with its most likely answers; ``alphas`` (hops, rows, columns), None if it does not look."""

    image: Array  # (H, W, 3) uint8
    question: list[str]
    answers: list[tuple[str, float]]  # the most likely first
    alphas: Array | None
    unknown: list[str]  # words that the run has never seen


def answer(run: Run, image: Path, question: str) -> Answered:
    """Answer a question about a picture in any format that Pillow opens.

    Raises:
        UserError: the file is missing, damaged or no picture; or there is no word in the question.
    """
    from scratchlv.vision.images import load_image

    words = question_words(question, run.vocabulary)
    shown = load_image(image)
    if run.encoder is not None:
        pictures = encoder_.encode(run.encoder, pictures_of([image], None))
    else:
        pictures = pictures_of([image], run.config["feature_channels"])
    tokens = np.array(run.vocabulary.encode(words))[:, None]  # (T, 1)
    one = np.zeros(1, np.int64)
    probabilities, alphas = run.model.answer(QuestionBatch(pictures, one, tokens, one + len(words), one))
    if alphas is not None:
        side = int(alphas.shape[2] ** 0.5)
        alphas = alphas[0].reshape(-1, side, side)
    unknown = sorted({word for word in words if word not in run.vocabulary})
    return Answered(shown, words, top_k(probabilities[0], run.answer_names), alphas, unknown)


def question_words(question: str, vocabulary: Vocabulary) -> list[str]:
    """The words of a question as the run's data has them: with their question marks, or without any punctuation.

    Raises:
        UserError: there is no word in it.
    """
    words = bare_words(question)
    if not words:
        raise UserError("the question is empty: give at least one word")
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
    from scratchlv.show.hops import hops_picture

    if answered.alphas is None:
        raise UserError("this run has no attention to draw; train one with --model attention or --model memory")
    return hops_picture(answered.image, answered.question, answered.alphas, answered.answers)
