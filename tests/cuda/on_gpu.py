"""Every version of every kernel, on a GPU: ``python tests/cuda/on_gpu.py [--only ROOM…] [--no-pool]``.

Each is compared with the float64 reference on the cases of its room, by the rule that the checks on the CPU go by, and run twice:
the same bits must come. Under compute-sanitizer (memcheck, racecheck) give ``--no-pool``: then every array is an allocation of
its own, and what is read or written past its end is seen. No shape is large.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from checks import ROOMS, WITH_GRADIENT, OnGpu, cases, problem, to_gpu, versions  # noqa: E402

from scratchlv import decode, ops  # noqa: E402
from scratchlv.cuda import decoding, load  # noqa: E402
from scratchlv.cuda.availability import what_is_wrong  # noqa: E402
from scratchlv.cuda.precision import use_precision  # noqa: E402
from scratchlv.cuda.versions import use_version  # noqa: E402
from scratchlv.device import to_host  # noqa: E402
from scratchlv.gradcheck.trees import as_float32  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="ROOM")
    parser.add_argument("--no-pool", action="store_true", help="no memory pool: for compute-sanitizer")
    a = parser.parse_args()
    why_not = what_is_wrong()
    if why_not is not None:
        sys.exit(f"there is no GPU to run on: {why_not}")
    if a.no_pool:
        import cupy

        cupy.cuda.set_allocator(None)
    sys.exit(1 if check(a.only) else 0)


def check(only: list[str]) -> int:
    """How many are wrong; each is told."""
    wrong = 0
    for name in ROOMS:
        if only and name not in only:
            continue
        found = [line for number in numbers(name) for line in problems(name, number)]
        print(
            f"{name}: {len(list(numbers(name)))} versions, {len(cases_of(name))} cases: {'WRONG' if found else 'right'}"
        )
        for line in found:
            print(f"  {line}", flush=True)
        wrong += len(found)
    if not only:
        wrong += sum(not_right(what, *pair) for what, pair in others().items())
    print(f"{wrong} wrong" if wrong else "all right", flush=True)
    return wrong


def numbers(name: str) -> list[int]:
    """The versions; of the matrix product also cuBLAS."""
    return [*versions(name), *([ops.matmul.variant("cuda").CUBLAS] if name == "matmul" else [])]


def cases_of(name: str) -> dict[str, dict]:
    room = getattr(ops, name).room
    return cases(name) if name in WITH_GRADIENT else room.cases(np.random.default_rng(0))


def problems(name: str, number: int) -> list[str]:
    found = []
    for case, inputs in cases_of(name).items():
        what = problem(name, number, inputs, "cuda")
        if not what and name in WITH_GRADIENT:
            what = another_time(name, number, inputs)
        if what:
            found.append(f"version {number}, {case}: {what}")
    return found


def another_time(name: str, number: int, inputs: dict) -> str | None:
    """A second run with other bits is a race."""
    variant, rounded = OnGpu(getattr(ops, name).variant("cuda")), as_float32(inputs)

    def run() -> list[bytes]:
        y, cache = variant.forward(**rounded)
        rng = np.random.default_rng(3)

        def gradient(part):
            return rng.standard_normal(np.shape(part)).astype(np.float32)

        dy = tuple(map(gradient, y)) if isinstance(y, tuple) else gradient(y) if np.ndim(y) else 1.0
        grads = variant.backward(dy, cache)
        outputs = y if isinstance(y, tuple) else (y,)
        return [np.asarray(a).tobytes() for a in (*outputs, *grads) if a is not None]

    with use_version(number):
        return None if run() == run() else "a second run has other bits"


def others() -> dict[str, tuple]:
    """What no room checks: rounded products, and the kernels of the ceilings; found and expected."""
    from scratchlv.kernels.matmul.cuda import gemm

    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((37, 1021), np.float32), rng.standard_normal((1021, 65), np.float32)
    given, given_b = to_gpu(x), to_gpu(b)
    wide = x.astype(np.float64)
    found = {}
    for precision, most in (("float32", 5e-6), ("tf32", 1e-3), ("bf16", 1e-2)):
        for number in range(1, ops.matmul.variant("cuda").CUBLAS + 1):
            with use_precision(precision), use_version(number):
                found[f"product in {precision}, version {number}"] = gemm(given, given_b), wide @ b, most
    said, mistakes = to_gpu(np.zeros((2, 8), np.int32)), to_gpu(np.full(8, -1, np.int32))
    load("ceilings.cu")["meet"]((8,), (256,), said, mistakes, np.int32(9), cooperative=True)
    y, sums, n = to_gpu(np.zeros(4096, np.float32)), to_gpu(np.zeros(512, np.float32)), np.int64(1024)
    ones = to_gpu(np.ones(4096, np.float32))
    load("ceilings.cu")["copy"]((2,), (256,), ones, y, n)
    load("ceilings.cu")["update"]((2,), (256,), y, n)
    load("ceilings.cu")["read_through"]((2,), (256,), ones, sums, n)
    return (
        found
        | said_there()
        | {
            "meet": (mistakes, np.zeros(8), 0),
            "copy and update": (y, np.full(4096, 2.0), 0),
            "read": (sums, np.full(512, 8.0), 0),
        }
    )


def said_there() -> dict[str, tuple]:
    """The words that decoding chooses on the GPU, and on the host."""
    rng, never = np.random.default_rng(0), [0, 1, 3]
    z = np.log(rng.dirichlet(np.full(10_007, 0.1), 6)).astype(np.float32).clip(-90)
    there, bits = to_gpu(z), decoding.never(never, z.shape[1], to_gpu(z))
    how = {"temperature": 1.5, "top_k": 900, "top_p": 0.9}
    here, draws = decode._Sampler(seed=3, **how), np.array([np.random.default_rng([3, n]).random() for n in range(6)])
    beam = decoding.Beam([9, 9], 3, 1.0, there)
    beam.scores[...] = to_gpu(np.tile(-np.arange(3.0), (2, 1)))
    offered, _ = decode._largest(decode._allowed(z, never, 0), 3)
    scores = -np.arange(3.0)[:, None] + offered.reshape(2, 3, 3)
    best = np.sort(scores.reshape(2, 9), axis=1)[:, ::-1][:, :3]
    step = beam.step(there, decoding.May(bits))
    return {
        "the most likely word": (decoding.most_likely(there, decoding.May(bits))[0], decode._argmax(z, never, 0), 0),
        "a word that is drawn": (decoding.draw(there, bits, to_gpu(draws), **how)[0], here(z, never, 0), 0),
        "hypotheses, by their last log p": (step.log_probs, best + to_host(step.parents), 1e-6),
    }


def not_right(what: str, found, expected, most: float) -> bool:
    expected = np.asarray(expected)
    apart = np.abs(to_host(found) - expected).max() / max(np.abs(expected).max(), 1e-30)
    right = bool(apart <= most)
    print(f"{what}: {'right' if right else f'WRONG by {apart:.1e} of the largest number'}", flush=True)
    return not right


if __name__ == "__main__":
    main()
