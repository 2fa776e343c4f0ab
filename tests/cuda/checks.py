"""What the checks of the CUDA kernels share: the rooms that have some, and what they are run on."""

import itertools

import numpy as np

from scratchlv import ops
from scratchlv.cuda import load
from scratchlv.cuda.emulator import LaunchError, why_not
from scratchlv.cuda.precision import use_precision
from scratchlv.cuda.versions import use_version
from scratchlv.device import to_host
from scratchlv.gradcheck import compare, compare_step
from scratchlv.gradcheck.trees import as_float32

ROOMS = [name for name in ops.OPERATIONS if "cuda" in getattr(ops, name).room.VARIANTS]
WITH_GRADIENT = [name for name in ROOMS if hasattr(getattr(ops, name).variant("reference"), "forward")]
WHY_NOT = why_not()
SEED = 0  # of output gradients
#: Sized for the CPU's blocks, they take seconds where a CPU plays a GPU, whose tiles the hard cases fill too: the last version
#: alone is run on them.
MANY_BLOCKS = {
    "conv2d": (
        "larger than a block",
        "larger than a block, stride 2",
        "relu, pool, larger than a block, exact",
    ),
    "attention_lstm": ("larger than a block",),
}
NOT_SERVED = {"gru": ("reset before", "reset before, lengths")}  #: as the CUDA variant says


def versions(name):
    return getattr(getattr(ops, name).variant("cuda"), "VERSIONS", {1: ""})


def module(name):
    """The CUDA C file of a room."""
    return load(f"{name}.cu")


def cases(name):
    """The room's cases but MANY_BLOCKS and NOT_SERVED, and some that are to find what tame numbers hide."""
    room = getattr(ops, name).room
    found = room.cases(np.random.default_rng(0))
    left_out = MANY_BLOCKS.get(name, ()) + NOT_SERVED.get(name, ())
    found = {case: inputs for case, inputs in found.items() if case not in left_out}
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
        returned = self.variant.step(**there)
        for name, value in inputs.items():
            if isinstance(value, np.ndarray):
                value[...] = to_host(there[name])
        return to_host(returned)


def to_gpu(value):
    """Arrays, in whatever they are, as CuPy's; numbers, also as arrays without axes, stay on the host."""
    import cupy

    if isinstance(value, dict):
        return {key: to_gpu(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(to_gpu(item) for item in value)
    return cupy.asarray(value) if isinstance(value, np.ndarray) and value.ndim else value


def given(name, backend="cpu"):
    """The CUDA variant of a room, which takes NumPy arrays whatever runs it."""
    variant = getattr(ops, name).variant("cuda")
    return OnGpu(variant) if backend == "cuda" else variant


def problem(name, number, inputs, backend="cpu"):
    """What is wrong with version ``number`` on these inputs, or None."""
    reference = getattr(ops, name).variant("reference")
    try:
        with use_version(number), np.errstate(all="ignore"):
            if name in WITH_GRADIENT:
                report = compare(given(name, backend), reference, inputs, seed=SEED)
            else:
                report = compare_step(given(name, backend), reference, inputs)
    except LaunchError as error:
        return str(error)
    return None if report.ok and not report.not_checked else str(report)


def bits(name, number, inputs, backend="cpu"):
    """All bits of the outputs of version ``number``, and of the gradients for an output gradient; or how a launch failed."""
    rng, module = np.random.default_rng(SEED), given(name, backend)
    try:
        with use_version(number), np.errstate(all="ignore"):
            y, cache = module.forward(**as_float32(inputs))
            outputs = y if isinstance(y, tuple) else (y,)
            dy = tuple(np.asarray(rng.standard_normal(np.shape(part)), np.float32)[()] for part in outputs)
            found = [np.array(part) for part in outputs]  # a gradient may take the place of an input
            found += module.backward(dy if isinstance(y, tuple) else dy[0], cache)
    except LaunchError as error:
        return str(error)
    return [None if part is None else np.asarray(part).tobytes() for part in found]


def run_everything(name):
    """Every version of a room on its cases, also in TF32 and bfloat16 where it has them: whether it fails, no more."""
    if name not in WITH_GRADIENT:
        for number, inputs in itertools.product(versions(name), cases(name).values()):
            with use_version(number):
                getattr(ops, name).variant("cuda").step(**as_float32(inputs))
        return
    rows = [(number, "float32") for number in versions(name)]
    rows += [(None, precision) for precision in ("tf32", "bf16") if name in ("matmul", "lstm", "gru", "rnn")]
    for number, precision in rows:
        for case, inputs in cases(name).items():
            if precision != "float32" and sum(map(np.size, inputs.values())) > 3000:
                continue  # the twins of tensor cores take a minute for those, and read as they do for these
            with use_precision(precision):
                found = bits(name, number, inputs)
            assert not isinstance(found, str), (name, number, precision, case, found)
