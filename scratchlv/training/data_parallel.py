"""Steps that several processes take together (docs/scale.md): each computes the gradient of its share of the batch, and while its
backward pass goes on, what is final already is added up.

The gradients of a step lie in a buffer as the parameters lie in theirs. It is cut into buckets: as soon as all of one is final,
its sum is begun. Of every bucket each process owns a part: it alone gets the sum of that, and takes the optimiser's step there,
with what the optimiser remembers (ZeRO, stage 1: Rajbhandari et al. 2020); then each hands all others what it has stepped.

In front stand three numbers, the loss and two questions that all must answer alike: whether to stop, and whether a checkpoint is
due.

Of a matrix with a row for each word, whose gradient is 0 but for the words of the batch, those rows are sent alone, to all: all
know which they are, because each can see the whole batch.

Each share has its gradients in a row of the buffer. A process has one, or, where a batch is cut into a fixed number of shards so
that any number of processes computes the same bits, several.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.device import on_gpu, place, to_host
from scratchlv.errors import UserError
from scratchlv.parallel.shares import Share, TooFewRows
from scratchlv.parallel.team import Memory, SharedError, Sum, Team, add_rows, own_memory
from scratchlv.training.optimisers import FlatParameters, Optimiser, clipping

BUCKET = 1 << 20  #: bytes: large enough that a message costs its bytes, small enough that the last is soon sent
CHECK_EVERY = 100  #: steps, after which all compare what they have
_SAID = slice(0, 3)  # before the gradients: loss, stop, checkpoint
_FRONT = FlatParameters.ALIGN  # where the gradients begin
_BLOCK = 8192  # numbers whose squares are added up in their own precision; no BLAS shares so few out among threads
_REMEDY = "; raise --set batch=…, or start fewer processes"
_SLOW = 1.3  # times what the others compute: then a process is named


class _Bucket(NamedTuple):
    """A part of the buffer whose sum is one."""

    part: slice
    names: frozenset[str]  # of the parameters that have gradients in it


class SharedSteps:
    """The steps of ``model``, whose parameters lie in ``flat``, in ``team``; ``folder`` is what a refusal speaks of."""

    def __init__(self, team: Team, model: Any, flat: FlatParameters, folder: Path | None = None) -> None:
        self.team, self.model, self.flat, self.folder = team, model, flat, folder
        self.shares = team.shares()
        self._divides = divides(team, model)
        # where others read gradients, the next ones may be written only after all have read: as who takes over all steps knows
        memory = team.memory if self._divides else own_memory
        self._buffer = memory((len(self.shares), _FRONT + flat.values.size), flat.values)
        self._sum = empty((_FRONT + flat.values.size,), flat.values)
        self._sum[...] = 0
        self._places = {name: slice(_FRONT + at.start, _FRONT + at.stop) for name, at in flat.places().items()}
        starts = [*(place.start for place in self._places.values()), len(self._sum)]
        self._room = dict(zip(self._places, np.diff(starts).tolist(), strict=True))  # numbers, with the gap behind
        self._buckets: list[_Bucket] = []  # none before the first step
        self._rows_read: dict[str, Array] = {}  # of matrices of which only these rows are sent, in this step
        self._dense: dict[str, tuple[Array, Array]] = {}  # their gradients, as in flat, and the rows that are not 0
        self._grads: Array = None  # of this step, where all have all
        self._asked = self._agreed = (False, False)
        self._steps = 0
        self._slow: list[int] = []
        self.notes: list[dict[str, Any]] = []  # of processes that are slow, for the log
        self.times = Times()
        self._check_rows()
        self.begin()

    def begin(self) -> None:
        """All begin with the parameters of the first process, and each with its rows of what the model carries on."""
        self.settle()
        if self.flat.memory.everybody is None:  # else all have one array of them
            self.team.broadcast_array(self.flat.values)
        whole = {name: self.model.buffers[name] for name in self._row_names}
        self._carried = [
            {name: array[share.rows(len(array))].copy() for name, array in whole.items()} for share in self.shares
        ]

    def settle(self) -> None:
        """Wait until all are here: before and after parameters, which may be all processes', are changed by other than a step."""
        self.team.exchange(None)

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

    def step(self, batch_at: Callable[[int, Share], Any], step: int, clip: float) -> tuple[Any, Any, Any]:
        """The gradients of batch number ``step``: its loss, their norm, and the factor that clips it, the same in all processes.

        :meth:`update` steps against them.
        """
        times = self.times.begin(self.team)
        self._sums: list[Sum] = []
        self._agreed = (False, False)
        if self._buckets:
            self._squares[...] = 0
        common = {k: v for k, v in self.model.buffers.items() if k not in self._row_names}
        moved = []
        for k, share in enumerate(self.shares):
            if self.team.shards:  # each shard begins with what was before the step; some are moved in place
                self.model.buffers.update({name: array.copy() for name, array in common.items()})
            self.model.buffers.update(self._carried[k])
            self._share(k, share, batch_at, step)
            self._carried[k] = {name: self.model.buffers[name] for name in self._row_names}
            moved.append({name: self.model.buffers[name] for name in common})
        with times.not_hidden():
            self.team.finish(self._sums)
            norm, scale = self._norm_of_parts(clip) if self._divides else (None, None)
        for name in self._rows_read:
            self._spread_rows(name)
        if not self._divides:
            gradients = self._gradients()
            clip_parts(self.model, gradients)
            self._grads, norm, scale = self.flat.collect(gradients, clip)
        if self.team.shards:
            self.model.buffers.update(self._mean_of_shards(moved))
        self._steps += 1
        if self._steps % CHECK_EVERY == 0:
            self.check_alike()
        front = self._sum[_SAID]
        if not on_gpu(front) or step % 10 == 9:  # a GPU is asked when it is waited for anyway
            _, stop, checkpoint = to_host(front).tolist()
            self._agreed = stop > 0, checkpoint > 0
        return front[0].copy(), norm, scale

    def update(self, optimiser: Optimiser, *, lr: float, grad_scale: Any) -> None:
        """The optimiser's step: of what this process owns, and then all have what all have stepped."""
        if self._divides:
            mine = self._owned[self.team.rank]
            optimiser.step_parts([(part, self._gradient(part)) for part in mine], lr=lr, grad_scale=grad_scale)
            with self.times.not_hidden():
                self.team.share(self.flat.memory, self._owned)
        else:
            optimiser.step(self._grads, lr=lr, grad_scale=grad_scale)
        self.times.end(self.team)

    def complete(self, optimiser: Optimiser) -> None:
        """All that ``optimiser`` remembers in every process, as a checkpoint keeps it."""
        if self._divides and self._buckets:
            for array in optimiser.state.values():
                self.team.share(Memory(array), self._owned)

    def _share(self, k: int, share: Share, batch_at: Callable[[int, Share], Any], step: int) -> None:
        """Loss and gradients of one share, into row ``k``; after the last, what is final is sent."""
        try:
            batch = batch_at(step, share)
        except TooFewRows as error:
            raise SharedError(f"a batch of {error}{_REMEDY}") from None
        self._choose_rows(batch)
        loss, cache = self.model.forward(batch)
        self._final: set[str] = set()
        last = k == len(self.shares) - 1
        self._take_front(k, loss)
        if last:
            self._begin_sum(_SAID, 0, to_all=True)

        def ready(gradients: dict[str, Array]) -> None:
            self._take(k, gradients, last)

        ready(self.model.backward(cache, ready))
        self._check_final(self._final == self._places.keys())

    def _take_front(self, k: int, loss: Any) -> None:
        """The loss, and the two questions, which a process asks once."""
        stop, checkpoint = self._asked if k == 0 else (False, False)
        front = self._buffer.own[k, _SAID]
        front[...] = place(np.array([0, stop, checkpoint], front.dtype), front)
        front[0] = loss

    def _choose_rows(self, batch: Any) -> None:
        """Send rows alone where that is less than half of a matrix: copying them out and in is work, too."""
        found: dict[str, Array] = getattr(self.model, "rows_read", lambda batch: {})(batch)
        if not self._buckets:
            self._cut(found)
        self._rows_read = {
            name: rows
            for name, rows in found.items()
            if name in self._by_rows and 2 * len(rows) < self.flat.shapes[name][0]
        }

    def _cut(self, by_rows: Iterable[str]) -> None:
        """Make the buckets; what has a part of a matrix whose rows may be sent alone has nothing else."""
        starts = {name: self._places[name].start for name in by_rows}
        self._by_rows = frozenset(starts)
        borders = {_FRONT, len(self._sum)}.union(*((at, at + self._room[name]) for name, at in starts.items()))
        size = max(1, BUCKET // self._sum.itemsize)
        cuts = sorted(borders.union(*(range(a, b, size) for a, b in itertools.pairwise(sorted(borders)))))
        for a, b in itertools.pairwise(cuts):
            names = [name for name, place in self._places.items() if place.start < b and a < place.stop]
            self._buckets.append(_Bucket(slice(a, b), frozenset(names)))
        of_bucket = [self.team.owned(b - a) for a, b in itertools.pairwise(cuts)]
        self._owned = [
            [
                slice(a - _FRONT + parts[rank].start, a - _FRONT + parts[rank].stop)
                for a, parts in zip(cuts, of_bucket, strict=False)
                if parts[rank].start < parts[rank].stop
            ]
            for rank in range(self.team.size)
        ]
        self._squares = np.zeros((len(self.shares), len(self._buckets) + len(self._places)))  # of the sums, added up

    def _take(self, k: int, gradients: dict[str, Array], send: bool) -> None:
        """Copy those that are new into row ``k``; begin the sums of the buckets that are full, and go on with those under way."""
        new = gradients.keys() - self._final
        self._final |= new
        self._check_final(new <= self._places.keys())
        for name in new:
            self._copy(name, gradients[name], self._buffer.own[k])
        if send:
            self._send(new)
            self._advance()

    def _check_final(self, right: bool) -> None:
        if not right:
            raise ValueError(f"gradients and parameters differ: {sorted(self._final ^ self._places.keys())}")

    def _copy(self, name: str, gradient: Array, row: Array) -> None:
        """A gradient, or the rows of it that are sent, to where it stands in a row of the buffer."""
        if name in self._rows_read:
            rows = place(self._rows_read[name], gradient)
            if self._steps == 0:
                self._check_rows_read(name, gradient)
            gradient = gradient[rows]
        at = self._places[name].start
        row[at : at + gradient.size] = gradient.reshape(-1)

    def _check_rows_read(self, name: str, gradient: Array) -> None:
        """Once: that nothing is left out."""
        rest = np.ones(len(gradient), bool)
        rest[self._rows_read[name]] = False
        if to_host(gradient)[rest].any():
            raise ValueError(f"rows of {name} have a gradient that are not among those of the batch")

    def _send(self, new: set[str]) -> None:
        """Begin the sums that the gradients of these names complete."""
        for name in sorted(new & self._rows_read.keys()):
            number = len(self._buckets) + list(self._places).index(name)
            self._begin_sum(self._part_of_rows(name), 1 + number, number, to_all=True)
        dense = new - self._rows_read.keys()
        for number, bucket in enumerate(self._buckets):
            if bucket.names & dense and bucket.names <= self._final:
                self._begin_sum(bucket.part, 1 + number, number, to_all=not self._divides)

    def _part_of_rows(self, name: str) -> slice:
        """Where the rows stand of a matrix of which these are sent alone."""
        start = self._places[name].start
        return slice(start, start + len(self._rows_read[name]) * math.prod(self.flat.shapes[name][1:]))

    def _begin_sum(self, part: slice, number: int, square: int | None = None, *, to_all: bool) -> None:
        found = self.team.start_sum(self._buffer, part, self._sum, number, to_all)
        if square is not None:
            if self._divides:
                found = _Squared(found, lambda: self._take_squares(part, square))
            self.times.first_sent()
        self._sums.append(found)

    def _take_squares(self, part: slice, number: int) -> None:
        """Σ g² of a sum, of each share's part of it: so their number does not depend on that of the processes."""
        parts = self.team.parts(part.stop - part.start)
        for k, share in enumerate(self.shares):
            some = self._sum[part][parts[share.number]]
            blocks = (some[at : at + _BLOCK] for at in range(0, len(some), _BLOCK))
            self._squares[k, number] = sum(float(block @ block) for block in blocks)

    def _norm_of_parts(self, clip: float) -> tuple[float, float]:
        """The norm of the gradient, and the factor that clips it."""
        norm = math.sqrt(self.team.gather(self._squares).reshape(-1).sum())
        return norm, clipping(norm, clip)

    def _advance(self) -> None:
        """Go on with all sums."""
        self._sums = [each for each in self._sums if not each.advance()]

    def _spread_rows(self, name: str) -> None:
        """The sums of rows where they stand in the matrix, which is 0 besides."""
        shape = self.flat.shapes[name]
        if name not in self._dense:
            self._dense[name] = np.zeros_like(self._sum, shape=(self._room[name],)), np.arange(0)
        flat, before = self._dense[name]
        dense = flat[: math.prod(shape)].reshape(shape)
        rows = place(self._rows_read[name], dense)
        dense[place(before, dense)] = 0
        dense[rows] = self._sum[self._part_of_rows(name)].reshape(-1, *shape[1:])
        self._dense[name] = flat, rows

    def _gradient(self, part: slice) -> Array:
        """The sums of a part of the flat buffer, of which all belongs to a matrix of which rows are sent, or nothing."""
        for name in self._rows_read:
            first = self._places[name].start - _FRONT
            if first <= part.start < first + self._room[name]:
                return self._dense[name][0][part.start - first : part.stop - first]
        return self._sum[_FRONT + part.start : _FRONT + part.stop]

    def _gradients(self) -> dict[str, Array]:
        """The sums by the names of the parameters, where all have all."""
        found = {}
        for name, at in self._places.items():
            flat = self._dense[name][0][: at.stop - at.start] if name in self._rows_read else self._sum[at]
            found[name] = flat.reshape(self.flat.shapes[name])
        return found

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
        own = [{name: to_host(array) for name, array in rows.items()} for rows in self._carried]
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


def divides(team: Team, model: Any) -> bool:
    """Whether each process of ``team`` steps a part of the parameters; not of a model that clips, whole gradient at hand."""
    return team.divides and not hasattr(model, "clip_each")


def memory_of(team: Team, model: Any) -> Callable[[tuple[int, ...], Array], Memory]:
    """Where the parameters lie: where each is stepped by one process, all of one machine have the same."""
    return partial(team.memory, common=True) if divides(team, model) else own_memory


def clip_parts(model: Any, gradients: dict[str, Array]) -> None:
    """Clip in place what ``model`` clips by itself, the whole gradient at hand; most models do not."""
    clip_each = getattr(model, "clip_each", None)
    if clip_each is not None:
        clip_each(gradients)


class _Squared(Sum):
    """A sum, and what is done with it at once, while it is in the cache."""

    def __init__(self, found: Sum, then: Callable[[], None]) -> None:
        self._sum, self._then = found, then

    def advance(self) -> bool:
        if not self._sum.advance():
            return False
        self._then()
        return True


class Times:
    """Where the time of the steps goes."""

    def __init__(self) -> None:
        self.steps = 0
        self.computing = self.waiting = self.under_way = self.shown = 0.0  #: seconds, in all but the first step
        self._lately = 0.0, 0.0
        self._first: float | None = None

    def begin(self, team: Team) -> Times:
        """A step begins."""
        self._began, self._waited, self._first = time.perf_counter(), team.waited, None
        self._under_way = self._shown = 0.0
        return self

    def first_sent(self) -> None:
        """A sum is begun."""
        if self._first is None:
            self._first = time.perf_counter()

    @contextlib.contextmanager
    def not_hidden(self) -> Iterator[None]:
        """Inside the ``with`` block nothing else goes on than to exchange."""
        began = time.perf_counter()
        yield
        ended = time.perf_counter()
        self._shown += ended - began
        self._under_way += ended - (began if self._first is None else self._first)
        self._first = None

    def end(self, team: Team) -> None:
        """The step is done."""
        waited = team.waited - self._waited
        self.add(time.perf_counter() - self._began - waited, waited, self._under_way, self._shown)

    def add(self, computing: float, waiting: float, under_way: float, shown: float) -> None:
        """Of a step: seconds of its own work, and those that it waited; seconds that gradients were under way, and of those
        the ones in which there was nothing else to do."""
        self.steps += 1
        if self.steps == 1:  # compiles
            return
        self.computing += computing
        self.waiting += waiting
        self.under_way += under_way
        self.shown += shown

    def lately(self) -> tuple[float, float]:
        """Seconds of own work and of waiting since it was asked last."""
        before, self._lately = self._lately, (self.computing, self.waiting)
        return self.computing - before[0], self.waiting - before[1]

    def totals(self) -> tuple[float, float]:
        """The share of the time that gradients were under way in which work went on, and that of all time in which it waited."""
        whole = self.computing + self.waiting
        hidden = 1 - self.shown / self.under_way if self.under_way else 1.0
        return hidden, self.waiting / whole if whole else 0.0


def _checksum(array: Array) -> int:
    return zlib.crc32(to_host(array).tobytes())


def _checksum_of_all(arrays: dict[str, Array]) -> int:
    return zlib.crc32(b"".join(_checksum(array).to_bytes(4, "little") for array in arrays.values()))


def _ranks(ranks: list[int]) -> str:
    return f"{'process' if len(ranks) == 1 else 'processes'} {', '.join(map(str, ranks))}"
