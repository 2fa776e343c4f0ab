"""A team of processes that each have a GPU: gradients are added up by NCCL, all else goes by MPI, as on CPUs.

Sums run on a stream of their own, beside the backward pass: each begins when what it adds up is there, and whatever is launched
after :meth:`NCCLTeam.finish` waits for them. The host waits for nothing.

    compute stream    … backward ── record ready ── backward … ──────────── wait for the sum ── clip, step
    own stream                          └─ wait ready ── allreduce ── record done ─┘

NCCL adds up along rings or trees that it chooses by the machine's links: the same processes on the same machine compute the same
bits, but the order is NCCL's. With shards all rows are gathered and added in their order, at (P - 1)/2 times the traffic for
each shard of a process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.errors import UserError
from scratchlv.parallel import mpi
from scratchlv.parallel.team import Memory, Sum, add_rows, own_memory


def start(shards: int = 0) -> NCCLTeam:
    """The team of all processes that were started together, each with a GPU of its own.

    Raises:
        UserError: there is no MPI, no launcher or no NCCL; or there are more processes than GPUs.
    """
    import cupy

    from scratchlv.parallel.mpi import start as start_mpi

    nccl = getattr(cupy.cuda, "nccl", None)
    if nccl is None or not getattr(nccl, "available", True):
        raise UserError(
            "--data-parallel --backend cuda needs NCCL: pip install 'scratchlv[nccl13]', or [nccl12] with CUDA 12"
        )
    world = start_mpi(shards)
    here = [rank for rank, host in enumerate(world.hosts) if host == world.hosts[world.rank]]
    gpus = cupy.cuda.runtime.getDeviceCount()
    if len(here) > gpus:
        raise UserError(
            f"{len(here)} processes on {world.hosts[world.rank]} have {gpus} GPUs; NCCL wants one for each: start fewer"
        )
    cupy.cuda.Device(here.index(world.rank)).use()
    return NCCLTeam(world, cupy)


class NCCLTeam(mpi.MPITeam):
    """The processes of an MPI team, whose GPUs know each other. All have the sum of all, and take the whole step."""

    def __init__(self, world: mpi.MPITeam, cupy: Any) -> None:
        self.__dict__.update(world.__dict__)
        self.divides = False
        self._cupy, nccl = cupy, cupy.cuda.nccl
        name = self.broadcast(nccl.get_unique_id())
        self._nccl = nccl.NcclCommunicator(self.size, name, self.rank)
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._types = {np.dtype(np.float32): nccl.NCCL_FLOAT32, np.dtype(np.float64): nccl.NCCL_FLOAT64}
        self._add = nccl.NCCL_SUM

    def memory(self, shape: tuple[int, ...], like: Array, common: bool = False) -> Memory:
        return own_memory(shape, like)

    def start_sum(self, rows: Memory, part: slice, out: Array, number: int, to_all: bool = True) -> Sum:
        parts, out = rows.own[:, part], out[part]
        k, n = parts.shape
        parts = parts.copy() if k > 1 else parts[0]
        kind = self._types[parts.dtype]
        ready = self._cupy.cuda.Event(disable_timing=True)
        ready.record(self._cupy.cuda.get_current_stream())
        self._stream.wait_event(ready)
        gathered = None
        if self.shards:
            gathered = empty((self.size * k, n), parts)
            self._nccl.allGather(parts.data.ptr, gathered.data.ptr, k * n, kind, self._stream.ptr)
            with self._stream:
                add_rows(gathered, out)
        else:
            self._nccl.allReduce(parts.data.ptr, out.data.ptr, n, kind, self._add, self._stream.ptr)
        done = self._cupy.cuda.Event(disable_timing=True)
        done.record(self._stream)
        return NCCLSum(done, (parts, gathered))

    def finish(self, sums: list[Sum]) -> None:
        for each in sums:
            assert isinstance(each, NCCLSum)
            self._cupy.cuda.get_current_stream().wait_event(each.done)
        self._held = sums  # until the next step: what the sums read must not be used for something else


class NCCLSum(Sum):
    """One that a stream is at; ``held`` is what it reads."""

    def __init__(self, done: Any, held: Any) -> None:
        self.done, self._held = done, held

    def advance(self) -> bool:
        """The GPU goes on by itself; the sum stays in the list of those that are to be waited for."""
        return False
