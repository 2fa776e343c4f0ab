"""The sizes that kernels are cut by, all in one place: how each follows from the processor's caches and vectors.

A room asks for its own (``BLOCK_ROWS = value("matmul.block_rows")``) when it is loaded. None of them changes a bit of a
result: what does, such as the length of the segments of a sum, is a constant of its room. What cannot be derived is
measured once by ``scratchlv tune``, which keeps what it finds for this processor; ``SCRATCHLV_PARAMETERS`` overrides both,
for experiments: ``SCRATCHLV_PARAMETERS="matmul.block_rows=112 adam.block=2048"``. ``scratchlv doctor`` prints them all.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from scratchlv.cache import cache_folder
from scratchlv.errors import UserError
from scratchlv.kernels.building_blocks import processor
from scratchlv.kernels.building_blocks.processor import Caches, caches
from scratchlv.kernels.building_blocks.simd import WIDTH

VARIABLE = "SCRATCHLV_PARAMETERS"


class Parameter(NamedTuple):
    name: str  #: of its room and its own: "matmul.block_rows"
    meaning: str
    derive: Callable[[Caches], int]
    tried: tuple[int, ...] = ()  #: what ``scratchlv tune`` measures; none: the derivation is good enough
    step: int = 1  #: it must be a multiple of this

    def problem(self, number: int) -> str | None:
        """Why it cannot be this number, or None."""
        if number < self.step:
            return f"it must be {self.step} or more"
        return None if number % self.step == 0 else f"it must be a multiple of {self.step}"


class Choice(NamedTuple):
    value: int
    source: str  #: "derived", "tuned", or the variable that says so


def _half_of_second(caches: Caches, step: int) -> int:
    """Rows of 640 floats, a segment of a product, that take half of the second-level cache: a multiple of ``step``."""
    return max(caches.second // 2 // (4 * 640) // step, 1) * step


PARAMETERS: dict[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter(
            "memory.larger_than_caches",
            "bytes from which an array is written past the caches",
            lambda caches: 1 << 24,
        ),
        Parameter(
            "matmul.terms_ahead",
            "terms of the inner sum by which a tile asks for a panel of B, which lies in the second-level cache",
            lambda caches: 8,
            (2, 4, 8, 12, 16),
        ),
        Parameter(
            "matmul.item_columns",
            "columns of B that a thread packs and multiplies at once",
            lambda caches: _half_of_second(caches, 64),
            step=64,
        ),
        Parameter(
            "matmul.item_rows",
            "rows of A that a thread packs and multiplies at once",
            lambda caches: _half_of_second(caches, 12),
            step=12,
        ),
        Parameter(
            "matmul.prefetch_rows",
            "rows of an operand by which they are asked for before they are packed",
            lambda caches: 6,
            (2, 4, 6, 8, 12, 16),
        ),
        Parameter(
            "matmul.prefetch_floats",
            "the same where they are packed across: numbers of each row",
            lambda caches: 64,
            (16, 32, 64, 128),
        ),
        Parameter(
            "matmul.worth_threads",
            "multiply-adds of a product for which other threads are woken",
            lambda caches: 50_000,
            (25_000, 50_000, 100_000, 200_000, 400_000),
        ),
    )
}


def value(name: str) -> int:
    """A parameter, as kernels are compiled with it in this process."""
    return choices()[name].value


@functools.cache
def choices() -> dict[str, Choice]:
    """Every parameter's value, and where it comes from.

    Raises:
        UserError: ``SCRATCHLV_PARAMETERS`` names what is none, or gives it a value that it cannot have.
    """
    found = {name: Choice(parameter.derive(caches()), "derived") for name, parameter in PARAMETERS.items()}
    found |= {name: Choice(number, "tuned") for name, number in tuned().items()}
    return found | {name: Choice(number, VARIABLE) for name, number in overridden().items()}


def overridden() -> dict[str, int]:
    """What ``SCRATCHLV_PARAMETERS`` says.

    Raises:
        UserError: it names what is no parameter, or gives one a value that it cannot have.
    """
    found = {}
    for each in re.split(r"[\s,]+", os.environ.get(VARIABLE, "").strip()):
        if not each:
            continue
        name, _, text = each.partition("=")
        if name not in PARAMETERS:
            raise UserError(f"{VARIABLE}: there is no parameter {name!r}; `scratchlv doctor` lists them")
        if not text.isdecimal():
            raise UserError(f"{VARIABLE}: {name}={text} is no whole number")
        problem = PARAMETERS[name].problem(int(text))
        if problem:
            raise UserError(f"{VARIABLE}: {name}={text}: {problem}")
        found[name] = int(text)
    return found


# --- what `scratchlv tune` found ---------------------------------------------------------------------------------------


def tuned_file() -> Path:
    """Where it is kept for this processor, with the vectors that are used."""
    which = re.sub(r"[^A-Za-z0-9]+", "-", f"{processor.name()}-{caches().told}").strip("-")
    return cache_folder() / "tuned" / f"{which}-{WIDTH}.json"


def tuned() -> dict[str, int]:
    """What was measured on this processor; nothing where nothing was, or where the file is damaged."""
    try:
        kept = json.loads(tuned_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {
        name: number
        for name, number in kept.items()
        if name in PARAMETERS and type(number) is int and PARAMETERS[name].problem(number) is None
    }
