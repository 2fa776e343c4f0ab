"""Captions of scenes: true as they are made, and judged rightly whoever made them."""

import pytest

from scratchlv.data import scenes as S
from scratchlv.data.scenes import caption, judge, parse, scene

from .some import at


@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_every_caption_is_true_and_names_its_objects(many, grammar):
    vocabulary = set(S.vocabulary_words())
    for s in many:
        c = caption(s, grammar)
        verdict = judge(c.words, s)
        assert verdict.true and verdict.reason == "true", str(c)
        assert set(c.words) <= vocabulary and str(c) == " ".join(c.words)
        for phrase, chosen, (first, last, index) in zip(
            verdict.parse.phrases, verdict.objects, c.mentions, strict=True
        ):
            o = s.objects[index]
            assert (phrase.first, last - first) == (first, 4)
            assert c.words[first:last] == ("a", o.size, o.colour, o.shape)
            assert phrase.fits(o) and phrase.fits(s.objects[chosen])


def test_places_captions_name_the_two_leftmost_in_order(many):
    for s in many:
        named = [index for _, _, index in caption(s, "places").mentions]
        assert [s.objects[i].x for i in named] == sorted(o.x for o in s.objects)[:2]


def test_relation_captions_name_every_relation(many):
    assert {parse(caption(s, "relations").words).relation for s in many} == set(S.RELATIONS)


def test_no_such_grammar():
    with pytest.raises(ValueError, match="no grammar 'haiku'"):
        caption(scene(0, 0), "haiku")


def words_of(p: S.Parse) -> list[str]:
    """The sentence of a parse."""
    phrases = [["a", q.size, q.colour, q.shape, *(q.place or ())] for q in p.phrases]
    if len(phrases) == 1:
        return phrases[0]
    return [*phrases[0], *(["is", *p.relation.split()] if p.relation else ["and"]), *phrases[1]]


@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_parse_and_back(many, grammar):
    for s in many:
        words = caption(s, grammar).words
        assert tuple(words_of(parse(words))) == words


@pytest.mark.parametrize(
    "sentence",
    [
        "a small red circle",
        "a small red circle at the top",
        "a small red circle at the top left",
        "a small red circle and a large blue star",
        "a small red circle in the centre is right of a large blue star on the left",
        "a small red circle is below a large blue star",
    ],
)
def test_sentences(sentence):
    assert " ".join(words_of(parse(sentence.split()))) == sentence


NO_SENTENCES = [
    "",
    "a",
    "a small red",
    "small red circle",
    "a red small circle",
    "a small small red circle",
    "a small red circle circle",
    "a small red circle at the",
    "a small red circle at the left",
    "a small red circle and",
    "a small red circle is a large blue star",
    "a small red circle is left a large blue star",
    "a small red circle is left of",
    "a small red circle above a large blue star",
    "a small red circle and a large blue star and a large blue star",
    "a small red circle <end>",
    "a small <unk> circle",
]


@pytest.mark.parametrize("sentence", NO_SENTENCES)
def test_no_sentences(sentence):
    verdict = judge(sentence.split(), scene(0, 0))
    assert parse(sentence.split()) is None
    assert not verdict.true and verdict.parse is None and "grammar" in verdict.reason


def absent(s: S.Scene, word: str, choices, field: str, phrase: S.Phrase) -> list[str]:
    """Other words for one attribute that make the phrase fit no object at all."""
    kept = {"size": phrase.size, "colour": phrase.colour, "shape": phrase.shape}
    return [
        other
        for other in choices
        if other != word
        and not any({**kept, field: other} == {"size": o.size, "colour": o.colour, "shape": o.shape} for o in s.objects)
    ]


@pytest.mark.parametrize(
    ("offset", "field", "choices"), [(1, "size", S.SIZES), (2, "colour", S.COLOURS), (3, "shape", S.SHAPES)]
)
@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_a_wrong_attribute_is_caught(many, grammar, offset, field, choices):
    tried = 0
    for s in many:
        words = list(caption(s, grammar).words)
        for phrase in parse(words).phrases:
            position = phrase.first + offset
            for other in absent(s, words[position], choices, field, phrase):
                false = [*words[:position], other, *words[position + 1 :]]
                verdict = judge(false, s)
                assert not verdict.true and other in verdict.reason and verdict.objects == ()
                tried += 1
    assert tried > len(many)


def test_a_wrong_place_is_caught(many):
    tried = 0
    for s in many:
        words, first = caption(s, "relations").words, parse(caption(s, "relations").words).phrases[0]
        alike = {o.place for o in s.objects if (o.size, o.colour, o.shape) == (first.size, first.colour, first.shape)}
        for place in set(S.PLACES.values()) - alike:
            verdict = judge([*words[:4], *place, *words[4 + len(first.place) :]], s)
            assert not verdict.true and " ".join(place) in verdict.reason
            tried += 1
    assert tried > 6 * len(many)


def test_a_wrong_relation_is_caught(many):
    """Turning a relation round makes it false, unless other objects of the same names lie so."""
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    tried = 0
    for s in many:
        words = list(caption(s, "relations").words)
        p = parse(words)
        if sum(q.fits(o) for q in p.phrases for o in s.objects) > 2:
            continue
        start = words.index("is") + 1
        false = [*words[:start], *opposite[p.relation].split(), *words[start + len(p.relation.split()) :]]
        verdict = judge(false, s)
        assert not verdict.true and opposite[p.relation] in verdict.reason
        tried += 1
    assert tried > len(many) / 2


def test_one_object_cannot_be_two(many):
    tried = 0
    for s in many:
        o = s.objects[0]
        if sum((q.size, q.colour, q.shape) == (o.size, o.colour, o.shape) for q in s.objects) > 1:
            continue
        phrase = S.noun_phrase(o)
        assert judge(phrase, s).true
        verdict = judge([*phrase, "and", *phrase], s)
        assert not verdict.true and "no two such objects" in verdict.reason
        tried += 1
    assert tried > len(many) / 2


def test_twins_are_two():
    s = S.Scene(0, 0, (at(10, 10), at(50, 50)), (220,) * 3, ((0, 0, 0),) * 2)
    phrase = "a small red circle"
    assert judge(f"{phrase} and {phrase}".split(), s).true
    assert judge(f"{phrase} is right of {phrase}".split(), s).objects == (1, 0)
    assert not judge(f"{phrase} at the top left is right of {phrase}".split(), s).true


def test_swapping_the_two_objects_of_a_relation_is_caught(many):
    tried = 0
    for s in many:
        p = parse(caption(s, "relations").words)
        if sum(q.fits(o) for q in p.phrases for o in s.objects) > 2:
            continue
        assert not judge(words_of(S.Parse(p.phrases[::-1], p.relation)), s).true
        tried += 1
    assert tried > len(many) / 2


def test_vocabulary_words():
    words = S.vocabulary_words()
    assert list(words) == sorted(set(words)) and {"circle", "purple", "of", "centre", "is", "and", "a"} <= set(words)
