"""Steps that several processes take together (docs/scale.md): each computes the gradient of its share of the batch, and while its
backward pass goes on, what is final already is added up over all.

The gradients of a step stand one after the other in a buffer, in the order in which the backward pass finishes them; the first
step finds that order. The buffer is cut into buckets: as soon as one is full, its sum is begun. In front stand three numbers, the
loss and two questions that all must answer alike: whether to stop, and whether a checkpoint is due.

Of a matrix with a row for each word, whose gradient is 0 but for the words of the batch, those rows are sent alone: all know
which they are, because each can see the whole batch.

Each share has its gradients in a row of the buffer. A process has one, or, where a batch is cut into a fixed number of shards so
that any number of processes computes the same bits, several.
"""

from __future__ import annotations

import contextlib
import math
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.device import on_gpu, place, to_host
from scratchlv.errors import UserError
from scratchlv.parallel.shares import Share, TooFewRows
from scratchlv.parallel.team import SharedError, Sum, Team, add_rows
from scratchlv.training.optimisers import FlatParameters

BUCKET = 1 << 20  #: bytes: large enough that a message costs its bytes, small enough that the last is soon sent
CHECK_EVERY = 100  #: steps, after which all compare what they have
_FRONT = 3  # numbers before the gradients: loss, stop, checkpoint
_REMEDY = "; raise --set batch=…, or start fewer processes"
_SLOW = 1.3  # times what the others compute: then a process is named


class SharedSteps:
    """The steps of ``model``, whose parameters lie in ``flat``, in ``team``; ``folder`` is what a refusal speaks of."""

    def __init__(self, team: Team, model: Any, flat: FlatParameters, folder: Path | None = None) -> None:
        self.team, self.model, self.flat, self.folder = team, model, flat, folder
        self.shares = team.shares()
        self.names: list[str] = []  # in the order in which they become final; unknown before the first step
        self._places: dict[str, slice] = {}  # in the buffer, in this step
        self._rows_read: dict[str, Array] = {}  # of matrices of which only these rows are sent, in this step
        self._dense: dict[str, tuple[Array, Array]] = {}  # their gradients, and the rows that are not 0
        self._asked = self._agreed = (False, False)
        self._steps = 0
        self._slow: list[int] = []
        self.notes: list[dict[str, Any]] = []  # of processes that are slow, for the log
        self.times = Times()
        self._check_rows()
        self.begin()

    def begin(self) -> None:
        """All begin with the parameters of the first process, and each with its rows of what the model carries on."""
        self.team.broadcast_array(self.flat.values)
        whole = {name: self.model.buffers[name] for name in self._row_names}
        self._rows = [
            {name: array[share.rows(len(array))].copy() for name, array in whole.items()} for share in self.shares
        ]

    @property
    def _row_names(self) -> tuple[str, ...]:
        return getattr(self.model, "row_buffers", ())

    def _check_rows(self) -> None:
        for name in self._row_names:
            rows = len(self.model.buffers[name])
            if rows < self.shares[0].of:
                raise SharedError(f"a batch of {rows} rows cannot be shared by {self.shares[0].of}{_REMEDY}")

    # --- a step ------------------------------------------------------------------------------------------------------

    def ask(self, stop: bool, checkpoint: bool) -> None:
        """What this process would do after the next step; when to save, the first decides."""
        self._asked = stop, checkpoint and self.team.rank == 0

    def agreed(self) -> tuple[bool, bool]:
        """Whether all stop after this step, and whether they save."""
        return self._agreed

    def step(self, batch_at: Callable[[int, Share], Any], step: int) -> tuple[Any, dict[str, Array]]:
        """The loss of batch number ``step`` and its gradients, the same in all processes."""
        began, waited = time.perf_counter(), self.team.waited
        self._sums: list[Sum] = []
        self._agreed = (False, False)
        common = {k: v for k, v in self.model.buffers.items() if k not in self._row_names}
        moved = []
        for k, share in enumerate(self.shares):
            if self.team.shards:  # each shard begins with what was before the step; some are moved in place
                self.model.buffers.update({name: array.copy() for name, array in common.items()})
            self.model.buffers.update(self._rows[k])
            self._share(k, share, batch_at, step)
            self._rows[k] = {name: self.model.buffers[name] for name in self._row_names}
            moved.append({name: self.model.buffers[name] for name in common})
        computed = time.perf_counter()
        self.team.finish(self._sums)
        if self.team.shards:
            self.model.buffers.update(self._mean_of_shards(moved))
        ended = time.perf_counter()
        waited = self.team.waited - waited
        under_way = 0.0 if self._first_sent is None else ended - self._first_sent
        self.times.add(ended - began - waited, waited, under_way, ended - computed)
        self._steps += 1
        if self._steps % CHECK_EVERY == 0:
            self.check_alike()
        front = self._sum[:_FRONT]
        if not on_gpu(front) or step % 10 == 9:  # a GPU is asked when it is waited for anyway
            _, stop, checkpoint = to_host(front).tolist()
            self._agreed = stop > 0, checkpoint > 0
        return front[0].copy(), self._gradients()

    def _share(self, k: int, share: Share, batch_at: Callable[[int, Share], Any], step: int) -> None:
        """Loss and gradients of one share, into row ``k``; after the last, what is final is sent."""
        try:
            batch = batch_at(step, share)
        except TooFewRows as error:
            raise SharedError(f"a batch of {error}{_REMEDY}") from None
        self._choose_rows(batch)
        loss, cache = self.model.forward(batch)
        self._filled, self._sent, self._next = _FRONT, 0, 0
        self._first_sent: float | None = None
        final: dict[str, Array] = {}

        def ready(gradients: dict[str, Array]) -> None:
            if not self.names:  # the first time: see in which order they come, and send all at the end
                final.update({name: gradient for name, gradient in gradients.items() if name not in final})
                return
            self._take(k, gradients)
            if k == len(self.shares) - 1:
                self._send()

        if self.names:
            self._place_all()
            self._take_front(k, loss)
        gradients = self.model.backward(cache, ready)
        ready(gradients)
        if not self.names:
            self._lay_out(list(final))
            self._check_rows_read(final)
            self._place_all()
            self._take_front(k, loss)
            ready(final)
        if self._next < len(self.names):
            raise ValueError(f"the backward pass gave no gradient of {self.names[self._next]}")

    def _take_front(self, k: int, loss: Any) -> None:
        """The loss, and the two questions, which a process asks once."""
        stop, checkpoint = self._asked if k == 0 else (False, False)
        front = self._buffer[k, :_FRONT]
        front[...] = place(np.array([0, stop, checkpoint], front.dtype), front)
        front[0] = loss

    def _lay_out(self, names: list[str]) -> None:
        """Make the buffer, for gradients that become final in this order."""
        if set(names) != self.flat.shapes.keys():
            raise ValueError(f"gradients and parameters differ: {sorted(set(names) ^ self.flat.shapes.keys())}")
        size = _FRONT + sum(math.prod(shape) for shape in self.flat.shapes.values())
        self.names = names
        self._buffer = empty((len(self.shares), size), self.flat.values)
        self._sum = empty((size,), self.flat.values)
        self._bucket = max(1, BUCKET // self._buffer.itemsize)

    def _place_all(self) -> None:
        """Where each gradient of this step goes."""
        at = _FRONT
        for name in self.names:
            rows, *rest = self.flat.shapes[name]
            size = math.prod(rest) * (len(self._rows_read[name]) if name in self._rows_read else rows)
            self._places[name] = slice(at, at + size)
            at += size

    def _choose_rows(self, batch: Any) -> None:
        """Send rows alone where that is less than half of a matrix: copying them out and in is work, too."""
        found: dict[str, Array] = getattr(self.model, "rows_read", lambda batch: {})(batch)
        self._rows_read = {name: rows for name, rows in found.items() if 2 * len(rows) < self.flat.shapes[name][0]}

    def _check_rows_read(self, gradients: dict[str, Array]) -> None:
        """Once: that nothing is left out."""
        for name, rows in self._rows_read.items():
            rest = np.ones(self.flat.shapes[name][0], bool)
            rest[rows] = False
            if to_host(gradients[name])[rest].any():
                raise ValueError(f"rows of {name} have a gradient that are not among those of the batch")

    def _gradients(self) -> dict[str, Array]:
        """The sums by the names of the parameters."""
        found = {}
        for name, at in self._places.items():
            shape = self.flat.shapes[name]
            if name not in self._rows_read:
                found[name] = self._sum[at].reshape(shape)
                continue
            dense, before = self._dense.get(name) or (np.zeros_like(self._sum, shape=shape), slice(0))
            rows = place(self._rows_read[name], dense)
            dense[before] = 0
            dense[rows] = self._sum[at].reshape(-1, *shape[1:])
            self._dense[name] = dense, rows
            found[name] = dense
        return found

    def _take(self, k: int, gradients: dict[str, Array]) -> None:
        """Copy those that come next into row ``k``."""
        while self._next < len(self.names) and self.names[self._next] in gradients:
            name = self.names[self._next]
            gradient = gradients[name]
            if name in self._rows_read:
                gradient = gradient[place(self._rows_read[name], gradient)]
            self._buffer[k, self._places[name]] = gradient.reshape(-1)
            self._filled, self._next = self._places[name].stop, self._next + 1

    def _send(self) -> None:
        """Begin the sums of the buckets that are full, and of the last when all is there; go on with those under way."""
        everything = self._next == len(self.names)
        while self._filled - self._sent >= self._bucket or everything and self._sent < self._filled:
            if self._first_sent is None:
                self._first_sent = time.perf_counter()
            end = min(self._sent + self._bucket, self._filled)
            part = slice(self._sent, end)
            number = self._sent // self._bucket
            self._sums.append(self.team.start_sum(self._buffer[:, part], self._sum[part], number))
            self._sent = end
        self._advance()

    def _advance(self) -> bool:
        """Go on with all sums; whether they are done."""
        self._sums = [each for each in self._sums if not each.advance()]
        return not self._sums

    # --- what a model carries on -------------------------------------------------------------------------------------

    def _mean_of_shards(self, moved: list[dict[str, Array]]) -> dict[str, Array]:
        """Statistics that each shard has moved on its own: their mean, in the order of the shards."""
        found = {}
        for name in moved[0]:
            of_all = self.team.gather(np.stack([buffers[name] for buffers in moved]))
            total = np.empty_like(of_all[0, 0])
            add_rows(of_all.reshape(-1, *total.shape), total)
            found[name] = total / total.dtype.type(self.shares[0].of)
        return found

    def gathered_rows(self) -> dict[str, np.ndarray]:
        """What each process carries of its rows, put together: as one process alone would have it."""
        if not self._row_names:
            return {}
        own = [{name: to_host(array) for name, array in rows.items()} for rows in self._rows]
        everybody = [rows for found in self.team.exchange(own) for rows in found]
        return {name: np.concatenate([rows[name] for rows in everybody]) for name in self._row_names}

    # --- whether all is well -----------------------------------------------------------------------------------------

    def check_alike(self) -> None:
        """Compare what all have, and see who is slow.

        Raises:
            SharedError: the parameters differ.
        """
        common = {k: v for k, v in self.model.buffers.items() if k not in self._row_names}
        arrays = self.model.params | common
        own = _checksum(self.flat.values), _checksum_of_all(common)
        found = self.team.exchange((own, self.times.lately()))
        if any(of != found[0][0] for of, _ in found):
            self._name_difference(arrays)
        if self._steps % CHECK_EVERY == 0:  # of a few steps it says nothing
            self._find_slow([lately for _, lately in found])

    def _name_difference(self, arrays: dict[str, Array]) -> None:
        checksums = self.team.exchange({name: _checksum(array) for name, array in arrays.items()})
        name = next(name for name in arrays if any(of[name] != checksums[0][name] for of in checksums))
        ranks = [rank for rank, of in enumerate(checksums) if of[name] != checksums[0][name]]
        kept = f"; the last checkpoint in {self.folder} is untouched" if self.folder else ""
        raise SharedError(
            f"after step {self._steps} of this run the processes have different {name}: {_ranks(ranks)} differ from process 0. "
            f"Machines of different kinds, or a damaged memory, compute so{kept}"
        )

    def _find_slow(self, lately: list[tuple[float, float]]) -> None:
        """Note, once of each, the processes that the others wait for."""
        waiting = [waited / max(computed + waited, 1e-9) for computed, waited in lately]
        for rank, (seconds, _) in enumerate(lately):
            others = [computed for computed, _ in lately[:rank] + lately[rank + 1 :]]
            times = seconds / float(np.median(others)) if others and min(others) > 0 else 1.0
            if times > _SLOW and rank not in self._slow:
                self._slow.append(rank)
                self.notes.append({"slow": rank, "host": self.team.hosts[rank], "times": times, "waiting": waiting})

    def summary(self) -> dict[str, Any]:
        """How much of the time went by in waiting, in each process, and how much of what was sent was hidden."""
        found = self.team.exchange(self.times.totals())
        line: dict[str, Any] = {
            "processes": self.team.size,
            "hidden": float(np.mean([hidden for hidden, _ in found])),
            "waiting": [waiting for _, waiting in found],
        }
        return line | ({"slow": self._slow} if self._slow else {})

    @contextlib.contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Inside the ``with`` block an error of this process alone ends all: the others would wait for it."""
        try:
            yield
        except SharedError:
            raise
        except UserError as error:
            self._give_up(str(error), error)
        except (OSError, MemoryError) as error:
            self._give_up(f"{type(error).__name__}: {error}", error)

    def _give_up(self, sentence: str, error: Exception) -> None:
        if self.team.size == 1:
            raise error
        self.team.abort(f"scratchlv: process {self.team.rank}: {sentence}")


class Times:
    """Where the time of the steps goes."""

    def __init__(self) -> None:
        self.steps = 0
        self.computing = self.waiting = self.under_way = self.not_hidden = 0.0  #: seconds, in all but the first step
        self._lately = 0.0, 0.0

    def add(self, computing: float, waiting: float, under_way: float, not_hidden: float) -> None:
        """Of a step: seconds of its own work, and those that it waited; seconds that gradients were under way, and of those
        the ones in which there was nothing else to do."""
        self.steps += 1
        if self.steps == 1:  # compiles, and finds the order
            return
        self.computing += computing
        self.waiting += waiting
        self.under_way += under_way
        self.not_hidden += not_hidden

    def lately(self) -> tuple[float, float]:
        """Seconds of own work and of waiting since it was asked last."""
        before, self._lately = self._lately, (self.computing, self.waiting)
        return self.computing - before[0], self.waiting - before[1]

    def totals(self) -> tuple[float, float]:
        """The share of the time that gradients were under way in which work went on, and that of all time in which it waited."""
        whole = self.computing + self.waiting
        hidden = 1 - self.not_hidden / self.under_way if self.under_way else 1.0
        return hidden, self.waiting / whole if whole else 0.0


def _checksum(array: Array) -> int:
    return zlib.crc32(to_host(array).tobytes())


def _checksum_of_all(arrays: dict[str, Array]) -> int:
    return zlib.crc32(b"".join(_checksum(array).to_bytes(4, "little") for array in arrays.values()))


def _ranks(ranks: list[int]) -> str:
    return f"{'process' if len(ranks) == 1 else 'processes'} {', '.join(map(str, ranks))}"
