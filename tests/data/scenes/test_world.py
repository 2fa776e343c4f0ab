"""The embedded world: always the same, split without leaks, drawn as it says, and its relations."""

import itertools
import random

import numpy as np
import pytest

from scratchlv.data import scenes as S
from scratchlv.data.scenes import World, caption, draw, judge, relation_between, scene, split_index

from .some import at, some


def test_a_scene_is_a_pure_function_of_seed_and_index():
    indices = [split_index(split, i) for split in S.SPLITS for i in (0, 1, 7)]
    first = {i: scene(4, i) for i in indices}
    random.seed(99)  # nobody else's random numbers matter
    np.random.default_rng(5).random(3)
    for i in reversed(indices):
        assert scene(4, i) == first[i]
        np.testing.assert_array_equal(draw(scene(4, i)), draw(first[i]))
        for grammar in S.GRAMMARS:
            assert caption(scene(4, i), grammar) == caption(first[i], grammar)


def test_seeds_and_indices_differ():
    assert len({scene(seed, i).objects for seed in range(5) for i in range(20)}) == 100


def key(s: S.Scene):
    return tuple(sorted((o.shape, o.colour, o.size, round(o.x), round(o.y)) for o in s.objects))


def test_splits_are_disjoint_by_construction(many):
    """A scene's arrangement decides its split: it is refused in every other, whatever seed might draw it."""
    for s in many:
        here = S.SPLITS[s.index // 2**32]
        if here == "compositional":
            continue
        assert [split for split in ("train", "val", "test") if S.world._belongs(s.objects, split)] == [here]
        assert S.world._belongs(tuple(reversed(s.objects)), here)  # in any order
    small = World((2, 2))  # the fewest arrangements there can be
    held = {split: {key(s) for s in some(split, 200, world=small)} for split in S.SPLITS}
    for a, b in itertools.combinations(S.SPLITS, 2):
        assert not held[a] & held[b]


def test_held_out_pairs_are_in_the_compositional_split_only(many):
    for s in many:
        held_out = sum((o.colour, o.shape) in S.HELD_OUT for o in s.objects)
        assert held_out == (1 if s.index >= split_index("compositional", 0) else 0)
    shown = {(o.colour, o.shape) for s in some("compositional", 100) for o in s.objects}
    assert shown >= S.HELD_OUT
    assert len(S.HELD_OUT) == len(S.SHAPES) and {shape for _, shape in S.HELD_OUT} == set(S.SHAPES)


def test_every_other_pair_is_shown_in_training():
    shown = {(o.colour, o.shape) for s in some("train", 200) for o in s.objects}
    assert shown == set(itertools.product(S.COLOURS, S.SHAPES)) - S.HELD_OUT


@pytest.mark.parametrize(("split", "i"), [("train", -1), ("train", 2**32), ("dev", 0), ("", 0)])
def test_no_such_scene(split, i):
    with pytest.raises(ValueError, match="split"):
        split_index(split, i)


def test_split_indices_do_not_collide():
    ends = [split_index(split, i) for split in S.SPLITS for i in (0, 2**32 - 1)]
    assert ends == sorted(set(ends))


@pytest.mark.parametrize("n_objects", [(1, 4), (5, 4), (3, 9), (0, 0)])
def test_worlds_that_cannot_be(n_objects):
    with pytest.raises(ValueError, match="n_objects"):
        World(n_objects)


def test_worlds_hold_as_many_objects_as_asked_for():
    assert {len(s.objects) for s in some(n=150)} == {3, 4, 5, 6, 7, 8}
    assert {len(s.objects) for s in some(n=20, world=World((2, 2)))} == {2}
    assert {len(s.objects) for s in some(n=10, world=World((8, 8)))} == {8}


def test_objects_keep_their_distance_and_their_size(many):
    for s in many:
        for o in s.objects:
            least, most = S.SIZES[o.size]
            assert least <= o.radius <= most
            assert min(o.box) >= 1 and max(o.box) <= S.SIDE - 1
        for a, b in itertools.combinations(s.objects, 2):
            left, right = max(a.box[0], b.box[0]), min(a.box[2], b.box[2])
            top, bottom = max(a.box[1], b.box[1]), min(a.box[3], b.box[3])
            assert right <= left - 1 or bottom <= top - 1


def nearest_colour(rgb) -> str:
    return min(S.COLOURS, key=lambda name: sum((int(a) - b) ** 2 for a, b in zip(rgb, S.COLOURS[name], strict=True)))


def test_the_centre_of_an_object_has_its_colour(many):
    """All five shapes cover their centre."""
    for s in many:
        picture = draw(s)
        assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
        for o, tint in zip(s.objects, s.tints, strict=True):
            pixel = picture[int(o.y), int(o.x)]
            assert np.abs(pixel.astype(int) - tint).max() <= 1
            assert nearest_colour(pixel) == o.colour


def test_elsewhere_there_is_background(many):
    y, x = np.mgrid[:64, :64] + 0.5
    for s in many:
        inside = np.zeros((64, 64), bool)
        for o in s.objects:
            inside |= (abs(x - o.x) <= o.radius + 1) & (abs(y - o.y) <= o.radius + 1)
        assert (draw(s)[~inside] == s.background).all()


def test_shapes_differ_in_how_much_of_their_box_they_fill():
    """Circle pi/4, square 0.85^2, triangle 0.95 * 1.8 / 4, cross 0.33 * (2 - 0.33), star: ten triangles."""
    expected = {
        "circle": np.pi / 4,
        "square": 0.85**2,
        "triangle": 0.95 * 1.8 / 4,
        "cross": 0.33 * (2 - 0.33),
        "star": 10 * 0.42 * np.sin(np.pi / 5) / 2 / 4,
    }
    for shape, share in expected.items():
        o = S.SceneObject(shape, "blue", "large", 32.0, 32.0, 9.0)
        picture = draw(S.Scene(0, 0, (o,), (255, 255, 255), ((0, 0, 0),)))
        covered = (255.0 - picture[..., 0]).sum() / 255
        assert covered / 18**2 == pytest.approx(share, abs=0.04), shape


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (5, 5, "at the top left"),
        (32, 5, "at the top"),
        (60, 5, "at the top right"),
        (5, 32, "on the left"),
        (32, 32, "in the centre"),
        (60, 32, "on the right"),
        (5, 60, "at the bottom left"),
        (32, 60, "at the bottom"),
        (60, 60, "at the bottom right"),
        (64, 64, "at the bottom right"),
    ],
)
def test_places(x, y, words):
    assert " ".join(at(x, y).place) == words


def test_no_place_is_in_doubt(many):
    for s in many:
        for o in s.objects:
            for shift in (-1.4, 1.4):
                assert at(o.x + shift, o.y).place == at(o.x, o.y + shift).place == o.place


@pytest.mark.parametrize(
    ("b", "relation"),
    [((50, 35), "left of"), ((10, 25), "right of"), ((35, 50), "above"), ((25, 10), "below"), ((33, 27), None)],
)
def test_relations(b, relation):
    """Down is where y grows; the axis that parts them more decides."""
    assert relation_between(at(30, 30), at(*b)) == relation


def test_relations_are_antisymmetric(many):
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above", None: None}
    for s in many:
        for a, b in itertools.permutations(s.objects, 2):
            assert relation_between(b, a) == opposite[relation_between(a, b)]


def test_the_relation_gap():
    a = at(20, 20)
    just, not_quite = 20 + S.RELATION_GAP + 1e-9, 20 + S.RELATION_GAP - 1e-3
    assert relation_between(a, at(just, 20)) == "left of" and relation_between(a, at(not_quite, 20)) is None
    for x, true in ((just, True), (not_quite, False)):
        s = S.Scene(0, 0, (a, at(x, 20, "star", "blue")), (220,) * 3, ((0, 0, 0),) * 2)
        assert judge(["a", "small", "red", "circle", "is", "left", "of", "a", "small", "blue", "star"], s).true is true


def test_a_diagonal_pair_lies_both_ways():
    """The judge takes any relation that holds, not only the stronger one that a caption states."""
    s = S.Scene(0, 0, (at(10, 10), at(50, 40, "star", "blue")), (220,) * 3, ((0, 0, 0),) * 2)
    for relation, true in (("left of", True), ("above", True), ("right of", False), ("below", False)):
        assert judge(f"a small red circle is {relation} a small blue star".split(), s).true is true
