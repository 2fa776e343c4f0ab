"""What this GPU can do at most, and what a launch costs. All is measured in the run that it is compared with."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import cupy
import numpy as np

from scratchlv.bench.gpu import Row
from scratchlv.bench.gpu.timing import BLOCK, keep_busy, on_the_device, processors, timing, wait_for_all
from scratchlv.cuda import load
from scratchlv.kernels.matmul import cublas
from scratchlv.kernels.matmul.cuda import Bf16Matrix

LARGE = 1 << 30  # bytes, far more than the second-level cache
SIZES = (8192, 4096)  # of square matrices
LAUNCHES = 200  # fewer than a stream can queue
GRID_SYNCS = 2000
TURNS = 20


def bandwidths(seconds: float) -> Row:
    """GB/s; bytes read and bytes written count once each, and the fastest run counts: a ceiling was reached at least once."""
    x, y = (cupy.zeros(LARGE // 4, np.float32) for _ in range(2))
    n, module = np.int64(LARGE // 16), load("ceilings.cu")
    grids = [(k * processors(),) for k in (2, 4, 8, 16, 32)] + [(math.ceil(LARGE / 16 / BLOCK),)]

    def best(name: str, moved: int, *arrays: Any) -> float:
        calls = [partial(module[name], grid, (BLOCK,), *arrays, n) for grid in grids]
        times = [on_the_device(call, seconds / 5, cold=False) for call in calls]
        return moved / min(t.p20 for t in times) / 1e3

    sums = cupy.zeros(max(grids)[0] * BLOCK, np.float32)
    return {
        "copy_gbs": best("copy", 2 * LARGE, x, y),
        "update_gbs": best("update", 2 * LARGE, x),
        "read_gbs": best("read_through", LARGE, x, sums),
    }


def products(seconds: float) -> Row:
    """GFLOP/s of cuBLAS on random numbers."""
    found = {}
    for n in SIZES:
        rng = np.random.default_rng(n)
        a, b = (cupy.asarray(rng.standard_normal((n, n), np.float32)) for _ in range(2))
        out = cupy.empty((n, n), np.float32)
        for name, operands in (("float32", (a, b)), ("tf32", (a, b)), ("bf16", (_bf16(a), _bf16(b)))):
            how = {"transpose_a": False, "transpose_b": False, "accumulate": False, "tf32": name == "tf32"}
            took = on_the_device(partial(cublas.multiply, *operands, out, **how), seconds, cold=False)
            found[f"{name}_{n}_gflops"] = 2 * n**3 / took.p20 / 1e3
    for name in ("float32", "tf32", "bf16"):
        found[f"{name}_gflops"] = max(found[f"{name}_{n}_gflops"] for n in SIZES)
    return found


def _bf16(matrix: Any) -> Any:
    return Bf16Matrix(matrix).rounded


def launches(seconds: float) -> Row:
    """Microseconds a launch of a kernel that does nothing: on the device, as called, and of the host's time.

    Of the host's time ``without_checks`` is what CuPy takes by itself.
    """
    x, module = cupy.zeros(1, np.float32), load("ceilings.cu")
    nothing, engine = module["nothing"], module.engine(on_gpu=True)

    def checked() -> None:
        nothing((1,), (32,), x)

    def unchecked() -> None:
        engine.launch("nothing", (1, 1, 1), (32, 1, 1), (x,), 0, False)

    def host(launch: Any) -> float:
        times = []
        for _ in range(TURNS):
            wait_for_all()
            began = time.perf_counter()
            for _ in range(LAUNCHES):
                launch()
            times.append(1e6 * (time.perf_counter() - began) / LAUNCHES)
        return timing(times).median

    def whole() -> float:
        times = []
        for _ in range(TURNS):
            wait_for_all()
            began = time.perf_counter()
            for _ in range(LAUNCHES):
                checked()
            wait_for_all()
            times.append(1e6 * (time.perf_counter() - began) / LAUNCHES)
        return timing(times).median

    def device() -> float:
        times = []
        for _ in range(TURNS):
            wait_for_all()
            keep_busy(4e-3)
            before, after = cupy.cuda.Event(), cupy.cuda.Event()
            before.record()
            for _ in range(LAUNCHES):
                checked()
            after.record()
            wait_for_all()
            times.append(1e3 * cupy.cuda.get_elapsed_time(before, after) / LAUNCHES)
        return timing(times).median

    checked()
    return {
        "launch_on_device_us": device(),
        "launch_as_called_us": whole(),
        "launch_host_us": host(checked),
        "launch_host_without_checks_us": host(unchecked),
    }


def grid_syncs(seconds: float) -> Row:
    """Microseconds of a grid.sync(), with a block on each processor and with as many as it holds."""
    module = load("ceilings.cu")
    engine: Any = module.engine(on_gpu=True)
    most = engine.blocks_at_once("meet", (BLOCK,))

    def took(blocks: int, threads: int, times: int) -> float:
        arrived, mistakes = cupy.zeros((2, blocks), np.int32), cupy.zeros(blocks, np.int32)

        def call() -> None:
            module["meet"]((blocks,), (threads,), arrived, mistakes, np.int32(times), cooperative=True)

        found = on_the_device(call, seconds / 5, cold=False).median
        if int(mistakes.sum()):
            raise RuntimeError("blocks that met had not all come")
        return found

    def each(blocks: int, threads: int) -> float:
        return (took(blocks, threads, GRID_SYNCS) - took(blocks, threads, 0)) / GRID_SYNCS

    return {"grid_sync_us": each(processors(), BLOCK), "grid_sync_most_blocks_us": each(most, BLOCK)}


MEASURES = {"bandwidths": bandwidths, "products": products, "launches": launches, "grid_syncs": grid_syncs}
