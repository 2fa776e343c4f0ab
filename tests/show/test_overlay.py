"""Attention over a picture: the light is where the weights are, for any grid, and the picture stays readable."""

import numpy as np
import pytest
from PIL import Image

from scratchlv.show.overlay import attention_map, lit, veil

GRIDS = [(7, 7), (14, 14), (8, 8), (3, 5), (1, 6), (1, 1)]
rng = np.random.default_rng(0)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", [(176, 176), (300, 120), (40, 90)])
def test_the_peak_is_in_the_most_attended_cell(grid, size):
    for cell in {0, grid[0] * grid[1] // 2, grid[0] * grid[1] - 1}:
        alpha = np.full(grid, 1e-3)
        alpha.flat[cell] = 1
        light = attention_map(alpha, size)
        assert light.shape == size[::-1]
        assert light.max() == 1 and light.min() >= 0
        y, x = np.argwhere(light == 1).mean(axis=0)
        row, col = divmod(cell, grid[1])
        assert abs((y + 0.5) / size[1] * grid[0] - (row + 0.5)) <= 0.55
        assert abs((x + 0.5) / size[0] * grid[1] - (col + 0.5)) <= 0.55


def test_light_is_smooth_and_falls_to_half_between_the_centres_of_two_cells():
    alpha = np.zeros((8, 8))
    alpha[3, 4] = 1
    light = attention_map(alpha, (320, 320))
    assert np.abs(np.diff(light)).max() < 0.04  # of a pixel to the next; a cell is 40 wide
    at_the_centre, at_the_edge = light[139:141, 179:181].mean(), light[139:141, 199:201].mean()
    assert 0.5 < at_the_edge / at_the_centre < 0.7
    assert light[140, 300] < 1e-3


def test_it_does_not_depend_on_the_scale_of_the_weights():
    alpha = rng.random((8, 8))
    np.testing.assert_allclose(attention_map(alpha, (60, 50)), attention_map(alpha * 1e-6, (60, 50)))


def test_all_alike_veils_nothing_and_nothing_veils_all():
    photo = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    assert np.array_equal(np.asarray(lit(photo, np.full((7, 7), 1 / 49))), np.asarray(photo))
    dark = np.asarray(lit(photo, np.zeros((7, 7))), float)
    pixels = np.asarray(photo, float)
    assert dark.mean() < 0.5 * pixels.mean()
    # readable: what differs in the photograph differs under the veil, a third as much
    contrast = np.polyfit(pixels.ravel(), dark.ravel(), 1)[0]
    assert 0.3 < contrast < 0.4
    assert np.corrcoef(pixels.ravel(), dark.ravel())[0, 1] > 0.999


def test_the_line_stands_where_the_light_is_half_of_its_peak():
    alpha = np.zeros((8, 8))
    alpha[3, 4] = 1
    over = np.asarray(veil(alpha, (320, 320)), int)
    line = over[..., 0] > 200  # white
    light = attention_map(alpha, (320, 320))
    assert line.sum() > 100
    assert light[line].min() > 0.44 and light[line].max() < 0.56


def test_a_black_photograph_shows_the_line_and_a_white_one_too():
    alpha = np.zeros((7, 7))
    alpha[2, 2] = 1
    for grey in (0, 255):
        photo = Image.new("RGB", (200, 200), (grey,) * 3)
        column = np.asarray(lit(photo, alpha).convert("L"), int)[:, 70]
        assert np.abs(np.diff(column)).max() > 60


def test_a_picture_that_is_laid_over_in_a_browser_is_the_one_on_paper():
    photo = Image.fromarray(rng.integers(0, 256, (90, 70, 3), dtype=np.uint8))
    alpha = rng.random((5, 3))
    browser = Image.alpha_composite(photo.convert("RGBA"), veil(alpha, photo.size).convert("RGBA")).convert("RGB")
    np.testing.assert_allclose(np.asarray(browser, int), np.asarray(lit(photo, alpha), int), atol=1)


def test_nothing_given_is_changed():
    photo, alpha = Image.new("RGB", (20, 20), (9, 9, 9)), np.eye(3)
    lit(photo, alpha, mark=True)
    assert photo.getextrema() == ((9, 9),) * 3 and (alpha == np.eye(3)).all()
