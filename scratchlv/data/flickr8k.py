"""Flickr8k: photographs with five captions each (Hodosh et al. 2013), in the layouts in which it goes round.

    DIR/Flickr8k.token.txt            NAME.jpg#0<TAB>caption         or  DIR/captions.txt, CSV: image,caption
    DIR/Flickr_8k.trainImages.txt     one NAME.jpg a line; devImages and testImages alike
    DIR/images/                       or Images/, Flicker8k_Dataset/ (so spelt), Flickr8k_Dataset/

The text files may also lie in ``DIR/Flickr8k_text/``. Flickr30k, in the same form, can be read as well.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

from scratchlv.errors import UserError

_SPLITS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}
_CAPTIONS = ("Flickr8k.token.txt", "captions.txt")
_IMAGES = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def tokenize(caption: str) -> list[str]:
    """Lower-case words: letters and digits, apostrophes inside; all other punctuation is dropped.

    >>> tokenize("A man's dog , brown-and-white , jumps .")
    ['a', "man's", 'dog', 'brown', 'and', 'white', 'jumps']
    """
    return [word.replace("’", "'") for word in _WORD.findall(caption.lower())]


class Flickr8k:
    """The set in a folder. Captions are read at once, pictures only when someone opens them.

    Attributes:
        captions: name of a picture -> its captions, in the file's order.
    """

    def __init__(self, folder: str | Path) -> None:
        """
        Raises:
            UserError: the folder, its captions or its pictures are missing, or a line of the captions is malformed.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} is not a folder; give the one that holds Flickr8k's captions and images/")
        self.caption_file = self._text_file(*_CAPTIONS)
        image_folders = [self.folder / name for name in _IMAGES if (self.folder / name).is_dir()]
        if not image_folders:
            raise UserError(f"{self.folder} has no folder of pictures; put them into {self.folder / _IMAGES[0]}")
        self.image_folder = image_folders[0]
        read = _read_csv if self.caption_file.name == "captions.txt" else _read_tokens
        self.captions: dict[str, list[str]] = {}
        for name, caption in read(self.caption_file):
            self.captions.setdefault(name, []).append(caption)

    def split(self, name: str) -> list[tuple[Path, list[str]]]:
        """(path of the picture, its captions) for each picture of "train", "val" or "test", in the list's order.

        Raises:
            UserError: there is no such split, its list is missing, or pictures or captions of it are.
        """
        if name not in _SPLITS:
            raise UserError(f"Flickr8k has no split {name!r}; choose one of {', '.join(_SPLITS)}")
        list_file = self._text_file(_SPLITS[name])
        names = [line.strip() for _, line in _lines(list_file) if line.strip()]
        if not names:
            raise UserError(f"{list_file} names no picture; copy it again")
        present = {entry.name for entry in os.scandir(self.image_folder)}
        _refuse_missing(list_file, f"pictures that are not in {self.image_folder}", names, present, "copy them there")
        remedy = "copy both files again"
        _refuse_missing(list_file, f"pictures without a caption in {self.caption_file}", names, self.captions, remedy)
        return [(self.image_folder / image, self.captions[image]) for image in names]

    def _text_file(self, *names: str) -> Path:
        for folder in (self.folder, self.folder / "Flickr8k_text"):
            for name in names:
                if (folder / name).is_file():
                    return folder / name
        raise UserError(f"{self.folder} has no {' or '.join(names)}; copy the file there")


def _refuse_missing(file: Path, what: str, names: list[str], present, remedy: str) -> None:
    missing = [name for name in names if name not in present]
    if missing:
        first = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise UserError(f"{file} lists {len(missing)} of {len(names)} {what} ({first}); {remedy}, or shorten the list")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered from 1, without a byte-order mark."""
    number = 0
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            for number, line in enumerate(lines, 1):
                yield number, line
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text, somewhere after line {number}; convert it") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error}); change its permissions") from None


def _read_tokens(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in _lines(file):
        if not line.strip():
            continue
        name, tab, caption = line.strip().partition("\t")
        name, mark, index = name.rpartition("#")
        if not (tab and mark and name and index.isdecimal() and caption.strip()):
            raise UserError(
                f"{file} line {number}: expected NAME.jpg#0<TAB>caption, found {line.strip()[:60]!r}; mend it"
            )
        yield name, caption.strip()


def _read_csv(file: Path) -> Iterator[tuple[str, str]]:
    rows = csv.reader((line for _, line in _lines(file)), strict=True)
    try:
        if [title.strip() for title in next(rows, [])] != ["image", "caption"]:
            raise UserError(f"{file} line 1: expected the header image,caption; add it")
        for row in rows:
            if not row:
                continue
            if len(row) != 2 or not row[0].strip() or not row[1].strip():
                found = ",".join(row)[:60]
                raise UserError(f"{file} line {rows.line_num}: expected image,caption, found {found!r}; mend it")
            yield row[0].strip(), row[1].strip()
    except csv.Error as error:
        raise UserError(f"{file} line {rows.line_num}: {error}; mend the line") from None
