"""easy-VQA: 5,000 pictures of one shape each, 64 × 64 pixels, in the package of that name (Victor Zhou, MIT licence).

The package has 4,000 pictures to train on and 1,000 to test on, and no validation part. Here the last tenth of the
training pictures, with all their questions, is "val"; "test" is the package's own.
"""

from __future__ import annotations

from pathlib import Path

from scratchlv.data.picture_questions import Question, Questions
from scratchlv.data.text import bare_words, first_few
from scratchlv.errors import UserError


def easy_vqa() -> Questions:
    """Splits "train", "val" and "test" of the installed package. No picture is opened.

    Raises:
        UserError: the package is not installed, or lacks a picture.
    """
    try:
        import easy_vqa as package
    except ImportError:
        raise UserError("--data easy-vqa needs the package of that name: pip install easy-vqa") from None

    train_paths = package.get_train_image_paths()
    first_val = sorted(train_paths)[-max(1, len(train_paths) // 10)]
    train = _read(package.get_train_questions(), train_paths)
    return Questions(
        {
            "train": [question for image, question in train if image < first_val],
            "val": [question for image, question in train if image >= first_val],
            "test": [question for _, question in _read(package.get_test_questions(), package.get_test_image_paths())],
        }
    )


def _read(questions: tuple[list[str], list[str], list[int]], paths: dict[int, str]) -> list[tuple[int, Question]]:
    """(number of the picture, question) of each question as the package gives them."""
    missing = [f"{image}.png" for image in sorted(set(questions[2]) - paths.keys())]
    if missing:
        raise UserError(f"the package easy-vqa lacks {len(missing)} pictures ({first_few(missing)}); install it again")
    return [
        (image, Question(Path(paths[image]), bare_words(text), answer, (answer,)))
        for text, answer, image in zip(*questions, strict=True)
    ]
