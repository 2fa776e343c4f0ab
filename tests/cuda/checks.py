"""What the checks of the CUDA kernels share: the rooms that have some, and what they are run on."""

import numpy as np

from scratchlv import ops
from scratchlv.cuda import load
from scratchlv.cuda.on_cpu import LaunchError, why_not
from scratchlv.cuda.versions import use_version
from scratchlv.gradcheck import compare

ROOMS = [name for name in ops.OPERATIONS if "cuda" in getattr(ops, name).room.VARIANTS]
WITH_GRADIENT = [name for name in ROOMS if hasattr(getattr(ops, name).variant("reference"), "forward")]
WHY_NOT = why_not()


def versions(name):
    return getattr(getattr(ops, name).variant("cuda"), "VERSIONS", {1: ""})


def module(name):
    """The CUDA C file of a room."""
    return load(f"{name}.cu")


def cases(name):
    """The room's cases, and some that are to find what tame numbers hide."""
    room = getattr(ops, name).room
    found = room.cases(np.random.default_rng(0))
    hard = room.hard_cases(np.random.default_rng(1)) if hasattr(room, "hard_cases") else {}
    return found | _hard(next(iter(found.values()))) | hard


def _hard(inputs):
    """The first array of numbers, spread wide, with many ties, and of size 1e4."""
    key = next(k for k, v in inputs.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f")
    x = inputs[key]
    return {
        "spread by 200": inputs | {key: 200 * x},
        "ties": inputs | {key: np.round(x)},
        "plus and minus 1e4": inputs | {key: 1e4 * np.sign(x)},
    }


def problem(name, number, inputs):
    """What is wrong with version ``number`` on these inputs, or None."""
    operation = getattr(ops, name)
    try:
        with use_version(number), np.errstate(all="ignore"):
            report = compare(operation.variant("cuda"), operation.variant("reference"), inputs, draws=4)
    except LaunchError as error:
        return str(error)
    return None if report.ok and not report.not_checked else str(report)
