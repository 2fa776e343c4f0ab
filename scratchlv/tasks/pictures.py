"""Picture files as models take them."""

from __future__ import annotations

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
    """The pictures among paths, those in a folder in the order of their names.

    Raises:
        UserError: a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        inside = (
            sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES) if path.is_dir() else [path]
        )
        if not inside:
            raise UserError(f"{path} is a folder without pictures; give pictures, or a folder of them")
        found += inside
    return found


class Mirrored:
    """A backbone that sees pictures in a mirror; their features are kept apart from those of the pictures as they are."""

    def __init__(self, backbone: Extractor) -> None:
        self.backbone = backbone
        self.name, self.checksum = f"{backbone.name}-mirrored", backbone.checksum
        self.size, self.shape = backbone.size, backbone.shape

    def features(self, images: np.ndarray) -> np.ndarray:
        return self.backbone.features(np.ascontiguousarray(images[:, :, ::-1]))


def photograph_features(paths: list[Path], show_progress: bool, *, mirrored: bool = False) -> Features:
    """Region features (n, 7, 7, C) by EfficientNet-Lite0, from the cache where they are in it; on disk until they are read.

    Those of the photographs ``mirrored`` are another set.
    """
    from scratchlv.training.progress import Progress
    from scratchlv.vision import backbones
    from scratchlv.vision.features import extract

    backbone: Extractor = backbones.load("efficientnet-lite0")
    with Progress(len(paths), "mirrored photograph" if mirrored else "photograph", show_progress) as progress:
        extractor = Mirrored(backbone) if mirrored else backbone
        return extract(paths, extractor, progress=lambda done, total: progress.update(done))


def pictures_of(paths: list[Path], feature_channels: int | None) -> Array:
    """Bytes (n, 64, 64, 3) for the conv extractor, or features for a model that was trained on features.

    Raises:
        UserError: a file is missing, damaged, no picture or too large.
    """
    from scratchlv.vision.images import load_image

    if feature_channels is None:
        from scratchlv.vision.conv_extractor import SIDE

        return np.stack([load_image(path, size=(SIDE, SIDE)) for path in paths])
    from scratchlv.vision import backbones

    return backbones.load("efficientnet-lite0").features(
        np.stack([load_image(path, size=(224, 224)) for path in paths])
    )
