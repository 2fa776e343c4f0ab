"""Descriptions and headlines: true, short, and the one follows from the other."""

from collections import Counter

import pytest

from scratchlv.data import scenes as S
from scratchlv.data.scenes import World, description, headline

WORLDS = (World((2, 2)), World((3, 4)), World())


@pytest.fixture(scope="module")
def some():
    """Scenes; drawn when a test asks for them, and not in each process that looks for tests."""
    return [S.scene(0, i, world) for world in WORLDS for i in range(1000)]


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
    """The rule of the headline again, from what was read: shape by shape, the first that is told of."""
    for news in ("star", "cross", "triangle", "square", "circle"):
        for _, colour, shape, place in objects:
            if shape == news:
                number = {2: "two", 3: "three", 4: "four"}[len(objects)]
                return f"{colour} {shape} {' '.join(place)} among {number} shapes"
    raise AssertionError(f"no shape in {objects}")


def test_the_description_is_true_of_its_scene(some):
    told = 0
    for s in some:
        objects, relations = read(description(s))
        assert objects == [(o.size, o.colour, o.shape, o.place) for o in s.objects[:4]]
        for which, how, to in relations:
            assert S.relation_between(s.objects[which], s.objects[to]) == how and which != to
        told += len(relations)
    assert told > len(some) / 2


def test_the_headline_follows_from_the_description_alone(some):
    for s in some:
        assert " ".join(headline(s)) == expected_headline(read(description(s))[0])


def test_headlines_are_true_of_the_picture_where_all_is_told(some):
    """On the scene itself, without the description."""
    for s in some:
        colour, shape, *place = headline(s)[: headline(s).index("among")]
        assert any((o.colour, o.shape, o.place) == (colour, shape, tuple(place)) for o in s.objects)
        if len(s.objects) <= 4:
            assert headline(s)[-2] == ["two", "three", "four"][len(s.objects) - 2]
            assert not {"star", "cross", "triangle", "square", "circle"}.intersection(
                o.shape for o in s.objects if S.headlines.NEWS.index(o.shape) < S.headlines.NEWS.index(shape)
            )


def obj(size: str, colour: str, shape: str) -> S.SceneObject:
    return S.SceneObject(shape, colour, size, 10, 10, 6.0)


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        (["small red cross", "large blue star", "small red circle"], "blue star at the top left among three shapes"),
        (["large green star", "large blue star"], "green star at the top left among two shapes"),
        (["large red circle", "small blue square"], "blue square at the top left among two shapes"),
        (
            ["small blue triangle", "small red cross", "large blue cross", "small red circle"],
            "red cross at the top left among four shapes",
        ),
    ],
)
def test_headlines(objects, expected):
    told = tuple(obj(*o.split()) for o in objects)
    scene = S.Scene(0, 0, told, (220,) * 3, ((0, 0, 0),) * len(told))
    assert " ".join(headline(scene)) == expected


def test_lengths(some):
    for s in some:
        n = len(sentences(description(s)))
        assert len(description(s)) <= S.headlines.MOST_WORDS and len(headline(s)) <= 9
        assert min(len(s.objects), 4) <= n <= 6


def test_there_are_hundreds_of_headlines(some):
    many = [s for s in some if len(s.objects) > 2]
    assert len({headline(s) for s in many}) > 300
    assert Counter(headline(s) for s in many).most_common(1)[0][1] < 0.05 * len(many)


def test_the_first_words_are_no_headline(some):
    """The lead of as many words as the headline has: fewer than half of the headline's words are in it, on average."""
    shares = []
    for s in some:
        words = headline(s)
        lead = Counter(description(s)[: len(words)])
        shares.append(sum((Counter(words) & lead).values()) / len(words))
        assert tuple(description(s)[: len(words)]) != words
    assert sum(shares) / len(shares) < 0.5


def test_vocabularies(some):
    many = some + [S.scene(0, S.split_index("compositional", i)) for i in range(500)]
    assert {w for s in many for w in description(s)} == set(S.description_vocabulary_words())
    assert {w for s in many for w in headline(s)} == set(S.headline_vocabulary_words())
    for words in (S.description_vocabulary_words(), S.headline_vocabulary_words()):
        assert list(words) == sorted(set(words))


def test_pure():
    both = description(S.scene(3, 5)), headline(S.scene(3, 5))
    for i in range(20):
        description(S.scene(0, i))
    assert (description(S.scene(3, 5)), headline(S.scene(3, 5))) == both
