"""The pointing game on attention made by hand."""

import math

import numpy as np
import pytest

from scratchlv.data import scenes
from scratchlv.data.scenes import Scene, SceneObject, judge
from scratchlv.metrics import pointing, pointing_accuracy, pointing_chance, true_share

# Cells are 8 pixels wide. The circle's box is (6, 14, 18, 26): columns 0-2, rows 1-3. The square's: (42, 42, 58, 58).
CIRCLE = SceneObject("circle", "red", "small", x=12.0, y=20.0, radius=6.0)
SQUARE = SceneObject("square", "blue", "large", x=50.0, y=50.0, radius=8.0)
SCENE = Scene(0, 0, (CIRCLE, SQUARE), (220, 220, 220), ((214, 40, 40), (40, 80, 220)))
WORDS = ["a", "small", "red", "circle", "and", "a", "large", "blue", "square"]


def looking_at(*cells: tuple[int, int] | None, rows: int = 8, cols: int = 8) -> np.ndarray:
    """Alphas (T, L): most of the weight on a cell (row, column), or on none in particular but the last."""
    alphas = np.full((len(cells), rows, cols), 0.01)
    for t, cell in enumerate(cells):
        alphas[(t, *(cell or (rows - 1, cols - 1)))] = 1.0
    return (alphas / alphas.sum((1, 2), keepdims=True)).reshape(len(cells), -1)


def test_hits_and_misses():
    #                    a     small   red     circle  and   a     large   blue    square
    alphas = looking_at(None, (1, 0), (3, 2), (4, 1), None, None, (5, 5), (7, 7), (2, 1))
    assert pointing(SCENE, WORDS, alphas) == [
        ("small", True),
        ("red", True),
        ("circle", False),  # row 4 begins at y = 32, below the box
        ("large", True),
        ("blue", True),  # x and y from 56: the corner of the box ends at 58
        ("square", False),  # that is the circle
    ]
    assert pointing_accuracy([pointing(SCENE, WORDS, alphas)]) == pytest.approx(4 / 6)


def test_a_shared_edge_is_no_overlap():
    square = SceneObject("square", "blue", "large", x=24.0, y=24.0, radius=8.0)  # exactly the cells 2-3, 2-3
    scene = Scene(0, 0, (square,), (220,) * 3, ((40, 80, 220),))
    words = ["a", "large", "blue", "square"]
    hits = {
        (row, col): pointing(scene, words, looking_at(None, (row, col), None, None))[0][1]
        for row in range(8)
        for col in range(8)
    }
    assert {cell for cell, hit in hits.items() if hit} == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert pointing_chance(scene, words) == 4 / 64


def test_any_grid_and_both_shapes_of_alphas():
    # 2 rows and 4 columns: cells 16 wide and 32 high; the circle touches (0, 0) and (0, 1), the square (1, 2) and (1, 3)
    cells = [(1, 3), (0, 1), (0, 0), (1, 1), (1, 3), (1, 3), (1, 2), (0, 2), (1, 3)]
    flat = looking_at(*cells, rows=2, cols=4)
    expected = [True, True, False, True, False, True]
    assert [hit for _, hit in pointing(SCENE, WORDS, flat, (2, 4))] == expected
    assert pointing(SCENE, WORDS, flat.reshape(-1, 2, 4)) == pointing(SCENE, WORDS, flat, (2, 4))
    assert pointing_chance(SCENE, WORDS, (2, 4)) == 2 / 8


def test_a_place_in_the_caption_shifts_the_words():
    words = ["a", "small", "red", "circle", *CIRCLE.place, "and", "a", "large", "blue", "square"]
    assert judge(words, SCENE).true
    alphas = looking_at(*[(2, 1)] * 4, *[None] * (len(words) - 8), *[(6, 6)] * 4)
    assert [word for word, hit in pointing(SCENE, words, alphas) if hit] == [
        "small",
        "red",
        "circle",
        "large",
        "blue",
        "square",
    ]


def test_chance_is_the_rate_of_attention_on_every_cell():
    everywhere = [looking_at(*[(row, col)] * len(WORDS)) for row in range(8) for col in range(8)]
    rate = pointing_accuracy(pointing(SCENE, WORDS, alphas) for alphas in everywhere)
    assert pointing_chance(SCENE, WORDS) == pytest.approx(rate)
    assert rate == pytest.approx((9 + 9) / 2 / 64)


def test_of_two_alike_either_will_do():
    twin = SceneObject("circle", "red", "small", x=52.0, y=12.0, radius=5.0)
    scene = Scene(0, 0, (CIRCLE, twin), (220,) * 3, ((214, 40, 40),) * 2)
    words = ["a", "small", "red", "circle"]
    assert pointing(scene, words, looking_at(None, (2, 1), (1, 6), (7, 0))) == [
        ("small", True),
        ("red", True),
        ("circle", False),
    ]


def test_false_captions_name_nothing():
    words = ["a", "small", "red", "circle", "and", "a", "large", "green", "square"]
    assert pointing(SCENE, words, looking_at(*[(2, 1)] * 9)) == []
    assert math.isnan(pointing_chance(SCENE, words))
    assert math.isnan(pointing_accuracy([[], []]))


def test_the_attention_at_the_end_symbol_is_ignored():
    alphas = looking_at(*[(2, 1)] * 5, *[(6, 6)] * 4)
    longer = np.concatenate([alphas, looking_at((0, 7))])
    assert pointing(SCENE, WORDS, longer) == pointing(SCENE, WORDS, alphas)


@pytest.mark.parametrize("alphas", [np.ones((8, 64)), np.ones((9, 63)), np.full((9, 64), np.nan)])
def test_alphas_that_do_not_fit(alphas):
    with pytest.raises(ValueError, match="alphas"):
        pointing(SCENE, WORDS, alphas)


def test_true_share():
    true, false = judge(WORDS, SCENE), judge(["a"], SCENE)
    assert true_share([true, false, false, true]) == 0.5
    assert true_share([True, True, False]) == pytest.approx(2 / 3)
    assert math.isnan(true_share([]))


def test_an_oracle_attention_always_hits():
    for i in range(30):
        scene = scenes.scene(3, scenes.split_index("val", i))
        caption = scenes.caption(scene, "relations")
        cells: list = [None] * len(caption.words)
        for first, last, index in caption.mentions:
            o = scene.objects[index]
            cells[first:last] = [(int(o.y / 8), int(o.x / 8))] * (last - first)
        hits = pointing(scene, caption.words, looking_at(*cells))
        assert len(hits) == 6 and all(hit for _, hit in hits)
        assert 0 < pointing_chance(scene, caption.words) < 0.5


def test_words_that_were_not_cut_are_refused():
    for use in (lambda text: pointing(SCENE, text, np.ones((99, 64))), lambda text: pointing_chance(SCENE, text)):
        with pytest.raises(TypeError, match="words holds the string"):
            use(" ".join(WORDS))
