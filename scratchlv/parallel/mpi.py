"""A team of processes that speak MPI, started by ``mpiexec`` or ``srun``. mpi4py is imported here, and nowhere else.

A sum over all is made in two halves, both of plain messages between two processes. Process q owns the q-th part of the buffer:

    reduce-scatter    each sends every owner its part; the owner adds up what came, in the order of the shards
    allgather         each owner sends the sum to all

Whatever arrives first, the order of the additions is that of the shards, which no library decides for us. Each process sends
and receives 2 (P - 1)/P of the buffer, as in a ring, the least that is possible, in 2 (P - 1) messages.

MPI makes progress only inside its calls: whoever computes in between calls :meth:`OrderedSum.advance` now and then.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cores import usable_cores
from scratchlv.device import on_gpu, place, to_host
from scratchlv.errors import UserError
from scratchlv.memory import empty
from scratchlv.output import insist
from scratchlv.parallel.lifeline import Lifeline
from scratchlv.parallel.team import Sum, Team, add_rows

T = TypeVar("T")

#: how launchers tell a process how many were started with it
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")
_SPIN = (
    2e-3  # seconds in which a process that waits looks again and again, where each has a core: most waits are shorter
)
_NAP = 1e-4  # seconds
_CHECK = 0.05  # seconds between two looks at whether the others live
_MOST_TAGS = 32_000  # MPI promises 32,767


def start(shards: int = 0) -> MPITeam:
    """The team of all processes that were started together.

    Raises:
        UserError: mpi4py is missing, or MPI itself; or the process was not started by a launcher, or by another MPI's.
    """
    how = "start it by mpiexec -n 2 scratchlv … --data-parallel"
    try:
        import mpi4py

        mpi4py.rc.threads = False
        from mpi4py import MPI
    except ImportError as error:
        raise UserError(f"--data-parallel needs MPI ({error}): pip install 'scratchlv[mpi]', and {how}") from None
    except RuntimeError as error:
        raise UserError(f"--data-parallel: MPI cannot be started ({str(error).splitlines()[0]}); {how}") from None
    world = MPI.COMM_WORLD
    sizes = [int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdecimal()]
    if world.size == 1 and not sizes:
        raise UserError(f"--data-parallel shares the work of several processes, and this one is alone: {how}")
    if world.size == 1 and max(sizes) > 1:
        raise UserError(
            "--data-parallel: the launcher started several processes, but mpi4py sees one: it was built for another MPI; "
            "use the mpiexec of that one, as pip install 'scratchlv[mpi]' brings it"
        )
    return MPITeam(world, shards)


class MPITeam(Team):
    """The processes of a communicator of mpi4py.

    Raises:
        UserError: ``shards`` cannot be divided among them.
    """

    def __init__(self, world: Any, shards: int = 0) -> None:
        super().__init__(shards)
        self.rank, self.size = world.rank, world.size
        if shards % self.size:
            raise UserError(
                f"--deterministic-across-P {shards}: {self.size} processes cannot share {shards} shards alike; "
                "give a number that the processes divide"
            )
        self._world, self._sums = world.Dup(), world.Dup()  # what is in one is never taken for the other's
        self._lifeline: Lifeline | None = None
        self._spin = 0.0
        self._looked = time.monotonic()
        self.hosts = self.exchange(socket.gethostname())
        self._spin = _SPIN if self.on_this_host <= usable_cores().n else 0.0
        self._lifeline = Lifeline(self)

    @property
    def on_this_host(self) -> int:
        """How many processes run on this machine."""
        return self.hosts.count(self.hosts[self.rank])

    def exchange(self, value: T) -> list[T]:
        data = np.frombuffer(pickle.dumps(value, 5), np.uint8)
        sizes = self.gather(np.array([data.size], np.int64))[:, 0]
        everything = np.empty(sizes.sum(), np.uint8)
        self._finish(self._world.Iallgatherv(data, [everything, sizes.tolist()]))
        return [pickle.loads(part.tobytes()) for part in np.split(everything, np.cumsum(sizes)[:-1])]

    def broadcast(self, value: T) -> T:
        data = np.frombuffer(pickle.dumps(value, 5), np.uint8) if self.rank == 0 else np.empty(0, np.uint8)
        size = np.array([data.size], np.int64)
        self._finish(self._world.Ibcast(size, 0))
        if self.rank != 0:
            data = np.empty(size[0], np.uint8)
        self._finish(self._world.Ibcast(data, 0))
        found: T = pickle.loads(data.tobytes())
        return found

    def broadcast_array(self, array: Array) -> None:
        host = to_host(array)
        self._finish(self._world.Ibcast(host, 0))
        if on_gpu(array):
            array[...] = place(host, array)

    def gather(self, array: Array) -> Array:
        host = np.ascontiguousarray(to_host(array))
        everybody = np.empty((self.size, *host.shape), host.dtype)
        self._count(self.size - 1, (self.size - 1) * host.nbytes)
        self._finish(self._world.Iallgather(host, everybody))
        return place(everybody, array)

    def start_sum(self, parts: Array, out: Array, number: int) -> Sum:
        found = OrderedSum(self._sums, parts, out, 2 * number % _MOST_TAGS)
        self._count(2 * (self.size - 1), found.bytes)
        return found

    def _count(self, messages: int, nbytes: int) -> None:
        self.sent[0] += messages
        self.sent[1] += nbytes

    def wait(self, done: Callable[[], bool]) -> None:
        began = time.perf_counter()
        while not done():
            if time.perf_counter() - began > self._spin:
                time.sleep(_NAP)
                self._see_who_lives()
        self.waited += time.perf_counter() - began

    def _finish(self, request: Any) -> None:
        self.wait(request.Test)

    def _see_who_lives(self) -> None:
        now = time.monotonic()
        if self._lifeline is not None and now - self._looked > _CHECK:
            self._looked = now
            if self._lifeline.is_cut():
                self._leave(2)

    def abort(self, sentence: str, status: int = 2) -> NoReturn:
        insist(sentence)
        if self._lifeline is not None:
            self._lifeline.give_up()
        self._leave(status)

    def _leave(self, status: int) -> NoReturn:
        """Without MPI's own end, for which all would have to come together."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)

    def tell_lifeline(self, folder: str, resume: str) -> None:
        """What is said of a run whose process was killed: where its checkpoints are, and how it goes on."""
        if self._lifeline is not None and self.rank == 0:
            self._lifeline.tell(folder, resume)

    def close(self) -> None:
        """The work is done, or was given up by all: nobody is missed from now on."""
        if self._lifeline is not None:
            self._lifeline.close()


class OrderedSum(Sum):
    """Σ of everybody's rows, in the order of the shards: see the top of this file."""

    def __init__(self, comm: Any, parts: np.ndarray, out: np.ndarray, tag: int) -> None:
        k, n = parts.shape
        P, rank = comm.size, comm.rank
        self._comm, self._tag, self._out = comm, tag, out
        self._places = [slice(n * q // P, n * (q + 1) // P) for q in range(P)]
        self._others = [q for q in range(P) if q != rank]
        self._mine = self._places[rank]
        self._rows = empty((P, k, self._mine.stop - self._mine.start), parts.dtype)
        self._arriving = [comm.Irecv(self._rows[q], q, tag) for q in self._others]
        self._results = [comm.Irecv(out[self._places[q]], q, tag + 1) for q in self._others]
        self._sent = [np.ascontiguousarray(parts[:, self._places[q]]) for q in self._others]  # kept until it is gone
        self._leaving = [comm.Isend(part, q, tag) for part, q in zip(self._sent, self._others, strict=True)]
        self._rows[rank] = parts[:, self._mine]
        own = self._mine.stop - self._mine.start
        self.bytes = parts.itemsize * (k * (n - own) + own * (P - 1))  #: that this process sends
        self._summed = self._done = False

    def advance(self) -> bool:
        if self._done:
            return True
        requests = type(self._arriving[0]) if self._arriving else None
        if requests is None:
            add_rows(self._rows[0], self._out)
            self._done = True
            return True
        if not self._summed:
            if not requests.Testall(self._arriving):
                return False
            total = self._out[self._mine]
            add_rows(self._rows.reshape(-1, *total.shape) if total.size else [total], total)
            self._leaving += [self._comm.Isend(total, q, self._tag + 1) for q in self._others]
            self._summed = True
        self._done = requests.Testall(self._results + self._leaving)
        return self._done
