"""Descriptions and headlines: true, short, and the one follows from the other."""

from collections import Counter

import pytest

from scratchlv.data import scenes as S
from scratchlv.data.scenes import World, description, headline

WORLDS = (World((2, 2)), World((3, 4)), World())
SOME = [S.scene(0, i, world) for world in WORLDS for i in range(1000)]
PLURALS = {s: "crosses" if s == "cross" else s + "s" for s in S.SHAPES}


def sentences(words) -> list[list[str]]:
    found, rest = [], list(words)
    while rest:
        end = rest.index(".")
        found.append(rest[:end])
        rest = rest[end + 1 :]
    return found


def read(words) -> tuple[list[tuple[str, str, str, tuple]], list[tuple[int, str, int]]]:
    """The objects (size, colour, shape, place) and the relations (which, how, to which) that a description tells."""
    objects, relations = [], []
    for sentence in sentences(words):
        if sentence[0] == "it":
            *relation, the, name = sentence[2:]
            assert (sentence[1], the) == ("is", "the")
            now = len(objects) - 1
            relations.append((now, " ".join(relation), {"first": 0, "last": now - 1}[name]))
        else:
            cut = sentence.index("is")
            a, b = sentence[:cut], sentence[cut + 1 :]
            phrase, place = (a, b) if a[0] == "a" else (b, a)
            assert phrase[0] == "a" and len(phrase) == 4
            objects.append((*phrase[1:], tuple(place)))
    return objects, relations


def expected_headline(objects) -> str:
    """The rule of the headline again, from what was read: every set of two or more, the best first."""
    sets = []
    for rank, field in enumerate((1, 2)):  # colours before shapes
        for value in {o[field] for o in objects}:
            members = [o for o in objects if o[field] == value]
            sets.append((-len(members), rank, [o[field] for o in objects].index(value), value, members))
    count, rank, _, value, members = min(sets)
    numbers = {1: "one", 2: "two", 3: "three", 4: "four"}
    large, small = ([o for o in objects if o[0] == size] for size in ("large", "small"))
    if count == -1:
        for one, others, other in ((large, small, "small"), (small, large, "large")):
            if len(one) == 1:
                noun = "shape" if len(others) == 1 else "shapes"
                return f"a {' '.join(one[0][:3])} beside {numbers[len(others)]} {other} {noun}"
        if large and small:
            return "four shapes , two large , none alike"
        return f"{numbers[len(objects)]} {objects[0][0]} shapes , none alike"
    subject = f"{numbers[-count]} {value} shapes" if rank == 0 else f"{numbers[-count]} {PLURALS[value]}"
    size, colour, shape, place = members[0]
    return f"{subject} , led by a {size} {shape if rank == 0 else colour + ' one'} {' '.join(place)}"


def test_the_description_is_true_of_its_scene():
    told = 0
    for s in SOME:
        objects, relations = read(description(s))
        assert objects == [(o.size, o.colour, o.shape, o.place) for o in s.objects[:4]]
        for which, how, to in relations:
            assert S.relation_between(s.objects[which], s.objects[to]) == how and which != to
        told += len(relations)
    assert told > len(SOME) / 2


def test_the_headline_follows_from_the_description_alone():
    for s in SOME:
        assert " ".join(headline(s)) == expected_headline(read(description(s))[0])


def test_headlines_are_true_of_the_picture_where_all_is_told():
    """Counted on the scene itself, without the description."""
    for s in SOME:
        words = headline(s)
        if len(s.objects) > 4 or words[0] == "a" or words[-1] == "alike":
            continue
        n = ["", "one", "two", "three", "four"].index(words[0])
        if words[2] == "shapes":
            members = [o for o in s.objects if o.colour == words[1]]
        else:
            members = [o for o in s.objects if PLURALS[o.shape] == words[1]]
        assert len(members) == n >= 2
        assert n == max([*Counter(o.colour for o in s.objects).values(), *Counter(o.shape for o in s.objects).values()])


def obj(size: str, colour: str, shape: str, x: float = 10, y: float = 10) -> S.SceneObject:
    return S.SceneObject(shape, colour, size, x, y, 6.0)


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        (
            ["small red star", "large red cross", "small blue star"],
            "two red shapes , led by a small star at the top left",
        ),
        (
            ["large blue cross", "small green star", "large red star"],
            "two stars , led by a small green one at the top left",
        ),
        (
            ["small blue star", "small red cross", "large blue cross", "small red circle"],
            "two blue shapes , led by a small star at the top left",
        ),
        (
            ["large red circle", "small blue star", "large red star", "large green star"],
            "three stars , led by a small blue one at the top left",
        ),
        (
            ["small red cross", "large blue cross", "small green cross", "large red cross"],
            "four crosses , led by a small red one at the top left",
        ),
        (["small blue star", "large red cross", "small green circle"], "a large red cross beside two small shapes"),
        (["small blue star", "large red cross"], "a large red cross beside one small shape"),
        (["large blue star", "small red cross", "large green circle"], "a small red cross beside two large shapes"),
        (["large blue star", "large red cross", "large green circle"], "three large shapes , none alike"),
        (
            ["large blue star", "large red cross", "small green circle", "small yellow square"],
            "four shapes , two large , none alike",
        ),
    ],
)
def test_headlines(objects, expected):
    told = tuple(obj(*o.split()) for o in objects)
    scene = S.Scene(0, 0, told, (220,) * 3, ((0, 0, 0),) * len(told))
    assert " ".join(headline(scene)) == expected


def test_lengths():
    for s in SOME:
        n = len(sentences(description(s)))
        assert len(description(s)) <= S.headlines.MOST_WORDS and len(headline(s)) <= 13
        assert min(len(s.objects), 4) <= n <= 6


def test_there_are_hundreds_of_headlines():
    many = [s for s in SOME if len(s.objects) > 2]
    assert len({headline(s) for s in many}) > 300
    assert Counter(headline(s) for s in many).most_common(1)[0][1] < 0.05 * len(many)


def test_the_first_words_are_no_headline():
    """The lead of as many words as the headline has: fewer than half of the headline's words are in it, on average."""
    shares = []
    for s in SOME:
        words = headline(s)
        lead = Counter(description(s)[: len(words)])
        shares.append(sum((Counter(words) & lead).values()) / len(words))
        assert tuple(description(s)[: len(words)]) != words
    assert sum(shares) / len(shares) < 0.5


def test_vocabularies():
    many = SOME + [S.scene(0, S.split_index("compositional", i)) for i in range(500)]
    assert {w for s in many for w in description(s)} == set(S.description_vocabulary_words())
    assert {w for s in many for w in headline(s)} == set(S.headline_vocabulary_words())
    for words in (S.description_vocabulary_words(), S.headline_vocabulary_words()):
        assert list(words) == sorted(set(words))


def test_pure():
    both = description(S.scene(3, 5)), headline(S.scene(3, 5))
    for i in range(20):
        description(S.scene(0, i))
    assert (description(S.scene(3, 5)), headline(S.scene(3, 5))) == both
