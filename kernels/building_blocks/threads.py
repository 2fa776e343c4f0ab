"""How many threads a kernel uses, how work is divided among them, and what becomes of them in a fork."""

from __future__ import annotations

import os
from typing import Any, NoReturn

import numba
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from scratchlv.cores import usable_cores
from scratchlv.kernels.building_blocks import MOST_THREADS
from scratchlv.kernels.building_blocks import processor as processor  # says what Numba compiles for, before it starts
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import I64

_cores = usable_cores().n
WORTH_WAKING = value("threads.worth_waking")  #: numbers of a sweep


def n_threads() -> int:
    """Threads that a kernel may use now: Numba's setting (:func:`set_threads`), at most one for each core.

    Numba may have more, by ``NUMBA_NUM_THREADS``. Shares for each of those would be small, and small products are slow; and
    at the end of each kernel all wait for the one that gets a core last. So this Python thread's kernels then use fewer.
    """
    n = numba.get_num_threads()
    if n > _cores:
        numba.set_num_threads(_cores)
    return min(n, _cores)


def set_threads(n: int) -> int:
    """Have the kernels that this Python thread calls use ``n`` threads; returns how many they used before.

    Raises:
        ValueError: ``n`` is less than 1, or more than Numba has: one for each core that this process may use, or
            ``NUMBA_NUM_THREADS``.
    """
    most = numba.config.NUMBA_NUM_THREADS
    if isinstance(n, bool) or not isinstance(n, int):
        raise ValueError(f"{n!r} threads: give a whole number, 1 to {most}")
    if n < 1:
        raise ValueError(f"{n} threads: give 1 or more")
    if n > MOST_THREADS:
        raise ValueError(f"{n} threads: give {MOST_THREADS} or less")
    if n > most:
        raise ValueError(
            f"{n} threads: there are {most}; set NUMBA_NUM_THREADS={n} before Python starts to have so many"
        )
    before = numba.get_num_threads()
    numba.set_num_threads(n)
    return before


class waking:
    """``with waking(worth) as threads:`` the kernels called inside run on so many threads; on this one alone if not ``worth`` it.

    Numba wakes all threads for any parallel loop, even for one that has nothing for them, and a thread that sleeps, as they do
    while Python goes on for a while, comes late: on a virtual machine the loop then took 120 µs, and 2 on one thread.
    """

    def __init__(self, worth: bool) -> None:
        self._worth = worth

    def __enter__(self) -> int:
        self._before = n_threads()
        if self._worth or self._before == 1:
            self._worth = True  # nothing is changed
            return self._before
        numba.set_num_threads(1)
        return 1

    def __exit__(self, *_: object) -> None:
        if not self._worth:
            numba.set_num_threads(self._before)


def worth_waking(numbers: int) -> waking:
    """:class:`waking` for a sweep over so many numbers."""
    return waking(numbers >= WORTH_WAKING)


@njit(inline="always")
def share(total, part, parts):
    """The half-open range of ``total`` items that belongs to one of ``parts`` equal shares."""
    return total * part // parts, total * (part + 1) // parts


# --- taking work -----------------------------------------------------------------------------------------------------
# Equal shares take as long as the slowest core, which a neighbour may have slowed to a half. So threads take an item (a tile,
# a block of rows) whenever they are free. Each is computed by one thread as it would be by any other: the bits stay.
#
#     counter = new_counter()
#     for _ in prange(threads):
#         item = next_item(counter)
#         while item < items:
#             ...
#             item = next_item(counter)

#: For each thread, of work that could be cut anywhere: a core at half speed is late by a sixteenth at the most.
PIECES = 8


@njit(inline="always")
def new_counter():
    """What the threads of one loop take their items from."""
    return np.zeros(1, np.int64)


@intrinsic
def next_item(typing_context, counter):
    """The next of the numbers 0, 1, 2 …, each of which one thread is given."""

    def emit(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, I64(1), "monotonic")

    return types.int64(counter), emit


@njit(inline="always")
def pieces(total, threads):
    """How many pieces (:func:`share`) of ``total`` items the threads take; a thread alone takes one."""
    return min(total, threads * PIECES if threads > 1 else 1)


# --- forks -----------------------------------------------------------------------------------------------------------
# A fork copies no threads but its own, and GNU OpenMP cannot start them anew: Numba then kills the process. We say why
# instead. It is the fork that is watched, not the calls: those cost what they always did.

_guarded: list[Any] = []
_lost = False  # whether this process is a fork without its parent's threads


def guard_against_fork(kernel: Any) -> None:
    """Have a parallel kernel raise ``RuntimeError`` in a process that was forked after GNU OpenMP's threads had started."""
    _guarded.append(kernel)
    if _lost:
        _refuse_calls(kernel)


def _after_fork() -> None:
    global _lost
    if not _lost and _gnu_openmp_has_started():
        _lost = True
        for kernel in _guarded:
            _refuse_calls(kernel)


def _gnu_openmp_has_started() -> bool:
    try:
        if numba.threading_layer() != "omp":
            return False
    except ValueError:  # no threads were started yet
        return False
    from numba.np.ufunc import omppool

    return omppool.openmp_vendor == "GNU"


def _refuse_calls(kernel: Any) -> None:
    kernel._reset_overloads()  # now a call of any type comes to where kernels are compiled
    kernel._compile_for_args = _refuse


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError(
        "this process was forked after its parent had started the threads of parallel kernels, and they do not live on in a "
        "fork (GNU OpenMP): start processes by multiprocessing's 'spawn' or 'forkserver', or fork before the first kernel runs"
    )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
