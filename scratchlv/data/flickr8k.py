"""Flickr8k: photographs with five captions each (Hodosh et al. 2013), in the layouts in which it goes round.

    DIR/Flickr8k.token.txt            NAME.jpg#0<TAB>caption         or  DIR/captions.txt, CSV: image,caption
    DIR/Flickr_8k.trainImages.txt     one NAME.jpg a line; devImages and testImages alike
    DIR/images/                       or Images/, Flicker8k_Dataset/ (so spelt), Flickr8k_Dataset/

The text files may also lie in ``DIR/Flickr8k_text/``. Flickr30k, in the same form, can be read as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scratchlv.data.text import bare_words as tokenize
from scratchlv.data.text import first_few, read_csv, read_lines
from scratchlv.errors import UserError

__all__ = ["Flickr8k", "tokenize"]

_SPLITS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}
_CAPTIONS = ("Flickr8k.token.txt", "captions.txt")
_IMAGES = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset")


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

    def split(self, name: str, *, skip_missing: bool = False) -> list[tuple[Path, list[str]]]:
        """(path of the picture, its captions) for each picture of "train", "val" or "test", in the list's order.

        With ``skip_missing``, a picture whose file is not there is left out.

        Raises:
            UserError: there is no such split, its list is missing, or pictures or captions of it are.
        """
        list_file, names, present = self._listed(name)
        if skip_missing:
            names = [image for image in names if image in present]
            if not names:
                raise UserError(f"{self.image_folder} has none of the pictures in {list_file}; copy them there")
        remedy = "copy them there, go on without them by --skip-missing"
        _refuse_missing(list_file, f"pictures that are not in {self.image_folder}", names, present, remedy)
        remedy = "copy both files again"
        _refuse_missing(list_file, f"pictures without a caption in {self.caption_file}", names, self.captions, remedy)
        return [(self.image_folder / image, self.captions[image]) for image in names]

    def missing(self, name: str) -> list[str]:
        """The pictures of a split whose files are not there."""
        _, names, present = self._listed(name)
        return [image for image in names if image not in present]

    def _listed(self, name: str) -> tuple[Path, list[str], set[str]]:
        """The list of a split, the names in it, and those of all files that there are."""
        if name not in _SPLITS:
            raise UserError(f"Flickr8k has no split {name!r}; choose one of {', '.join(_SPLITS)}")
        list_file = self._text_file(_SPLITS[name])
        names = [line.strip() for _, line in read_lines(list_file) if line.strip()]
        if not names:
            raise UserError(f"{list_file} names no picture; copy it again")
        return list_file, names, {entry.name for entry in os.scandir(self.image_folder)}

    def _text_file(self, *names: str) -> Path:
        for folder in (self.folder, self.folder / "Flickr8k_text"):
            for name in names:
                if (folder / name).is_file():
                    return folder / name
        raise UserError(f"{self.folder} has no {' or '.join(names)}; copy the file there")


def _refuse_missing(file: Path, what: str, names: list[str], present, remedy: str) -> None:
    missing = [name for name in names if name not in present]
    if missing:
        count = f"{len(missing)} of {len(names)}"
        raise UserError(f"{file} lists {count} {what} ({first_few(missing)}); {remedy}, or shorten the list")


def _read_tokens(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in read_lines(file):
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
    rows = read_csv(file)
    _, titles = next(rows, (1, []))
    if [title.strip() for title in titles] != ["image", "caption"]:
        raise UserError(f"{file} line 1: expected the header image,caption; add it")
    for number, row in rows:
        if len(row) != 2 or not row[0].strip() or not row[1].strip():
            raise UserError(f"{file} line {number}: expected image,caption, found {','.join(row)[:60]!r}; mend it")
        yield row[0].strip(), row[1].strip()
