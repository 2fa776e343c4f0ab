"""Launches block_sums under Numba's simulator, one thread at a time, and watches who reads and writes what.

Numba's own simulator lets all threads of a block run at once, so that a missing barrier shows by luck. Here a thread runs until
it comes to a barrier, then the next; and each number of shared memory knows who wrote and who read it since the last one.
"""

import sys
import threading

import numpy as np
from numba.core import types
from numba.cuda.simulator import kernel, kernelapi
from numba.np import numpy_support

THREADS = 32


def block_sums(learner, x):
    """One sum for each block of THREADS numbers."""
    sums = np.full(-(-x.size // THREADS), np.nan, np.float32)
    _launch(learner, x, sums)
    missing = np.flatnonzero(np.isnan(sums))
    if missing.size:
        learner.refuse(
            f"sums[{missing[0]}] is NaN: no thread of block {missing[0]} gives it a value, or one that is NaN"
        )
    return sums


def total(learner, x):
    """The sum of all numbers: the sums of the blocks are summed again."""
    sums = block_sums(learner, x)
    while sums.size > 1:
        sums = block_sums(learner, sums)
    return np.array(sums[0])


def _launch(learner, x, sums):
    if not hasattr(learner.block_sums, "py_func"):
        learner.refuse("block_sums is no kernel any more: put @cuda.jit back above it")
    kernel.BlockManager, kernelapi.FakeCUDAShared.array = _Block, _shared_array
    _Block.learner, _Block.file = learner, learner.block_sums.py_func.__code__.co_filename
    threading.stack_size(1 << 20)  # of each of the many threads
    learner.block_sums[sums.size, THREADS](x, sums)


def _line():
    """The learner's line that runs now."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _Block.file:
        frame = frame.f_back
    return frame.f_lineno if frame is not None else 0


class _Block:
    """Runs the threads of a block, one after the other from barrier to barrier."""

    learner, file = None, ""

    def __init__(self, function, grid, block, debug):
        self._grid_dim, self._block_dim, self.function = grid, block, function
        self.block_state = np.zeros(block, np.bool_)
        self.barriers = 0
        self.back = threading.Semaphore(0)

    def run(self, place, *arguments):
        _Block.now = self
        threads = [_Thread(self, place, t, arguments) for t in np.ndindex(*self._block_dim)]
        try:
            alive = threads
            while alive:
                for thread in alive:
                    thread.proceed()
                    if thread.error is not None:
                        raise thread.error
                waiting = [thread for thread in alive if not thread.ended]
                self._check(waiting, threads)
                self.barriers += 1
                alive = waiting
        finally:
            for thread in threads:
                thread.stop()

    def _check(self, waiting, threads):
        """That all threads wait at the same barrier, or none does."""
        if not waiting:
            return
        lines = sorted({thread.line for thread in waiting})
        if len(waiting) < len(threads):
            ended = len(threads) - len(waiting)
            self.learner.refuse(
                f"{ended} of {len(threads)} threads of a block do not come to the barrier in line {lines[0]}, "
                "where the others wait: all threads of a block must come to each barrier",
                lines[0],
                "barrier",
            )
        if len(lines) > 1:
            self.learner.refuse(
                f"some threads of a block wait at the barrier in line {lines[0]}, others at that in line {lines[1]}: "
                "all threads of a block must come to each barrier",
                lines[0],
                "barrier",
            )


class _Stopped(BaseException):
    """A thread whose block has failed."""


class _Thread(kernel.BlockThread):
    """One CUDA thread; it runs when it is told to."""

    def __init__(self, block, place, t, arguments):
        super().__init__(lambda: block.function(*arguments), block, place, t, False)
        self.block, self.number = block, t[0]
        self.go, self.error, self.line = threading.Semaphore(0), None, 0
        self.begun = self.ended = self.stopped = False

    def proceed(self):
        """To the next barrier, or to the end."""
        if self.begun:
            self.go.release()
        else:
            self.begun = True
            self.start()
        self.block.back.acquire()

    def run(self):
        try:
            threading.Thread.run(self)
        except _Stopped:
            pass
        except Exception as error:
            self.error = error
        self.ended = True
        self.block.back.release()

    def syncthreads(self):
        self.line = _line()
        self.block.back.release()
        self.go.acquire()
        if self.stopped:
            raise _Stopped

    def stop(self):
        if self.begun and not self.ended:
            self.stopped = True
            self.go.release()
            self.join(5)


def _shared_array(shared, shape, dtype):
    """In place of Numba's: one array for a line of the kernel, which is watched."""
    kind = numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else np.dtype(dtype)
    line = _line()
    if line not in shared._allocations:
        shared._allocations[line] = _Shared(shape, kind)
    return shared._allocations[line]


class _Shared:
    """Shared memory of a block. For each number: who wrote it last, and who read it since the last barrier."""

    def __init__(self, shape, dtype):
        self.array = np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)
        self.shape, self.size, self.dtype, self.ndim = self.array.shape, self.array.size, dtype, self.array.ndim
        self.written, self.read = {}, {}

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        value = self.array[index]
        me, line, now = threading.current_thread().number, _line(), _Block.now
        index = self._place(index)
        barrier, who, where = self.written.get(index, (-1, None, 0))
        if who is None:
            at = f"shared memory at [{self._text(index)}] in line {line}"
            sentence = (
                f"thread {me} reads {at}, and no thread has written there: a barrier is missing before, or the number"
            )
            now.learner.refuse(sentence, line, "barrier")
        if barrier == now.barriers and who != me:
            self._race(f"thread {me} reads", line, index, f"thread {who} writes it in line {where}")
        self.read[index, me] = (now.barriers, line)
        return value

    def __setitem__(self, index, value):
        self.array[index] = value
        me, line, now = threading.current_thread().number, _line(), _Block.now
        index = self._place(index)
        barrier, who, where = self.written.get(index, (-1, None, 0))
        if barrier == now.barriers and who != me:
            self._race(f"thread {me} writes", line, index, f"thread {who} writes it in line {where}, too")
        for (at, other), (when, where) in self.read.items():
            if at == index and other != me and when == now.barriers:
                self._race(f"thread {me} writes", line, index, f"thread {other} reads it in line {where}")
        self.written[index] = (now.barriers, me, line)

    def _race(self, does, line, index, other):
        at = f"shared memory at [{self._text(index)}] in line {line}"
        _Block.now.learner.refuse(f"{does} {at}, {other}, and no barrier stands between the two", line, "barrier")

    def _place(self, index):
        """From the beginning, also for an index that counts from the end."""
        index = index if isinstance(index, tuple) else (index,)
        return tuple(int(i) % n for i, n in zip(index, self.shape, strict=True))

    def _text(self, index):
        return ", ".join(map(str, index))
