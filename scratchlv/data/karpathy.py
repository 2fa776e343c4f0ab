"""Karpathy's splits of Flickr8k, Flickr30k and COCO (Karpathy & Fei-Fei 2015), one JSON file each.

    {"dataset": "coco", "images": [{"filepath": "val2014", "filename": "COCO_val2014_000000391895.jpg", "cocoid": 391895,
     "split": "test", "sentences": [{"raw": "A man with a red helmet …", "tokens": ["a", "man", …]}, …]}, …]}

Splits are "train", "val" and "test"; COCO's "restval" (what is left of its validation part) belongs to "train". Pictures lie
in one folder, or, of COCO, in ``train2014/`` and ``val2014/`` in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scratchlv.data import formats
from scratchlv.data.files import is_file_name, is_number
from scratchlv.data.photographs import SPLITS, Photographs
from scratchlv.errors import UserError

_PARTS = {split: split for split in SPLITS} | {"restval": "train"}


class Karpathy(Photographs):
    """The pictures and captions of a file, and the folder of its pictures."""

    def __init__(self, file: str | Path, image_folder: str | Path) -> None:
        """
        Raises:
            UserError: a path is wrong, the file is of another format, or an image in it lacks something.
        """
        self.file, self.image_folder = Path(file), Path(image_folder)
        if not self.image_folder.is_dir():
            raise UserError(f"{self.image_folder} is not a folder; give the one that holds the pictures of {self.file}")
        found = formats.load_json(formats.KARPATHY, self.file)
        if formats.of_object(found) != formats.KARPATHY:
            raise formats.malformed(
                formats.KARPATHY, self.file, "has no list 'images' with 'sentences'", "give another"
            )
        self.captions = {}
        self._names: dict[str, list[str]] = {}
        self._ids: dict[str, int] = {}
        self._folders: dict[str, bool] = {}
        for k, image in enumerate(found["images"]):
            self._add(f"{self.file}: images[{k}]", image)

    def _add(self, where: str, image: Any) -> None:
        if not isinstance(image, dict):
            raise UserError(f"{where} is no object; copy the file again")
        name, split, sentences = self._name(where, image), image.get("split"), image.get("sentences")
        if not (isinstance(split, str) and split in _PARTS):
            raise UserError(f"{where} has the split {split!r}; mend it: there are {', '.join(_PARTS)}")
        if name in self.captions:
            raise UserError(f"{where} is {name} once more; take one of the two out")
        captions = [caption_of(s) for s in sentences] if isinstance(sentences, list) else []
        if not captions or None in captions:
            raise UserError(f"{where} ({name}) needs 'sentences', each with its text, 'raw'; mend it")
        self.captions[name] = [caption for caption in captions if caption is not None]
        self._names.setdefault(_PARTS[split], []).append(name)
        number = image.get("cocoid")
        if is_number(number):
            self._ids[name] = number

    def _name(self, where: str, image: dict[str, Any]) -> str:
        """The picture, relative to the folder: in the folder within it that ``filepath`` names, if there is one."""
        name, below = image.get("filename"), image.get("filepath") or ""
        if not is_file_name(name) or not (below == "" or is_file_name(below)):
            raise UserError(f"{where} needs a 'filename' such as a.jpg, found {name!r}; mend it")
        if below and below not in self._folders:
            self._folders[below] = (self.image_folder / below).is_dir()
        return f"{below}/{name}" if below and self._folders[below] else name

    def image_ids(self, name: str) -> dict[Path, int]:
        _, names = self.listed(name)
        return {self.image_folder / image: self._ids[image] for image in names if image in self._ids}

    def listed(self, name: str) -> tuple[Path, list[str]]:
        if name not in self._names:
            there = ", ".join(split for split in SPLITS if split in self._names)
            raise UserError(f"{self.file} has no pictures of the split {name!r}; it has {there or 'none at all'}")
        return self.file, self._names[name]


def caption_of(sentence: Any) -> str | None:
    """The text of a sentence; of one that has only its words, these."""
    if not isinstance(sentence, dict):
        return None
    raw, tokens = sentence.get("raw"), sentence.get("tokens")
    if not isinstance(raw, str) and isinstance(tokens, list):
        raw = " ".join(map(str, tokens))
    return raw.strip() or None if isinstance(raw, str) else None
