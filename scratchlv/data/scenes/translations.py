"""Captions of scenes in English and in French.

The French is not made from the English words but beside them, from the same sentence (who, where, how it lies to
whom), by a small grammar of its own: the noun has a gender and the article and both adjectives agree with it, size
stands before the noun and colour behind it, ``le``, ``la`` and ``de`` lose their vowel before another one, and
``de le`` becomes ``du``. A word that has lost its vowel keeps the apostrophe: ``de l' étoile bleue``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass

from scratchlv.data.scenes.captions import GRAMMARS, caption, parse
from scratchlv.data.scenes.world import PLACES, Scene, SceneObject

TRANSLATION_GRAMMARS = (*GRAMMARS, "definite")

_MASCULINE, _FEMININE = 0, 1
_ARTICLES = {"a": ("un", "une"), "the": ("le", "la")}
_NOUNS = {
    "circle": ("cercle", _MASCULINE),
    "square": ("carré", _MASCULINE),
    "triangle": ("triangle", _MASCULINE),
    "star": ("étoile", _FEMININE),
    "cross": ("croix", _FEMININE),
}
_ADJECTIVES = {
    "small": ("petit", "petite"),
    "large": ("grand", "grande"),
    "red": ("rouge", "rouge"),
    "green": ("vert", "verte"),
    "blue": ("bleu", "bleue"),
    "yellow": ("jaune", "jaune"),
    "purple": ("violet", "violette"),
    "orange": ("orange", "orange"),  # the name of the fruit: it never changes
}
_PLACES = {
    PLACES[0, 0]: ("en", "haut", "à", "gauche"),
    PLACES[0, 1]: ("en", "haut"),
    PLACES[0, 2]: ("en", "haut", "à", "droite"),
    PLACES[1, 0]: ("à", "gauche"),
    PLACES[1, 1]: ("au", "centre"),
    PLACES[1, 2]: ("à", "droite"),
    PLACES[2, 0]: ("en", "bas", "à", "gauche"),
    PLACES[2, 1]: ("en", "bas"),
    PLACES[2, 2]: ("en", "bas", "à", "droite"),
}
_RELATIONS = {
    "left of": ("à", "gauche", "de"),
    "right of": ("à", "droite", "de"),
    "above": ("au-dessus", "de"),
    "below": ("au-dessous", "de"),
}
_VOWELS = "aàeéiou"


def translation(scene: Scene, grammar: str = "definite") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A true caption of two objects of the scene: its English words, and its French words.

    ``places`` and ``relations`` are :func:`caption`'s, and so is their English. ``definite`` states the same relation,
    but of an object that some of its attributes single out it says "the", and those attributes only: "the star at the
    top is left of the blue square", "l'étoile en haut est à gauche du carré bleu".

    Raises:
        ValueError: no such grammar.
    """
    if grammar not in TRANSLATION_GRAMMARS:
        raise ValueError(f"no grammar {grammar!r} to translate; there are {', '.join(TRANSLATION_GRAMMARS)}")
    sentence = _sentence(scene, grammar)
    return _english(sentence), _french(sentence)


def typeset(words: Iterable[str]) -> str:
    """The words as they are printed: no space behind an apostrophe, nor before a comma or a full stop."""
    return " ".join(words).replace("' ", "'").replace(" ,", ",").replace(" .", ".")


def french_vocabulary_words() -> tuple[str, ...]:
    """Every word that a French caption can hold, sorted."""
    nouns = {noun for noun, _ in _NOUNS.values()}
    agreeing = itertools.chain(*_ARTICLES.values(), *_ADJECTIVES.values())
    phrases = itertools.chain(*_PLACES.values(), *_RELATIONS.values())
    return tuple(sorted({"et", "est", "l'", "d'", "du", *nouns, *agreeing, *phrases}))


# --- what both languages say ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reference:
    """One object as it is named: ``article`` is "a" or "the", and whatever is None is not said."""

    article: str
    size: str | None
    colour: str | None
    shape: str
    place: tuple[str, ...] | None


@dataclass(frozen=True)
class _Sentence:
    """``first`` and ``second``; or, where there is a ``relation``, how the first lies to the second."""

    first: _Reference
    relation: str | None
    second: _Reference


def _sentence(scene: Scene, grammar: str) -> _Sentence:
    told = caption(scene, "relations" if grammar == "definite" else grammar)
    parsed = parse(told.words)
    assert parsed is not None  # a caption is a sentence of its grammar
    rng = random.Random(f"translation {scene.seed} {scene.index}")
    references = []
    for phrase, (_, _, index) in zip(parsed.phrases, told.mentions, strict=True):
        named: tuple[str, str | None, str | None] = ("a", phrase.size, phrase.colour)
        if grammar == "definite":
            named = _single_out(scene.objects[index], scene, rng) or named
        references.append(_Reference(*named, phrase.shape, phrase.place))
    return _Sentence(references[0], parsed.relation, references[1])


def _single_out(o: SceneObject, scene: Scene, rng: random.Random) -> tuple[str, str | None, str | None] | None:
    """Article, size and colour that with the shape fit no other object: one of all ways, or None."""
    ways = []
    for size, colour in itertools.product((o.size, None), (o.colour, None)):
        fitting = [
            p for p in scene.objects if p.shape == o.shape and size in (p.size, None) and colour in (p.colour, None)
        ]
        if len(fitting) == 1:
            ways.append(("the", size, colour))
    return ways[int(len(ways) * rng.random())] if ways else None


# --- English -------------------------------------------------------------------------------------------------------


def _english(sentence: _Sentence) -> tuple[str, ...]:
    link = ["is", *sentence.relation.split()] if sentence.relation else ["and"]
    return (*_english_phrase(sentence.first), *link, *_english_phrase(sentence.second))


def _english_phrase(r: _Reference) -> list[str]:
    attributes = [word for word in (r.size, r.colour) if word is not None]
    return [r.article, *attributes, r.shape, *(r.place or ())]


# --- French --------------------------------------------------------------------------------------------------------


def _french(sentence: _Sentence) -> tuple[str, ...]:
    link = ["est", *_RELATIONS[sentence.relation]] if sentence.relation else ["et"]
    return _join([*_french_phrase(sentence.first), *link, *_french_phrase(sentence.second)])


def _french_phrase(r: _Reference) -> list[str]:
    noun, gender = _NOUNS[r.shape]
    before = [_ADJECTIVES[r.size][gender]] if r.size else []
    behind = [_ADJECTIVES[r.colour][gender]] if r.colour else []
    return [_ARTICLES[r.article][gender], *before, noun, *behind, *(_PLACES[r.place] if r.place else ())]


def _join(words: list[str]) -> tuple[str, ...]:
    """Elision first, then contraction of what is left: ``de le étoile`` is ``de l' étoile``, ``de le carré`` is ``du carré``."""
    elided = [
        word[0] + "'" if word in ("le", "la", "de") and following[0] in _VOWELS else word
        for word, following in itertools.pairwise([*words, "-"])
    ]
    joined: list[str] = []
    for word in elided:
        if word == "le" and joined and joined[-1] == "de":
            joined[-1] = "du"
        else:
            joined.append(word)
    return tuple(joined)
