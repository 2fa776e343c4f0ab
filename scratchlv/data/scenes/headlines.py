"""Descriptions of scenes, several sentences long, and their headlines.

A headline is the news of a description: in a world of shapes a star is news before a cross, a cross before a triangle, and so on
down :data:`NEWS`. To write it one has to weigh all that is told, pick one object out, say where it is, and leave the rest away
but for their number. It follows from the description alone.
"""

from __future__ import annotations

import random

from scratchlv.data.scenes.captions import noun_phrase
from scratchlv.data.scenes.world import COLOURS, PLACES, RELATIONS, SHAPES, SIZES, Scene, SceneObject, relation_between

MOST_OBJECTS = 4  #: a description tells of so many objects at most, the first of the scene
MOST_WORDS = 45  #: and has no more words than this
NEWS = ("star", "cross", "triangle", "square", "circle")  #: what makes a headline first
_NUMBERS = ("no", "one", "two", "three", "four")


def description(scene: Scene) -> tuple[str, ...]:
    """Two to six sentences that tell of each object (up to :data:`MOST_OBJECTS`) what and where it is.

    "a small red circle is at the top left . on the right is a large blue star . it is right of the first ." Every
    sentence ends in a full stop; "it" is the object of the sentence before.
    """
    rng = random.Random(f"description {scene.seed} {scene.index}")
    told = _told(scene)
    sentences = [_where_it_is(o, rng) for o in told]
    spare = MOST_WORDS - sum(map(len, sentences))
    words = [*sentences[0]]
    for before, o, sentence in zip(told, told[1:], sentences[1:], strict=False):
        words += sentence
        other, name = (told[0], "first") if rng.random() < 0.5 else (before, "last")
        relation = relation_between(o, other)
        if relation is None:
            continue
        remark = ["it", "is", *relation.split(), "the", name, "."]
        if len(remark) <= spare and rng.random() < 0.75:
            words += remark
            spare -= len(remark)
    return tuple(words)


def headline(scene: Scene) -> tuple[str, ...]:
    """What the description comes to, in a few words: "red star at the top left among four shapes".

    Its subject is the object whose shape comes first in :data:`NEWS`; of several, the one that is told of first.
    """
    told = _told(scene)
    subject = min(told, key=lambda o: NEWS.index(o.shape))
    return (subject.colour, subject.shape, *subject.place, "among", _NUMBERS[len(told)], "shapes")


def description_vocabulary_words() -> tuple[str, ...]:
    """Every word that a description can hold, sorted."""
    places = {word for place in PLACES.values() for word in place}
    relations = {word for relation in RELATIONS for word in relation.split()}
    return tuple(sorted({"a", "is", "it", "the", "first", "last", ".", *SIZES, *COLOURS, *SHAPES, *places, *relations}))


def headline_vocabulary_words() -> tuple[str, ...]:
    """Every word that a headline can hold, sorted."""
    places = {word for place in PLACES.values() for word in place}
    return tuple(sorted({"among", "shapes", *_NUMBERS[2:], *COLOURS, *SHAPES, *places}))


def _told(scene: Scene) -> tuple[SceneObject, ...]:
    return scene.objects[:MOST_OBJECTS]


def _where_it_is(o: SceneObject, rng: random.Random) -> list[str]:
    if rng.random() < 0.5:
        return [*noun_phrase(o), "is", *o.place, "."]
    return [*o.place, "is", *noun_phrase(o), "."]
