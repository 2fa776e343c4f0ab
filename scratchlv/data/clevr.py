"""CLEVR: questions about rendered scenes, with the program that answers each (Johnson et al. 2017).

    DIR/questions/CLEVR_train_questions.json   {"questions": [{"question_index": 0, "image_filename": "CLEVR_train_000000.png",
                                                "question": …, "answer": "yes", "program": [{"function": "scene", …}, …]}, …]}
    DIR/images/train/CLEVR_train_000000.png

and alike for ``val`` and ``test``. The test part has no answers: its questions can be answered, but nobody here can say how well.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from scratchlv.data import formats
from scratchlv.data.files import find, is_file_name, is_number
from scratchlv.data.picture_questions import Question, Questions, with_pictures
from scratchlv.data.text import bare_words
from scratchlv.errors import UserError

#: the last function of a program -> the type of question, as the paper's tables have them
_GROUPS = {
    **dict.fromkeys(("query_color", "query_shape", "query_size", "query_material"), "query attribute"),
    **dict.fromkeys(("equal_color", "equal_shape", "equal_size", "equal_material"), "compare attribute"),
    **dict.fromkeys(("equal_integer", "less_than", "greater_than"), "compare integer"),
    "count": "count",
    "exist": "exist",
}


def clevr(folder: str | Path, *, skip_missing: bool = False) -> Questions:
    """The splits "train", "val" and, where its file is there, "test". No picture is opened.

    Raises:
        UserError: a folder, a file or (without ``skip_missing``) pictures are missing, or a file is malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the one that holds CLEVR's questions/ and images/")
    if not (folder / "questions").is_dir():
        below = next((inner for inner in sorted(folder.iterdir()) if (inner / "questions").is_dir()), None)
        raise UserError(f"{folder} has no folder questions/; " + (f"give clevr:{below}" if below else "copy it there"))
    splits = {}
    for part in ("train", "val", "test"):
        name = f"CLEVR_{part}_questions.json"
        file = find(folder / "questions", name)
        if file is not None:
            splits[part] = _read(file, folder / "images" / part, answered=part != "test")
        elif part != "test":
            raise UserError(f"{folder / 'questions'} has no {name}; copy the file there")
    return with_pictures(splits, folder, skip_missing)


def _read(file: Path, images: Path, answered: bool) -> list[Question]:
    found = formats.load_json(formats.CLEVR, file, object_hook=_slim)
    items = found.get("questions") if isinstance(found, dict) else None
    if not isinstance(items, list) or not items or formats.of_object(found) != formats.CLEVR:
        raise formats.malformed(formats.CLEVR, file, "has no list 'questions' of CLEVR's", "give another")
    questions = []
    paths: dict[str, Path] = {}
    for k, item in enumerate(items):
        questions.append(_question(f"{file}: questions[{k}]", item, k, images, answered, paths))
    return questions


def _question(where: str, item: Any, k: int, images: Path, answered: bool, paths: dict[str, Path]) -> Question:
    item = item if isinstance(item, dict) else {}
    name, text, answer = (item.get(key) for key in ("image_filename", "question", "answer"))
    words = [sys.intern(word) for word in bare_words(text)] if isinstance(text, str) else []
    if not is_file_name(name) or not words:
        raise UserError(f"{where} needs an 'image_filename' and a 'question'; mend it")
    if answered and not (isinstance(answer, str) and answer):
        raise UserError(f"{where} has no 'answer', which only questions of the test part lack; copy the file again")
    answer = sys.intern(answer) if isinstance(answer, str) else ""
    program, number = item.get("program"), item.get("question_index")
    last = program[-1] if isinstance(program, list) and program and isinstance(program[-1], str) else ""
    path = paths.setdefault(name, images / name)
    answers = (answer,) if answer else ()
    return Question(path, words, answer, answers, number if is_number(number) else k, last, _GROUPS.get(last, last))


def _slim(item: dict[str, Any]) -> Any:
    """A step of a program is only the name of its function: there are millions."""
    function = item.get("function", item.get("type"))
    return sys.intern(function) if isinstance(function, str) and "inputs" in item else item
