"""An end-to-end memory network over stories (Sukhbaatar et al. 2015): three hops over fifty sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Goal, matmul_flops, training_phases, training_task

V, D, ANSWERS, HOPS = 64, 40, 20, 3
N, S, DIFFERENT, J = 32, 50, 150, 7  # questions, sentences of each, how many different ones there are, words of one


def problem() -> tuple[Any, Any]:
    from scratchlv.batches import StoryBatch
    from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig

    rng = np.random.default_rng(1)
    config = MemoryNetworkConfig(vocabulary=V, answers=ANSWERS, memories=S, pictures=False, hops=HOPS, width=D)
    sentences = rng.integers(4, V, (1 + DIFFERENT, J))  # stories say the same things again, as bAbI's do
    sentences[0] = 0
    told = rng.integers(1, 1 + DIFFERENT, (N, S))
    tokens, answers = rng.integers(4, V, (J, N)), rng.integers(0, ANSWERS, N)
    return MemoryNetwork(config, seed=0), StoryBatch(sentences, told, tokens, np.full(N, J), answers)


def _forward_flops() -> float:
    sentences = (HOPS + 1) * 2.0 * DIFFERENT * J * D
    hops = HOPS * 2 * matmul_flops(N, S, D)
    return sentences + hops + matmul_flops(N, D, ANSWERS)


CASES = (
    Case(
        "memory-network",
        "3 hops over 50 sentences, N=32, d=40, 150 different sentences of 7 words; forward and backward",
        lambda: training_task(*problem()),
        training_phases(_forward_flops(), (HOPS + 1) * (V + S) * D + D * ANSWERS, N * S),
        Goal(ratio=1.0, ratio_best=1.0),
    ),
)
