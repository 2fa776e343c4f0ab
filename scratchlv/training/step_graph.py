"""A training step on a GPU as one launch, where shapes repeat: a CUDA graph of its forward pass, backward pass and gradient norm.

A step of a captioner is more than a hundred launches, and Python takes longer to make them than a large chip to do them. A
graph is the list of them, as it was written down ("captured") in one step; replayed, they follow each other without Python.
What was written down stays as it was: kernels, addresses, and the numbers that they were given. So

- there is a graph for each set of shapes, made of the second batch that has them (the first compiles what it needs), and no
  more than ``MOST`` in all;
- the arrays of a batch are copied to where the graph reads them;
- what a step makes lies in memory of its own, which nothing else is given;
- a step whose numbers change is launched as usual: a model says of a batch, by ``repeats``, whether only arrays do. Drawn masks
  and regions do not repeat, nor does a step that keeps statistics of its batches.

Before capturing is tried the step has been computed: whatever stands in its way, training goes on as without, and says so once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchlv.device import on_gpu

MOST = 16  #: graphs: each keeps some memory, and captions of a hundred lengths had better be launched as usual

_asked_for = False


def use_step_graphs(asked_for: bool) -> None:
    """From now on trainers on a GPU make graphs of their steps, or do not."""
    global _asked_for
    _asked_for = asked_for


def step_graphs_asked_for() -> bool:
    return _asked_for


class _Graph(NamedTuple):
    batch: Any  # whose arrays it reads
    results: tuple  # which it writes
    graph: Any


class StepGraphs:
    """``compute(batch)``, which returns arrays, by graphs. ``model`` says which batches repeat."""

    def __init__(self, compute: Callable[[Any], tuple], model: Any) -> None:
        import cupy

        self._compute, self._model = compute, model
        self._pool = cupy.cuda.MemoryPool()
        self._stream = cupy.cuda.Stream()  # not the default one, which cannot be captured, but in step with it
        self._seen: set[Any] = set()
        self._graphs: dict[Any, _Graph] = {}
        self._given_up = False

    def __call__(self, batch: Any) -> tuple:
        if self._given_up or not getattr(self._model, "repeats", lambda batch: False)(batch):
            return self._compute(batch)
        batch = batch._replace(dropout_seed=0)  # nothing is drawn, and each step has another one
        shapes = _shapes(batch)
        if shapes in self._graphs:
            return self._replay(self._graphs[shapes], batch)
        if shapes not in self._seen or len(self._graphs) == MOST:
            self._seen.add(shapes)
            return self._compute(batch)
        return self._compute_and_capture(batch, shapes)

    def _replay(self, known: _Graph, batch: Any) -> tuple:
        _copy(batch, known.batch)
        known.graph.launch(self._stream)
        return tuple(result.copy() for result in known.results)  # the next step writes where they stand

    def _compute_and_capture(self, batch: Any, shapes: Any) -> tuple:
        import cupy

        there, buffers = _placed(batch), dict(self._model.buffers)
        with cupy.cuda.using_allocator(self._pool.malloc), self._stream:
            computed = self._compute(
                there
            )  # so that the pool has what a step needs: a capture can ask the driver for nothing
            own = tuple(result.copy() for result in computed)
        if any(self._model.buffers[name] is not array for name, array in buffers.items()):
            return self._give_up(own, "a step leaves new statistics behind, which the next must read")
        try:
            with cupy.cuda.using_allocator(self._pool.malloc), self._stream:
                del computed
                self._stream.begin_capture()
                try:
                    results = self._compute(there)
                finally:
                    graph = self._stream.end_capture()
        except Exception as error:  # of CUDA, of CuPy: whatever it is, the step can be launched as before
            return self._give_up(own, str(error))
        self._graphs[shapes] = _Graph(there, results, graph)
        return own

    def _give_up(self, computed: tuple, why: str) -> tuple:
        self._given_up = True
        self._graphs.clear()
        print(f"note: steps are launched kernel by kernel, not as graphs ({why})", file=sys.stderr)
        return computed


def _shapes(value: Any) -> Any:
    """All of a batch but the numbers of its arrays."""
    if isinstance(value, tuple):
        return tuple(_shapes(part) for part in value)
    return (value.shape, value.dtype.str) if hasattr(value, "dtype") else value


def _placed(value: Any) -> Any:
    """A batch whose arrays are copies on the GPU."""
    import cupy

    if isinstance(value, tuple):
        parts = [_placed(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return cupy.array(value) if hasattr(value, "dtype") else value


def _copy(value: Any, to: Any) -> None:
    """The arrays of a batch, from the host or the GPU, into those of another of its shapes."""
    if isinstance(value, tuple):
        for part, its_place in zip(value, to, strict=True):
            _copy(part, its_place)
    elif on_gpu(value):
        to[...] = value
    elif hasattr(value, "dtype"):
        to.set(np.ascontiguousarray(value))
