"""What is said next, chosen on the GPU: the launches of ``decoding.cu``. :mod:`scratchlv.decode` asks for them.

A token of -1 says that a score of its row was NaN. Nothing here brings anything to the host but :meth:`Beam.is_open` and
:meth:`Beam.ended`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda.arrays import as_contiguous, empty, place, threads_for, zeros
from scratchlv.cuda.launch import load
from scratchlv.device import to_host
from scratchlv.tokens import END


class May(NamedTuple):
    """What may be said: none of the tokens whose bit is set in ``never``, and no ``no_repeat`` words of ``said`` once more."""

    never: Array  # (⌈V / 32⌉,) uint32
    said: Array | None = None  # (R, t) int64
    no_repeat: int = 0  # 0: any words

    def arguments(self, V: int) -> tuple[tuple, int]:
        """Of a kernel that takes what was said, and its bytes of shared memory."""
        if self.said is None or not self.no_repeat or self.said.shape[1] < self.no_repeat:
            return (self.never, None, np.int32(V), np.int32(0), np.int32(0)), 0
        t = np.int32(self.said.shape[1])
        return (self.never, as_contiguous(self.said), np.int32(V), t, np.int32(self.no_repeat)), -(-V // 32) * 4


def never(tokens: Iterable[int], V: int, like: Array) -> Array:
    """A bit for each of V tokens, where ``like`` is: set for these."""
    bits = np.zeros(-(-V // 32), np.uint32)
    for token in tokens:
        if 0 <= token < V:
            bits[token >> 5] |= np.uint32(1 << (token & 31))
    return place(bits, like)


def most_likely(log_probs: Array, may: May) -> tuple[Array, Array]:
    """The most likely token (R,) of each row (R, V) that may be said, and its log probability; of equals the lower token."""
    R, V = log_probs.shape
    tokens, own = empty(R, log_probs, np.int64), empty(R, log_probs)
    (bits, said, *sizes), shared = may.arguments(V)
    kernel = load("decoding.cu")["most_likely"]
    kernel((R,), (threads_for(V),), as_contiguous(log_probs), bits, said, tokens, own, *sizes, shared=shared)
    return tokens, own


def draw(
    log_probs: Array,
    never: Array,
    draws: Array,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    by_score: bool = True,
) -> tuple[Array, Array]:
    """A token (R,) of each row (R, V), where the cumulative distribution reaches its draw (R,), and its log probability.

    The cumulative distribution begins with the likeliest word, and the draws are in [0, 1); if not ``by_score``, it is in the
    order of the vocabulary, and they are in (0, 1].
    """
    R, V = log_probs.shape
    tokens, own, weights = empty(R, log_probs, np.int64), empty(R, log_probs), empty((R, V), log_probs, np.uint32)
    load("decoding.cu")["draw"](
        (R,),
        (threads_for(V),),
        as_contiguous(log_probs),
        never,
        draws,
        weights,
        tokens,
        own,
        np.int32(V),
        np.int32((V - 1).bit_length()),
        np.float64(temperature),
        np.int32(top_k or 0),
        np.float64(1.0 if top_p is None else top_p),
        np.int32(by_score),
    )
    return tokens, own


class BeamStep(NamedTuple):
    """What each hypothesis said, and which it continues; ``rows`` are their numbers among all."""

    tokens: Array  # (N, B)
    log_probs: Array  # (N, B)
    parents: Array  # (N, B)
    rows: Array  # (N B,)


class Beam:
    """The hypotheses of N inputs, B of each, and the best that have ended."""

    def __init__(self, lengths: Array, B: int, length_normalisation: float, like: Array) -> None:
        """``lengths`` (N,): where a sentence of each input is cut off."""
        N = len(lengths)
        self.N, self.B, self.normalisation = N, B, length_normalisation
        self.longest = int(np.max(lengths, initial=0))
        self.lengths = place(np.array(lengths, np.int32), like)
        self.divisors = place(np.array(lengths, np.float64) ** length_normalisation, like)
        scores = np.full((N, B), -np.inf)
        scores[:, 0] = 0
        self.scores, self.best = place(scores, like), place(np.full(N, -np.inf), like)
        self.best_at, self.damaged = zeros((N, 2), like, np.int64), zeros(1, like, np.int32)
        self.open = place(np.ones(N, bool), like)
        self.steps = 0

    def step(self, log_probs: Array, may: May) -> BeamStep:
        """Continue every hypothesis by every word (N B, V), and keep the best."""
        N, B, V = self.N, self.B, log_probs.shape[1]
        K, log_probs = min(B, V), as_contiguous(log_probs)  # of one hypothesis no more are among the B best of all
        offered, offered_words = empty((N * B, K), log_probs), empty((N * B, K), log_probs, np.int32)
        (bits, said, *sizes), shared = may.arguments(V)
        module = load("decoding.cu")
        module["best_words"](
            (N * B,),
            (threads_for(V),),
            log_probs,
            bits,
            said,
            offered,
            offered_words,
            self.damaged,
            *sizes,
            np.int32(K),
            shared=shared,
        )
        step = BeamStep(
            empty((N, B), log_probs, np.int64),
            empty((N, B), log_probs),
            empty((N, B), log_probs, np.int64),
            empty(N * B, log_probs, np.int64),
        )
        module["beam_step"](
            (N,),
            (threads_for(B * K),),
            log_probs,
            offered,
            offered_words,
            self.scores,
            self.best,
            self.best_at,
            step.parents,
            step.tokens,
            step.log_probs,
            step.rows,
            self.open,
            self.lengths,
            self.divisors,
            *map(np.int32, (V, B, K, END, self.steps)),
            np.float64((self.steps + 1) ** self.normalisation),
            shared=8 * B,
        )
        self.steps += 1
        return step

    def is_open(self) -> bool:
        """Whether a hypothesis can still win. This waits for the GPU."""
        return bool(self.open.any())

    def ended(self) -> tuple[Array, bool]:
        """Step and slot (N, 2) of the best sentence of each input, and whether a score was NaN; on the host.

        Where none ended before it was cut off, it is the best of those that were open then.
        """
        best_at, damaged = to_host((self.best_at, self.damaged))
        return best_at, bool(damaged[0])
