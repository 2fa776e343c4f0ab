"""The processes that work together, as each of them sees it: what it can send, and what it gets.

:class:`Team` is one process alone, and does nothing; :class:`scratchlv.parallel.mpi.MPITeam` speaks MPI. Which one a process
is in, :func:`team` says: data and trainer ask it, so that nobody hands it around.

What is added up is added up in one order, by the numbers of the shares and never by the order of arrival: the same number of
processes computes the same bits, always.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NoReturn, TypeVar

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.errors import UserError
from scratchlv.parallel.shares import Share, cut

T = TypeVar("T")


class SharedError(UserError):
    """One that every process raises at the same place: the first says it, and the others end without a word."""


class Sum:
    """A sum that may still be under way."""

    def advance(self) -> bool:
        """Go on as far as is possible without waiting; whether it is done."""
        return True


class Memory(NamedTuple):
    """An array that each process has, of one shape; ``everybody`` has them by rank, where all lie in one machine's memory."""

    own: Array
    everybody: tuple[Array, ...] | None = None  # those of others are not seen


def own_memory(shape: tuple[int, ...], like: Array) -> Memory:
    """Zeros of the kind and dtype of ``like``, which no other process sees."""
    own = empty(shape, like)
    own[...] = 0
    return Memory(own)


class Team:
    """One process alone. ``shards``: a batch is cut into so many, whatever the number of processes; 0: into one for each."""

    rank = 0
    size = 1
    divides = True  #: whether each process takes the optimiser's step of what it owns, or all take all of it

    def __init__(self, shards: int = 0) -> None:
        self.shards = shards
        self.waited = 0.0  #: seconds, so far, in which this process had to wait for others
        self.exchanging = 0.0  #: seconds of its own work at sums, and at what others have stepped
        self.hosts = ["this machine"]  #: where the processes run, by rank
        self.sent = [0, 0]  #: messages and bytes that this process has sent, in sums and to gather

    @property
    def active(self) -> bool:
        """Whether a batch is cut at all."""
        return self.size > 1 or self.shards > 0

    def shares(self) -> list[Share]:
        """What this process has of every batch: one share, or several shards that follow each other."""
        of = self.shards or self.size
        return [Share(number, of) for number in range(of * self.rank // self.size, of * (self.rank + 1) // self.size)]

    def parts(self, n: int) -> list[slice]:
        """The parts into which ``n`` numbers are cut, one for each share of a batch, with no regard to who has which shares."""
        return [cut(n, number, self.shards or self.size) for number in range(self.shards or self.size)]

    def owned(self, n: int) -> list[slice]:
        """Which of ``n`` numbers each process owns: it adds them up, and steps them; the parts of its shares."""
        parts, each = self.parts(n), (self.shards or self.size) // self.size
        return [slice(parts[q * each].start, parts[(q + 1) * each - 1].stop) for q in range(self.size)]

    # --- what is sent --------------------------------------------------------------------------------------------

    def memory(self, shape: tuple[int, ...], like: Array, common: bool = False) -> Memory:
        """Zeros of the kind and dtype of ``like``, where :meth:`start_sum` and :meth:`share` read; all ask for it together.

        Those that are ``common`` are one array for all, where that can be: then each writes what it owns, or all write the same.
        """
        return own_memory(shape, like)

    def exchange(self, value: T) -> list[T]:
        """Everybody's ``value``, in the order of the ranks; it is pickled."""
        return [value]

    def broadcast(self, value: T) -> T:
        """The ``value`` of the first process; that of others is not looked at."""
        return value

    def broadcast_array(self, array: Array) -> None:
        """Fill ``array`` with that of the first process."""

    def gather(self, array: Array) -> Array:
        """Everybody's ``array``, (P, …), in the order of the ranks; all have one shape."""
        return array[None]

    def start_sum(self, rows: Memory, part: slice, out: Array, number: int, to_all: bool = False) -> Sum:
        """Add up that part of everybody's ``rows`` (shares, n) into that part of ``out`` (n,), in the order of the shares.

        Each gets the sums of what it owns of the part, or, with ``to_all``, of all of it. ``number`` tells this sum from others
        that are under way; both arrays are to be left alone until it is done.
        """
        add_rows(rows.own[:, part], out[part])
        return Sum()

    def share(self, values: Memory, owned: Sequence[Sequence[slice]]) -> None:
        """Fill in of ``values`` (n,) what others own: ``owned`` has the slices of each process, by rank."""

    def finish(self, sums: list[Sum]) -> None:
        """Wait until the sums are done; on a GPU, see to it that what is launched from now on waits for them."""
        left = list(sums)

        def done() -> bool:
            left[:] = [each for each in left if not each.advance()]
            return not left

        self.wait(done)

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until ``done()``, and see to it that nobody waits for a process that has died."""
        while not done():
            pass

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Inside the ``with`` block this process works at what is exchanged, and waits for nobody."""
        began = time.perf_counter()
        yield
        self.exchanging += time.perf_counter() - began

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Inside the ``with`` block each process does what it does alone."""
        with joined(Team()):
            yield

    def abort(self, sentence: str, status: int = 2) -> NoReturn:
        """End the whole run: this process cannot go on, and the others would wait for it."""
        raise UserError(sentence)

    # --- what is made of it --------------------------------------------------------------------------------------

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """Every P-th of some pieces of work; :meth:`in_order` puts the results together."""
        return items[self.rank :: self.size]

    def in_order(self, results: Sequence[T]) -> list[T]:
        """The results of everybody's :meth:`mine`, in the order of the work."""
        everybody = self.exchange(list(results))
        most = max(map(len, everybody))
        return [found[k] for k in range(most) for found in everybody if k < len(found)]

    def together(self, work: Callable[[], T]) -> T:
        """``work()`` of each process.

        Raises:
            SharedError: it raised UserError in one of them; everybody raises that of the first.
        """
        if self.size == 1:
            return work()
        result, error = None, None
        try:
            result = work()
        except UserError as found:
            error = str(found)
        errors = [found for found in self.exchange(error) if found is not None]
        if errors:
            raise SharedError(errors[0])
        return result  # type: ignore[return-value]

    def first(self, work: Callable[[], object]) -> None:
        """``work()`` of the first process alone: it is who writes; the others wait.

        Raises:
            SharedError: it raised UserError.
        """
        self.together(work if self.rank == 0 else lambda: None)


def add_rows(rows: Sequence[Array] | Array, out: Array) -> None:
    """The sum of ``rows``, k of (n,), one after the other, into ``out`` (n,)."""
    first, *rest = rows
    if not rest:
        out[...] = first
        return
    np.add(first, rest[0], out=out)
    for row in rest[1:]:
        out += row


_ALONE = Team()
_team: contextvars.ContextVar[Team] = contextvars.ContextVar("team")


def team() -> Team:
    """The processes that this one works with."""
    return _team.get(_ALONE)


@contextlib.contextmanager
def joined(found: Team) -> Iterator[None]:
    """Inside the ``with`` block this process belongs to that team."""
    token = _team.set(found)
    try:
        yield
    finally:
        _team.reset(token)


def gather_of_batch() -> Callable[[Array], Array] | None:
    """How statistics of a batch are taken over all who share it, for ``ops.batch_norm2d``; None where nobody else does.

    With shards, which one process works through one after the other, each is normalised by its own.
    """
    found = team()
    return found.gather if found.size > 1 and not found.shards else None


def sum_of_batch(values: Array) -> Array:
    """``values`` added up over all who share a batch; with shards they stay those of one."""
    gather = gather_of_batch()
    return values if gather is None else np.add.reduce(gather(values))
