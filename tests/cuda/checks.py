"""What the checks of the CUDA kernels share: the rooms that have some, and what they are run on."""

import numpy as np

from scratchlv import ops
from scratchlv.cuda import load
from scratchlv.cuda.on_cpu import LaunchError, why_not
from scratchlv.cuda.versions import use_version
from scratchlv.device import to_host
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


class OnGpu:
    """The CUDA variant of a room, to which arrays go through CuPy, and come back: as if it were one on the CPU."""

    def __init__(self, variant):
        self.variant = variant

    def limits(self, **inputs):
        return self.variant.limits(**to_gpu(inputs))

    def forward(self, **inputs):
        y, cache = self.variant.forward(**to_gpu(inputs))
        return to_host(y), cache

    def backward(self, dy, cache):
        return to_host(tuple(self.variant.backward(to_gpu(dy), cache)))

    def step(self, **inputs):
        """In place, as the optimisers do it."""
        there = to_gpu(inputs)
        self.variant.step(**there)
        for name in ("params", "m", "v"):
            if name in inputs:
                inputs[name][...] = to_host(there[name])


def to_gpu(value):
    """Arrays, in whatever they are, as CuPy's; numbers, also as arrays without axes, stay on the host."""
    import cupy

    if isinstance(value, dict):
        return {key: to_gpu(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(to_gpu(item) for item in value)
    return cupy.asarray(value) if isinstance(value, np.ndarray) and value.ndim else value


def problem(name, number, inputs, backend="cpu"):
    """What is wrong with version ``number`` on these inputs, or None."""
    operation = getattr(ops, name)
    variant = operation.variant("cuda")
    try:
        with use_version(number), np.errstate(all="ignore"):
            given = OnGpu(variant) if backend == "cuda" else variant
            report = compare(given, operation.variant("reference"), inputs, draws=4)
    except LaunchError as error:
        return str(error)
    return None if report.ok and not report.not_checked else str(report)
