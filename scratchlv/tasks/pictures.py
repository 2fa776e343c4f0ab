"""Picture files as models take them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchlv.arrays import Array
from scratchlv.errors import UserError
from scratchlv.vision.feature_store import Features

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


def photograph_features(paths: list[Path], show_progress: bool) -> Features:
    """Region features (n, 7, 7, C) by EfficientNet-Lite0, from the cache where they are in it; on disk until they are read."""
    from scratchlv.training.progress import Progress
    from scratchlv.vision.efficientnet_lite import EfficientNetLite0
    from scratchlv.vision.features import extract

    with Progress(len(paths), "photograph", show_progress) as progress:
        return extract(paths, EfficientNetLite0.load(), progress=lambda done, total: progress.update(done))


def pictures_of(paths: list[Path], feature_channels: int | None) -> Array:
    """Bytes (n, 64, 64, 3) for the conv extractor, or features for a model that was trained on features.

    Raises:
        UserError: a file is missing, damaged, no picture or too large.
    """
    from scratchlv.vision.images import load_image

    if feature_channels is None:
        from scratchlv.vision.conv_extractor import SIDE

        return np.stack([load_image(path, size=(SIDE, SIDE)) for path in paths])
    from scratchlv.vision.efficientnet_lite import EfficientNetLite0

    return EfficientNetLite0.load().features(np.stack([load_image(path, size=(224, 224)) for path in paths]))
