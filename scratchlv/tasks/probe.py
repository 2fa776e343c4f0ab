"""Does a captioner look at the picture? Runs side by side, on the same pictures: ``scratchlv probe``.

The lecture says that a naive captioner can drift into a language model that ignores the picture, that a shortcut shortens the way
from a word to the picture but can be ignored, and that attention makes words depend on parts of it. Here that is measured:
:data:`FIGURES` says how.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv import metrics
from scratchlv.arrays import Array
from scratchlv.data import scenes as scenes_world
from scratchlv.data.captions import CaptionSet
from scratchlv.data.views import in_memory
from scratchlv.decode import Generated, Reading
from scratchlv.errors import UserError
from scratchlv.metrics.grounding import Estimate, attention_entropy, estimate, larger_share
from scratchlv.models.gradient_reach import gradient_reach
from scratchlv.tasks import asked_again, captioning, training
from scratchlv.tasks.captioning import Config, Run
from scratchlv.tasks.looking import Occlusion, Sentences, by_step, occlude, read_with_others
from scratchlv.tokens import END
from scratchlv.training.progress import Progress

OTHERS = 16  # pictures that stand for any picture
CLOSELY = 100  # captions whose gradients are taken and whose regions are hidden, at most: of these it takes the longest
SHOWN = 8  # pictures
_TOGETHER = 50  # pictures
_LEAST = 10  # captions that a mean over a step needs
_CERTAIN = 1e-3  # ‖onehot − p‖ of a word that is so sure that its gradient is rounding
_EARLY, _LATE = slice(0, 3), slice(8, 11)  # words 1 to 3, and 9 to 11
_SEED = 0  # of the order in which pictures are swapped, and of the regions at random


class Figure(NamedTuple):
    """A row of the table."""

    label: str
    told: str
    percent: bool = False


FIGURES = {
    "loss": Figure("loss per word, nats", "of the references, one for each picture, <end> included"),
    "image_dependence": Figure(
        "image dependence of a word of the references, nats",
        f"log p(word | picture, words before), less the logarithm of its mean over {OTHERS} other pictures: so much less is "
        "lost for seeing the picture. A model that ignores it has 0",
    ),
    "image_dependence_said": Figure(
        "image dependence of a word that it says, nats", "the same of its own greedy captions, <end> left out"
    ),
    "reach": Figure(
        "gradient reach",
        "‖∂ log p(word) / ∂ x‖, the mean over words of the references; x are the features of the regions, at a mean square of 1",
    ),
    "passed_early": Figure(
        "… of a unit at the logits, words 1 to 3",
        "the same, divided by ‖∂ log p(word) / ∂ logits‖: how much of the gradient that a word sends off gets to the picture; "
        "words that are certain send none, and are left out",
    ),
    "passed_late": Figure("… of a unit at the logits, words 9 to 11", "the same, further from the beginning"),
    "same_caption": Figure(
        "captions that stay when the picture is swapped", "of all pairs of pictures, those with the same caption", True
    ),
    "distinct": Figure("distinct captions", "different captions, as a share of all", True),
    "novel": Figure("novel captions", "that stand, word for word, nowhere in the captions it was trained on", True),
    "vocabulary_used": Figure("words used", "different ones, in all captions together"),
    "mean_length": Figure("length of a caption, words", "<end> left out"),
    "attention_entropy": Figure("attention entropy, nats", "−Σ α ln α, the mean over the words that it says"),
    "attention_entropy_share": Figure("… of that of uniform attention", "of ln L, L regions", True),
    "occlusion_random": Figure(
        "hiding the most attended region rather than a random one costs a word, nats",
        "log p(word) with the picture, less that with a region's features replaced by the mean of all: of the most attended "
        "region, less that of another, drawn by chance; over the words that it says",
    ),
    "occlusion_random_share": Figure(
        "… and costs it more than a random one", "the share of words; equals are counted as a half", True
    ),
    "occlusion_least": Figure(
        "hiding it rather than the least attended one, nats", "the same with the least attended region"
    ),
    "occlusion_least_share": Figure("… and costs it more than that", "the same", True),
    "true_share": Figure("true captions", "true of their scene", True),
    "pointing_accuracy": Figure(
        "pointing accuracy", "the most attended region lies on the object that the word names, of true captions", True
    ),
    "pointing_chance": Figure("… its chance", "that of a random region", True),
}
_OF_ATTENTION = tuple(name for name in FIGURES if name.startswith(("attention", "occlusion", "pointing")))
_POINTING = ("pointing_accuracy", "pointing_chance")
_OF_SCENES = ("true_share", *_POINTING)


@dataclass(frozen=True)
class Probed:
    """A run that was probed: figures by name, why others are missing, and all of each picture's caption."""

    name: str
    config: Config
    view: Any  # what of a photograph it sees
    figures: dict[str, float | Estimate]
    missing: dict[str, str]
    reach: list[tuple[int, float]]  # by the number of the word
    passed: list[tuple[int, float]]
    generated: list[Generated]
    words: list[list[str]]  # that were said, without <end>
    dependence: list[Array]  # of each word said, <end> included


@dataclass(frozen=True)
class Probe:
    """Runs that were probed on the same pictures."""

    data: str
    split: str
    names: list[str]  # of the pictures
    images: list[Array]  # the first of them, as the first run sees them
    references: list[list[str]]  # one for each
    of_references: dict[str, float | Estimate]
    runs: list[Probed]


def probe(
    folders: Sequence[Path],
    *,
    split: str = "val",
    n: int | None = None,
    data: str | None = None,
    show_progress: bool = True,
    load: Mapping[str, Any] | None = None,
) -> Probe:
    """Probe runs on the first ``n`` pictures of a split; ``load`` is what :func:`scratchlv.tasks.training.load` takes besides.

    Raises:
        UserError: a folder is no captioning run, they are of different data, or there are fewer than two pictures.
    """
    if n is not None and n < 2:
        raise UserError(f"--n {n}: give 2 or more; a picture is swapped for another")
    runs = []
    for folder in folders:
        run = training.load(folder, "caption", **(load or {}))
        run.config = asked_again.with_data(folder, run.config, data)
        runs.append(run)
    refuse_different_data(folders, [run.config for run in runs])
    sets = [_pictures(run, runs[0].config, split, n, show_progress) for run in runs]
    if len(sets[0].pictures) < 2:
        raise UserError(f"--split {split} has a single picture; a picture is swapped for another: give another split")
    probed, known = [], _Known()
    with Progress(len(runs) * len(sets[0].pictures), "picture", show_progress) as progress:
        for k, (name, run, shown) in enumerate(zip(_names(folders), runs, sets, strict=True)):
            before = k * len(shown.pictures)
            probed.append(_probed(name, run, shown, known.of(run), progress, before))
    references = _references(runs[0], sets[0])
    of_references = _diversity(references, known.of(runs[0]))
    shown = sets[0]
    images = [_image(runs[0], shown, k) for k in range(min(SHOWN, len(shown.names)))]
    return Probe(what_data(runs[0].config), split, shown.names, images, references, of_references, probed)


# --- which data --------------------------------------------------------------------------------------------------


def what_data(config: Config) -> str:
    """The data of a run, in words: runs with the same words can be compared."""
    s = config.settings
    if config.argument.kind == "scenes":
        return f"scenes ({s.least_objects} to {s.most_objects} objects, grammar {s.grammar})"
    return config.data + (", by character" if config.characters else "")


def refuse_different_data(folders: Sequence[Path], configs: Sequence[Config]) -> None:
    """
    Raises:
        UserError: they are of different data.
    """
    of = [what_data(config) for config in configs]
    if len(set(of)) > 1:
        each = "; ".join(f"{folder}: {data}" for folder, data in zip(folders, of, strict=True))
        raise UserError(
            f"these runs are of different data, and their figures do not compare ({each}); probe each alone"
        )


def _names(folders: Sequence[Path]) -> list[str]:
    """The runs by the last part of their paths, where that tells them apart."""
    short = [folder.name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def _pictures(run: Run, first: Config, split: str, n: int | None, show_progress: bool) -> CaptionSet:
    """The pictures themselves, for blind runs too. Scenes are those of the first run: of another seed they are others."""
    config = replace(run.config, seed=first.seed)
    return captioning.dataset(config, run.vocabulary, split, n, show_progress, extractor=run.extractor)


def _image(run: Run, data: CaptionSet, k: int) -> Array:
    """Picture ``k`` as a run sees it, (H, W, 3) uint8."""
    return run.seen_image(Path(data.names[k])) if data.scenes is None else scenes_world.draw(data.scenes[k])


def _view(run: Run) -> Any:
    """What of a photograph a run sees: runs of the same view look at the same picture. None is all of it."""
    extractor = run.extractor
    return None if extractor is None or extractor.crop is None else (extractor.size, extractor.crop)


def _references(run: Run, data: CaptionSet) -> list[list[str]]:
    """The first caption of each picture, in the words that the run knows."""
    _, first = np.unique(data.picture_of, return_index=True)
    return [run.vocabulary.decode(data.captions[k]) for k in first]


class _Known:
    """The captions that runs were trained on, read once for runs that were trained on the same ones."""

    def __init__(self) -> None:
        self._found: dict[Any, set[tuple[str, ...]]] = {}

    def of(self, run: Run) -> set[tuple[str, ...]]:
        key = run.config.seed, run.config.settings.n_train, tuple(run.vocabulary.words)
        if key not in self._found:
            captions = captioning.training_captions(run.config, run.vocabulary)
            self._found[key] = {tuple(words) for words in captions}
        return self._found[key]


# --- one run -----------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """What was measured of some pictures, caption by caption."""

    generated: list[Generated]
    reading: Reading  # of the references
    references: Sentences
    of_references: Array  # (T, N): image dependence
    of_said: list[Array]
    reach: Array | None  # (T, N)
    occlusion: Occlusion | None
    said: Sentences


def _probed(
    name: str, run: Run, data: CaptionSet, known: set[tuple[str, ...]], progress: Progress, before: int
) -> Probed:
    """``progress`` is told of each picture; ``before`` were those of other runs."""
    n = len(data.pictures)
    order = np.random.default_rng(_SEED).permutation(n)
    chunks = np.array_split(order, -(-n // _TOGETHER))
    others = min(OTHERS, min(map(len, chunks)) - 1)
    _, first = np.unique(data.picture_of, return_index=True)
    parts, finished = [], 0
    for rows in chunks:
        references = Sentences.of([[*data.captions[k], END] for k in first[rows]])
        pictures = in_memory(data.pictures[rows])
        parts.append(_part(run, pictures, references, others, closely=finished < CLOSELY))
        finished += len(rows)
        progress.update(before + finished)
    back = np.argsort(order)
    generated = [parts_of for part in parts for parts_of in part.generated]
    dependence = [each for part in parts for each in part.of_said]
    generated, dependence = [generated[k] for k in back], [dependence[k] for k in back]
    words = [run.words(g) for g in generated]
    figures, missing = _figures(run, parts, words)
    figures |= _diversity(words, known)
    if data.scenes is not None:
        found = captioning.truth_of(run, data.scenes, generated)
        if found["true_share"] == 0:  # a share of nothing, and not 0%
            missing = dict.fromkeys(_POINTING, "no true captions, whose words would point") | missing
        figures |= {key: found[key] for key in _OF_SCENES if key in found and key not in missing}
    reach, passed = _reach(parts)
    return Probed(
        name,
        run.config,
        _view(run),
        {key: figures[key] for key in FIGURES if key in figures},
        missing,
        by_step(reach, _LEAST),
        by_step(passed, _LEAST),
        generated,
        words,
        dependence,
    )


def _part(run: Run, pictures: Array, references: Sentences, others: int, closely: bool) -> _Part:
    model = run.model
    x = model.look(pictures)
    generated = run.caption(pictures)
    said = Sentences.of([g.tokens.tolist() for g in generated])
    of_references, dependence = read_with_others(model, x, references, others)
    of_said, dependence_said = read_with_others(model, x, said, others)
    reach = gradient_reach(model, pictures, *references) if closely else None
    occlusion = occlude(model, x, said, of_said, _SEED) if closely and _why_not(run.config) is None else None
    return _Part(generated, of_references, references, dependence, said.words(dependence_said), reach, occlusion, said)


def _why_not(config: Config) -> str | None:
    """Why there is no attention to measure, or None."""
    if config.blind:
        return "blind: it was trained on other pictures, and has nothing to look for"
    if config.model in ("naive", "shortcut"):
        return "no attention"
    return None if config.model in captioning.ATTENDING else "uniform attention does not choose"


def _figures(run: Run, parts: list[_Part], words: list[list[str]]) -> tuple[dict[str, Any], dict[str, str]]:
    """The figures that depend on the picture, with their intervals, and why others are missing."""
    reach, passed = _reach(parts)
    figures: dict[str, Any] = {
        "loss": estimate([-each for part in parts for each in part.references.words(part.reading.log_probs)]),
        "image_dependence": estimate([each for part in parts for each in part.references.words(part.of_references)]),
        "image_dependence_said": estimate([each[: _spoken(g)] for g, each in _pairs(parts)]),
        "reach": estimate(_finite(reach)),
        "passed_early": estimate(_finite(passed[_EARLY])),
        "passed_late": estimate(_finite(passed[_LATE])),
    }
    why = _why_not(run.config)
    missing = {} if why is None else dict.fromkeys(_OF_ATTENTION, why)
    if run.config.model == "uniform" and not run.config.blind:  # that much is known of it
        missing = {name: why for name, why in missing.items() if not name.startswith("attention")}
    if run.config.argument.kind != "scenes":
        missing |= dict.fromkeys(_OF_SCENES, "photographs: the truth is not known")
    if "attention_entropy" not in missing:
        generated = [g for part in parts for g in part.generated]
        entropies = [attention_entropy(g.alphas[: _spoken(g)].reshape(_spoken(g), -1)) for g in generated]
        L = generated[0].alphas[0].size
        figures["attention_entropy"] = estimate(entropies)
        figures["attention_entropy_share"] = figures["attention_entropy"].mean / np.log(L)
    if "occlusion_random" not in missing:
        for name in ("random", "least"):
            differences, shares = _occlusion(parts, name)
            figures[f"occlusion_{name}"] = estimate(differences)
            figures[f"occlusion_{name}_share"] = estimate(shares)
    return figures, missing


def _spoken(g: Generated) -> int:
    """Words without <end>."""
    return len(g.tokens) - g.finished


def _pairs(parts: list[_Part]) -> list[tuple[Generated, Array]]:
    return [pair for part in parts for pair in zip(part.generated, part.of_said, strict=True)]


def _finite(values: Array) -> list[Array]:
    """Of values (T, N), those of each caption that are there."""
    return [column[np.isfinite(column)] for column in values.T]


def _reach(parts: list[_Part]) -> tuple[Array, Array]:
    """Gradient reach (T, N), and what of a unit at the logits gets to the picture; NaN where there is none."""
    closely = [part for part in parts if part.reach is not None]
    T = max(len(part.reach) for part in closely)  # type: ignore[arg-type]
    reach: list[Array] = []
    passed: list[Array] = []
    for part in closely:
        assert part.reach is not None
        sent = part.reading.logit_gradients
        share = np.where(sent > _CERTAIN, part.reach / np.maximum(sent, _CERTAIN), np.nan)
        for values, into in ((part.reach, reach), (share, passed)):
            into.append(np.pad(values, ((0, T - len(values)), (0, 0)), constant_values=np.nan))
    return np.concatenate(reach, axis=1), np.concatenate(passed, axis=1)


def _occlusion(parts: list[_Part], other: str) -> tuple[list[Array], list[Array]]:
    """By caption: how much more it costs to hide the most attended region than the other, and whether it costs more."""
    differences, shares = [], []
    for part in parts:
        if part.occlusion is None:
            continue
        most, than = (part.said.words(each) for each in (part.occlusion.most, getattr(part.occlusion, other)))
        for g, a, b in zip(part.generated, most, than, strict=True):
            T = _spoken(g)
            differences.append(a[:T] - b[:T])
            shares.append(larger_share(a[:T], b[:T]))
    return differences, shares


def _diversity(captions: list[list[str]], known: set[tuple[str, ...]]) -> dict[str, float | Estimate]:
    return {
        "same_caption": metrics.same_share(captions),
        "distinct": metrics.distinct_share(captions),
        "novel": metrics.novel_share(captions, known),
        "vocabulary_used": metrics.vocabulary_used(captions),
        "mean_length": metrics.mean_length(captions),
    }


# --- as text, and as JSON ----------------------------------------------------------------------------------------


def header(found: Probe) -> list[str]:
    return ["", *(title(run) for run in found.runs), "references"]


def title(run: Probed) -> str:
    return f"{run.name} ({'blind ' * run.config.blind}{run.config.model})"


def rows(found: Probe) -> list[tuple[str, list[tuple[str, str]]]]:
    """The table: a figure's name, and for each run its value, and its interval or why there is none; the references last."""
    columns = [(run.figures, run.missing) for run in found.runs] + [(found.of_references, {})]
    return [
        (name, [_cell(name, *column) for column in columns])
        for name in FIGURES
        if any(name in figures for figures, _ in columns)
    ]


def _cell(name: str, figures: Mapping[str, float | Estimate], missing: Mapping[str, str]) -> tuple[str, str]:
    if name not in figures:
        return "—", missing.get(name, "")
    value = figures[name]
    if isinstance(value, Estimate):
        return _number(name, value.mean), f"{_number(name, value.low)} to {_number(name, value.high)}"
    return _number(name, value), ""


def _number(name: str, value: float) -> str:
    if FIGURES[name].percent:
        return f"{value:.1%}"
    if name == "vocabulary_used":
        return f"{value:,}"
    if name == "mean_length":
        return f"{value:.1f}"
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:#.2g}"


def to_json(found: Probe) -> dict[str, Any]:
    return {
        "data": found.data,
        "split": found.split,
        "n": len(found.names),
        "others": OTHERS,
        "references": dict(found.of_references),
        "runs": [_run_json(run, found) for run in found.runs],
    }


def _run_json(run: Probed, found: Probe) -> dict[str, Any]:
    captions = [
        {
            "image": name,
            "words": words,
            "image_dependence": _rounded(dependence),
            "probabilities": _rounded(g.probabilities),
        }
        for name, words, dependence, g in zip(found.names, run.words, run.dependence, run.generated, strict=True)
    ]
    return {
        "run": run.name,
        "model": run.config.model,
        "blind": run.config.blind,
        "figures": {k: v._asdict() if isinstance(v, Estimate) else v for k, v in run.figures.items()},
        "missing": run.missing,
        "gradient_reach": run.reach,
        "gradient_passed": run.passed,
        "captions": captions,
    }


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def write_json(file: Path, found: Probe) -> None:
    """
    Raises:
        UserError: the file cannot be written.
    """
    try:
        file.write_text(json.dumps(to_json(found), indent=1) + "\n", "utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error.strerror}); give another --json") from None
