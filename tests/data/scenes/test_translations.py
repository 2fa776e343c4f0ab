"""The French beside the English: agreement, order, elision and contraction, one French for each English."""

import itertools

import pytest

from scratchlv.data import scenes as S
from scratchlv.data.scenes import TRANSLATION_GRAMMARS, translation, typeset

FEMININE = {"étoile", "croix"}
NOUNS = {"circle": "cercle", "square": "carré", "triangle": "triangle", "star": "étoile", "cross": "croix"}
COLOURS = {  # masculine, feminine: written out from the dictionary
    "red": ("rouge", "rouge"),
    "green": ("vert", "verte"),
    "blue": ("bleu", "bleue"),
    "yellow": ("jaune", "jaune"),
    "purple": ("violet", "violette"),
    "orange": ("orange", "orange"),
}
SIZES = {"small": ("petit", "petite"), "large": ("grand", "grande")}


@pytest.fixture(scope="module")
def some():
    """Scenes; drawn when a test asks for them, and not in each process that looks for tests."""
    return [S.scene(0, S.split_index(split, i)) for split in S.SPLITS for i in range(500)]


def at(x: float, y: float, size: str, colour: str, shape: str) -> S.SceneObject:
    return S.SceneObject(shape, colour, size, x, y, sum(S.SIZES[size]) / 2)


def world_of(*objects: S.SceneObject, index: int = 0) -> S.Scene:
    return S.Scene(0, index, objects, (220,) * 3, ((0, 0, 0),) * len(objects))


def said(scene: S.Scene, grammar: str) -> tuple[str, str]:
    english, french = translation(scene, grammar)
    return typeset(english), typeset(french)


def all_that_is_said(scene_of, grammar: str) -> dict[str, str]:
    """Which pair is named, and how, is sampled: look at a scene under many indices."""
    return dict(said(scene_of(index), grammar) for index in range(200))


def test_places():
    scene = world_of(at(10, 10, "small", "red", "circle"), at(50, 32, "large", "blue", "square"))
    assert said(scene, "places") == (
        "a small red circle at the top left and a large blue square on the right",
        "un petit cercle rouge en haut à gauche et un grand carré bleu à droite",
    )


@pytest.mark.parametrize(
    ("x", "y", "french"),
    [
        (10, 10, "en haut à gauche"),
        (32, 10, "en haut"),
        (54, 10, "en haut à droite"),
        (10, 32, "à gauche"),
        (32, 32, "au centre"),
        (54, 32, "à droite"),
        (10, 54, "en bas à gauche"),
        (32, 54, "en bas"),
        (54, 54, "en bas à droite"),
    ],
)
def test_every_place(x, y, french):
    scene = world_of(at(x, y, "small", "purple", "star"), at(63, 63, "large", "green", "cross"))
    assert said(scene, "places")[1] == f"une petite étoile violette {french} et une grande croix verte en bas à droite"


@pytest.mark.parametrize(("size", "colour", "shape"), list(itertools.product(SIZES, COLOURS, NOUNS)))
def test_every_agreement(size, colour, shape):
    """Article, size, noun, colour: both adjectives in the noun's gender."""
    noun = NOUNS[shape]
    gender = int(noun in FEMININE)
    scene = world_of(at(10, 10, size, colour, shape), at(50, 50, size, colour, shape))
    expected = f"{('un', 'une')[gender]} {SIZES[size][gender]} {noun} {COLOURS[colour][gender]}"
    assert said(scene, "places")[1] == f"{expected} en haut à gauche et {expected} en bas à droite"
    assert f" d'{expected}" in said(scene, "relations")[1]


@pytest.mark.parametrize(
    ("second", "english", "french"),
    [
        ((50, 30), "left of", "à gauche"),
        ((10, 30), "right of", "à droite"),
        ((30, 50), "above", "au-dessus"),
        ((30, 10), "below", "au-dessous"),
    ],
)
def test_relations_and_contraction(second, english, french):
    """du, de la, de l', d'un: whatever of the two is named first, and however."""

    def scene(index):
        return world_of(at(30, 30, "small", "red", "star"), at(*second, "large", "blue", "square"), index=index)

    pairs = all_that_is_said(scene, "definite")
    place = " ".join(S.PLACES[1, 1])
    assert pairs[f"the star {place} is {english} the square"] == f"l'étoile au centre est {french} du carré"
    assert (
        pairs[f"the small star {place} is {english} the large square"]
        == f"la petite étoile au centre est {french} du grand carré"
    )
    assert (
        pairs[f"the red star {place} is {english} the blue square"]
        == f"l'étoile rouge au centre est {french} du carré bleu"
    )
    back = [f for e, f in pairs.items() if e.endswith(" the star")]
    assert back and all(f.endswith(" de l'étoile") for f in back)
    back = [f for e, f in pairs.items() if e.endswith(" the small red star")]
    assert back and all(f.endswith(" de la petite étoile rouge") for f in back)
    assert not any(" de le " in f or " de la étoile" in f for f in pairs.values())


def test_twins_stay_indefinite():
    def scene(index):
        return world_of(at(10, 10, "small", "red", "cross"), at(50, 50, "small", "red", "cross"), index=index)

    assert set(all_that_is_said(scene, "definite").values()) <= {
        f"une petite croix rouge en {a} est {r} d'une petite croix rouge"
        for a, r in itertools.product(
            ("haut à gauche", "bas à droite"), ("à gauche", "à droite", "au-dessus", "au-dessous")
        )
    }


@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_the_english_is_the_caption(grammar, some):
    assert all(translation(s, grammar)[0] == S.caption(s, grammar).words for s in some)


def fitting(noun_phrase: list[str], s: S.Scene) -> list[S.SceneObject]:
    return [o for o in s.objects if set(noun_phrase) <= {o.size, o.colour, o.shape}]


def test_the_is_said_of_what_is_unique_and_it_is_true(some):
    """By another road than the grammar's: split at "is" and at the place, and look which objects fit."""
    definite = 0
    for s in some:
        words = list(translation(s)[0])
        cut = words.index("is")
        first, second = words[:cut], words[cut + 1 :]
        place = next(i for i, word in enumerate(first) if word in ("at", "on", "in"))
        relation = next(r for r in S.RELATIONS if second[: len(r.split())] == r.split())
        second = second[len(relation.split()) :]
        candidates = []
        for phrase in (first[:place], second):
            fit = fitting(phrase[1:], s)
            assert fit and (len(fit) == 1 if phrase[0] == "the" else phrase[0] == "a" and len(phrase) == 4)
            definite += phrase[0] == "the"
            candidates.append(fit)
        assert any(
            a.place == tuple(first[place:]) and S.relation_between(a, b) == relation
            for a, b in itertools.product(*candidates)
            if a is not b
        )
    assert definite > len(some)


def test_one_french_for_each_english(some):
    """What is asked of a translator has an answer in the words it is given; and nothing is lost on the way."""
    pairs = [translation(s, grammar) for s in some for grammar in TRANSLATION_GRAMMARS]
    assert len(dict(pairs)) == len(set(pairs)) == len({french for _, french in pairs})


def test_vocabularies(some):
    pairs = [translation(s, grammar) for s in some for grammar in TRANSLATION_GRAMMARS]
    french = S.french_vocabulary_words()
    assert list(french) == sorted(set(french)) and {w for _, f in pairs for w in f} == set(french)
    assert {w for e, _ in pairs for w in e} == set(S.vocabulary_words())


def test_validation_pairs_are_unseen():
    train = {translation(S.scene(0, S.split_index("train", i)))[0] for i in range(2000)}
    val = [translation(S.scene(0, S.split_index("val", i)))[0] for i in range(400)]
    assert sum(words not in train for words in val) > 0.9 * len(val)


def test_pure():
    pair = translation(S.scene(3, 5))
    for i in range(20):
        translation(S.scene(0, i))
    assert translation(S.scene(3, 5)) == pair


def test_typeset():
    assert typeset(["l'", "étoile", "est", "à", "gauche", "d'", "une", "croix"]) == "l'étoile est à gauche d'une croix"
    assert typeset(["two", "stars", ",", "both", "small", "."]) == "two stars, both small."
    assert typeset([]) == ""


def test_no_such_grammar():
    with pytest.raises(ValueError, match="no grammar 'haiku' to translate"):
        translation(S.scene(0, 0), "haiku")
