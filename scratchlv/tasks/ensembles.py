"""Several captioners, or question answerers, as one run, to be evaluated and used: :mod:`scratchlv.models.ensemble`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scratchlv.arrays import Array
from scratchlv.data.captions import CaptionSet
from scratchlv.data.question_set import QuestionSet
from scratchlv.data.views import SeveralViews
from scratchlv.errors import UserError
from scratchlv.models.ensemble import AnswerEnsemble, Ensemble
from scratchlv.tasks import question_answering, training
from scratchlv.tasks.captioning import Run


class EnsembleRun(Run):
    """Its words are those of each, its data the first one's; each sees pictures through a backbone of its own."""

    def __init__(self, runs: Sequence[Run]) -> None:
        first = runs[0]
        super().__init__(first.config, first.fitted, Ensemble([run.model for run in runs]), first.folder)
        self.runs = tuple(runs)

    @property
    def looks(self) -> bool:
        return all(run.looks for run in self.runs)

    def dataset(self, split: str, n: int | None = None, show_progress: bool = False) -> CaptionSet:
        _ask_about(self.config, self.runs)
        sets = [run.dataset(split, n, show_progress) for run in self.runs]
        return replace(sets[0], pictures=SeveralViews([data.pictures for data in sets]))

    def pictures_of(self, paths: list[Path]) -> Any:
        return SeveralViews([run.pictures_of(paths) for run in self.runs])

    def seen_image(self, path: Path) -> Array:
        return self.runs[0].seen_image(path)


def _ask_about(config: Any, runs: Sequence[Any]) -> None:
    """The data that the first one is asked about now is that of all."""
    for run in runs:
        run.config = replace(run.config, data=config.data, skip_missing=config.skip_missing)


def load(folder: Path, others: Sequence[Path], *, weights: str = "float32") -> EnsembleRun:
    """The runs in ``folder`` and in ``others`` as one.

    Raises:
        UserError: as :func:`scratchlv.tasks.training.load`; or they do not have the same words, or not the same kind of data.
    """
    runs = [training.load(each, "caption", weights=weights) for each in (folder, *others)]
    first = runs[0]
    for other, run in zip(others, runs[1:], strict=True):
        if run.vocabulary.words != first.vocabulary.words or run.config.characters != first.config.characters:
            raise UserError(
                f"--ensemble {other}: it has other words than {folder}; give runs that were trained on the same captions "
                "with the same min_count"
            )
        if (run.config.argument.kind == "scenes") != (first.config.argument.kind == "scenes"):
            raise UserError(
                f"--ensemble {other}: it was trained on {run.config.data}, and {folder} on {first.config.data}; give runs "
                "of the same data"
            )
        if run.config.blind or first.config.blind:
            raise UserError(f"--ensemble {other}: a blind run is shown other pictures; leave it out")
    return EnsembleRun(runs)


class AnswererEnsembleRun(question_answering.Run):
    """Its data and its blind twin are those of the first; of photographs each sees what its own backbone makes."""

    def __init__(self, runs: Sequence[question_answering.Run]) -> None:
        first = runs[0]
        super().__init__(first.config, first.fitted, AnswerEnsemble([run.model for run in runs]), first.folder)
        self.runs = tuple(runs)

    def dataset(self, split: str, n: int | None = None, show_progress: bool = False) -> QuestionSet:
        first = super().dataset(split, n, show_progress)
        if len({_sight(run) for run in self.runs}) == 1:
            return first  # one view serves all
        _ask_about(self.config, self.runs)
        others = [run.dataset(split, n, show_progress).pictures for run in self.runs[1:]]
        return replace(first, pictures=SeveralViews([first.pictures, *others]))


def load_answerers(folder: Path, others: Sequence[Path], *, weights: str = "float32") -> question_answering.Run:
    """The question answerers in ``folder`` and in ``others`` as one; its data and its blind twin are those of the first.

    Raises:
        UserError: as :func:`scratchlv.tasks.training.load`; or they have not the same words and answers, or not the same kind of
            data, or see drawn scenes otherwise.
    """
    runs = [training.load(each, "vqa", weights=weights) for each in (folder, *others)]
    first = runs[0]
    for other, run in zip(others, runs[1:], strict=True):
        if run.vocabulary.words != first.vocabulary.words or run.fitted.answers != first.fitted.answers:
            raise UserError(
                f"--ensemble {other}: it has other words or answers than {folder}; give runs that were trained on the same "
                "questions with the same min_count and answers"
            )
        if _sight(run) != _sight(first) and "scenes" in (run.config.argument.kind, first.config.argument.kind):
            raise UserError(
                f"--ensemble {other}: it does not see scenes as {folder} does; give runs with the same --backbone, --layer, "
                "--finetune and --encoder"
            )
    return AnswererEnsembleRun(runs)


def _sight(run: question_answering.Run) -> tuple:
    """What its pictures look like to a question answerer: the same features for runs of which this is the same."""
    c = run.config
    own = c.encoder or run.folder if question_answering.lent(c) else None
    return (
        c.argument.kind == "scenes",
        c.backbone,
        c.layer,
        c.finetune,
        c.settings.crop,
        run.fitted.weights_checksum,
        own,
    )
