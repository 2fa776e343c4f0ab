"""The two records of a run, both frozen: what was asked for, and what was then fitted from its data. Tasks add their own."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

from scratchlv import __version__
from scratchlv.data.scenes import World
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError, shortened
from scratchlv.models.scheduled_sampling import CHOICES
from scratchlv.tasks import TASKS, data_argument
from scratchlv.tasks.data_argument import DataArgument
from scratchlv.training.optimisers import OPTIMISERS
from scratchlv.training.sampling_schedule import SCHEDULES, own_word_probability

_POSITIVE = (
    "learning_rate",
    "clip",
    "finetune_rate",
    "sharpening",
)  # these may be any number above 0, the rest are counts
_ZERO_OR_MORE = (
    "warmup",
    "validate_every",
    "attention_loss",
    "frequencies",
    "doubly_stochastic",
    "reinforce",
    "entropy",
    "init_scale",
    "decay_from",
    "decoder_hidden",
    "average_from",
    "average_after",
    "coverage",
    "linear_steps",
    "answers",
    "curriculum",
    "pairs",
    "encoding",
)
_BELOW_ONE = (
    "dropout",
    "label_smoothing",
    "noise",
    "momentum",
    "embedding_dropout",
    "input_dropout",
    "question_dropout",
    "feature_dropout",
    "weight_drop",
)  # and 0 or more
_SHARES = ("drawn", "scheduled_sampling", "decay")
#: what keeps a model from learning a batch by heart
_REGULARISERS = ("label_smoothing", "doubly_stochastic", "entropy", "scheduled_sampling", "coverage")
_LARGEST = sys.float_info.max
#: the largest of each; of scenes, a million pictures are 12 GB
MOST_SCENES = 1_000_000
_MOST_OTHERS = 1_000_000_000
_MOST = dict.fromkeys(("n_train", "n_val"), MOST_SCENES)
_MOST |= dict.fromkeys(("embedding", "hidden", "decoder_hidden", "attention", "width"), 65_536)
_MOST |= dict.fromkeys(("layers", "hops", "questions", "restarts"), 1000)
_MOST |= dict.fromkeys(("batch", "unroll", "most_words"), 1_000_000)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What ``--set`` can change in every task; a preset is a set of values."""

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100  # steps
    clip: float = 1.0
    decay: float = (
        0.0  # of the learning rate, by this factor in steps (1: never), and not along a cosine; 0: along a cosine
    )
    decay_from: int = 1  # the first step of which it is lower
    decay_every: int = 1  # steps, after which it is lowered again
    average_from: int = 0  # steps, after which weights are averaged: validation and use take the mean; 0: they are not
    average_after: int = 0  # validations that bring nothing better, after which they are (NT-ASGD); 0: they are not
    optimiser: str = next(iter(OPTIMISERS))
    momentum: float = 0.0  # of sgd and rmsprop
    nesterov: bool = False  # of sgd with momentum
    dropout: float = 0.0
    label_smoothing: float = 0.0  # in training; what is reported of other data is the loss without
    validate_every: int = 0  # steps
    # Scenes
    n_train: int = 20_000
    n_val: int = 500
    least_objects: int = 3
    most_objects: int = 4

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, str | bool):
                continue
            if name in _POSITIVE:
                right, wanted = 0 < value < math.inf, "above 0"
            elif name in _BELOW_ONE:
                right, wanted = 0 <= value < 1, "0 or more and below 1"
            elif name in _SHARES:
                right, wanted = 0 <= value <= 1, "0 to 1"
            elif name in _ZERO_OR_MORE:
                right, wanted = 0 <= value < math.inf, "0 or more, and finite"
            else:
                right, wanted = value >= 1, "1 or more"
            if not right:
                raise UserError(f"{name}={shortened(value)}: it must be {wanted}")
            most = _MOST.get(name, _MOST_OTHERS)
            if isinstance(value, int) and value > most:
                raise UserError(f"{name}={shortened(value)}: it must be {most:,} at the most")
        if self.optimiser not in OPTIMISERS:
            raise UserError(f"optimiser={self.optimiser}: it must be {', '.join(OPTIMISERS)}")
        for name in ("momentum", "nesterov"):
            if getattr(self, name) and name not in OPTIMISERS[self.optimiser].SETTINGS:
                takers = " or ".join(
                    f"optimiser={other}" for other, kind in OPTIMISERS.items() if name in kind.SETTINGS
                )
                raise UserError(f"{name}={getattr(self, name)}: optimiser={self.optimiser} takes none; set {takers}")
        if not self.decay and (self.decay_from, self.decay_every) != (1, 1):
            raise UserError(
                "decay_from and decay_every say when the learning rate is lowered; set by how much, as decay=0.5"
            )
        if self.average_from and self.average_after:
            raise UserError("average_from and average_after both say when averaging begins; set one of them")
        if self.average_from >= self.steps:
            raise UserError(f"average_from={self.average_from}: there are only {self.steps} steps; give fewer")
        if self.average_after and not self.validate_every:
            raise UserError("average_after counts validations, and there are none; set validate_every")
        if self.nesterov and not self.momentum:
            raise UserError("nesterov=True: it looks ahead along the velocity; give it momentum, as momentum=0.9")
        try:
            World((self.least_objects, self.most_objects))
        except ValueError as error:
            raise UserError(f"least_objects, most_objects: {error}") from None

    @property
    def world(self) -> World:
        """What scenes may hold."""
        return World((self.least_objects, self.most_objects))

    def unregularised(self) -> Self:
        """The settings without what keeps a model from learning a batch by heart."""
        here = {field.name for field in dataclasses.fields(self)}
        none: dict[str, Any] = dict.fromkeys(here.intersection(_REGULARISERS), 0.0)
        return dataclasses.replace(self, **none)


@dataclass(frozen=True, kw_only=True)
class WordSettings(Settings):
    """Of tasks whose models say words: what the word before is in training."""

    scheduled_sampling: float = 0.0  # the probability that it is the model's own, at last
    schedule: str = SCHEDULES[0]  # how it gets there
    own_words: str = CHOICES[0]  # how the model's own is chosen

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, there in (("schedule", SCHEDULES), ("own_words", CHOICES)):
            if getattr(self, name) not in there:
                raise UserError(f"{name}={getattr(self, name)}: there are {', '.join(there)}")

    def own_word_probability(self, step: int) -> float:
        return own_word_probability(step, self.steps, self.scheduled_sampling, self.schedule)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a run was asked for: all that it will ever be told.

    Raises:
        UserError: the task has no such model.
    """

    task: str
    scratchlv: str = __version__  # that was asked
    data: str  # as --data has it
    model: str
    preset: str
    seed: int
    settings: Settings

    def __post_init__(self) -> None:
        task = TASKS[self.task]
        if self.model not in task.models:
            raise UserError(f"--model {self.model}: {task.title} has {', '.join(task.models)}")

    @property
    def separate(self) -> bool:
        """Whether it is a run for each part of the data, side by side in one folder."""
        return False

    @property
    def argument(self) -> DataArgument:
        """``data``, taken apart."""
        return data_argument.parse(self.data, self.task)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was fitted from the data that a run trains on: its words, and what else depends on them."""

    vocabulary: Vocabulary


C = TypeVar("C", bound=Config)
S = TypeVar("S", bound=Settings)
Record = TypeVar("Record")


def ask(
    config: type[C],
    presets: dict[tuple[str, str], S],
    task: str,
    data: str,
    model: str,
    preset: str,
    seed: int,
    overrides: list[str],
    **more: Any,
) -> C:
    """The config of a new run: the settings of a preset of this kind of data, with ``key=value`` strings applied.

    Raises:
        UserError: the data, the model or the preset is not there, or an assignment is wrong.
    """
    argument = data_argument.parse(data, task)
    if (argument.kind, preset) not in presets:
        there = ", ".join(name for kind, name in presets if kind == argument.kind)
        raise UserError(f"--preset {preset}: for --data {argument.kind} there is {there}")
    settings = override(presets[argument.kind, preset], overrides)
    return config(task=task, data=str(argument), model=model, preset=preset, seed=seed, settings=settings, **more)


#: what only scenes have
_OF_SCENES = ("n_train", "n_val", "least_objects", "most_objects")


def refuse_idle(config: Config, assignments: list[str], idle: dict[str, str]) -> None:
    """Refuse ``key=value`` strings for settings that change nothing: scenes' elsewhere, and ``idle``, each with the reason.

    Raises:
        UserError: there is one.
    """
    kind = config.argument.kind
    if not getattr(config.settings, "scheduled_sampling", 0):
        idle = idle | dict.fromkeys(("schedule", "own_words"), "scheduled_sampling=0")
    if kind != "scenes":
        idle = idle | dict.fromkeys(_OF_SCENES, f"--data {kind}")
    for assignment in assignments:
        key = assignment.partition("=")[0]
        if key in idle:
            raise UserError(f"{assignment}: {key} does nothing with {idle[key]}; leave it out")


def override(settings: S, assignments: list[str]) -> S:
    """``settings`` with ``key=value`` strings applied.

    Raises:
        UserError: a key that does not exist, or a value of the wrong kind.
    """
    kinds = get_type_hints(type(settings))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in kinds:
            raise UserError(f"--set {assignment}: no such key; there are {', '.join(kinds)} (write key=value)")
        try:
            changes[key] = _switch(text) if kinds[key] is bool else kinds[key](text)
        except ValueError:
            kind = "true or false" if kinds[key] is bool else kinds[key].__name__
            raise UserError(f"--set {assignment}: {key} is {kind}, not {text!r}") from None
    return dataclasses.replace(settings, **changes)


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


# --- as JSON -----------------------------------------------------------------------------------------------------


def to_json(record: Any) -> Any:
    """A record as JSON has it: a dict; words and tuples in it are lists."""
    if dataclasses.is_dataclass(record):
        return {field.name: to_json(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, Vocabulary):
        return record.to_json()
    return list(record) if isinstance(record, tuple) else record


def from_json(kind: type[Record], found: Any) -> Record:
    """The record of this ``kind`` that :func:`to_json` made ``found`` of; what it leaves out has its default.

    Fields that there were once are in the kind's ``GONE``, with the values at which they did nothing: those are passed over.

    Raises:
        ValueError: something is missing, is not known, or is of another type.
        UserError: a value is none that the record can have.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(found, dict):
        raise ValueError(f"{kind.__name__} is missing")
    gone = getattr(kind, "GONE", {})
    found = {name: value for name, value in found.items() if name not in gone or value != gone[name]}
    for name in found.keys() - fields.keys():
        raise ValueError(f"{name!r} is not known")
    for name, field in fields.items():
        if name not in found and field.default is dataclasses.MISSING:
            raise ValueError(f"{name!r} is missing")
    hints = get_type_hints(kind)
    return kind(**{name: _value(name, hints[name], value) for name, value in found.items()})


def _value(name: str, hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):  # with None
        if value is None:
            return None
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    if hint is Vocabulary:
        return Vocabulary.from_json(value)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]
    if not _is(hint, value):
        raise ValueError(f"{name!r} is {shortened(value)}, which it cannot be")
    return tuple(value) if get_origin(hint) is tuple else value


def _is(hint: Any, value: Any) -> bool:
    """Whether a value of JSON is of the type of a hint."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is tuple:  # of any length
        return isinstance(value, list) and all(_is(parts[0], each) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is(parts[1], each) for each in value.values())
    if hint is float:  # JSON writes 1.0 as 1, too
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
    return type(value) is hint
