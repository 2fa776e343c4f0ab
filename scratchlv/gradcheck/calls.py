"""Somebody's forward and backward, called with care: what they take and return is looked at before it is used."""

from __future__ import annotations

import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv.device import to_host
from scratchlv.gradcheck.inputs import Inputs, Refused, signature_of
from scratchlv.gradcheck.returned import Returned, Yielded, match
from scratchlv.gradcheck.trees import Snapshot, close, first_not_finite, map_leaves, same, strided

PRIVATE = 0x5C0A7C4E  # mixed into every seed: who draws inputs from default_rng(0) must not get x == dy
_CACHE_NAMES = ("cache", "ctx", "context", "saved", "memory", "tape", "residuals")
_OWN_FOLDERS = (Path(__file__).parents[1], Path(np.__file__).parent)
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))  # what is installed lies below it, too


def generator(seed: int) -> np.random.Generator:
    """Random numbers that nobody else draws from this seed."""
    return np.random.default_rng((PRIVATE, seed))


@dataclass
class Pass:
    """One forward and one backward pass."""

    y: Any
    dy: Any
    cache: Any
    returned: Returned


@dataclass(frozen=True)
class Pair:
    """A forward and its backward."""

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], Any]
    intermediates: tuple[str, ...] = ()  # whose gradients backward returns after those of the inputs

    def __post_init__(self) -> None:
        for name in ("forward", "backward"):
            if not callable(getattr(self, name)):
                raise Refused(f"{name} is a {type(getattr(self, name)).__name__}, and should be a function")
        names = [getattr(each, "__name__", "") for each in (self.forward, self.backward)]
        if "backward" in names[0] and "forward" in names[1]:
            raise Refused(
                f"check was called with {names[0]} first and {names[1]} second: forward comes first, then backward"
            )
        self._validate_backward()

    def _validate_backward(self) -> None:
        signature = signature_of(self.backward)
        if signature is None:
            return
        kinds = inspect.Parameter
        positional = [
            p for p in signature.parameters.values() if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        ]
        several = any(p.kind == kinds.VAR_POSITIONAL for p in signature.parameters.values())
        needed = [p.name for p in positional if p.default is kinds.empty]
        names = ", ".join(p.name for p in positional)
        if (len(positional) < 2 and not several) or len(needed) > 2:
            layer = (
                "; of a layer that keeps its own cache, give lambda x: (layer.forward(x), None) and "
                "lambda dy, _: layer.backward(dy)"
            )
            raise Refused(
                f"backward takes ({names}), and is called as backward(dy, cache)" + layer * (len(positional) < 2)
            )
        if len(positional) >= 2 and positional[0].name.lower() in _CACHE_NAMES:
            raise Refused(
                f"backward takes ({names}), and is called as backward(dy, cache): the output gradient comes first"
            )

    # --- forward ---

    def run_forward(self, inputs: Inputs, instead: dict[str, np.ndarray] | None = None) -> tuple[Any, Any]:
        """y and the cache.

        Raises:
            Refused: forward raises, or returns something else.
        """
        try:
            returned = inputs.call(self.forward, instead)
        except Exception as error:
            raise Refused(f"forward raises {where_and_what(error)}") from error
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise Refused(
                f"forward returns {_describe(returned)}, and should return two things, y and a cache: (y, cache)"
            )
        y, cache = returned
        if isinstance(returned, list) and not isinstance(y, np.ndarray | list | tuple | dict):
            raise Refused("forward returns a list of two numbers, and should return y and a cache: (y, cache)")
        return y, cache

    def outputs(self, inputs: Inputs, instead: dict[str, np.ndarray] | None = None) -> np.ndarray:
        """All that forward computes, as one vector; a copy."""
        return as_vector(inputs.call(self.forward, instead)[0])

    def first_run(self, inputs: Inputs) -> tuple[Any, Any]:
        """y and the cache, when forward is found to be a function: it changes no input, and gives the same twice.

        Raises:
            Refused: it does not, or y cannot be differentiated.
        """
        watched = inputs.watched()
        y, cache = self.run_forward(inputs)
        changed = [name for name, snapshot in watched.items() if snapshot.changed()]
        if changed:
            names = ", ".join(changed)
            raise Refused(
                f"forward changes its inputs in place: {names}",
                f"if {names} is a state that forward is meant to change (a running mean, say), name it: state={changed!r}",
            )
        _validate_output(y)
        before = as_vector(y)
        again, cache = self.run_forward(inputs)
        if not same(before, as_vector(again)):
            raise Refused("two runs of forward differ: randomness is not frozen; draw it from a seed that is passed in")
        if not np.isfinite(before).all():
            raise Refused(f"the output of forward holds NaN or infinity{_first_place(again)}{_first_bad_input(inputs)}")
        return again, cache

    # --- backward ---

    def run_backward(self, dy: Any, cache: Any) -> Any:
        """What backward returns for the inputs, a copy: it may be a view of dy or of the cache.

        Raises:
            Refused: it raises.
        """
        return self.run_backward_whole(dy, cache)[0]

    def run_backward_whole(self, dy: Any, cache: Any) -> tuple[Any, dict[str, list[Inner]]]:
        """The gradients of the inputs, and those of intermediates that backward gives away: by name, one for each round.

        Raises:
            Refused: it raises, or does not give them.
        """
        try:
            returned = self.backward(dy, cache)
            if inspect.isgenerator(returned):
                return _exhausted(returned)
            return self._parted(_copied(returned))
        except Refused:
            raise
        except Exception as error:
            sentences = [f"backward raises {where_and_what(error)}"]
            if "matmul" in str(error) or "shapes" in str(error):
                sentences.append(
                    "shapes that do not fit are consistent with W used for Wᵀ, or a factor on the wrong side"
                )
            raise Refused(*sentences) from error

    def _parted(self, returned: Any) -> tuple[Any, dict[str, list[Inner]]]:
        """The gradients of the inputs and of the intermediates that were asked for."""
        names = self.intermediates
        if not names:
            return returned, {}
        wanted = ", ".join(f"d{name}" for name in names)
        if isinstance(returned, dict):
            missing = [name for name in names if f"d{name}" not in returned]
            if missing:
                raise Refused(f"backward returns no d{missing[0]}, and intermediates asks for {wanted}")
            return {k: v for k, v in returned.items() if k not in wanted.split(", ")}, {
                name: _rounds(returned[f"d{name}"]) for name in names
            }
        if not isinstance(returned, tuple | list) or len(returned) <= len(names):
            raise Refused(
                f"backward should return {wanted} after the gradients of the inputs, as intermediates asks for"
            )
        inside = dict(zip(names, map(_rounds, returned[-len(names) :]), strict=True))
        return tuple(returned[: -len(names)]), inside

    def gradients(self, dy: Any, cache: Any, inputs: Inputs) -> dict[str, np.ndarray]:
        """The gradients by the input's name; of those that fit."""
        return match(self.run_backward(dy, cache), inputs).gradients

    def first_pass(self, inputs: Inputs, dy: Any = None, seed: int = 0) -> Pass:
        """Forward and backward, when backward is found to be a function too.

        Raises:
            Refused: something keeps the gradients from being compared.
        """
        y, cache = self.first_run(inputs)
        dy = output_gradient(y, generator(seed)) if dy is None else dy
        try:
            returned = self._run_watched(dy, cache, inputs)
            found = match(returned, inputs)
        except Refused as refused:
            refused.output_gradient = dy
            raise
        found.problems += self._other_runs(dy, cache, returned)
        return Pass(y, dy, cache, found)

    def _run_watched(self, dy: Any, cache: Any, inputs: Inputs) -> Any:
        """What backward returns, when it is seen to change nothing.

        Raises:
            Refused: it does, or it raises.
        """
        watched = {"the output gradient": Snapshot(dy), "the cache": Snapshot(cache)}
        of_inputs = inputs.watched()
        returned = self.run_backward(dy, cache)
        changed = [_changed(what, snapshot) for what, snapshot in watched.items() if snapshot.changed()]
        names = ", ".join(name for name, snapshot in of_inputs.items() if snapshot.changed())
        if changed or names:
            raise Refused(
                *(f"backward changes {each}" for each in [*changed, *([f"its inputs in place: {names}"] * bool(names))])
            )
        return returned

    def _other_runs(self, dy: Any, cache: Any, returned: Any) -> list[str]:
        if not same(returned, self.run_backward(dy, cache)):
            return ["two runs of backward differ: randomness is not frozen, or it adds to what it has kept"]
        if not close(returned, self.run_backward(strided(dy), cache)):
            return ["backward is wrong if the output gradient is not contiguous in memory"]
        return []


class Inner(NamedTuple):
    """The gradient of an intermediate, and the line of backward that gives it away, if it is known."""

    gradient: np.ndarray
    line: int = 0


def _changed(what: str, snapshot: Snapshot) -> str:
    shape = snapshot.shape_changed()
    return f"{what} in place: an array of the shape {shape}" if shape and what == "the cache" else f"{what} in place"


def _rounds(gradient: Any) -> list[Inner]:
    return [Inner(np.asarray(each)) for each in (gradient if isinstance(gradient, list) else [gradient])]


def _exhausted(generator: Any) -> tuple[Any, dict[str, list[Inner]]]:
    """What a backward gives that yields ("da", da) for its intermediates: it may return the inputs' gradients, or yield them."""
    yielded: dict[str, list[Inner]] = {}
    while True:
        try:
            pair = next(generator)
        except StopIteration as end:
            returned = _copied(end.value)
            break
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise Refused(f'backward yields {_describe(pair)}, and should yield pairs such as ("da", da)')
        yielded.setdefault(pair[0], []).append(Inner(np.array(pair[1]), generator.gi_frame.f_lineno))
    inside = {name.removeprefix("d"): each for name, each in yielded.items()}
    if returned is None:
        returned = Yielded({name: each[-1].gradient for name, each in yielded.items()})
    return returned, inside


def output_gradient(y: Any, rng: np.random.Generator) -> Any:
    """1 for a loss, that is a y which is one number; else random numbers, built like y. Whole numbers and the like get zeros."""
    single = isinstance(y, float | np.floating | np.ndarray) and np.ndim(y) == 0

    def draw(leaf: Any) -> Any:
        if not _is_real(leaf):
            return np.zeros(np.shape(leaf)) if isinstance(leaf, np.ndarray | np.generic) else leaf
        if single:
            return np.float64(1.0)
        return _like(leaf, rng.standard_normal(np.shape(leaf)) if np.shape(leaf) else np.float64(rng.normal(1.5)))

    return map_leaves(draw, y)


def _like(leaf: Any, value: Any) -> Any:
    """On the device where the output is."""
    module = type(leaf).__module__.split(".")[0]
    return __import__(module).asarray(value) if module == "cupy" else value


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, float) or getattr(getattr(leaf, "dtype", None), "kind", "") == "f"


def as_vector(y: Any) -> np.ndarray:
    """The real numbers of an output, one after another, float64; a copy."""
    parts = [np.ravel(to_host(leaf)) for leaf in _output_leaves(y) if _is_real(leaf) or _is_complex(leaf)]
    vector = np.concatenate(parts) if len(parts) != 1 else parts[0].copy()
    return vector.astype(np.result_type(vector.dtype, np.float64), copy=False) if parts else np.zeros(0)


def _is_complex(leaf: Any) -> bool:
    return getattr(getattr(leaf, "dtype", None), "kind", "") == "c" or isinstance(leaf, complex)


def _output_leaves(y: Any) -> list[Any]:
    found: list[Any] = []
    map_leaves(found.append, y)
    return found


def _copied(value: Any) -> Any:
    return map_leaves(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, value)


def _validate_output(y: Any) -> None:
    found = _output_leaves(y)
    if any(_is_complex(leaf) for leaf in found):
        raise Refused("the output of forward is complex: return its real and its imaginary part as two outputs")
    real = [leaf for leaf in found if _is_real(leaf)]
    if not real:
        raise Refused(
            f"forward returns {_describe(y)} as y, and should return floating-point numbers: give it such (1.0 for 1)"
        )


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, np.ndarray | np.generic):
        return f"one array of the shape {value.shape}, {value.dtype}" if value.ndim else f"one number, {value.dtype}"
    if isinstance(value, tuple | list):
        return f"{len(value)} things"
    return f"one {type(value).__name__}"


def _first_place(y: Any) -> str:
    for leaf in _output_leaves(y):
        if _is_real(leaf) and np.ndim(leaf) and (place := first_not_finite(leaf)) is not None:
            return f", first at {place}"
    return ""


def _first_bad_input(inputs: Inputs) -> str:
    for name, array in inputs.arrays.items():
        if (place := first_not_finite(array)) is not None:
            return f"; the input {name} does at {place}"
    return ""


def where_and_what(error: BaseException) -> str:
    """The kind of an exception, its text, and the user's own line on which it came up."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if not frames:
        return text
    last = frames[-1]
    code = f": `{last.line}`" if last.line else ""
    return f"{text} ({os.path.basename(last.filename)}, line {last.lineno}{code})"


def _is_users(filename: str) -> bool:
    path = Path(filename)
    if _STANDARD_LIBRARY in path.parents and not {"site-packages", "dist-packages"} & {*path.parts}:
        return False
    return not any(folder in path.parents for folder in _OWN_FOLDERS) and not filename.startswith("<frozen")
