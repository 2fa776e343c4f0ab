"""VQA, versions 1 and 2 (Antol et al. 2015, Goyal et al. 2017): questions about COCO's photographs, each answered by ten people.

    v2_OpenEnded_mscoco_train2014_questions.json   {"questions": [{"question_id": 458752000, "image_id": 458752, "question": …}]}
    v2_mscoco_train2014_annotations.json           {"annotations": [{"question_id": 458752000, "image_id": 458752,
                                                     "question_type": "what is this", "answer_type": "other",
                                                     "multiple_choice_answer": "net", "answers": [{"answer": "net", …}, …]}]}

The validation part are the files of the same names with ``val`` for ``train``. Without them, pictures by chance are "val" and
"test" (:func:`scratchlv.data.photographs.parts`). A file of questions with ``test`` or ``test-dev`` in its name has no
annotations: its questions can be answered, but nobody here can say how well. Pictures are found by the number that their names
end in, in the folder that is given or in ``train2014/``, ``val2014/`` and ``test2015/`` in it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scratchlv.data import formats
from scratchlv.data.files import is_number, sibling, unpacked_name
from scratchlv.data.photographs import parts
from scratchlv.data.picture_questions import Question, Questions, with_pictures
from scratchlv.data.text import bare_words, first_few
from scratchlv.errors import UserError

_TAG = re.compile(r"(train|val|test)(-dev)?\d*")
_NUMBER = re.compile(r"(\d+)\.\w+$")


def vqa(questions: str | Path, annotations: str | Path, images: str | Path, *, skip_missing: bool = False) -> Questions:
    """The splits "train", "val", and "test" or "test-dev" where there are such. No picture is opened.

    Raises:
        UserError: a path is wrong, a file is of another format or does not belong to the other, or (without ``skip_missing``)
            pictures are missing.
    """
    asked, answered, images = Path(questions), Path(annotations), Path(images)
    if not images.is_dir():
        raise UserError(f"{images} is not a folder; give the one that holds the pictures of {asked}")
    notes: list[str] = []
    splits = {"train": _read(asked, answered, images, notes)}
    val = (sibling(asked, "val"), sibling(answered, "val"))
    if None not in val:
        splits["val"] = _read(val[0] or asked, val[1], images, notes)
    elif any(val):
        raise UserError(f"{val[0] or val[1]} has no counterpart beside it; copy it there, or move the other away")
    else:
        splits = _cut(splits["train"])
        notes.append(f"{asked.name} is cut into parts by chance, by picture: a tenth each is val and test")
    for name, file in _tests(asked):
        splits[name] = _read(file, None, images, notes)
    return with_pictures(splits, _above(images), skip_missing, tuple(notes))


def _cut(questions: list[Question]) -> dict[str, list[Question]]:
    part_of = {name: part for part, names in parts(q.image.name for q in questions).items() for name in names}
    found: dict[str, list[Question]] = {}
    for question in questions:
        found.setdefault(part_of[question.image.name], []).append(question)
    return found


def _tests(asked: Path) -> Iterator[tuple[str, Path]]:
    """The files of questions without annotations beside that of the training questions, with what they are called."""
    before, found, after = unpacked_name(asked).partition("train")
    after = after.lstrip("0123456789")
    for file in sorted(asked.parent.iterdir()) if found else ():
        match = re.fullmatch(rf"{re.escape(before)}(test(?:-dev)?)\d*{re.escape(after)}", unpacked_name(file))
        if match:
            yield match[1], file


# --- two files -----------------------------------------------------------------------------------------------------


class _Annotation(NamedTuple):
    image: int
    answer: str
    answers: tuple[str, ...]
    type: str
    group: str


def _read(asked: Path, answered: Path | None, images: Path, notes: list[str]) -> list[Question]:
    """The questions of a file, with the annotations of another."""
    found = formats.load_json(formats.VQA_QUESTIONS, asked)
    if formats.of_object(found) != formats.VQA_QUESTIONS:
        problem = "has no list 'questions' with 'question_id'"
        raise formats.malformed(formats.VQA_QUESTIONS, asked, problem, "give a file of questions")
    annotations = None if answered is None else _annotations(answered)
    pictures = _Pictures(images, asked)
    questions: list[Question] = []
    seen: set[int] = set()
    without: list[int] = []
    elsewhere: list[int] = []
    for k, item in enumerate(found["questions"]):
        number, image, text = _of(item, "question_id", "image_id", "question")
        words = [sys.intern(word) for word in bare_words(text)] if isinstance(text, str) else []
        if not (is_number(number) and is_number(image) and words) or number in seen:
            raise UserError(
                f"{asked}: questions[{k}] needs a 'question_id' of its own, an 'image_id' and a 'question'; mend it"
            )
        seen.add(number)
        about = _Annotation(image, "", (), "", "") if annotations is None else annotations.get(number)
        if about is None:
            without.append(number)
        elif about.image != image:
            elsewhere.append(number)
        else:
            path = pictures[image]
            questions.append(Question(path, words, about.answer, about.answers, number, about.type, about.group))
    _refuse_unmatched(asked, answered, without, elsewhere)
    unasked = [str(number) for number in (annotations or {}) if number not in seen]
    if unasked and answered is not None:
        notes.append(
            f"{answered.name} has {len(unasked):,} annotations of questions that {asked.name} does not have "
            f"({first_few(unasked)}); they are passed over"
        )
    return questions


def _refuse_unmatched(asked: Path, answered: Path | None, without: list[int], elsewhere: list[int]) -> None:
    """
    Raises:
        UserError: questions have no annotation, or one that is about another picture.
    """
    problems = [("have no annotation", without), ("are about another picture", elsewhere)]
    found = [
        f"{len(ids):,} questions {what} ({first_few([str(number) for number in ids])})" for what, ids in problems if ids
    ]
    if found:
        raise UserError(f"{asked}: {' and '.join(found)} in {answered}; give two files that belong together")


def _annotations(file: Path) -> dict[int, _Annotation]:
    """By the number of the question."""
    found = formats.load_json(formats.VQA_ANNOTATIONS, file, object_hook=_slim)
    if formats.of_object(found) != formats.VQA_ANNOTATIONS:
        problem = "has no list 'annotations' with 'answers'"
        raise formats.malformed(formats.VQA_ANNOTATIONS, file, problem, "give a file of annotations")
    annotations = {}
    for k, item in enumerate(found["annotations"]):
        number, image, answers = _of(item, "question_id", "image_id", "answers")
        texts = _of(item, "multiple_choice_answer", "question_type", "answer_type")
        whole = is_number(number) and is_number(image) and isinstance(answers, list) and answers
        if not whole or not all(isinstance(text, str) for text in (*answers, *texts)):
            raise UserError(
                f"{file}: annotations[{k}] needs 'question_id', 'image_id', 'question_type', 'answer_type', "
                "'multiple_choice_answer' and 'answers'; mend it"
            )
        answer, kind, group = map(sys.intern, texts)
        annotations[number] = _Annotation(image, answer, tuple(answers), kind, group)
    return annotations


def _slim(item: dict[str, Any]) -> Any:
    """An answer of one person is only its text: there are millions."""
    answer = item.get("answer")
    return sys.intern(answer) if isinstance(answer, str) and "question_id" not in item else item


def _of(item: Any, *keys: str) -> list[Any]:
    return [item.get(key) if isinstance(item, dict) else None for key in keys]


# --- pictures ------------------------------------------------------------------------------------------------------


class _Pictures(dict[int, Path]):
    """Paths by number; one that is not there has the name that COCO would give it."""

    def __init__(self, images: Path, asked: Path) -> None:
        self._folder, self._part = _folder(images, asked), _part(asked)
        names = (entry.name for entry in os.scandir(self._folder))
        super().__init__({int(match[1]): self._folder / name for name in names if (match := _NUMBER.search(name))})

    def __missing__(self, number: int) -> Path:
        self[number] = self._folder / f"COCO_{self._part or 'train2014'}_{number:012}.jpg"
        return self[number]


def _folder(images: Path, asked: Path) -> Path:
    """That of the pictures of a file of questions."""
    beside, below = (_above(images) / _part(asked), images / _part(asked))
    return below if below.is_dir() else beside if beside.is_dir() else images


def _above(images: Path) -> Path:
    """The folder in which all pictures lie: the one that was given, or, where that is of one part only, the one above."""
    return images.parent if _TAG.fullmatch(images.name) else images


def _part(asked: Path) -> str:
    """``train2014`` of its name; the pictures of ``test-dev2015`` are some of ``test2015``."""
    match = _TAG.search(asked.name)
    return match[0].replace("-dev", "") if match else ""
