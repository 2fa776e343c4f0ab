"""The same pictures as several models see them, each through a backbone of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchlv.arrays import Array


class SeveralViews:
    """The same pictures, once for each model: an index picks some of each."""

    def __init__(self, views: Sequence[Any]) -> None:
        self.views = tuple(views)

    def __len__(self) -> int:
        return len(self.views[0])

    def __getitem__(self, rows: slice | Array) -> SeveralViews:
        return SeveralViews([view[rows] for view in self.views])


def in_memory(pictures: Any) -> Any:
    """Pictures that may be on disk as a model takes them: an array; of several views a tuple of arrays."""
    return tuple(map(np.asarray, pictures.views)) if isinstance(pictures, SeveralViews) else np.asarray(pictures)
