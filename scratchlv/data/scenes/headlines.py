"""Descriptions of scenes, several sentences long, and their headlines.

A headline says how many of the objects told of share a colour or a shape, and which of them leads: to write it one
has to count over the whole description, pick one object out, and leave the rest away. It follows from the description
alone.
"""

from __future__ import annotations

import random
from collections import Counter

from scratchlv.data.scenes.captions import noun_phrase
from scratchlv.data.scenes.world import COLOURS, PLACES, RELATIONS, SHAPES, SIZES, Scene, SceneObject, relation_between

MOST_OBJECTS = 4  #: a description tells of so many objects at most, the first of the scene
MOST_WORDS = 45  #: and has no more words than this
_NUMBERS = ("no", "one", "two", "three", "four")


def description(scene: Scene) -> tuple[str, ...]:
    """Two to six sentences that tell of each object (up to :data:`MOST_OBJECTS`) what and where it is.

    "a small red circle is at the top left . on the right is a large blue star . it is right of the first ." Every
    sentence ends in a full stop; "it" is the object of the sentence before.
    """
    lots = random.Random(f"description {scene.seed} {scene.index}")
    told = _told(scene)
    sentences = [_where_it_is(o, lots) for o in told]
    spare = MOST_WORDS - sum(map(len, sentences))
    words = [*sentences[0]]
    for before, o, sentence in zip(told, told[1:], sentences[1:], strict=False):
        words += sentence
        other, name = (told[0], "first") if lots.random() < 0.5 else (before, "last")
        relation = relation_between(o, other)
        if relation is None:
            continue
        remark = ["it", "is", *relation.split(), "the", name, "."]
        if len(remark) <= spare and lots.random() < 0.75:
            words += remark
            spare -= len(remark)
    return tuple(words)


def headline(scene: Scene) -> tuple[str, ...]:
    """What the description comes to, in a few words.

    The subject is the largest set of objects of one colour or of one shape (of equally large ones, a colour before a
    shape, then the one told of first), led by whichever of them is told of first: "three red shapes , led by a large star
    at the top left", "two stars , led by a small red one on the right". Where no two objects are alike: "a large blue
    star beside two small shapes", "three small shapes , none alike".
    """
    told = _told(scene)
    alike = _largest_set(told)
    if alike is None:
        return _headline_of_different(told)
    n, leader, by_colour = alike
    subject = (leader.colour, "shapes") if by_colour else (_plural(leader.shape),)
    named = (leader.shape,) if by_colour else (leader.colour, "one")
    return (_NUMBERS[n], *subject, ",", "led", "by", "a", leader.size, *named, *leader.place)


def description_vocabulary_words() -> tuple[str, ...]:
    """Every word that a description can hold, sorted."""
    places = {word for place in PLACES.values() for word in place}
    relations = {word for relation in RELATIONS for word in relation.split()}
    return tuple(sorted({"a", "is", "it", "the", "first", "last", ".", *SIZES, *COLOURS, *SHAPES, *places, *relations}))


def headline_vocabulary_words() -> tuple[str, ...]:
    """Every word that a headline can hold, sorted."""
    places = {word for place in PLACES.values() for word in place}
    own = {"a", ",", "shape", "shapes", "led", "by", "one", "beside", "none", "alike"}
    plurals = {_plural(shape) for shape in SHAPES}
    return tuple(sorted({*own, *_NUMBERS[1:], *SIZES, *COLOURS, *SHAPES, *plurals, *places}))


def _told(scene: Scene) -> tuple[SceneObject, ...]:
    return scene.objects[:MOST_OBJECTS]


def _where_it_is(o: SceneObject, lots: random.Random) -> list[str]:
    if lots.random() < 0.5:
        return [*noun_phrase(o), "is", *o.place, "."]
    return [*o.place, "is", *noun_phrase(o), "."]


def _largest_set(told: tuple[SceneObject, ...]) -> tuple[int, SceneObject, bool] | None:
    """How many share a colour or a shape, the first of them, and whether it is a colour; None when no two do."""
    colour, n_of_colour = Counter(o.colour for o in told).most_common(1)[0]  # the first told of, among equals
    shape, n_of_shape = Counter(o.shape for o in told).most_common(1)[0]
    if max(n_of_colour, n_of_shape) == 1:
        return None
    if n_of_colour >= n_of_shape:
        return n_of_colour, next(o for o in told if o.colour == colour), True
    return n_of_shape, next(o for o in told if o.shape == shape), False


def _headline_of_different(told: tuple[SceneObject, ...]) -> tuple[str, ...]:
    for size, other in (("large", "small"), ("small", "large")):
        of_size = [o for o in told if o.size == size]
        if len(of_size) == 1:
            n = len(told) - 1
            return (*noun_phrase(of_size[0]), "beside", _NUMBERS[n], other, "shape" if n == 1 else "shapes")
        if len(of_size) == len(told):
            return (_NUMBERS[len(told)], size, "shapes", ",", "none", "alike")
    return ("four", "shapes", ",", "two", "large", ",", "none", "alike")


def _plural(shape: str) -> str:
    return shape + ("es" if shape.endswith("s") else "s")
