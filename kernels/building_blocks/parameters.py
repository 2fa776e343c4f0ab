"""The sizes that kernels are cut by, all in one place: how each follows from the processor's caches and vectors.

A room asks for its own (``BLOCK = value("adam.block")``) when it is loaded. None of them changes a bit of a
result: what does, such as the length of the segments of a sum, is a constant of its room. What cannot be derived is
measured once by ``scratchlv tune``, which keeps what it finds for this processor; ``SCRATCHLV_PARAMETERS`` overrides both,
for experiments: ``SCRATCHLV_PARAMETERS="conv2d.band=131072 adam.block=2048"``. ``scratchlv doctor`` prints them all.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scratchlv.cache import cache_folder
from scratchlv.errors import UserError
from scratchlv.kernels.building_blocks import processor
from scratchlv.kernels.building_blocks.processor import WIDTH, Caches, caches

VARIABLE = "SCRATCHLV_PARAMETERS"
_MOST = 1 << 40


class Parameter(NamedTuple):
    name: str  #: of its room and its own: "adam.block"
    meaning: str
    derive: Callable[[Caches], int]
    tried: tuple[int, ...] = ()  #: what ``scratchlv tune`` measures; none: the derivation is good enough
    step: int = 1  #: it must be a multiple of this

    def derived(self, caches: Caches) -> int:
        """As the processor's caches have it."""
        return max(self.derive(caches) // self.step, 1) * self.step

    def problem(self, number: int) -> str | None:
        """Why it cannot be this number, or None."""
        if number < self.step:
            return f"it must be {self.step} or more"
        if number > _MOST:
            return f"it must be {_MOST} or less"
        return None if number % self.step == 0 else f"it must be a multiple of {self.step}"


class Choice(NamedTuple):
    value: int
    source: str  #: "derived", "tuned", or the variable that says so


def _own(caches: Caches) -> int:
    """Bytes of the second-level cache that a core's blocks are made for; of 2 MiB half, as larger ones were not found to gain."""
    return min(caches.second, 1 << 20)


def _segments_in_second(caches: Caches) -> float:
    """Rows of 640 floats, a segment of a product, that would fill the second-level cache."""
    return caches.second / (4 * 640)


PARAMETERS: dict[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter(
            "threads.worth_waking",
            "numbers of a sweep for which other threads are woken",
            lambda caches: 3 << 17,  # waking is the system's, and no cache says what it costs
            tried=(1 << 15, 1 << 17, 1 << 19, 1 << 20),
        ),
        Parameter(
            "memory.larger_than_caches",
            "bytes from which an array is written past the caches",
            lambda caches: caches.last // 2,  # the other half is for what is read meanwhile
            tried=(1 << 22, 1 << 23, 1 << 24, 1 << 25, 1 << 26),
        ),
        Parameter(
            "adam.block",
            "parameters that a thread updates at a time",
            lambda caches: _own(caches) // 256,
            step=16,
        ),
        Parameter(
            "rmsprop.block",
            "parameters that a thread updates at a time",
            lambda caches: _own(caches) // 256,
            step=16,
        ),
        Parameter(
            "sgd.block",
            "parameters that a thread updates at a time",
            lambda caches: _own(caches) // 128,
            step=16,
        ),
        Parameter(
            "dropout.block",
            "numbers that a thread takes at a time",
            lambda caches: _own(caches) // 128,
            step=16,
        ),
        Parameter(
            "softmax_cross_entropy.prefetch_distance",
            "floats of a row that is asked for before it is read",
            lambda caches: 256,
            tried=(128, 256, 512, 1024),
            step=16,
        ),
        Parameter(
            "embedding.prefetch_rows",
            "rows from one that is read to the one that is asked for",
            lambda caches: 4,
            tried=(1, 2, 4, 8),
        ),
        Parameter(
            "max_pool2d.prefetch_distance",
            "floats from those that are pooled to those that are asked for",
            lambda caches: 512,
            tried=(256, 512, 1024, 2048),
            step=16,
        ),
        Parameter(
            "conv2d.band",
            "bytes of the rows of y that a thread sums before it writes them: a part of the second-level cache",
            lambda caches: _own(caches) // 4,
        ),
        Parameter(
            "conv2d.shared_weights",
            "bytes of weights beyond which threads divide them, and not the rows of y: the second-level cache",
            _own,
        ),
        Parameter(
            "conv2d.winograd_block",
            "bytes of transformed tiles that a thread takes through all steps: half of the second-level cache",
            lambda caches: _own(caches) // 2,
        ),
        Parameter(
            "conv2d.winograd_chunk",
            "bytes of tiles that all threads transform together: a part of the last cache",
            lambda caches: caches.last // 8,
        ),
        Parameter(
            "conv2d.winograd_weights",
            "bytes of transformed weights up to which each thread reads them for every block of its own",
            lambda caches: caches.last * 5 // 16,
        ),
        Parameter(
            "additive_attention.groups_ahead",
            "groups of four regions that are prefetched while one is read",
            lambda caches: 1,
            tried=(1, 2, 4),
        ),
        Parameter(
            "attention_lstm.at_once",
            "bytes of pictures that a thread takes through all steps together: a part of the last cache",
            lambda caches: caches.last // 4,
            tried=(1 << 22, 1 << 23, 1 << 24, 1 << 25),
        ),
        Parameter(
            "matmul.read_ahead",
            "bytes that a product of few rows asks for a weight ahead of where it reads",
            lambda caches: 2048,
            tried=(512, 1024, 2048, 4096),
            step=64,
        ),
        Parameter(
            "matmul.terms_ahead",
            "terms of the inner sum by which a tile asks for a panel of B, which lies in the second-level cache",
            lambda caches: 8,
            tried=(2, 4, 8, 12, 16),
        ),
        Parameter(
            "matmul.item_columns",
            "columns of B that a thread packs and multiplies at once: half of the second-level cache, as A passes by as well",
            lambda caches: int(_segments_in_second(caches) / 2),
            step=64,
        ),
        Parameter(
            "matmul.item_rows",
            "rows of A that a thread packs and multiplies at once: most of the second-level cache",
            lambda caches: int(_segments_in_second(caches) * 7 / 8),
            step=12,
        ),
        Parameter(
            "matmul.one_copy_from",
            "threads from which what all need of an operand is packed once, and not by each for itself",
            lambda caches: 4,
            tried=(2, 4),
        ),
        Parameter(
            "matmul.prefetch_rows",
            "rows of an operand by which they are asked for before they are packed",
            lambda caches: 6,
            tried=(2, 4, 6, 8, 12, 16),
        ),
        Parameter(
            "matmul.prefetch_floats",
            "the same where they are packed across: numbers of each row",
            lambda caches: 64,
            tried=(16, 32, 64, 128),
        ),
        Parameter(
            "matmul.worth_threads",
            "multiply-adds of a product for which other threads are woken",
            lambda caches: 50_000,
            tried=(25_000, 50_000, 100_000, 200_000, 400_000),
        ),
    )
}


def value(name: str) -> int:
    """A parameter, as kernels are compiled with it in this process."""
    return choices()[name].value


@functools.cache
def choices() -> dict[str, Choice]:
    """Every parameter's value, and where it comes from. A file of tuned ones that cannot be used is warned of.

    Raises:
        UserError: ``SCRATCHLV_PARAMETERS`` names what is none, or gives it a value that it cannot have.
    """
    found = {name: Choice(parameter.derived(caches()), "derived") for name, parameter in PARAMETERS.items()}
    numbers, problem = tuned()
    if problem:
        warnings.warn(problem, stacklevel=2)
    found |= {name: Choice(number, "tuned") for name, number in numbers.items()}
    return found | {name: Choice(number, VARIABLE) for name, number in overridden().items()}


def overridden() -> dict[str, int]:
    """What ``SCRATCHLV_PARAMETERS`` says.

    Raises:
        UserError: it names what is no parameter, gives one a value that it cannot have, or names one twice.
    """
    found: dict[str, int] = {}
    for each in re.split(r"[\s,]+", os.environ.get(VARIABLE, "").strip()):
        if not each:
            continue
        name, _, text = each.partition("=")
        if name not in PARAMETERS:
            raise UserError(f"{VARIABLE}: there is no parameter {name[:60]!r}; `scratchlv doctor` lists them")
        if name in found:
            raise UserError(f"{VARIABLE}: {name} is given twice; give it once")
        if not (text.isascii() and text.isdecimal()):
            raise UserError(
                f"{VARIABLE}: {each:.80}: give a whole number, as {name}={PARAMETERS[name].derived(caches())}"
            )
        problem = PARAMETERS[name].problem(int(text[:20]))
        if problem:
            raise UserError(f"{VARIABLE}: {each:.80}: {problem}")
        found[name] = int(text)
    return found


# --- what `scratchlv tune` found ---------------------------------------------------------------------------------------


def tuned_file() -> Path:
    """Where it is kept for this processor, with the vectors that are used."""
    return cache_folder() / "tuned" / f"{re.sub(r'[^A-Za-z0-9]+', '-', processor.name()).strip('-')}-{WIDTH}.json"


def measured_here() -> dict[str, Any]:
    """What a file of tuned parameters must agree with, to be of use."""
    try:
        version = importlib.metadata.version("scratchlv")
    except importlib.metadata.PackageNotFoundError:  # sources that were not installed
        version = "of a checkout"
    return {"scratchlv": version, "processor": processor.name(), "caches": list(caches()), "vectors": WIDTH}


def tuned() -> tuple[dict[str, int], str | None]:
    """What was measured on this processor; and in a sentence why nothing of it can be used, or None."""
    file, remedy = tuned_file(), "it is not used; `scratchlv tune` measures anew, `scratchlv tune --forget` deletes it"
    try:
        kept = json.loads(file.read_text("utf-8"))
        numbers, here = kept["values"], {name: kept[name] for name in measured_here()}
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError, KeyError, TypeError):
        return {}, f"{file}, of tuned parameters, cannot be read or is damaged: {remedy}"
    if here != measured_here():
        return {}, f"{file}, of tuned parameters, is of another processor or version of scratchlv: {remedy}"
    if not (isinstance(numbers, dict) and all(_can_be(name, number) for name, number in numbers.items())):
        return {}, f"{file}, of tuned parameters, names what is none, or gives a value that it cannot have: {remedy}"
    return numbers, None


def _can_be(name: str, number: object) -> bool:
    return name in PARAMETERS and type(number) is int and PARAMETERS[name].problem(number) is None
