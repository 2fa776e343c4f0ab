"""Questions about scenes, what their answers depend on, and a judge that answers them from their words alone.

A question is answered in steps, each a look at the objects that the step before has found:

    exist, count    is there a small red circle ?   how many red shapes are there ?               1 step
    query           what colour is the large circle ?                                             1
    same, more      is the star the same size as the red cross ?   are there more stars than crosses ?  1 (both at once)
    relation        what colour is the star right of the red circle ?                             2
    follow-up       what colour is the circle ? what about the one right of it ?                  2
    chain           what colour is the shape above the star right of the red circle ?             3

"the" is said of what there is exactly one of, and a relation is that of :func:`relation_between`.

What lies alone to the right of something is mostly the rightmost of all, and who looks there need not ask right of what.
So a relation is asked only where it matters from where: from another object of the same picture it leads to another answer
(within a chain, to another object).

Answers are balanced by rejection, as CLEVR's are (Johnson et al. 2017): among the questions of one template that name the
same attributes (one *form*), no answer may get ahead of its fair share. So who has not seen the picture can do little
better than guess.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from scratchlv.data.scenes.world import (
    COLOURS,
    HELD_OUT,
    RELATIONS,
    SHAPES,
    SIZES,
    SPLITS,
    Scene,
    relation_between,
    split_index,
)

VALUES = {"size": tuple(SIZES), "colour": tuple(COLOURS), "shape": SHAPES}  #: by attribute, in the order they are said
COUNTS = ("0", "1", "2", "3", "4")
ANSWERS = ("yes", "no", *COUNTS, *COLOURS, *SHAPES, *SIZES)
_PLURAL = {noun: noun + ("es" if noun == "cross" else "s") for noun in (*SHAPES, "shape")}
_AHEAD = 4  # by so many questions an answer may be ahead of its fair share

Attributes = tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """``steps``: for each hop the indices of the objects it depends on; none where nothing was found.

    ``form`` is what the answers are balanced within: the attributes that are asked for and named.
    """

    words: tuple[str, ...]
    answer: str
    template: str
    form: tuple
    steps: tuple[tuple[int, ...], ...]

    @property
    def hops(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return " ".join(self.words)


def questions(
    scenes: Iterable[Scene], per_scene: int, seed: int = 0, templates: Sequence[str] | None = None
) -> list[list[Question]]:
    """``per_scene`` different questions about each scene, a template as often as another where scenes allow it.

    A pure function of its arguments, and the questions of a scene depend on the scenes before it only: the first n
    scenes have the same questions whatever follows. A scene gets fewer where it has no more to ask.

    Raises:
        ValueError: no such template.
    """
    names = tuple(TEMPLATES if templates is None else templates)
    unknown = [name for name in names if name not in TEMPLATES]
    if unknown:
        raise ValueError(f"no template {unknown[0]!r} in Scenes; there are {', '.join(TEMPLATES)}")
    asked: dict[tuple, Counter] = defaultdict(Counter)  # by template and form: how often each answer was given
    result = []
    for scene in scenes:
        rng = random.Random(f"questions {seed} {scene.seed} {scene.index}")
        view = _View(scene)
        chosen: dict[tuple[str, ...], Question] = {}
        for _ in range(per_scene):
            question = _next_question(view, names, asked, chosen, rng)
            if question is not None:
                chosen[question.words] = question
        result.append(list(chosen.values()))
    return result


def _next_question(
    view: _View, names: Attributes, asked: dict[tuple, Counter], chosen: dict, rng: random.Random
) -> Question | None:
    """A question whose answer is not ahead, sampled: first the template, then the form, then the one to ask."""
    for name in _shuffled(names, rng):
        forms, candidates = TEMPLATES[name]
        for form in _shuffled(forms, rng):
            by_answer: dict[str, list[tuple]] = defaultdict(list)
            for words, answer, steps in candidates(view, form):
                if words not in chosen:
                    by_answer[answer].append((words, answer, steps))
            if not by_answer:
                continue
            counts = asked[name, form]
            for answer in by_answer:
                counts.setdefault(answer, 0)
            rarest = min(by_answer, key=lambda answer: (counts[answer], answer))
            if counts[rarest] < counts.total() / len(counts) + _AHEAD:
                counts[rarest] += 1
                words, answer, steps = _pick(by_answer[rarest], rng)
                return Question(words, answer, name, form, steps)
    return None


def _pick(choices: Sequence, rng: random.Random):
    return choices[int(len(choices) * rng.random())]


def _shuffled(choices: Sequence, rng: random.Random) -> list:
    return sorted(choices, key=lambda _: rng.random())


# --- what there is to ask ------------------------------------------------------------------------------------------

Candidate = tuple[tuple[str, ...], str, tuple[tuple[int, ...], ...]]  # words, answer, steps


class _View:
    """A scene, looked at in the ways that the templates need."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.held_out = scene.index >= split_index(SPLITS[-1], 0)  # may the held-out pairs be named?
        self._alike: dict[Attributes, dict[Attributes, tuple[int, ...]]] = {}
        self._ways: dict[tuple[str, bool], list[tuple[tuple[str, ...], dict[int, int]]]] = {}
        self._lying: dict[tuple[str, int], tuple[int, ...]] = defaultdict(tuple)
        for i, j in itertools.permutations(range(len(scene.objects)), 2):
            relation = relation_between(scene.objects[i], scene.objects[j])
            if relation is not None:
                self._lying[relation, j] += (i,)

    def value(self, i: int, attribute: str) -> str:
        return getattr(self.scene.objects[i], attribute)

    def alike(self, named: Attributes) -> dict[Attributes, tuple[int, ...]]:
        """The objects by their values of the attributes ``named``."""
        if named not in self._alike:
            groups: dict[Attributes, tuple[int, ...]] = {}
            for i in range(len(self.scene.objects)):
                values = tuple(self.value(i, attribute) for attribute in named)
                groups[values] = (*groups.get(values, ()), i)
            self._alike[named] = groups
        return self._alike[named]

    def unique(self, named: Attributes) -> list[tuple[tuple[str, ...], int]]:
        """The words of every description by ``named`` that fits exactly one object, and the object."""
        return [
            (("the", *_noun(named, values)), fitting[0])
            for values, fitting in self.alike(named).items()
            if len(fitting) == 1
        ]

    def leads(self, relation: str, fitting: tuple[int, ...]) -> dict[int, int]:
        """From each object, to the one among ``fitting`` that lies so to it; without those where not exactly one does."""
        lying = {j: [i for i in self._lying[relation, j] if i in fitting] for j in range(len(self.scene.objects))}
        return {j: found[0] for j, found in lying.items() if len(found) == 1}

    def ways(self, asked: str, *, bare: bool = False) -> list[tuple[tuple[str, ...], dict[int, int]]]:
        """The phrases "the star right of", named by none (``bare``) or one attribute other than ``asked``, and where they
        lead from each object: only those that lead to more than one."""
        key = asked, bare
        if key not in self._ways:
            self._ways[key] = [
                (("the", *_noun(named, values), *relation.split()), leads)
                for named in ((), *(() if bare else _SINGLE))
                if named != (asked,)
                for values, fitting in self.alike(named).items()
                for relation in RELATIONS
                for leads in [self.leads(relation, fitting)]
                if len(set(leads.values())) > 1
            ]
        return self._ways[key]

    def telling_ways(self, asked: str, *, bare: bool = False) -> list[tuple[tuple[str, ...], dict[int, int]]]:
        """Those of the ways that lead to more than one answer: it matters from where."""
        return [way for way in self.ways(asked, bare=bare) if len({self.value(k, asked) for k in way[1].values()}) > 1]


@lru_cache
def _noun(named: Attributes, values: Attributes, plural: bool = False) -> tuple[str, ...]:
    """Adjectives and noun: ("red", "circle"), ("small", "shapes")."""
    said = dict(zip(named, values, strict=True))
    noun = said.pop("shape", "shape")
    return (*said.values(), _PLURAL[noun] if plural else noun)


@lru_cache
def _all_values(named: Attributes, held_out: bool) -> tuple[Attributes, ...]:
    """Every description by ``named`` that the split may hold."""
    descriptions = itertools.product(*(VALUES[attribute] for attribute in named))
    pairs = named[-2:] == ("colour", "shape")
    return tuple(values for values in descriptions if held_out or not pairs or values[-2:] not in HELD_OUT)


def _exist(view: _View, named: Attributes) -> Iterator[Candidate]:
    groups = view.alike(named)
    for values in _all_values(named, view.held_out):
        noun, fitting = _noun(named, values), groups.get(values, ())
        article = "an" if noun[0] == "orange" else "a"
        yield ("is", "there", article, *noun, "?"), "yes" if fitting else "no", (fitting,)


def _count(view: _View, named: Attributes) -> Iterator[Candidate]:
    for values in _all_values(named, view.held_out):
        fitting = view.alike(named).get(values, ())
        if len(fitting) < len(COUNTS):
            words = ("how", "many", *_noun(named, values, plural=True), "are", "there", "?")
            yield words, COUNTS[len(fitting)], (fitting,)


def _more(view: _View, named: Attributes) -> Iterator[Candidate]:
    groups = view.alike(named)
    for a, b in itertools.permutations(_all_values(named, view.held_out), 2):
        more, fewer = groups.get(a, ()), groups.get(b, ())
        nouns = (*_noun(named, a, plural=True), "than", *_noun(named, b, plural=True))
        yield ("are", "there", "more", *nouns, "?"), "yes" if len(more) > len(fewer) else "no", (more + fewer,)


def _same(view: _View, form: tuple[str, Attributes]) -> Iterator[Candidate]:
    asked, named = form
    for (a_words, a), (b_words, b) in itertools.permutations(view.unique(named), 2):
        same = view.value(a, asked) == view.value(b, asked)
        yield ("is", *a_words, "the", "same", asked, "as", *b_words, "?"), "yes" if same else "no", ((a, b),)


def _query(view: _View, form: tuple[str, Attributes]) -> Iterator[Candidate]:
    asked, named = form
    for words, i in view.unique(named):
        yield ("what", asked, "is", *words, "?"), view.value(i, asked), ((i,),)


def _relation(view: _View, form: tuple[str, Attributes]) -> Iterator[Candidate]:
    asked, named = form
    for way, leads in view.telling_ways(asked):
        for words, i in view.unique(named):
            if i in leads:
                yield ("what", asked, "is", *way, *words, "?"), view.value(leads[i], asked), ((i,), (leads[i],))


def _follow_up(view: _View, form: tuple[str, Attributes]) -> Iterator[Candidate]:
    asked, named = form
    for (_, _, *relation), leads in view.telling_ways(asked, bare=True):
        for words, i in view.unique(named):
            if i in leads:
                question = ("what", asked, "is", *words, "?", "what", "about", "the", "one", *relation, "it", "?")
                yield question, view.value(leads[i], asked), ((i,), (leads[i],))


def _chain(view: _View, form: tuple[str, Attributes]) -> Iterator[Candidate]:
    asked, named = form
    for (way, leads), (way_on, leads_on) in itertools.product(view.ways(asked), view.telling_ways(asked)):
        for words, i in view.unique(named):
            j = leads.get(i)
            k = leads_on.get(j) if j is not None else None
            if j is not None and k is not None and k != i:  # back at i, the words would give the answer away
                yield ("what", asked, "is", *way_on, *way, *words, "?"), view.value(k, asked), ((i,), (j,), (k,))


def _subsets(attributes: Iterable[str]) -> tuple[Attributes, ...]:
    attributes = tuple(attributes)
    sizes = range(1, len(attributes) + 1)
    return tuple(subset for size in sizes for subset in itertools.combinations(attributes, size))


_ANY = _subsets(VALUES)
_SINGLE = tuple(named for named in _ANY if len(named) == 1)
#: what is asked for, and another object's description: were it the same attribute alone, the answer could not be its value
_ASKED_OF_ANOTHER = tuple((asked, named) for asked in VALUES for named in _ANY if named != (asked,))
_ASKED = tuple((asked, named) for asked, named in _ASKED_OF_ANOTHER if asked not in named)

#: by name: the forms of a template, and its questions about a scene in a form
TEMPLATES: dict[str, tuple[tuple, Callable[[_View, tuple], Iterator[Candidate]]]] = {
    "exist": (tuple(named for named in _ANY if named != ("size",)), _exist),  # a picture has nearly always both sizes
    "count": (_SINGLE, _count),
    "query": (_ASKED, _query),
    "same": (_ASKED, _same),
    "more": (_SINGLE, _more),
    "relation": (_ASKED_OF_ANOTHER, _relation),
    "follow-up": (_ASKED, _follow_up),
    "chain": (_ASKED_OF_ANOTHER, _chain),
}


def question_vocabulary_words() -> tuple[str, ...]:
    """Every word that a question can hold, sorted."""
    grammar = ("?", "a", "about", "an", "are", "as", "how", "is", "it", "many", "more", "one", "same", "than", "the")
    values = {value for several in VALUES.values() for value in several}
    relations = {word for relation in RELATIONS for word in relation.split()}
    return tuple(sorted({*grammar, "there", "what", *VALUES, *values, *_PLURAL.values(), *relations}))


# --- the judge -----------------------------------------------------------------------------------------------------


def answer(words: Sequence[str], scene: Scene) -> str | None:
    """The true answer to a question, from its words; None when it is none of the grammar, or takes for granted what is not so.

        question = "is there" ("a" | "an") noun | "how many" noun "are there" | "are there more" noun "than" noun
                 | "is" thing "the same" attribute "as" thing | "what" attribute "is" thing ["? what about the one" relation "it"]
        thing    = "the" noun [relation thing]             exactly one object
        noun     = [size] [colour] (shape | "shape")       in the singular or the plural

    and "?" at the end.
    """
    match tuple(words):
        case ("is", "there", "a" | "an", *noun, "?"):
            return _yes(_fitting(noun, scene), lambda found: len(found) > 0)
        case ("how", "many", *noun, "are", "there", "?"):
            found = _fitting(noun, scene)
            return None if found is None or len(found) >= len(COUNTS) else str(len(found))
        case ("are", "there", "more", *nouns, "?") if "than" in nouns:
            middle = nouns.index("than")
            more, fewer = _fitting(nouns[:middle], scene), _fitting(nouns[middle + 1 :], scene)
            return None if fewer is None else _yes(more, lambda found: len(found) > len(fewer))
        case ("is", *things, "?") if "same" in things:
            middle = things.index("same")
            return _alike(things[: middle - 1], things[middle - 1 : middle + 3], things[middle + 3 :], scene)
        case ("what", attribute, "is", *things, "?") if "?" in things:
            middle = things.index("?")
            return _value(scene, _the_one(things[middle + 1 :], _the(things[:middle], scene), scene), attribute)
        case ("what", attribute, "is", *thing, "?"):
            return _value(scene, _the(thing, scene), attribute)
    return None


def _yes(found: list[int] | None, condition: Callable[[list[int]], bool]) -> str | None:
    return None if found is None else "yes" if condition(found) else "no"


def _alike(a: Sequence[str], as_: Sequence[str], b: Sequence[str], scene: Scene) -> str | None:
    match tuple(as_):
        case ("the", "same", attribute, "as"):
            values = {_value(scene, _the(thing, scene), attribute) for thing in (a, b)}
            return None if None in values else "yes" if len(values) == 1 else "no"
    return None


def _value(scene: Scene, i: int | None, attribute: str) -> str | None:
    return getattr(scene.objects[i], attribute) if i is not None and attribute in VALUES else None


def _all(scene: Scene) -> list[int]:
    return list(range(len(scene.objects)))


def _fitting(noun: Sequence[str], scene: Scene) -> list[int] | None:
    """The objects that fit a noun and its adjectives; None when they are no such thing."""
    singular = {plural: noun for noun, plural in _PLURAL.items()}
    words = [singular.get(word, word) for word in noun]
    if not words or words[-1] not in _PLURAL:
        return None
    found = _all(scene)
    for word in words if words[-1] != "shape" else words[:-1]:
        attribute = next((name for name, values in VALUES.items() if word in values), None)
        if attribute is None:
            return None
        found = [i for i in found if getattr(scene.objects[i], attribute) == word]
    return found


def _the(thing: Sequence[str], scene: Scene) -> int | None:
    """The one object that a thing names; None when there is none or more than one."""
    if not thing or thing[0] != "the":
        return None
    at = next((k for k, word in enumerate(thing) if word in _FIRST_OF_RELATION), len(thing))
    found = _fitting(thing[1:at], scene)
    if found is None or at == len(thing):
        return found[0] if found and len(found) == 1 else None
    relation = _FIRST_OF_RELATION[thing[at]]
    j = _the(thing[at + len(relation.split()) :], scene)
    return None if j is None else _only_one(found, relation, j, scene)


def _the_one(words: Sequence[str], it: int | None, scene: Scene) -> int | None:
    """The object that "what about the one right of it" names."""
    match tuple(words):
        case ("what", "about", "the", "one", *relation, "it") if it is not None:
            return _only_one(_all(scene), " ".join(relation), it, scene)
    return None


_FIRST_OF_RELATION = {relation.split()[0]: relation for relation in RELATIONS}


def _only_one(found: list[int], relation: str, j: int, scene: Scene) -> int | None:
    lying = [i for i in found if i != j and relation_between(scene.objects[i], scene.objects[j]) == relation]
    return lying[0] if len(lying) == 1 else None
