"""How the blocks of a whole-sequence kernel share a recurrent layer: see ``recurrent.cuh``."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda.arrays import as_contiguous, on_gpu, place
from scratchlv.cuda.launch import MOST_SHARED
from scratchlv.cuda.precision import precision

ROWS = 8  # that a block takes through a step at a time; MOST_ROWS in recurrent.cuh
FOUR = 9  # as there
MOST_THREADS = 256  # of a block, as the kernels' __launch_bounds__ say
SYNC_CYCLES = (
    2000  # of one grid.sync(): an estimate, about 1.1 µs on Hopper; benchmarks/gpu.py measures it (grid_sync_us)
)
PASS_CYCLES = 400  # for the barriers of a block and the filling of its pipelines, there and back: an estimate


class Plan(NamedTuple):
    column_blocks: int
    row_blocks: int
    quads: int  # columns of a block, in fours: 8, 16 or 32
    rows: int  # of a block, but the last may have fewer
    threads: int
    lanes: int  # of a warp that share a sum of the backward product: 1, 2 or 4
    tf32: bool  # tensor cores multiply
    forward_bytes: int  # of shared memory
    backward_bytes: int
    cycles: float  # of a step there and back, roughly


def plan(
    N: int,
    H: int,
    processors: int,
    shared_memory: int,
    *,
    gates: int = 4,
    threads: int = MOST_THREADS,
    tf32: bool = False,
) -> Plan | None:
    """The fastest way to share N sequences of H units, each with so many gates (4 or 1), among the processors of a chip.

    None if there is none: a block has ``shared_memory`` bytes, and the weights do not fit into all of them. A pure function.
    """
    plans = [layout(N, H, *share, gates, threads, tf32) for share in _shares(N, H, processors, gates)]
    fitting = [p for p in plans if max(p.forward_bytes, p.backward_bytes) <= shared_memory]
    return min(fitting, key=lambda p: (p.cycles, p.column_blocks * p.row_blocks), default=None)


def _shares(N: int, H: int, processors: int, gates: int) -> Iterator[tuple[int, int]]:
    """Numbers of quads and of rows for which every block has a processor of its own."""
    for quads in (8, 16, 32):
        column_blocks = _blocks(gates * H, 4 * quads)
        for row_blocks in range(1, min(N, processors // column_blocks) + 1):
            yield quads, _blocks(N, row_blocks)


def layout(
    N: int, H: int, quads: int, rows: int, gates: int = 4, threads: int = MOST_THREADS, tf32: bool = False
) -> Plan:
    """Blocks of so many quads and rows, and what they need."""
    units, warps = 4 * quads // gates, threads // 32
    column_blocks, row_blocks = _blocks(H, units), _blocks(N, rows)
    stride = 2 * warps if tf32 else threads // quads
    fours = _blocks(H, 4 * stride) * stride
    weights = 4 * quads * fours  # float4s
    parts = (warps + 1) * ROWS * (quads + 1)
    forward_bytes = 16 * (weights + FOUR * fours + parts) + 4 * rows * units

    unit_fours = column_blocks * units // 4
    lanes = next((n for n in (4, 2) if unit_fours * n <= threads), 1)
    fours_of_pass = threads // (4 if tf32 else lanes)
    weights_back = 4 * quads * _blocks(unit_fours, fours_of_pass) * fours_of_pass
    tile = ROWS * units // 4
    sums = max(1, threads // tile) * tile
    backward_bytes = 16 * (weights_back + FOUR * quads + sums) + 2 * 4 * rows * units

    # A processor takes 128 multiply-adds a cycle, 128 bytes from its shared memory, and about 64 from the second-level cache.
    takes = _blocks(rows, ROWS)
    rows_multiplied = 0 if tf32 else rows // ROWS * ROWS + (0, 4, 8)[_blocks(rows % ROWS, 4)]
    product = (weights + weights_back) * max(4 * rows_multiplied, 16 * takes) / 128
    traffic = 4 * (rows * H + 2 * rows * units * column_blocks) / 64
    shape = column_blocks, row_blocks, quads, rows, threads, lanes, tf32
    return Plan(*shape, forward_bytes, backward_bytes, cycles=product + traffic + PASS_CYCLES * takes + 2 * SYNC_CYCLES)


def plan_for(like: Any, N: int, H: int, gates: int = 4) -> Plan | None:
    """The plan for the chip where the array ``like`` is; on the CPU for a small one, so that its few blocks are soon played."""
    tf32 = precision() != "float32"
    if on_gpu(like):
        processors, shared_memory, has_tf32 = _chip(like.device.id)
        return plan(N, H, processors, shared_memory, gates=gates, tf32=tf32 and has_tf32)
    return plan(N, H, processors=4, shared_memory=MOST_SHARED, gates=gates, threads=64, tf32=tf32)


def shared_memory(like: Any) -> int:
    """The most bytes of shared memory that a block can have on the chip where the array ``like`` is."""
    return _chip(like.device.id)[1] if on_gpu(like) else MOST_SHARED


@functools.cache
def _chip(device: int) -> tuple[int, int, bool]:
    """Processors, bytes of shared memory that a block can have, and whether its tensor cores multiply TF32.

    One block of ours always fits on a processor.
    """
    import cupy

    chip = cupy.cuda.Device(device)
    attributes = chip.attributes
    shared_memory = attributes["MaxSharedMemoryPerBlockOptin"]
    return attributes["MultiProcessorCount"], shared_memory, int(chip.compute_capability) >= 80


def _blocks(n: int, size: int) -> int:
    return -(-n // size)


def lengths_of(lengths: Array | None, like: Array) -> Array | None:
    """``lengths`` as the kernels read them: int64, where ``like`` is."""
    return None if lengths is None else as_contiguous(place(lengths, like), np.int64)
