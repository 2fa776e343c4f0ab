"""COCO's captions (Chen et al. 2015), and its format for results.

    captions_train2014.json   {"images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg"}, …],
                               "annotations": [{"image_id": 9, "id": 661611, "caption": "Closeup of bins of food …"}, …]}
    results                   [{"image_id": 9, "caption": "a plate of food"}, …]

The validation part is ``captions_val2014.json`` beside a file of that name with ``train`` in it. Without one, pictures by
chance are "val" and "test" (:func:`scratchlv.data.photographs.parts`). Pictures lie in the folder that is given or in
``train2014/`` and ``val2014/`` in it; where the folder is itself ``…/train2014``, those of the other part are beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratchlv.data import formats
from scratchlv.data.files import is_file_name, is_number, sibling
from scratchlv.data.photographs import Photographs, parts
from scratchlv.data.text import first_few
from scratchlv.errors import UserError

_NUMBERED = re.compile(r"(?:COCO_\w+_)?(\d+)")


class Coco(Photographs):
    """The pictures and captions of a file of annotations, and of the one of the validation part beside it."""

    def __init__(self, annotations: str | Path, image_folder: str | Path) -> None:
        """
        Raises:
            UserError: a path is wrong, a file is of another format, or what is in it does not fit together.
        """
        file, given = Path(annotations), Path(image_folder)
        if not given.is_dir():
            raise UserError(f"{given} is not a folder; give the one that holds the pictures of {file}")
        self.captions = {}
        self._ids: dict[str, int] = {}
        self._lists: dict[str, tuple[Path, list[str]]] = {}
        beside = sibling(file, "val")
        self.image_folder = given.parent if beside and given.name == _part(file) else given
        names = self._read(file)
        if beside is not None:
            self._lists = {"train": (file, names), "val": (beside, self._read(beside))}
        else:
            self._lists = {part: (file, found) for part, found in parts(names).items()}
            self.notes = (
                *self.notes,
                f"{file.name} is cut into parts by chance, by picture: a tenth each is val and test",
            )

    def _read(self, file: Path) -> list[str]:
        """The pictures of a file that have captions."""
        below = self._below(file)
        found = formats.load_json(formats.COCO, file)
        if formats.of_object(found) != formats.COCO:
            raise formats.malformed(
                formats.COCO, file, "has no 'images' and 'annotations' with captions", "give another"
            )
        names: dict[Any, str] = {}
        for k, image in enumerate(found["images"] if isinstance(found.get("images"), list) else []):
            number, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
            if not is_number(number) or not is_file_name(name) or number in names:
                raise UserError(f"{file}: images[{k}] needs an 'id' of its own and a 'file_name'; mend it")
            names[number] = below + name
        return self._captioned(file, names, found["annotations"])

    def _captioned(self, file: Path, names: dict[Any, str], annotations: list[Any]) -> list[str]:
        strangers = []
        for k, annotation in enumerate(annotations):
            number, caption = (
                annotation.get(key) if isinstance(annotation, dict) else None for key in ("image_id", "caption")
            )
            if not is_number(number) or not isinstance(caption, str) or not caption.strip():
                raise UserError(f"{file}: annotations[{k}] needs an 'image_id' and a 'caption'; mend it")
            if number in names:
                self.captions.setdefault(names[number], []).append(caption.strip())
            else:
                strangers.append(str(number))
        if strangers:
            raise UserError(
                f"{file} has {len(strangers)} captions of pictures that are not in its 'images' "
                f"(image_id {first_few(strangers)}); copy or download it again"
            )
        self._ids |= {name: number for number, name in names.items()}
        captioned = [name for name in names.values() if name in self.captions]
        if len(captioned) < len(names):
            self.notes = (*self.notes, f"{len(names) - len(captioned):,} pictures of {file.name} have no caption")
        return captioned

    def _below(self, file: Path) -> str:
        """The folder, within the folder of the pictures, that holds those of a file: ``train2014/``, or none."""
        part = _part(file)
        return f"{part}/" if part and (self.image_folder / part).is_dir() else ""

    def image_ids(self, name: str) -> dict[Path, int]:
        _, names = self.listed(name)
        return {self.image_folder / image: self._ids[image] for image in names}

    def listed(self, name: str) -> tuple[Path, list[str]]:
        if name not in self._lists:
            raise UserError(f"COCO captions have no split {name!r} here; choose one of {', '.join(self._lists)}")
        return self._lists[name]


def _part(file: Path) -> str | None:
    """``train2014`` of ``captions_train2014.json``."""
    match = re.search(r"(?:train|val|test)(?:-dev)?\d*", file.name)
    return match[0] if match else None


# --- results -----------------------------------------------------------------------------------------------------


def number_of(name: str) -> int | None:
    """COCO's number, which the name of a picture ends in."""
    match = _NUMBERED.fullmatch(Path(name).stem)
    return None if match is None else int(match[1])


def image_ids_of(paths: Sequence[Path]) -> list[int | str]:
    """What results call pictures: COCO's numbers, which its names end in; where one of the names is no such, all their names.

    Raises:
        UserError: two are called the same.
    """
    ids: list[int | str] = [found for path in paths if (found := number_of(path.name)) is not None]
    if len(ids) < len(paths):
        ids = [os.fsencode(path.name).decode(errors="replace") for path in paths]
    seen: dict[int | str, Path] = {}
    for number, path in zip(ids, paths, strict=True):
        if number in seen:
            raise UserError(f"{seen[number]} and {path} have the same image_id, {number}; leave one of them out")
        seen[number] = path
    return ids
