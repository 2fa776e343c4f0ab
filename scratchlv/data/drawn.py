"""Many scenes at once, drawn in parallel."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType

import numpy as np

from scratchlv.cores import usable_cores
from scratchlv.data.scenes import SIDE, Scene, World, draw, scene, split_index
from scratchlv.errors import UserError

_FEW = 3000  # fewer scenes are drawn right here: a new process takes half a second to start
_CHUNK = 500


def draw_scenes(seed: int, split: str, n: int, world: World) -> tuple[list[Scene], np.ndarray]:
    """The first ``n`` scenes of a split, and their pictures (n, 64, 64, 3) uint8.

    Raises:
        UserError: the system ended a process that drew some.
    """
    chunks = [(seed, split, first, min(first + _CHUNK, n), world) for first in range(0, n, _CHUNK)]
    scenes: list[Scene] = []
    pictures = np.empty((n, SIDE, SIDE, 3), np.uint8)
    workers = min(usable_cores().n, len(chunks))
    if n < _FEW or workers < 2:
        return _collect(map(_draw_chunk, chunks), scenes, pictures)
    # spawned, not forked: a fork would copy the threads of the kernels half-way through whatever they do
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        with _main_left_alone():
            results = pool.map(_draw_chunk, chunks)
        try:
            return _collect(results, scenes, pictures)
        except BrokenProcessPool:
            raise UserError(
                "the system ended a process that drew scenes, for want of memory perhaps; close what else uses it, "
                "or lower --set n_train=…"
            ) from None


@contextlib.contextmanager
def _main_left_alone() -> Iterator[None]:
    """A process that is spawned inside the block does not import the main script, where nothing is that it needs.

    Without a main guard the script would begin there once more, and spawn processes of its own.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _collect(results, scenes: list[Scene], pictures: np.ndarray) -> tuple[list[Scene], np.ndarray]:
    for chunk_scenes, chunk_pictures in results:
        pictures[len(scenes) : len(scenes) + len(chunk_scenes)] = chunk_pictures
        scenes += chunk_scenes
    return scenes, pictures


def _draw_chunk(chunk: tuple[int, str, int, int, World]) -> tuple[list[Scene], np.ndarray]:
    seed, split, first, last, world = chunk
    scenes = [scene(seed, split_index(split, i), world) for i in range(first, last)]
    return scenes, np.stack([draw(s) for s in scenes])
