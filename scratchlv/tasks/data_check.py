"""What is in a set of data, and what is wrong with it, before anyone trains on it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv.data.photographs import SPLITS, present_in
from scratchlv.data.text import bare_words, first_few
from scratchlv.errors import UserError, explain
from scratchlv.tasks import (
    TASKS,
    captioning,
    language_modelling,
    question_answering,
    records,
    story_answering,
    translation,
)
from scratchlv.tasks.data_argument import DataArgument, parse
from scratchlv.training.progress import Progress

_THREADS = 2  # that read pictures: one waits for the disk while the other decodes
_SHOWN = 4  # texts about each picture of a sheet, at the most
_LETTERS = 400  # of each text on a sheet


class Sample(NamedTuple):
    """A caption, a question with its answer, a pair of texts or a sentence."""

    texts: tuple[tuple[str, ...], ...]  # the words of each of its texts
    picture: Path | None = None

    def written(self, k: int = 0) -> str:
        return " ".join(self.texts[k])


@dataclass
class Contents:
    """The samples of each split, and what their texts are called; ``least`` is how often a word must occur to be known."""

    names: tuple[str, ...]
    least: tuple[int, ...]
    splits: dict[str, list[Sample]]
    missing: Sequence[str] = ()  # names of pictures
    notes: Sequence[str] = ()
    alike: bool = True  # whether a text in two splits is worth a word: questions are the same about many pictures

    def pictures(self) -> dict[str, list[Path]]:
        """Of each split, every picture once."""
        return {
            split: list(dict.fromkeys(s.picture for s in several if s.picture))
            for split, several in self.splits.items()
        }


@dataclass
class Pictures:
    """What was found in the files of the pictures."""

    damaged: dict[str, str] = field(default_factory=dict)  # path -> why
    twice: list[tuple[str, str]] = field(default_factory=list)  # two paths whose files are the same
    in_two_splits: list[tuple[str, str]] = field(default_factory=list)  # of these, those in two splits


# --- what is in it -------------------------------------------------------------------------------------------------


def find_task(data: str) -> str:
    """The first task that takes this kind of data.

    Raises:
        UserError: there is none, or scenes are meant, which are drawn.
    """
    kind = data.partition(":")[0]
    found = next((name for name, task in TASKS.items() if kind in task.data), None)
    if kind == "scenes" or found is None:
        there = ", ".join(dict.fromkeys(k for task in TASKS.values() for k in task.data if k != "scenes"))
        raise UserError(f"{data}: give a set of data as --data has it, of one of the kinds {there}")
    return found


def read(data: str) -> tuple[DataArgument, Contents]:
    """A set, as ``--data`` has it. No picture is opened.

    Raises:
        UserError: it is not there, or malformed.
    """
    task = find_task(data)
    argument = parse(data, task)
    settings = TASKS[task].load().PRESETS
    settings = settings.get(task, settings)[argument.kind, "quick"]
    readers: dict[str, Callable[..., Contents]] = {
        "caption": _captions,
        "vqa": _questions,
        "translate": _pairs,
        "lm": _sentences,
        "babi": _stories,
    }
    return argument, readers[task](argument, settings)


def _captions(argument: DataArgument, settings: captioning.Settings) -> Contents:
    found = captioning.READERS[argument.kind](*argument.arguments)
    splits, missing = {}, []
    for split in SPLITS:
        if split != "test" or found.has(split):
            _, names = found.listed(split)
            present = present_in(found.image_folder, names)
            missing += [name for name in names if name not in present]
            splits[split] = [
                Sample((tuple(bare_words(caption)),), found.image_folder / name if name in present else None)
                for name in names
                for caption in found.captions.get(name, ())
            ]
    return Contents(("captions",), (settings.min_count,), splits, missing, found.notes)


def _questions(argument: DataArgument, settings: question_answering.Settings) -> Contents:
    config = question_answering.config(
        "vqa", str(argument), "attention", "quick", 0, [], skip_missing=argument.kind != "easy-vqa"
    )
    found = question_answering.read(config)
    splits = {
        split: [Sample((tuple(q.words), (q.answer,) if q.answer else ()), q.image) for q in questions]
        for split, questions in found.splits.items()
    }
    return Contents(("questions", "answers"), (1, settings.min_count), splits, found.missing, found.notes, alike=False)


def _pairs(argument: DataArgument, settings: translation.Settings) -> Contents:
    config = translation.config("translate", str(argument), "additive", "quick", 0, [])
    notes: list[str] = []
    found = translation.pairs(config, notes.append)
    parts = {"train": found.train, "val": found.val} | ({"test": found.test} if found.test else {})
    splits = {split: [Sample((tuple(x), tuple(y))) for x, y in several] for split, several in parts.items()}
    return Contents(("sources", "targets"), (settings.min_count,) * 2, splits, notes=notes)


def _sentences(argument: DataArgument, settings: language_modelling.Settings) -> Contents:
    config = language_modelling.config("lm", str(argument), "lstm", "quick", 0, [])
    found = language_modelling.read(config)
    splits = {split: [Sample((tuple(words),)) for words in several] for split, several in found.splits.items()}
    return Contents(("sentences",), (settings.min_count,), splits)


def _stories(argument: DataArgument, settings: records.Settings) -> Contents:
    splits = {}
    for split, stories in story_answering.babi(*argument.arguments).items():
        splits[split] = [
            Sample((tuple(word for told in (*s.sentences, s.question) for word in told), (s.answer,))) for s in stories
        ]
    return Contents(("stories with their questions", "answers"), (1, 1), splits)


# --- what is wrong with it -----------------------------------------------------------------------------------------


def look_at(contents: Contents, show_progress: bool) -> Pictures:
    """Open every picture of a set."""
    found = Pictures()
    split_of: dict[Path, list[str]] = defaultdict(list)
    for split, paths in contents.pictures().items():
        for path in paths:
            split_of[path].append(split)
    first: dict[bytes, Path] = {}
    with ThreadPoolExecutor(_THREADS) as pool, Progress(len(split_of), "picture", show_progress) as progress:
        for done, (path, (digest, problem)) in enumerate(zip(split_of, pool.map(_open, split_of), strict=True), 1):
            progress.update(done)
            if problem:
                found.damaged[str(path)] = problem
                continue
            twin = first.setdefault(digest, path)
            if twin != path:
                found.twice.append((str(twin), str(path)))
            if len(set(split_of[twin] + split_of[path])) > 1:
                found.in_two_splits.append((str(twin), str(path)))
    return found


def _open(path: Path) -> tuple[bytes, str]:
    """What its content is known by; and what is wrong with it, if anything is."""
    from scratchlv.vision.images import load_image

    try:
        load_image(path)
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest(), ""
    except UserError as error:
        return b"", str(error)
    except OSError as error:
        return b"", explain(error)


def figures(contents: Contents, pictures: Pictures) -> dict[str, Any]:
    """All that was found, as JSON has it."""
    found: dict[str, Any] = {"splits": _counts(contents), "longest": _longest(contents)}
    known = [_known(contents, k) for k in range(len(contents.names))]
    found["unknown_share"] = {
        split: {name: _share(several, k, known[k]) for k, name in enumerate(contents.names)}
        for split, several in contents.splits.items()
        if split != "train"
    }
    found["repeated"] = {split: len(several) - len(set(several)) for split, several in contents.splits.items()}
    found["texts_in_two_splits"] = _shared(contents) if contents.alike else {}
    found["missing"] = list(contents.missing)
    return found | {
        "damaged": pictures.damaged,
        "same_pictures": pictures.twice,
        "pictures_in_two_splits": pictures.in_two_splits,
    }


def _counts(contents: Contents) -> dict[str, dict[str, int]]:
    found = {}
    for split, paths in contents.pictures().items():
        samples = contents.splits[split]
        words = [word for sample in samples for text in sample.texts for word in text]
        pictures = {"pictures": len(paths)} if paths or contents.missing else {}
        found[split] = pictures | {contents.names[0]: len(samples), "words": len(words), "different": len(set(words))}
    return found


def _longest(contents: Contents) -> dict[str, dict[str, Any]]:
    """Of each text, the longest: where it is, its words, and its beginning."""
    found = {}
    for k, name in enumerate(contents.names):
        of = [(len(s.texts[k]), split, s.written(k)) for split, several in contents.splits.items() for s in several]
        words, split, text = max(of, key=lambda item: item[0], default=(0, "train", ""))
        found[name] = {"words": words, "split": split, "text": text[:_LETTERS]}
    return found


def _known(contents: Contents, k: int) -> set[str]:
    """The words that a run would know."""
    counts = Counter(word for sample in contents.splits.get("train", ()) for word in sample.texts[k])
    return {word for word, n in counts.items() if n >= contents.least[k]}


def _share(samples: Iterable[Sample], k: int, known: set[str]) -> float:
    words = [word not in known for sample in samples for word in sample.texts[k]]
    return float(np.mean(words)) if words else 0.0


def _shared(contents: Contents) -> dict[str, list[str]]:
    """The (first) texts of "val" and "test" that occur in a split before: "val in train" -> texts."""
    texts = {split: {sample.written() for sample in several} for split, several in contents.splits.items()}
    order = list(texts)
    pairs = [(a, b) for i, a in enumerate(order) for b in order[:i]]
    return {f"{a} in {b}": sorted(both) for a, b in pairs if (both := texts[a] & texts[b])}


# --- for people ----------------------------------------------------------------------------------------------------


def lines(found: dict[str, Any], contents: Contents) -> list[str]:
    """What was found, a line each."""
    said = [
        f"{split:12} " + ", ".join(f"{n:,} {name}" for name, n in of.items()) for split, of in found["splits"].items()
    ]
    for split, shares in found["unknown_share"].items():
        for (name, share), least in zip(shares.items(), contents.least, strict=True):
            seen = "not in train" if least == 1 else f"in train fewer than {least} times"
            said.append(f"unknown      {share:.1%} of the words of {name} of {split} ({seen})")
    for name, longest in found["longest"].items():
        said.append(
            f"longest      {longest['words']:,} words, of {name} of {longest['split']}: {longest['text'][:60]!r}"
        )
    said += [f"repeated     {n:,} samples of {split} are there again" for split, n in found["repeated"].items() if n]
    for where, texts in found["texts_in_two_splits"].items():
        said.append(f"in two       {len(texts):,} {contents.names[0]} of {where}, such as {texts[0][:60]!r}")
    for title, key, what in (
        ("missing", "missing", "pictures are not there"),
        ("damaged", "damaged", "pictures cannot be read"),
        ("the same", "same_pictures", "pictures are the same as another"),
        ("in two", "pictures_in_two_splits", "pictures are in two splits"),
    ):
        several = found[key]
        if several:
            named = list(several.values()) if isinstance(several, dict) else [_named(each) for each in several]
            said.append(f"{title:12} {len(several):,} {what}: {first_few(named)}")
    return said


def _named(found: str | tuple[str, str]) -> str:
    """A picture; or two, that are the same."""
    if isinstance(found, str):
        return found
    return " = ".join(dict.fromkeys(found))


def sheet(contents: Contents, split: str, n: int, seed: int) -> Any:
    """A picture of ``n`` samples of a split, chosen by chance: pictures with their texts, or texts alone.

    Raises:
        UserError: there is no such split, or it is empty.
    """
    from PIL import Image

    from scratchlv.show.scenes_sheet import sheet as drawn
    from scratchlv.vision.images import load_image

    samples = contents.splits.get(split)
    if not samples:
        raise UserError(f"--split {split}: this data has {', '.join(contents.splits)}")
    of: dict[Any, list[Sample]] = defaultdict(list)
    for k, sample in enumerate(samples):
        of[sample.picture or k].append(sample)
    keys = list(of)
    chosen = [keys[k] for k in sorted(np.random.default_rng(seed).permutation(len(keys))[:n])]
    pictures = []
    for key in chosen:
        try:
            pictures.append(Image.fromarray(load_image(key)) if isinstance(key, Path) else None)
        except UserError:
            pictures.append(None)  # what is damaged is in the list of what is damaged
    return drawn(pictures, [_caption(of[key]) for key in chosen])


def _caption(samples: list[Sample]) -> list[tuple[str, str]]:
    return [
        (sample.written(k)[:_LETTERS], "answer" if k else "text")
        for sample in samples[:_SHOWN]
        for k in range(len(sample.texts))
    ]
