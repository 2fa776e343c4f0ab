"""Every version of the CUDA kernels of a room: first whether it is right, then how long it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cupy
import numpy as np

from scratchlv import ops
from scratchlv.bench.gpu import Row
from scratchlv.bench.gpu.timing import as_called, on_the_device, timing
from scratchlv.bench.text import brief, rounded
from scratchlv.bench.workloads import ROOMS, Cost, Workload
from scratchlv.cuda.precision import use_precision
from scratchlv.cuda.versions import use_version
from scratchlv.gradcheck.compare import step_results
from scratchlv.gradcheck.trees import map_leaves

GOAL_SHARE = 0.7  # of the bandwidth ceiling, for operations that only move memory
TOLERANCE = {"float32": 1e-4, "tf32": 1e-2}  # of a result's largest number, against the reference in float64
MOVE_MEMORY = (  # what must reach a share of the bandwidth ceiling
    "adam", "rmsprop", "sgd", "embedding", "softmax_cross_entropy", "max_pool2d", "avg_pool2d", "additive_attention",
    "dot_product_attention",
)  # fmt: skip
Arrays = dict[str, Any]


class Version(NamedTuple):
    """What is timed: a version of the room's kernels, in a precision."""

    number: int
    words: str
    precision: str = "float32"


def measure(name: str, ceilings: Row, seconds: float, number: int | None = None) -> list[Row]:
    """A row for each version, or those of one ``number``, and pass. A version that is wrong gets one that says by how much.

    Raises:
        Wrong: at the end, if a version is; ``rows`` of the exception are those that were timed.
    """
    workload = make(name)
    expected = {key: cupy.asarray(value.astype(np.float32)) for key, value in reference(name, workload).items()}
    given = map_leaves(lambda v: cupy.asarray(v) if isinstance(v, np.ndarray) else v, workload.inputs)
    rows, wrong = [], []
    for version in versions(name):
        if number not in (None, version.number):
            continue
        with only(name, version.number), use_precision(version.precision):
            calls, results = prepare(name, given)
            apart, where = worst_difference(results(), expected)
            row: Row = {"room": name, "version": version.number, "words": version.words}
            row |= {"precision": version.precision, "error": apart}
            if not apart <= TOLERANCE[version.precision]:
                wrong.append(f"{name}, version {version.number}: {where} is wrong by {apart:.1e} of its largest number")
                rows.append({**row, "wrong": wrong[-1]})
                continue
            for part, cost in workload.costs.items():
                rows.append(row | {"pass": part, **figures(name, calls[part], cost, ceilings, version, seconds)})
    if wrong:
        raise Wrong(rows, "; ".join(wrong))
    return rows


class Wrong(Exception):
    """Some versions were not timed."""

    def __init__(self, rows: list[Row], words: str) -> None:
        super().__init__(words)
        self.rows = rows


def make(name: str) -> Workload:
    """The workload of a room, larger than the caches of a GPU."""
    room, rng = ROOMS[name], np.random.default_rng(0)
    return room.on_gpu(rng) if room.on_gpu is not None else room.make(rng, room.sizes[-1])


def versions(name: str) -> list[Version]:
    module = getattr(ops, name).variant("cuda")
    found = [Version(number, words) for number, words in module.VERSIONS.items()]
    if name == "matmul":
        found.append(Version(module.CUBLAS, "cuBLAS"))
        found += [Version(module.TENSOR_CORES, "tensor cores", "tf32"), Version(module.CUBLAS, "cuBLAS", "tf32")]
    return found


@contextlib.contextmanager
def only(name: str, number: int) -> Iterator[None]:
    """This room runs its version ``number``, with those of other rooms that it is made of; but products are cuBLAS's."""
    matmul: Any = ops.matmul.variant("cuda")
    last = max(getattr(ops, name).variant("cuda").VERSIONS)
    if name == "matmul":
        with use_version(number):
            yield
        return
    before, matmul.version = matmul.version, max
    try:
        with use_version(None if number == last else number):
            yield
    finally:
        matmul.version = before


def reference(name: str, workload: Workload) -> dict[str, np.ndarray]:
    """Results and gradients of the reference in float64, on the host."""
    module = getattr(ops, name).variant("reference")
    inputs = map_leaves(_as_float64, workload.inputs)
    if not hasattr(module, "forward"):
        return step_results(module, module, inputs)
    y, cache = module.forward(**inputs)
    return {key: np.asarray(value) for key, value in named(y, module.backward(output_gradient(y), cache)).items()}


def _as_float64(value: Any) -> Any:
    is_float = isinstance(value, np.ndarray) and value.dtype == np.float32
    return value.astype(np.float64) if is_float else value


def output_gradient(y: Any) -> Any:
    """Random numbers like ``y``; the gradient of a loss is 1. The same on host and GPU."""
    rng = np.random.default_rng(1)
    if isinstance(y, tuple):
        return tuple(rng.standard_normal(part.shape, np.float32) for part in y)
    return rng.standard_normal(y.shape, np.float32) if getattr(y, "shape", ()) else 1.0


def named(y: Any, grads: Any) -> Arrays:
    outputs = y if isinstance(y, tuple) else (y,)
    present = [grad for grad in grads if grad is not None]
    found = {f"output {i}": value for i, value in enumerate(outputs)}
    return found | {f"gradient {i}": grad for i, grad in enumerate(present)}


def prepare(name: str, given: Arrays) -> tuple[dict[str, Callable[[], Any]], Callable[[], Arrays]]:
    """The calls of each pass, and what gives the results of one."""
    module = getattr(ops, name).variant("cuda")
    if not hasattr(module, "forward"):
        reference = getattr(ops, name).variant("reference")

        def fresh() -> Arrays:
            return {key: value.copy() if key in reference.UPDATED else value for key, value in given.items()}

        own = fresh()

        def results() -> Arrays:
            return {key: cupy.asarray(value) for key, value in step_results(module, reference, fresh()).items()}

        return {"step": lambda: module.step(**own)}, results
    y, cache = module.forward(**given)
    dy = output_gradient(y)
    dy = tuple(map(cupy.asarray, dy)) if isinstance(dy, tuple) else dy if isinstance(dy, float) else cupy.asarray(dy)

    def both() -> Any:
        y, cache = module.forward(**given)
        return y, module.backward(dy, cache)

    calls = {"forward": lambda: module.forward(**given), "backward": lambda: module.backward(dy, cache), "both": both}
    return calls, lambda: named(*both())


def worst_difference(found: Arrays, expected: Arrays) -> tuple[float, str]:
    """Of all results, as a share of the largest number expected there; NaN where there is one, and infinity without a result."""
    worst, where = 0.0, ""
    if found.keys() != expected.keys():
        return np.inf, "the number of results"
    for name, value in expected.items():
        if found[name].shape != value.shape:
            return np.inf, f"the shape of {name}"
        if not value.size:
            continue
        largest = float(abs(value).max())
        apart = float(abs(found[name] - value).max()) / (largest or 1.0)
        if not apart <= worst:
            worst, where = apart, name
        if apart != apart:
            break
    return worst, where


def figures(name: str, call: Callable[[], Any], cost: Cost, ceilings: Row, version: Version, seconds: float) -> Row:
    """Times in microseconds; speed and share are those of the time on the device, the cache being cold."""
    cold = on_the_device(call, seconds)
    warm = on_the_device(call, seconds / 2, cold=False)
    called = timing(as_called(call, seconds / 2))
    least = 1e6 * least_seconds(name, cost, ceilings, version.precision)
    return {
        "us": rounded(cold.median),
        "p20_us": rounded(cold.p20),
        "p80_us": rounded(cold.p80),
        "warm_us": rounded(warm.median),
        "as_called_us": rounded(called.median),
        "gbs": rounded(cost.bytes / cold.median / 1e3),
        "gflops": rounded(cost.operations / cold.median / 1e3),
        "least_us": rounded(least),
        "share": rounded(least / cold.median),
        **({"goal": GOAL_SHARE} if name in MOVE_MEMORY else {}),
    }


def least_seconds(name: str, cost: Cost, ceilings: Row, precision: str) -> float:
    """At the ceilings: operations / min(peak, intensity x bandwidth). One that could not be measured does not count."""
    bandwidth = ceilings.get("update_gbs" if name in ("adam", "rmsprop", "sgd") else "copy_gbs", np.inf)
    return max(cost.operations / ceilings.get(f"{precision}_gflops", np.inf), cost.bytes / bandwidth) / 1e9


HEAD = (
    "room", "version", "pass", "us", "[p20-p80]", "warm", "called", "GB/s", "GFLOP/s", "of ceiling", "error", "what it is"
)  # fmt: skip
LEFT = (0, 1, 2, len(HEAD) - 1)


def line(row: Row) -> tuple[str, ...]:
    version = str(row["version"]) + ("" if row["precision"] == "float32" else f", {row['precision']}")
    if "wrong" in row:
        return row["room"], version, "WRONG", *[""] * 7, f"{row['error']:.0e}", row["words"]
    spread = f"[{brief(row['p20_us'])}-{brief(row['p80_us'])}]"
    goal = "" if "goal" not in row else " met" if row["share"] >= row["goal"] else " MISSED"
    times = brief(row["us"]), spread, brief(row["warm_us"]), brief(row["as_called_us"])
    speeds = brief(row["gbs"]), brief(row["gflops"]), f"{row['share']:.0%}{goal}"
    return row["room"], version, row["pass"], *times, *speeds, f"{row['error']:.0e}", row["words"]
