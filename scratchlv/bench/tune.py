"""``scratchlv tune``: sizes of kernels that cannot be derived from the caches, measured here and kept for this processor.

A size is compiled into kernels, so each that is tried has a process of its own. The processes take turns, lest one has the
machine's better minutes. In every round the time of a candidate is compared with that of the derived size, case by case, and
the mean logarithm of the ratios counts: a gain that is lost elsewhere is none. The best is chosen by half of the rounds; the
other half, which had no part in the choice, must confirm it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.bench import rows
from scratchlv.bench.command import Status
from scratchlv.bench.timing import time_calls
from scratchlv.bench.workloads import ROOMS
from scratchlv.cache import can_write
from scratchlv.errors import UserError
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.parameters import PARAMETERS, VARIABLE, measured_here, tuned, tuned_file
from scratchlv.kernels.building_blocks.processor import caches
from scratchlv.kernels.building_blocks.simd import WIDTH, address, fence, scale, total_of_pairs, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.memory import zeros
from scratchlv.ops import relu, tanh
from scratchlv.training.checkpoint import write_json_atomically

SECONDS = 30.0  #: of measuring, for each parameter
_TURN = 0.04  # seconds that a case is timed in its turn
_LARGEST = 1 << 26  # bytes; a room's larger workloads are left out: so many processes have their arrays at once
_LEAST_GAIN = 0.02
_LEAST_SHARE = 0.9  # of the rounds that confirm
_FEWEST_ROUNDS = 6
_PAUSE = 1e-4  # seconds, after which threads that spin no longer sleep

Calls = dict[str, Callable[[], Any]]


def run(only: Sequence[str] = (), seconds: float = SECONDS, *, dry_run: bool = False, forget: bool = False) -> int:
    """Measure, say what was found, and keep it; 130 if Ctrl-C ended it, which leaves everything as it was, else 0.

    Raises:
        UserError: there is no such parameter, nothing of it to measure, or no place to keep what is found.
    """
    names = _names(only, forget)
    if forget:
        _keep(dict.fromkeys(names))
        return 0
    if os.environ.get(VARIABLE):
        raise UserError(f"{VARIABLE} is set, and goes before what is tuned; unset it to tune")
    if not dry_run and not can_write(tuned_file().parent):
        raise UserError(f"{tuned_file().parent} cannot be written; choose another folder with SCRATCHLV_CACHE")
    print(
        f"measuring {len(names)} parameters, {seconds:g} s each, and the time to compile kernels; Ctrl-C leaves all as it is"
    )
    found: dict[str, int | None] = {}
    status = Status()
    try:
        for number, name in enumerate(names, 1):
            say = status.say_at(f"[{number}/{len(names)}] {name}: ")
            verdict = decide(measure(name, seconds, say), _derived(name))
            status.clear()
            print(f"{name:28}{_told(verdict, _derived(name))}", flush=True)
            found[name] = verdict.value if verdict.kept else None
    except KeyboardInterrupt:
        status.clear()
        print("interrupted: what was tuned before stays")
        return 130
    if dry_run:
        print("nothing of it is kept (--dry-run)")
    else:
        _keep(found)
    return 0


def _names(only: Sequence[str], forget: bool) -> list[str]:
    can = [name for name, parameter in PARAMETERS.items() if parameter.tried]
    for name in only:
        if name not in PARAMETERS:
            raise UserError(f"--only {name}: there is no such parameter; {', '.join(can)} can be tuned")
        if name not in can and not forget:
            raise UserError(f"--only {name}: it is derived, with nothing to try; {', '.join(can)} can be tuned")
    return list(dict.fromkeys(only)) or ([*PARAMETERS] if forget else can)


def _derived(name: str) -> int:
    return PARAMETERS[name].derived(caches())


def _keep(found: dict[str, int | None]) -> None:
    """Keep what was found, and what was found before of others; None is to forget."""
    values = {name: number for name, number in (tuned()[0] | found).items() if number is not None}
    file = tuned_file()
    if values:
        write_json_atomically(file, measured_here() | {"values": values})
        print(f"kept in {file}: {', '.join(f'{name}={number}' for name, number in values.items())}")
        return
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{file} cannot be deleted ({error.strerror}); delete it yourself") from None
    print("all parameters are as derived")


# --- the decision ------------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """The best of the candidates, the share of time that it saves, and whether the rounds that did not choose it confirm it."""

    value: int
    gain: float
    confirmed: int
    rounds: int  # that could confirm it

    @property
    def kept(self) -> bool:
        enough = self.rounds >= _FEWEST_ROUNDS // 2 and self.confirmed >= _LEAST_SHARE * self.rounds
        return enough and self.gain >= _LEAST_GAIN


def decide(times: dict[int, list[list[float]]], derived: int) -> Verdict:
    """Of the ``times`` (rounds, cases) of each candidate, in seconds, ``derived`` among them."""
    logarithms = {number: np.log(np.array(each)) for number, each in times.items()}
    against = {n: (each - logarithms[derived]).mean(1) for n, each in logarithms.items() if n != derived}
    best = min(against, key=lambda number: np.median(against[number][::2]))
    others = against[best][1::2]
    gain = 1 - math.exp(np.median(others)) if others.size else 0.0
    return Verdict(best, gain, int((others < 0).sum()), others.size)


def _told(verdict: Verdict, derived: int) -> str:
    best = f"{verdict.value} saves {verdict.gain:.1%} of the time, in {verdict.confirmed} of {verdict.rounds} rounds"
    return f"{verdict.value}, not {derived}: {best}" if verdict.kept else f"{derived}, as derived (at best {best})"


# --- processes that take turns -----------------------------------------------------------------------------------------


def measure(name: str, seconds: float, say: Callable[[str], None]) -> dict[int, list[list[float]]]:
    """The times (rounds, cases) of each size that is tried for a parameter, and of the derived one."""
    tried = sorted({_derived(name), *PARAMETERS[name].tried})
    with contextlib.ExitStack() as stack:
        say("compiling")
        workers = {number: stack.enter_context(_worker(name, number)) for number in tried}
        for worker in workers.values():
            _ask(worker)  # warm, and not counted
        times: dict[int, list[list[float]]] = {number: [] for number in tried}
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds or len(times[tried[0]]) < _FEWEST_ROUNDS:
            say(f"{max(seconds - passed, 0):.0f} s left")
            for number, worker in workers.items():
                times[number].append(_ask(worker))
    return times


@contextlib.contextmanager
def _worker(name: str, number: int) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-W", "ignore", "-c", "from scratchlv.bench.tune import serve; serve()", name]
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    options |= {"env": os.environ | {VARIABLE: f"{name}={number}"}, "start_new_session": True}  # Ctrl-C is for us alone
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(worker: subprocess.Popen) -> list[float]:
    """Have a process time its cases once."""
    assert worker.stdin and worker.stdout
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.write(b"\n")
    answer = worker.stdout.readline()
    if not answer:
        raise UserError(f"a process that was to measure ended by itself, with status {worker.wait()}: see above")
    return json.loads(answer)


def serve() -> None:
    """In a process of its own: for each line that is read, time the cases of a parameter, and write their seconds as JSON."""
    answers, sys.stdout = sys.stdout, sys.stderr
    with contextlib.suppress(BrokenPipeError):
        calls = list(workload(sys.argv[1]).values())
        for call in calls:
            call()
        for _ in sys.stdin:
            print(json.dumps([time_calls(call, seconds=_TURN).median for call in calls]), file=answers, flush=True)


# --- what is timed -----------------------------------------------------------------------------------------------------


def workload(name: str) -> Calls:
    """The calls that a parameter matters to: those of its room, at all sizes that are not too large, or others of its own."""
    return OF_ITS_OWN[name]() if name in OF_ITS_OWN else of_room(name.partition(".")[0])


def of_room(room: str) -> Calls:
    versions = [each for each in rows.versions(room, "numba_cpu") if each.number is None]
    calls: Calls = {}
    for size in ROOMS[room].sizes:
        made = ROOMS[room].make(np.random.default_rng(0), size)
        if calls and max(cost.bytes for cost in made.costs.values()) > _LARGEST:
            break
        for version in versions:
            calls |= {f"{version.name} {part} {size}": call for part, call in version.passes(made).items()}
    return calls


def written_then_read() -> Calls:
    """An array that is written, around the caches or through them, is read next: by the kernel that wants it."""
    largest = 3 << 24  # floats; each size is between two of those that are tried
    source, whole = zeros(largest), zeros(largest)
    sums = np.empty(n_threads())

    def call(target: np.ndarray) -> Callable[[], None]:
        return lambda: _write_and_read(source, target, sums, wants_nontemporal(target))

    return {f"{size >> 18} MiB": call(whole[:size]) for size in (largest >> k for k in range(6))}


@kernel(parallel=True)
def _write_and_read(source, target, sums, nontemporal):
    lines = target.size // 16
    for thread in prange(sums.size):
        first, last = share(lines, thread, sums.size)
        scale(
            address(source) + 64 * first, np.float32(1), address(target) + 64 * first, 16 * (last - first), nontemporal
        )
        if nontemporal:
            fence()
    for thread in prange(sums.size):
        first, last = share(target.size // (2 * WIDTH), thread, sums.size)
        sums[thread] = total_of_pairs(address(target) + 8 * WIDTH * first, last - first)


def sweeps_after_a_pause() -> Calls:
    """Sweeps that find the threads asleep, as they are when Python has gone on for a while: waking them is what it costs."""
    rng = np.random.default_rng(0)

    def call(sweep: Callable[[np.ndarray], Any], x: np.ndarray) -> Callable[[], None]:
        def after_a_pause() -> None:
            end = time.perf_counter() + _PAUSE
            while time.perf_counter() < end:
                pass
            sweep(x)

        return after_a_pause

    sizes = [1 << k for k in range(15, 22)]  # on both sides of each size that is tried
    return {
        f"{room} {size}": call(op.forward, rng.standard_normal((1, size)).astype(np.float32))
        for size in sizes
        for room, op in (("relu", relu), ("tanh", tanh))
    }


OF_ITS_OWN: dict[str, Callable[[], Calls]] = {
    "memory.larger_than_caches": written_then_read,
    "threads.worth_waking": sweeps_after_a_pause,
}
