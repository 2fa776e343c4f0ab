"""Operations as learners write them, and bugs that are planted in a copy of their source."""

from __future__ import annotations

import difflib
import importlib.util
import linecache
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
OPERATIONS = sorted(path.stem for path in (HERE / "operations").glob("*.py"))


class Bug(NamedTuple):
    """One edit of one operation: ``old``, which stands in its source once, becomes ``new``."""

    operation: str
    name: str
    kind: str
    old: str
    new: str
    also: tuple[str, ...] = ()  # kinds that are as good a name for it

    @property
    def kinds(self) -> tuple[str, ...]:
        return (self.kind, *self.also)

    def __str__(self) -> str:
        return f"{self.operation}: {self.name}"


def bugs() -> list[Bug]:
    """All bugs of ``bugs.toml``, in its order."""
    table = tomllib.loads((HERE / "bugs.toml").read_text(encoding="utf-8"))
    return [
        Bug(operation, **{**entry, "also": tuple(entry.get("also", ()))})
        for operation, entries in table.items()
        for entry in entries
    ]


def source(operation: str) -> str:
    return (HERE / "operations" / f"{operation}.py").read_text(encoding="utf-8")


def style(operation: str) -> str:
    return re.search(r'^STYLE = "(.*)"$', source(operation), re.MULTILINE)[1]


def planted(bug: Bug) -> str:
    """The operation's source with the bug in it.

    Raises:
        ValueError: the snippet does not stand there exactly once.
    """
    text = source(bug.operation)
    if text.count(bug.old) != 1 or bug.old == bug.new:
        raise ValueError(f"{bug}: the snippet stands {text.count(bug.old)} times in {bug.operation}.py")
    return text.replace(bug.old, bug.new)


def lines(bug: Bug) -> set[int]:
    """The numbers of the lines that the edit changed; around the place where lines went, if it only took lines away."""
    before, after = source(bug.operation).splitlines(), planted(bug).splitlines()
    changed, around = set(), set()
    for tag, _, _, start, stop in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "delete":
            around |= {start, start + 1}
        elif tag != "equal":
            changed |= set(range(start + 1, stop + 1))
    return changed or around


@contextmanager
def imported(operation: str, text: str) -> Iterator[ModuleType]:
    """The module of this source, from a real file that is there as long as the ``with`` block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{operation}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"planted_{operation}_{Path(folder).name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
            yield module
        finally:
            del sys.modules[spec.name]
            linecache.checkcache(str(path))


# --- an independent judge: central differences along every element ----------------------------------------------------


def error(module: ModuleType, inputs: dict, seed: int = 0, step: float = 1e-6) -> float:
    """The largest error of a gradient, relative to that gradient's largest element; infinite if something else is wrong."""
    rng = np.random.default_rng((seed, 1))
    names = [name for name, value in inputs.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    before = {name: np.copy(value) for name, value in inputs.items()}
    y, cache = module.forward(**inputs)
    dy = rng.normal(size=np.shape(y)) if np.shape(y) else np.float64(1.7)
    dy_before = np.copy(dy)
    try:
        grads, again = (_copied(module.backward(dy, cache)) for _ in range(2))
    except Exception:
        return np.inf
    if len(grads) != len(names) or any(np.shape(g) != inputs[n].shape for g, n in zip(grads, names, strict=True)):
        return np.inf
    if any(np.asarray(g).dtype != np.float64 for g in grads) or not np.array_equal(dy, dy_before):
        return np.inf
    if any(not np.array_equal(before[name], inputs[name]) for name in inputs):
        return np.inf
    if not np.array_equal(y, module.forward(**inputs)[0]):
        return np.inf
    if not all(np.array_equal(first, second) for first, second in zip(grads, again, strict=True)):
        return np.inf
    worst = 0.0
    for name, grad in zip(names, grads, strict=True):
        slopes = np.zeros(grad.shape)
        for place in np.ndindex(grad.shape):
            ends = []
            for h in (step, -step):
                moved = {key: np.copy(value) if key in names else value for key, value in inputs.items()}
                moved[name][place] += h
                ends.append(np.sum(dy_before * module.forward(**moved)[0]))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        size = max(np.abs(slopes).max(initial=0), np.abs(grad).max(initial=0), 1e-12)
        worst = max(worst, np.abs(slopes - grad).max(initial=0) / size)
    return float(worst)


def _copied(grads) -> list[np.ndarray]:
    return [np.array(grad) for grad in (grads if isinstance(grads, tuple | list) else (grads,))]
