"""Scenes: an endless, embedded world of drawn pictures whose truth is known.

A scene is a pure function of ``(seed, index)``: three to eight plain shapes, each with a shape, a colour, a
size and a place. Nothing is stored and nothing is downloaded. Because the truth is known, two things can be measured
that photographs cannot give: whether a caption is *true* of its picture (:func:`judge`), and whether the
attention of a model *points* at the object that a word names (:func:`scratchlv.metrics.pointing_accuracy`).

Every index belongs to one split (:func:`split_index`). Two splits never hold the same scene: the
arrangement itself decides, by a checksum, which of train, val and test it may appear in; and the (colour, shape)
pairs in :data:`HELD_OUT` are drawn in the split ``compositional`` only.

Only ``random.Random.random`` is used to draw lots: its stream is the same in every version of Python.
"""

from __future__ import annotations

import itertools
import math
import random
import zlib
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
    lots = random.Random(f"scene {seed} {index}")
    while True:
        objects = _arrange(lots, world, split)
        if objects is not None and _belongs(objects, split):
            break
    background = tuple(int(b) for b in _shade((205 + 45 * lots.random(),) * 3, lots, 6.0))
    tints = tuple(tuple(int(t) for t in _shade(COLOURS[o.colour], lots, 14.0)) for o in objects)
    return Scene(seed, index, objects, background, tints)  # type: ignore[arg-type]


def _arrange(lots: random.Random, world: World, split: str) -> tuple[SceneObject, ...] | None:
    """One try at placing objects that keep their distance; None when they do not fit."""
    low, high = world.n_objects
    n = low + int((high - low + 1) * lots.random())
    held_out_at = int(n * lots.random()) if split == "compositional" else -1
    objects: list[SceneObject] = []
    for i in range(n):
        shape, colour = _kind(lots, held_out=(i == held_out_at))
        size = _pick(lots, tuple(SIZES))
        least, most = SIZES[size]
        radius = round(least + (most - least) * lots.random(), 2)
        for _ in range(20):
            span = SIDE - 2 * (radius + _MARGIN)
            x, y = (round(radius + _MARGIN + span * lots.random(), 2) for _ in range(2))
            if _near_border(x) or _near_border(y):
                continue
            if all(max(abs(x - o.x), abs(y - o.y)) >= radius + o.radius + _MARGIN for o in objects):
                objects.append(SceneObject(shape, colour, size, x, y, radius))
                break
        else:
            return None
    return tuple(objects)


def _kind(lots: random.Random, held_out: bool) -> tuple[str, str]:
    while True:
        shape, colour = _pick(lots, SHAPES), _pick(lots, tuple(COLOURS))
        if ((colour, shape) in HELD_OUT) == held_out:
            return shape, colour


def _pick(lots: random.Random, choices: tuple[str, ...]) -> str:
    return choices[int(len(choices) * lots.random())]


def _near_border(coordinate: float) -> bool:
    return min(abs(coordinate - SIDE / 3), abs(coordinate - 2 * SIDE / 3)) < _BORDER


def _belongs(objects: tuple[SceneObject, ...], split: str) -> bool:
    """Whether an arrangement (to the pixel, in any order) may appear in a split."""
    if split == "compositional":
        return True  # a held-out pair is in it, and nowhere else
    rounded = sorted((o.shape, o.colour, o.size, round(o.x), round(o.y)) for o in objects)
    return zlib.crc32(repr(rounded).encode()) % 10 in _BUCKETS[split]


def _shade(colour, lots: random.Random, spread: float) -> tuple[float, ...]:
    return tuple(min(255.0, max(0.0, c + spread * (2 * lots.random() - 1))) for c in colour)


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


# --- captions ----------------------------------------------------------------------------------------------------

GRAMMARS = ("places", "relations")


@dataclass(frozen=True)
class Caption:
    """``words``, and for each object named, the words that name it: ``(first, past the last, object)``."""

    words: tuple[str, ...]
    mentions: tuple[tuple[int, int, int], ...]

    def __str__(self) -> str:
        return " ".join(self.words)


def caption(scene: Scene, grammar: str = "places") -> Caption:
    """A true caption of two objects of the scene.

    ``places``: "a small red circle at the top left and a large blue square on the right", from left to right;
    ``relations``: "a small red circle at the top left is above a large blue square".

    Raises:
        ValueError: no such grammar.
    """
    lots = random.Random(f"caption {scene.seed} {scene.index}")
    if grammar == "places":
        return _caption_places(scene)
    if grammar == "relations":
        return _caption_relation(scene, lots)
    raise ValueError(f"no grammar {grammar!r} in Scenes; there are {', '.join(GRAMMARS)}")


def _caption_places(scene: Scene) -> Caption:
    order = sorted(range(len(scene.objects)), key=lambda i: scene.objects[i].x)
    first, second = order[0], order[1]
    words = [*noun_phrase(scene.objects[first]), *scene.objects[first].place, "and"]
    middle = len(words)
    words += [*noun_phrase(scene.objects[second]), *scene.objects[second].place]
    return Caption(tuple(words), ((0, 4, first), (middle, middle + 4, second)))


def _caption_relation(scene: Scene, lots: random.Random) -> Caption:
    pairs = list(itertools.permutations(range(len(scene.objects)), 2))
    while True:
        first, second = pairs[int(len(pairs) * lots.random())]
        a, b = scene.objects[first], scene.objects[second]
        relation = relation_between(a, b)
        if relation is not None:
            break
    words = [*noun_phrase(a), *a.place, "is", *relation.split()]
    middle = len(words)
    words += noun_phrase(b)
    return Caption(tuple(words), ((0, 4, first), (middle, middle + 4, second)))


def noun_phrase(o: SceneObject) -> tuple[str, str, str, str]:
    return ("a", o.size, o.colour, o.shape)


def relation_between(a: SceneObject, b: SceneObject) -> str | None:
    """How ``a`` lies to ``b`` along the axis that parts them more; None when they are too close to tell."""
    dx, dy = b.x - a.x, b.y - a.y
    if max(abs(dx), abs(dy)) < RELATION_GAP:
        return None
    if abs(dx) >= abs(dy):
        return "left of" if dx > 0 else "right of"
    return "above" if dy > 0 else "below"


def vocabulary_words() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted."""
    places = {word for place in PLACES.values() for word in place}
    relations = {word for relation in RELATIONS for word in relation.split()}
    return tuple(sorted({"a", "and", "is", *SIZES, *COLOURS, *SHAPES, *places, *relations}))


# --- is it true? -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phrase:
    """One object as a caption names it; ``first`` is the position of its "a" among the words."""

    size: str
    colour: str
    shape: str
    place: tuple[str, ...] | None
    first: int

    def fits(self, o: SceneObject) -> bool:
        same_kind = (self.size, self.colour, self.shape) == (o.size, o.colour, o.shape)
        return same_kind and (self.place is None or self.place == o.place)


@dataclass(frozen=True)
class Parse:
    """A caption taken apart: its phrases and, where it states one, the relation of the first to the second."""

    phrases: tuple[Phrase, ...]
    relation: str | None


@dataclass(frozen=True)
class Verdict:
    """Whether a caption is true, why not if it is not, and the object that each phrase names (when it is)."""

    true: bool
    reason: str
    parse: Parse | None
    objects: tuple[int, ...] = ()


def parse(words: tuple[str, ...] | list[str]) -> Parse | None:
    """Take a caption apart; None when it is no sentence of the grammar.

    ``caption = phrase [place] [("and" | "is" relation) phrase [place]]``, ``phrase = "a" size colour shape``.
    """
    words = tuple(words)
    first, at = _parse_phrase(words, 0)
    if first is None:
        return None
    if at == len(words):
        return Parse((first,), None)
    relation = None
    if words[at] == "and":
        at += 1
    elif words[at] == "is":
        relation = next((r for r in RELATIONS if words[at + 1 :][: len(r.split())] == tuple(r.split())), None)
        if relation is None:
            return None
        at += 1 + len(relation.split())
    else:
        return None
    second, at = _parse_phrase(words, at)
    return Parse((first, second), relation) if second is not None and at == len(words) else None


def _parse_phrase(words: tuple[str, ...], at: int) -> tuple[Phrase | None, int]:
    if len(words) < at + 4 or words[at] != "a":
        return None, at
    size, colour, shape = words[at + 1 : at + 4]
    if size not in SIZES or colour not in COLOURS or shape not in SHAPES:
        return None, at
    # the longest place that fits: "at the top left" before "at the top"
    fitting = [p for p in PLACES.values() if words[at + 4 : at + 4 + len(p)] == p]
    place = max(fitting, key=len, default=None)
    return Phrase(size, colour, shape, place, at), at + 4 + len(place or ())


def judge(words: tuple[str, ...] | list[str], scene: Scene) -> Verdict:
    """Decide whether a caption is true of a scene: different objects must fit its phrases and its relation."""
    parsed = parse(words)
    if parsed is None:
        return Verdict(False, "not a sentence of the grammar", None)
    candidates = []
    for phrase in parsed.phrases:
        fitting = [i for i, o in enumerate(scene.objects) if phrase.fits(o)]
        if not fitting:
            named = " ".join((phrase.size, phrase.colour, phrase.shape, *(phrase.place or ())))
            return Verdict(False, f"there is no {named}", parsed)
        candidates.append(fitting)
    for chosen in itertools.product(*candidates):
        if len(set(chosen)) == len(chosen) and _relation_holds(parsed.relation, scene, chosen):
            return Verdict(True, "true", parsed, chosen)
    return Verdict(False, f"no two such objects lie so ({parsed.relation or 'and'})", parsed)


def _relation_holds(relation: str | None, scene: Scene, chosen: tuple[int, ...]) -> bool:
    if relation is None:
        return True
    a, b = (scene.objects[i] for i in chosen)
    distance = {"left of": b.x - a.x, "right of": a.x - b.x, "above": b.y - a.y, "below": a.y - b.y}[relation]
    return distance >= RELATION_GAP
