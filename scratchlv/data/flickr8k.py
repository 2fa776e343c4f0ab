"""Flickr8k: photographs with five captions each (Hodosh et al. 2013), in the layouts in which it goes round.

    DIR/Flickr8k.token.txt            NAME.jpg#0<TAB>caption         or  DIR/captions.txt, CSV: image,caption
    DIR/Flickr_8k.trainImages.txt     one NAME.jpg a line; devImages and testImages alike
    DIR/images/                       or Images/, Flicker8k_Dataset/ (so spelt), Flickr8k_Dataset/

The text files may also lie in ``DIR/Flickr8k_text/``, and be packed. Flickr30k, in the same form, can be read as well. Where
none of the three lists is there, as in Kaggle's copy, the set is cut by chance, by picture: a tenth is "val", a tenth "test",
always the same (:func:`scratchlv.data.photographs.parts`). These are not the official splits, and figures are not comparable.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scratchlv.data.files import find, unpacked_name
from scratchlv.data.formats import FLICKR8K, malformed
from scratchlv.data.photographs import Photographs, parts, refuse_missing
from scratchlv.data.text import bare_words as tokenize
from scratchlv.data.text import read_csv, read_lines
from scratchlv.errors import UserError

__all__ = ["Flickr8k", "tokenize"]

_SPLITS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}
_CAPTIONS = ("Flickr8k.token.txt", "captions.txt")
_IMAGES = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset")


class Flickr8k(Photographs):
    """The set in a folder. Captions are read at once, pictures only when someone opens them."""

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
        self.captions = {}
        for name, caption in read_captions(self.caption_file):
            self.captions.setdefault(name, []).append(caption)
        self._parts: dict[str, list[str]] = {}
        if self.captions and not any(self._found(name) for name in _SPLITS.values()):
            self._parts = parts(self.captions)
            self.notes = (
                f"{self.folder} has no lists of splits: it is cut by chance, by picture; a tenth each is val and test",
            )

    def listed(self, name: str) -> tuple[Path, list[str]]:
        if name not in _SPLITS:
            raise UserError(f"Flickr8k has no split {name!r}; choose one of {', '.join(_SPLITS)}")
        if self._parts:
            if name not in self._parts:
                raise UserError(f"{self.caption_file} has too few pictures for a split {name!r}; add some")
            return self.caption_file, self._parts[name]
        list_file = self._text_file(_SPLITS[name])
        names = [line.strip() for _, line in read_lines(list_file) if line.strip()]
        if not names:
            raise UserError(f"{list_file} names no picture; copy it again")
        return list_file, names

    def _refuse_uncaptioned(self, source: str | Path, names: list[str]) -> None:
        remedy = "copy both files again, or shorten the list"
        refuse_missing(source, f"pictures without a caption in {self.caption_file}", names, self.captions, remedy)

    def _text_file(self, *names: str) -> Path:
        found = self._found(*names)
        if found is None:
            raise UserError(f"{self.folder} has no {' or '.join(names)}; copy the file there")
        return found

    def _found(self, *names: str) -> Path | None:
        return find(self.folder, *names) or find(self.folder / "Flickr8k_text", *names)


def read_captions(file: Path) -> Iterator[tuple[str, str]]:
    """The captions of a file, each with the name of its picture.

    Raises:
        UserError: a line is malformed.
    """
    return (_read_csv if unpacked_name(file) == "captions.txt" else _read_tokens)(file)


def _read_tokens(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in read_lines(file):
        if not line.strip():
            continue
        name, tab, caption = line.strip().partition("\t")
        name, mark, index = name.rpartition("#")
        if not (tab and mark and name and index.isdecimal() and caption.strip()):
            problem = f"line {number}: expected NAME.jpg#0<TAB>caption, found {line.strip()[:60]!r}"
            raise malformed(FLICKR8K, file, problem, "mend it")
        yield name, caption.strip()


def _read_csv(file: Path) -> Iterator[tuple[str, str]]:
    rows = read_csv(file)
    _, titles = next(rows, (1, []))
    if [title.strip() for title in titles] != ["image", "caption"]:
        raise malformed(FLICKR8K, file, "line 1: expected the header image,caption", "add it")
    for number, row in rows:
        if len(row) != 2 or not row[0].strip() or not row[1].strip():
            raise UserError(f"{file} line {number}: expected image,caption, found {','.join(row)[:60]!r}; mend it")
        yield row[0].strip(), row[1].strip()
