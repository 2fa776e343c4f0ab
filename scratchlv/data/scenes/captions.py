"""Captions of scenes, and whether a caption is true."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from scratchlv.data.scenes.world import (
    COLOURS,
    PLACES,
    RELATION_GAP,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    SceneObject,
    relation_between,
)

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
    rng = random.Random(f"caption {scene.seed} {scene.index}")
    if grammar == "places":
        return _caption_places(scene)
    if grammar == "relations":
        return _caption_relation(scene, rng)
    raise ValueError(f"no grammar {grammar!r} in Scenes; there are {', '.join(GRAMMARS)}")


def _caption_places(scene: Scene) -> Caption:
    order = sorted(range(len(scene.objects)), key=lambda i: scene.objects[i].x)
    first, second = order[0], order[1]
    words = [*noun_phrase(scene.objects[first]), *scene.objects[first].place, "and"]
    middle = len(words)
    words += [*noun_phrase(scene.objects[second]), *scene.objects[second].place]
    return Caption(tuple(words), ((0, 4, first), (middle, middle + 4, second)))


def _caption_relation(scene: Scene, rng: random.Random) -> Caption:
    pairs = list(itertools.permutations(range(len(scene.objects)), 2))
    while True:
        first, second = pairs[int(len(pairs) * rng.random())]
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
