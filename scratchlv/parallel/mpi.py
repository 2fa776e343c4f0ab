"""A team of processes that speak MPI, started by ``mpiexec`` or ``srun``. mpi4py is imported here, and nowhere else.

Process q owns the q-th part of whatever is added up. Of a gradient it alone needs the sum, since it alone steps these parameters:

    reduce-scatter    each sends every owner its part; the owner adds up what came, in the order of the shares
    allgather         each owner sends all what it has stepped; or, at once, the sum, where everybody needs that

Whatever arrives first, the order of the additions is that of the shares, which no library decides for us. Each process sends
and receives 2 (P - 1)/P of the buffer, as in a ring, the least that is possible, in 2 (P - 1) messages. On one machine nothing
of it is sent: all see the memory of each other (:mod:`scratchlv.parallel.one_machine`), and a message is empty, and says that
something is there.

MPI makes progress only inside its calls: whoever computes in between calls :meth:`Sum.advance` now and then.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cores import usable_cores
from scratchlv.device import on_gpu, place, to_host
from scratchlv.errors import UserError
from scratchlv.memory import empty
from scratchlv.output import insist
from scratchlv.parallel import one_machine
from scratchlv.parallel.lifeline import Lifeline
from scratchlv.parallel.team import Memory, Sum, Team, add_rows

T = TypeVar("T")

#: how launchers tell a process how many were started with it
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")
_SPIN = 2e-3  # seconds in which a process that waits looks again and again, where each has a core
_NAP = 1e-4  # seconds
_CHECK = 0.05  # seconds between two looks at whether the others live
_MOST_TAGS = 32_000  # MPI promises 32,767
_NOTHING = np.empty(0, np.uint8)  # what an empty message has


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
        # what is in one is never taken for another's
        self._world, self.sums, self._shares = (world.Dup() for _ in range(3))
        self._lifeline: Lifeline | None = None
        self._spin = 0.0
        self._looked = time.monotonic()
        self.hosts = self.exchange(socket.gethostname())
        # between machines what was stepped would go by the network when there is nothing that hides it
        self.divides = self.on_this_host == self.size
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
        self.count(self.size - 1, (self.size - 1) * host.nbytes)
        self._finish(self._world.Iallgather(host, everybody))
        return place(everybody, array)

    def memory(self, shape: tuple[int, ...], like: Array, common: bool = False) -> Memory:
        found = None
        if self.divides and self.size > 1 and not on_gpu(like):
            found = one_machine.shared(self, shape, like.dtype, common)
        return found or super().memory(shape, like)

    def start_sum(self, rows: Memory, part: slice, out: Array, number: int, to_all: bool = False) -> Sum:
        kind = SumOfMessages if rows.everybody is None else SumInMemory
        return kind(self, rows, part, out[part], 2 * number % _MOST_TAGS, to_all)

    def share(self, values: Memory, owned: Sequence[Sequence[slice]]) -> None:
        others = [q for q in range(self.size) if q != self.rank]
        comm, own, everybody = self._shares, values.own, values.everybody
        if everybody is None:
            requests = [comm.Irecv(own[place], q, tag) for q in others for tag, place in enumerate(owned[q])]
            mine = [own[place] for place in owned[self.rank]]
            requests += [comm.Isend(part, q, tag) for q in others for tag, part in enumerate(mine)]
            self.count(len(others) * len(mine), len(others) * sum(part.nbytes for part in mine))
            self.wait(lambda: _all_done(requests))
            return
        leaving = [comm.Isend(_NOTHING, q) for q in others]
        arriving = {q: comm.Irecv(_NOTHING, q) for q in others}
        self.count(len(others), 0)

        def copied() -> bool:
            for q in [q for q, request in arriving.items() if request.Test()]:
                del arriving[q]
                if everybody[q] is not own:
                    with self.at_work():
                        for place in owned[q]:
                            own[place] = everybody[q][place]
            return not arriving and _all_done(leaving)

        self.wait(copied)

    def count(self, messages: int, nbytes: int) -> None:
        """Note what was sent."""
        self.sent[0] += messages
        self.sent[1] += nbytes

    def wait(self, done: Callable[[], bool]) -> None:
        began, worked = time.perf_counter(), self.exchanging
        while not done():
            if time.perf_counter() - began > self._spin:
                time.sleep(_NAP)
                self._see_who_lives()
        self.waited += time.perf_counter() - began - (self.exchanging - worked)

    def _finish(self, request: Any) -> None:
        self.wait(request.Test)

    def _see_who_lives(self) -> None:
        now = time.monotonic()
        if self._lifeline is not None and now - self._looked > _CHECK:
            self._looked = now
            if self._lifeline.is_cut():
                self._leave(2)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_CHECK):
                self._see_who_lives()

        watcher = threading.Thread(target=watch, daemon=True)  # nobody else looks, where no one waits for a message
        watcher.start()
        try:
            with super().apart():
                yield
        finally:
            done.set()
            watcher.join()

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


class SumOfMessages(Sum):
    """Everybody's rows are sent to the owner, who adds them up, in the order of the shares: see the top of this file."""

    def __init__(self, team: MPITeam, rows: Memory, part: slice, out: np.ndarray, tag: int, to_all: bool) -> None:
        self._team, self._tag, self._out, parts = team, tag, out, rows.own[:, part]
        self._comm, owned, rank = team.sums, team.owned(len(out)), team.rank
        self._others = [q for q in range(team.size) if q != rank] if len(out) else []
        self._to_all, self._mine = to_all, owned[rank]
        own = self._mine.stop - self._mine.start
        self._rows = empty((team.size, len(parts), own), parts.dtype)
        self._rows[rank] = parts[:, self._mine]
        self._arriving = [self._comm.Irecv(self._rows[q], q, tag) for q in self._others]
        self._left = [np.ascontiguousarray(parts[:, owned[q]]) for q in self._others]  # kept until they are gone
        self._leaving = [self._comm.Isend(part, q, tag) for part, q in zip(self._left, self._others, strict=True)]
        team.count(len(self._others), sum(part.nbytes for part in self._left))
        self._results: list[Any] = []
        if to_all:
            self._results = [self._comm.Irecv(out[owned[q]], q, tag + 1) for q in self._others]
        self._summed = False

    def advance(self) -> bool:
        if not self._summed:
            if not _all_done(self._arriving):
                return False
            total = self._out[self._mine]
            with self._team.at_work():
                add_rows([row for rows in self._rows for row in rows], total)
            self._summed = True
            if self._to_all:
                self._leaving += [self._comm.Isend(total, q, self._tag + 1) for q in self._others]
                self._team.count(len(self._others), len(self._others) * total.nbytes)
        return _all_done(self._results + self._leaving)


class SumInMemory(Sum):
    """The same where everybody's rows are seen: each adds up what it needs, as soon as all have said that theirs are there."""

    def __init__(self, team: MPITeam, rows: Memory, part: slice, out: np.ndarray, tag: int, to_all: bool) -> None:
        assert rows.everybody is not None
        self._team = team
        mine = slice(0, len(out)) if to_all else team.owned(len(out))[team.rank]
        self._rows = [row[mine] for everybody in rows.everybody for row in everybody[:, part]]
        self._total = out[mine]
        others = [q for q in range(team.size) if q != team.rank]
        self._requests = [team.sums.Irecv(_NOTHING, q, tag) for q in others]
        self._requests += [team.sums.Isend(_NOTHING, q, tag) for q in others]
        team.count(len(others), 0)

    def advance(self) -> bool:
        if not _all_done(self._requests):
            return False
        with self._team.at_work():
            add_rows(self._rows, self._total)
        return True


def _all_done(requests: list[Any]) -> bool:
    return not requests or bool(type(requests[0]).Testall(requests))
