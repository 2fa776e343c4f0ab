"""Batches whose large arrays are on the GPU before they are asked for: the next one is copied while the GPU is at this one.

Of a batch of 32 pictures, 196 regions of 512 features are 12.8 MB. To copy them from ordinary memory the driver first copies
them to memory of its own, and the step waits for both. Here they are gathered into memory that is locked in its place
(pinned), and sent on a stream of their own. There are two sides, filled by turns, each with locked and with device memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.memory import LARGE


class _Side:
    """Memory for the large arrays of one batch, in the order in which they stand in it; and when they had been copied."""

    def __init__(self) -> None:
        self.buffers: list[tuple[Array, Array]] = []  # bytes, locked and on the device
        self.copied: Any = None  # an event


class CopyAhead:
    """``batch_at(step)`` with its large arrays on the GPU; :meth:`begin` has the copy of a later one begin.

    A batch is whole until the one after the next is asked for.
    """

    def __init__(self, batch_at: Callable[[int], Any]) -> None:
        import cupy

        self._cuda, self._batch_at = cupy.cuda, batch_at
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._sides, self._turn = (_Side(), _Side()), 0
        self._launched: Any = None  # an event: what had been launched when the last copy was begun
        self._ready: tuple[int, Any, _Side] | None = None

    def __call__(self, step: int) -> Any:
        if self._ready is None or self._ready[0] != step:
            self.begin(step)
        assert self._ready is not None
        (_, batch, side), self._ready = self._ready, None
        self._cuda.get_current_stream().wait_event(side.copied)
        return batch

    def begin(self, step: int) -> None:
        """Gather the batch ``step``, and have it copied while the GPU does what was launched before."""
        side, self._turn = self._sides[self._turn], 1 - self._turn
        here = self._batch_at(step)
        if side.copied is not None:
            side.copied.synchronize()  # long since: its locked memory is free again
        if (
            self._launched is not None
        ):  # whoever reads what this side held was launched before the other side was filled
            self._stream.wait_event(self._launched)
        batch = self._sent(here, side, itertools.count())
        side.copied = self._recorded(self._stream)
        self._launched = self._recorded(self._cuda.get_current_stream())
        self._ready = step, batch, side

    def _sent(self, value: Any, side: _Side, numbers: Iterator[int]) -> Any:
        """``value``, its large arrays being copied into the ``numbers``-th buffers of the side."""
        if isinstance(value, tuple):
            parts = [self._sent(part, side, numbers) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if not _is_large(value):
            return value
        locked, there = self._buffers(side, next(numbers), value.nbytes)
        locked, there = (bytes_[: value.nbytes].view(value.dtype).reshape(value.shape) for bytes_ in (locked, there))
        locked[...] = value
        there.set(locked, stream=self._stream)
        return there

    def _buffers(self, side: _Side, number: int, size: int) -> tuple[Array, Array]:
        import cupy

        if number == len(side.buffers) or len(side.buffers[number][0]) < size:
            locked = np.frombuffer(self._cuda.alloc_pinned_memory(size), np.uint8, size)
            side.buffers[number:] = [(locked, cupy.empty(size, np.uint8))]
            # the device memory may have been another array's, which something that was launched still reads
            self._stream.wait_event(self._recorded(self._cuda.get_current_stream()))
        return side.buffers[number]

    def _recorded(self, stream: Any) -> Any:
        event = self._cuda.Event(disable_timing=True)
        event.record(stream)
        return event


def _is_large(value: Any) -> bool:
    """Pictures and features; numbers of rows are the host's to look at."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "fu" and value.nbytes >= LARGE
