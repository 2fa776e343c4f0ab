"""Several memory networks over stories, trained side by side on the same batches: each from parameters of its own.

Networks of 20 numbers a memory are so small that a step is mostly the calling of kernels. R of them in one are called once:
the words of copy r are those from r V on of one vocabulary of R V words, its sentences those from r U on, its questions those
from r N on. Nothing that one computes reaches another, and each has the gradient, and the clipping of it, that it has alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import NOT_THERE, StoryBatch
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.tokens import PAD


class SideBySide:
    """``params`` and the passes of R networks, one for each of ``seeds``: the loss is their mean.

    The gradient of each is clipped at the norm ``clip`` by itself (:meth:`clip_each`, which the trainer calls); so the trainer's
    own clipping has nothing to do.
    """

    def __init__(self, config: MemoryNetworkConfig, seeds: Sequence[int], clip: float) -> None:
        self.copies, self.clip, self.of_one = len(seeds), clip, config
        each = [MemoryNetwork(config, seed).params for seed in seeds]
        self.network = MemoryNetwork(replace(config, copies=len(seeds)))
        self.network.params = {name: np.concatenate([params[name] for params in each]) for name in each[0]}
        self.params = self.network.params
        self.buffers: dict[str, Array] = {}

    @property
    def linear(self) -> bool:
        """Whether their attention is without its softmax."""
        return self.network.linear

    @linear.setter
    def linear(self, linear: bool) -> None:
        self.network.linear = linear

    def copy(self, r: int) -> MemoryNetwork:
        """Network ``r`` by itself, with parameters of its own."""
        found = MemoryNetwork(self.of_one)
        found.params = {name: np.split(array, self.copies)[r].copy() for name, array in self.params.items()}
        return found

    def forward(self, batch: StoryBatch, *, train: bool = True) -> tuple[Any, Any]:
        """The mean loss per question of all, in nats, and the cache that ``backward`` takes."""
        return self.network.forward(self._for_each(batch), train=train)

    def backward(self, cache: Any, ready: Ready = nobody_waits) -> dict[str, Array]:
        """The gradients, each copy's of its own mean loss; they are small, and ``ready`` is told of none before the end."""
        return {name: self.copies * grad for name, grad in self.network.backward(cache).items()}

    def clip_each(self, grads: dict[str, Array]) -> None:
        """Clip the gradients of each copy, in place, at the norm ``clip``."""
        R = self.copies
        squares = sum((grad.reshape(R, -1) ** 2).sum(axis=1) for grad in grads.values())  # (R,)
        scale = np.minimum(1, self.clip / np.maximum(np.sqrt(squares), np.finfo(np.float32).tiny))
        for grad in grads.values():
            of_copies = grad.reshape(R, -1)
            of_copies *= scale[:, None].astype(grad.dtype)

    def answer(self, batch: StoryBatch) -> tuple[Array, Array]:
        """The mean of their probabilities (N, answers), and of their attention."""
        probabilities, alphas = self.network.answer(self._for_each(batch))
        return tuple(np.mean(np.split(array, self.copies), axis=0) for array in (probabilities, alphas))  # type: ignore[return-value]

    def _for_each(self, batch: StoryBatch) -> StoryBatch:
        """The batch R times, in the words of each copy."""
        R = self.copies
        return batch._replace(
            sentences=_numbered(batch.sentences, R, self.of_one.vocabulary, PAD),
            told=_numbered(batch.told, R, len(batch.sentences), NOT_THERE),
            tokens=np.ascontiguousarray(_numbered(batch.tokens.T, R, self.of_one.vocabulary, PAD).T),
            lengths=np.tile(batch.lengths, R),
            answers=np.tile(batch.answers, R),
        )


def _numbered(numbers: Array, copies: int, size: int, nothing: int) -> Array:
    """(N, …) -> (R N, …): copy r has the numbers from r · size on; ``nothing`` stays what it is."""
    first = size * np.arange(copies).reshape(-1, *(1,) * numbers.ndim)
    return np.where(numbers == nothing, nothing, numbers + first).reshape(-1, *numbers.shape[1:])
