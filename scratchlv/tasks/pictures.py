"""Picture files as models take them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchlv.arrays import Array
from scratchlv.errors import UserError
from scratchlv.vision.feature_store import Features

if TYPE_CHECKING:
    from scratchlv.vision.features import Extractor

#: what names of pictures end in, in a folder that may hold other files as well
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")


def all_pictures(paths: Sequence[Path]) -> list[Path]:
    """The pictures among paths, those in a folder in the order of their names, then those of the folders in it.

    Files and folders whose names begin with a dot are left out, unless they are given themselves.

    Raises:
        UserError: a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        inside = _inside(path) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path} is a folder without pictures; give pictures, or a folder of them")
        found += inside
    return found


def _inside(folder: Path) -> list[Path]:
    def stop(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for root, folders, files in os.walk(folder, onerror=stop):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = sorted(name for name in files if not name.startswith("."))
        found += [Path(root, name) for name in names if name.lower().endswith(_SUFFIXES)]
    return found


class Mirrored:
    """An extractor that sees pictures in a mirror; these features are kept apart from those of the pictures as they are."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.name, self.checksum = f"{extractor.name}-mirrored", extractor.checksum
        self.size, self.crop, self.shape = extractor.size, extractor.crop, extractor.shape

    def features(self, images: np.ndarray) -> np.ndarray:
        return self.extractor.features(np.ascontiguousarray(images[:, :, ::-1]))


def features_of(
    pictures: list[Path] | np.ndarray, extractor: Extractor, show_progress: bool, what: str = "photograph"
) -> Features:
    """Features (n, h, w, C) of picture files, or of drawn pictures: from the cache, as far as they are in it; on disk."""
    from scratchlv.training.progress import Progress
    from scratchlv.vision.features import extract

    with Progress(len(pictures), what, show_progress) as progress:
        return extract(pictures, extractor, progress=lambda done, total: progress.update(done))


def pictures_of(paths: list[Path], extractor: Extractor | None) -> Array:
    """Bytes (n, 64, 64, 3) for the conv extractor, or the features of another.

    Raises:
        UserError: a file is missing, damaged, no picture or too large.
    """
    from scratchlv.vision.images import load_image

    if extractor is None:
        from scratchlv.vision.conv_extractor import SIDE

        return np.stack([load_image(path, size=(SIDE, SIDE)) for path in paths])
    return extractor.features(np.stack([load_image(path, extractor.size, extractor.crop) for path in paths]))


def as_seen(path: Path, extractor: Extractor | None) -> Array:
    """What a model sees of a picture, (H, W, 3) uint8 in its own resolution: all of it, or the middle that is cut out."""
    from scratchlv.vision.images import cropped, load_image

    image = load_image(path)
    if extractor is None or extractor.crop is None:
        return image
    return cropped(image, extractor.size, extractor.crop)
