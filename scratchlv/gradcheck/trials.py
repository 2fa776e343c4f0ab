"""Is an edited backward right? It is run on inputs whose slopes are known: those that failed, fresh ones, other shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.calls import Pair, as_vector, generator, output_gradient
from scratchlv.gradcheck.examination import slopes_by_name
from scratchlv.gradcheck.inputs import Inputs, Refused
from scratchlv.gradcheck.measured import FLOOR, Point, Settings
from scratchlv.gradcheck.returned import match
from scratchlv.gradcheck.slices import apart, grown, smaller
from scratchlv.gradcheck.trees import Snapshot, map_leaves, map_named

CLOSE = 1e-5  # of an element: far above the error of a slope
FEW = Settings(tolerance=CLOSE, max_elements=12, directions=2)
MOST_SHAPES = 3

Serves = Callable[[dict[str, Any]], bool]


class _Memory:
    """The cache of a trial; it has no ``__dict__``, so that who puts everything back as it was leaves it alone."""

    __slots__ = ("kept", "may_keep", "outputs")

    def __init__(self) -> None:
        self.kept: tuple[Any, Snapshot] | None = None
        self.may_keep: bool | None = None  # None as long as that is not known
        self.outputs: np.ndarray | None = None  # that forward has to give; None if nobody changes it


class Trial:
    """Backward on inputs whose slopes are known. Calling it says of each gradient whether it is right now.

    Forward runs each time, since a backward that is being tried may spoil the cache; but if all that backward knows is in a cache
    of arrays and numbers, then it is kept, and put back.
    """

    def __init__(self, pair: Pair, inputs: Inputs, dy: Any, points: dict[str, list[Point]]) -> None:
        self._pair, self._inputs, self._dy, self._points = pair, inputs, dy, points
        self._largest = {name: max((abs(p.slope.value) for p in each), default=0.0) for name, each in points.items()}
        self._before = Snapshot([dy, inputs.given, inputs.arrays])
        self._memory = _Memory()

    def __call__(self) -> dict[str, bool]:
        found = self._gradients()
        return {name: name in found and self._is_right(name, found[name]) for name in self._points}

    def returned(self) -> set[str]:
        """The names of the gradients that are returned in their shapes."""
        return set(self._gradients()) & set(self._points)

    def _gradients(self) -> dict[str, np.ndarray]:
        """By name; none if backward raises, or changes what it is given."""
        try:
            found = match(self._pair.backward(self._dy, self._cache()), self._inputs).gradients
            return {} if self._before.changed() else found
        except Exception:  # whatever an edit brings about
            return {}
        finally:
            self._before.restore()
            if self._memory.kept is not None:
                self._memory.kept[1].restore()

    def _cache(self) -> Any:
        memory = self._memory
        if memory.may_keep is None:
            memory.may_keep = self._may_keep()
        if memory.kept is None:
            y, cache = self._pair.run_forward(self._inputs)
            if memory.outputs is not None and not np.array_equal(as_vector(y), memory.outputs):
                raise ValueError("an edit of forward has changed its outputs")
            if not memory.may_keep:
                return cache
            memory.kept = cache, Snapshot(cache)
        return memory.kept[0]

    def forget(self) -> None:
        """From now on forward runs each time, and must give what it gives now: it is going to be edited."""
        self._memory.kept, self._memory.may_keep = None, False
        self._memory.outputs = as_vector(self._pair.run_forward(self._inputs)[0])

    def _may_keep(self) -> bool:
        """Backward takes the cache, and nothing that forward leaves elsewhere: it gives the same after another forward."""
        pair, inputs = self._pair, self._inputs
        try:
            _, cache = pair.run_forward(inputs)
            if not _is_plain(cache):
                return False
            before = Snapshot(cache)
            first = as_vector(pair.backward(self._dy, cache))
            before.restore()
            pair.run_forward(inputs, {name: array * 1.1 for name, array in inputs.arrays.items()})
            return bool(np.array_equal(first, as_vector(pair.backward(self._dy, cache)), equal_nan=True))
        except Exception:  # whatever backward does before it is mended
            return False
        finally:
            self._before.restore()

    def _is_right(self, name: str, gradient: np.ndarray) -> bool:
        return all(self._fits(point, point.of(gradient), self._largest[name]) for point in self._points[name])

    @staticmethod
    def _fits(point: Point, value: float, largest: float) -> bool:
        size = max(abs(value), abs(point.slope.value), point.least, FLOOR * largest)
        return bool(np.isfinite(value) and abs(value - point.slope.value) <= CLOSE * size + 4 * point.slope.error)


def _is_plain(cache: Any) -> bool:
    """Tuples, lists and dicts of arrays, numbers and words, with an array in it."""
    if isinstance(cache, np.ndarray):
        return cache.dtype != object
    if isinstance(cache, tuple | list | dict):
        inside = list(cache.values() if isinstance(cache, dict) else cache)
        plain = [each for each in inside if not isinstance(each, bool | int | float | np.generic | str | None)]
        return bool(plain) and all(map(_is_plain, plain))
    return False


def fresh_trials(
    pair: Pair,
    given: dict[str, Any],
    make: Callable[[dict[str, Any]], Inputs],
    seed: int,
    remade: list[dict[str, Any]],
    names: Collection[str] | None = None,
    right: Collection[str] = (),
) -> Iterator[Trial]:
    """Trials on other numbers, and on other shapes: those that ``remade`` has, or that are cut out of the inputs given.

    Dimensions of the same length are told apart, where backward serves that.

    ``names``: of the inputs whose gradients are tried; all but single numbers if not given. ``right``: that are right already.
    """
    rng = generator(seed + 4)

    def serves(inputs: dict[str, Any]) -> bool:
        return served(pair, make, inputs)

    returned: set[str] = set()
    for inputs in (given, given):
        found = _trial(pair, make(other_numbers(inputs, serves, rng)), rng, names)
        if found is not None:
            returned |= found.returned()
            yield found
    shapes = itertools.islice(other_shapes(given, remade, serves), MOST_SHAPES)
    for inputs in itertools.chain(shapes, itertools.islice(apart(given, serves), 1 if right else 0)):
        found = _trial(pair, make(other_numbers(inputs, serves, rng)), rng, names)
        if found is not None and _is_served(found, right, returned):
            yield found


def _is_served(trial: Trial, right: Collection[str], returned: set[str]) -> bool:
    """Whether what is right, and what has the right shape, is so in this shape, too.

    Else backward is not made for it, as if a length is a constant in it: the two coordinates of a point.
    """
    now = trial() if right else {}
    return all(now.get(name, False) for name in right) and returned <= trial.returned()


def served(pair: Pair, make: Callable[[dict[str, Any]], Inputs], inputs: dict[str, Any]) -> bool:
    """Whether forward makes finite outputs of these inputs."""
    try:
        return bool(np.isfinite(pair.outputs(make(inputs))).all())
    except Exception:  # a shape that forward does not serve
        return False


def other_shapes(given: dict[str, Any], remade: list[dict[str, Any]], serves: Serves) -> Iterator[dict[str, Any]]:
    """Those that ``remade`` has; all lengths greater; and those that are cut out of the inputs given."""
    yield from (inputs for inputs in remade if serves(inputs))
    larger = grown(given, serves)
    if larger is not None:
        yield larger
    yield from smaller(given, serves)


def other_numbers(inputs: dict[str, Any], serves: Serves, rng: np.random.Generator) -> dict[str, Any]:
    """Fresh numbers, and labels drawn anew if forward serves that."""
    others = _varied(inputs, rng, whole=True)
    return others if serves(others) else _varied(inputs, rng)


def with_masks(others: dict[str, Any], inputs: dict[str, Any], moved: Collection[str]) -> dict[str, Any]:
    """Other numbers, but what holds zeros and one number, and has no gradient, as it is: a mask, which is known by that."""

    def is_mask(value: Any) -> bool:
        return isinstance(value, np.ndarray) and value.dtype.kind == "f" and len(np.unique(value)) == 2 and 0 in value

    return others | {name: x for name, x in inputs.items() if name not in moved and is_mask(x)}


def _varied(inputs: dict[str, Any], rng: np.random.Generator, whole: bool = False) -> dict[str, Any]:
    """Other numbers of the same sign and about the same size: zeros stay, and what is positive stays so.

    ``whole``: labels and the like are drawn anew from those that there are.
    """

    def vary(_: str, leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        if leaf.dtype.kind == "f":
            return leaf * rng.uniform(0.6, 1.4, leaf.shape)
        return rng.choice(leaf.ravel(), leaf.shape) if whole and leaf.dtype.kind in "iu" and leaf.size else leaf

    return map_named(vary, inputs)


def _trial(pair: Pair, inputs: Inputs, rng: np.random.Generator, names: Collection[str] | None) -> Trial | None:
    try:
        y, _ = pair.run_forward(inputs)
        dy = output_gradient(y, rng)
        if as_vector(dy).size == 1:  # a loss: an edit that ignores its gradient must not pass
            dy = map_leaves(lambda leaf: np.float64(1.7) if isinstance(leaf, np.floating) else leaf, dy)
        outputs = as_vector(y)
        if not np.isfinite(outputs).all() or not outputs.size:
            return None
        chosen = names or [name for name in inputs.moved if name not in inputs.optional]
        points = slopes_by_name(pair, inputs, dy, chosen, FEW, rng)
    except Refused:
        return None
    return Trial(pair, inputs, dy, points)
