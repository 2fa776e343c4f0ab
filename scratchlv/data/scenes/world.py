"""Scenes as they are: which objects, where, in which split, and the picture of them."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SIDE = 64  #: width and height of a picture, in pixels
SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = {
    "red": (214, 40, 40),
    "green": (36, 160, 70),
    "blue": (40, 80, 220),
    "yellow": (240, 205, 30),
    "purple": (140, 50, 170),
    "orange": (245, 130, 20),
}
SIZES = {"small": (5.0, 6.0), "large": (8.0, 9.5)}  #: radius in pixels, least and most
RELATIONS = ("left of", "right of", "above", "below")
#: (colour, shape) pairs that only the split ``compositional`` shows; one for each shape.
HELD_OUT = frozenset(zip(("red", "green", "blue", "yellow", "purple"), SHAPES, strict=True))

SPLITS = ("train", "val", "test", "compositional")
_SPLIT_STRIDE = 2**32
_BUCKETS = {"train": range(0, 8), "val": range(8, 9), "test": range(9, 10)}  # tenths of all arrangements

_MARGIN = 1.5  # pixels between an object and the edge of the picture, or another object
_BORDER = 3.0  # no centre lies closer than this to a border between two thirds: places are never in doubt
RELATION_GAP = 0.1 * SIDE  #: "left of" means left by at least this many pixels, centre to centre


@dataclass(frozen=True)
class SceneObject:
    """One shape: its attributes, and its centre ``(x, y)`` and ``radius`` in pixels of a 64x64 picture."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounding box ``(left, top, right, bottom)`` in pixels."""
        return (self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)

    @property
    def place(self) -> tuple[str, ...]:
        """The words that say where it is, by thirds of the picture: ``("at", "the", "top", "left")``."""
        return PLACES[_third(self.y), _third(self.x)]


@dataclass(frozen=True)
class Scene:
    """Everything there is to know of a picture; every task is derived from this."""

    seed: int
    index: int
    objects: tuple[SceneObject, ...]
    background: tuple[int, int, int]
    tints: tuple[tuple[int, int, int], ...]  # the colour each object is painted in, close to its named colour


@dataclass(frozen=True)
class World:
    """What scenes may hold: ``n_objects`` is the least and the most number of objects."""

    n_objects: tuple[int, int] = (3, 8)

    def __post_init__(self) -> None:
        low, high = self.n_objects
        if not 2 <= low <= high <= 8:
            raise ValueError(f"n_objects must satisfy 2 <= least <= most <= 8, not {self.n_objects}")


def _third(coordinate: float) -> int:
    return min(2, int(3 * coordinate / SIDE))


PLACES = {
    (0, 0): ("at", "the", "top", "left"),
    (0, 1): ("at", "the", "top"),
    (0, 2): ("at", "the", "top", "right"),
    (1, 0): ("on", "the", "left"),
    (1, 1): ("in", "the", "centre"),
    (1, 2): ("on", "the", "right"),
    (2, 0): ("at", "the", "bottom", "left"),
    (2, 1): ("at", "the", "bottom"),
    (2, 2): ("at", "the", "bottom", "right"),
}


# --- the scene ---------------------------------------------------------------------------------------------------


def split_index(split: str, i: int) -> int:
    """The index of the ``i``-th scene of a split.

    Raises:
        ValueError: no such split, or ``i`` is out of range.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r} in Scenes; there are {', '.join(SPLITS)}")
    if not 0 <= i < _SPLIT_STRIDE:
        raise ValueError(f"a split has scenes 0 to 2**32 - 1, not {i}")
    return SPLITS.index(split) * _SPLIT_STRIDE + i


def scene(seed: int, index: int, world: World | None = None) -> Scene:
    """The scene of ``(seed, index)`` in ``world``: always the same one."""
    world = world or World()
    split = SPLITS[index // _SPLIT_STRIDE]
    rng = random.Random(f"scene {seed} {index}")
    while True:
        objects = _arrange(rng, world, split)
        if objects is not None and _belongs(objects, split):
            break
    background = tuple(int(b) for b in _shade((205 + 45 * rng.random(),) * 3, rng, 6.0))
    tints = tuple(tuple(int(t) for t in _shade(COLOURS[o.colour], rng, 14.0)) for o in objects)
    return Scene(seed, index, objects, background, tints)  # type: ignore[arg-type]


def first_scenes(seed: int, split: str, n: int, world: World | None = None) -> Iterator[Scene]:
    """The first ``n`` scenes of a split."""
    return (scene(seed, split_index(split, i), world) for i in range(n))


def _arrange(rng: random.Random, world: World, split: str) -> tuple[SceneObject, ...] | None:
    """One try at placing objects that keep their distance; None when they do not fit."""
    low, high = world.n_objects
    n = low + int((high - low + 1) * rng.random())
    held_out_at = int(n * rng.random()) if split == "compositional" else -1
    objects: list[SceneObject] = []
    for i in range(n):
        shape, colour = _kind(rng, held_out=(i == held_out_at))
        size = _pick(rng, tuple(SIZES))
        least, most = SIZES[size]
        radius = round(least + (most - least) * rng.random(), 2)
        for _ in range(20):
            span = SIDE - 2 * (radius + _MARGIN)
            x, y = (round(radius + _MARGIN + span * rng.random(), 2) for _ in range(2))
            if _near_border(x) or _near_border(y):
                continue
            if all(max(abs(x - o.x), abs(y - o.y)) >= radius + o.radius + _MARGIN for o in objects):
                objects.append(SceneObject(shape, colour, size, x, y, radius))
                break
        else:
            return None
    return tuple(objects)


def _kind(rng: random.Random, held_out: bool) -> tuple[str, str]:
    while True:
        shape, colour = _pick(rng, SHAPES), _pick(rng, tuple(COLOURS))
        if ((colour, shape) in HELD_OUT) == held_out:
            return shape, colour


def _pick(rng: random.Random, choices: tuple[str, ...]) -> str:
    return choices[int(len(choices) * rng.random())]


def _near_border(coordinate: float) -> bool:
    return min(abs(coordinate - SIDE / 3), abs(coordinate - 2 * SIDE / 3)) < _BORDER


def _belongs(objects: tuple[SceneObject, ...], split: str) -> bool:
    """Whether an arrangement (to the pixel, in any order) may appear in a split."""
    if split == "compositional":
        return True  # a held-out pair is in it, and nowhere else
    rounded = sorted((o.shape, o.colour, o.size, round(o.x), round(o.y)) for o in objects)
    return zlib.crc32(repr(rounded).encode()) % 10 in _BUCKETS[split]


def _shade(colour, rng: random.Random, spread: float) -> tuple[float, ...]:
    return tuple(min(255.0, max(0.0, c + spread * (2 * rng.random() - 1))) for c in colour)


def relation_between(a: SceneObject, b: SceneObject) -> str | None:
    """How ``a`` lies to ``b`` along the axis that parts them more; None when they are too close to tell."""
    dx, dy = b.x - a.x, b.y - a.y
    if max(abs(dx), abs(dy)) < RELATION_GAP:
        return None
    if abs(dx) >= abs(dy):
        return "left of" if dx > 0 else "right of"
    return "above" if dy > 0 else "below"


# --- the picture -------------------------------------------------------------------------------------------------

_OVERSAMPLING = 4  # drawn four times as large and averaged down: smooth edges


def draw(scene: Scene) -> np.ndarray:
    """The picture of a scene, ``(64, 64, 3)`` uint8."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (SIDE * _OVERSAMPLING,) * 2, scene.background)
    brush = ImageDraw.Draw(image)
    for o, tint in zip(scene.objects, scene.tints, strict=True):
        _paint(brush, o, tint)
    return np.asarray(image.reduce(_OVERSAMPLING))


def _paint(brush, o: SceneObject, tint: tuple[int, int, int]) -> None:
    x, y, r = o.x * _OVERSAMPLING, o.y * _OVERSAMPLING, o.radius * _OVERSAMPLING
    if o.shape == "circle":
        brush.ellipse((x - r, y - r, x + r, y + r), fill=tint)
    elif o.shape == "square":
        brush.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), fill=tint)
    elif o.shape == "triangle":
        brush.polygon([(x, y - r), (x - 0.95 * r, y + 0.8 * r), (x + 0.95 * r, y + 0.8 * r)], fill=tint)
    elif o.shape == "star":
        points = [(r if k % 2 == 0 else 0.42 * r, math.pi * (k / 5 - 0.5)) for k in range(10)]
        brush.polygon([(x + q * math.cos(a), y + q * math.sin(a)) for q, a in points], fill=tint)
    else:  # cross
        brush.rectangle((x - r, y - 0.33 * r, x + r, y + 0.33 * r), fill=tint)
        brush.rectangle((x - 0.33 * r, y - r, x + 0.33 * r, y + r), fill=tint)
