"""What can be measured because the truth of a scene is known: are captions true, does attention point?

:func:`pointing` is the pointing game of Zhang et al., "Top-down Neural Attention by Excitation Backprop" (ECCV 2016):
the place that is attended most must lie on the object in question. Here the objects in question are those that a word of
the model's own caption names, and every figure has its chance level beside it: :func:`pointing_chance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from scratchlv.data.scenes import SIDE, Scene, SceneObject, Verdict, judge
from scratchlv.metrics.basic import require_tokens

Grid = tuple[int, int]


def true_share(verdicts: Iterable[Verdict | bool]) -> float:
    """Share of captions that are true of their picture, 0 to 1; NaN when there are none."""
    return _mean([verdict if isinstance(verdict, bool) else verdict.true for verdict in verdicts])


def pointing(scene: Scene, words: Sequence[str], alphas: np.ndarray, grid: Grid = (8, 8)) -> list[tuple[str, bool]]:
    """The pointing game on one caption: ``(word, hit)`` for every word that names a size, a colour or a shape.

    It is a hit when the most attended cell overlaps the bounding box of an object that the word's phrase fits (of two
    small red circles either will do). A caption that is false names nothing: its list is empty.

    Args:
        words: the T words of the caption, without the end symbol.
        alphas: attention at each word, (T, L) or (T, rows, cols); steps past the last word are not looked at.
        grid: ``(rows, cols)`` of the L regions, in reading order.

    Raises:
        ValueError: ``alphas`` does not fit the words or the grid, or is not finite.
        TypeError: the words are one string.
    """
    require_tokens("words", [words])
    alphas = np.asarray(alphas)
    if alphas.ndim == 3:
        grid = (alphas.shape[1], alphas.shape[2])
    alphas = alphas.reshape(len(alphas), -1)  # (T, L)
    if len(alphas) < len(words) or alphas.shape[1] != grid[0] * grid[1]:
        raise ValueError(f"alphas {alphas.shape} must be ({len(words)} words or more, {grid[0]} * {grid[1]} regions)")
    if not np.isfinite(alphas).all():
        raise ValueError("alphas must be finite: a NaN points nowhere")
    hits = []
    for position, objects in _named(scene, words):
        cell = _cell_box(int(alphas[position].argmax()), grid)
        hits.append((words[position], any(_overlap(cell, o.box) for o in objects)))
    return hits


def pointing_accuracy(captions: Iterable[Iterable[tuple[str, bool]]]) -> float:
    """Share of hits among all words of all captions, as :func:`pointing` gives them; NaN when there are none."""
    return _mean([hit for words in captions for _, hit in words])


def pointing_chance(scene: Scene, words: Sequence[str], grid: Grid = (8, 8)) -> float:
    """What :func:`pointing` gives on average to attention that falls on any cell alike: the share of cells that hit.

    NaN for a caption that is false, for it has no words to point at.
    """
    require_tokens("words", [words])
    cells = [_cell_box(cell, grid) for cell in range(grid[0] * grid[1])]
    named = [objects for _, objects in _named(scene, words)]
    return _mean([any(_overlap(cell, o.box) for o in objects) for objects in named for cell in cells])


def _named(scene: Scene, words: Sequence[str]) -> list[tuple[int, list[SceneObject]]]:
    """The position of each attribute word of a true caption, and the objects that its phrase fits."""
    verdict = judge(tuple(words), scene)
    if not verdict.true or verdict.parse is None:
        return []
    named = []
    for phrase in verdict.parse.phrases:
        objects = [o for o in scene.objects if phrase.fits(o)]
        named += [(phrase.first + k, objects) for k in (1, 2, 3)]  # size, colour, shape
    return named


def _cell_box(cell: int, grid: Grid) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a cell in pixels."""
    (rows, cols), (row, col) = grid, divmod(cell, grid[1])
    return (col * SIDE / cols, row * SIDE / rows, (col + 1) * SIDE / cols, (row + 1) * SIDE / rows)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _mean(values: list[bool]) -> float:
    return sum(values) / len(values) if values else float("nan")
