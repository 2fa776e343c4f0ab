"""Photographs with captions: what the readers of Flickr8k, of Karpathy's splits and of COCO have in common."""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from scratchlv.data.text import first_few
from scratchlv.errors import UserError

SPLITS = ("train", "val", "test")
_SEED = 0  # of the parts into which a set without lists is cut


class Photographs:
    """A set whose captions are read at once, and its pictures only when someone opens them.

    Attributes:
        image_folder: where the pictures are.
        captions: name of a picture, relative to the folder, -> its captions, in the file's order.
        notes: what was left out, or made, in sentences for the user.
    """

    image_folder: Path
    captions: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    def split(self, name: str, *, skip_missing: bool = False) -> list[tuple[Path, list[str]]]:
        """(path of the picture, its captions) for each picture of "train", "val" or "test", in the list's order.

        With ``skip_missing``, a picture whose file is not there is left out.

        Raises:
            UserError: there is no such split, its list is missing, or pictures or captions of it are.
        """
        source, names = self.listed(name)
        present = present_in(self.image_folder, names)
        if skip_missing:
            names = [image for image in names if image in present]
            if not names:
                raise UserError(f"{self.image_folder} has none of the pictures in {source}; copy them there")
        remedy = "copy them there, go on without them by --skip-missing, or shorten the list"
        refuse_missing(source, f"pictures that are not in {self.image_folder}", names, present, remedy)
        self._refuse_uncaptioned(source, names)
        return [(self.image_folder / image, self.captions[image]) for image in names]

    def missing(self, name: str) -> list[str]:
        """The pictures of a split whose files are not there."""
        _, names = self.listed(name)
        present = present_in(self.image_folder, names)
        return [image for image in names if image not in present]

    def has(self, name: str) -> bool:
        """Whether there is such a split."""
        try:
            self.listed(name)
        except UserError:
            return False
        return True

    def image_ids(self, name: str) -> dict[Path, int]:
        """The numbers of a split's pictures by which results are judged; empty where they have none."""
        return {}

    def listed(self, name: str) -> tuple[str | Path, list[str]]:
        """Where a split is listed, and the pictures in it, whether or not their files are there.

        Raises:
            UserError: there is no such split, or its list is missing.
        """
        raise NotImplementedError

    def _refuse_uncaptioned(self, source: str | Path, names: list[str]) -> None:
        """Where pictures and captions come from one file, there are none without."""


def present_in(folder: Path, names: Iterable[str]) -> set[str]:
    """Those of the names, relative to a folder, whose files are there: folders are listed, and no file looked for alone."""
    found = set()
    for below in {str(PurePosixPath(name).parent) for name in names}:
        inner = folder if below == "." else folder / below
        if inner.is_dir():
            found |= {entry.name if below == "." else f"{below}/{entry.name}" for entry in os.scandir(inner)}
    return found


def refuse_missing(file: str | Path, what: str, names: list[str], present: Collection[str], remedy: str) -> None:
    """
    Raises:
        UserError: a file lists names that are not ``present``.
    """
    missing = [name for name in names if name not in present]
    if missing:
        raise UserError(f"{file} lists {len(missing)} of {len(names)} {what} ({first_few(missing)}); {remedy}")


def parts(names: Iterable[str]) -> dict[str, list[str]]:
    """ "train", "val" and "test" of a set that has no lists: by chance, a tenth each for the last two, and always the same.

    They are drawn :func:`by_chance`: all captions of a picture, or all questions about it, are in one part. Of two names, one is
    "train" and one "val".
    """
    names = sorted(set(names))
    drawn, n = by_chance(names), max(1, len(names) // 10)
    val, test = set(drawn[:n]), set(drawn[n : 2 * n] if len(names) > 2 else ())
    of = {name: "val" if name in val else "test" if name in test else "train" for name in names}
    return {part: found for part in SPLITS if (found := [name for name in names if of[name] == part])}


def by_chance(names: Iterable[str]) -> list[str]:
    """Names in order of their CRC-32, from a fixed seed: that of two of them never depends on the others."""
    return sorted(names, key=lambda name: (zlib.crc32(name.encode(errors="surrogateescape"), _SEED), name))
