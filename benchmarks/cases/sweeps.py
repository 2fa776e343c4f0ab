"""Operations that only move memory: Adam, softmax cross-entropy, embedding, max-pool. How near are they to its speed?

The bytes are those that must be moved, whoever does it: what is read and written once where the arrays are larger than the
caches. A byte written counts once, though many processors read a line before they write to it. The ceiling is what a plain
loop of the same traffic reaches: an update in place for Adam, a copy for the others, which read arrays and write others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Array, Case, Goal, Phase, Task, on_host, placed

PARAMETERS = 12_000_000  # those of the language model of 512
ROWS, V = 640, 10_000
TOKENS, E = 8192, 512
PICTURES, SIDE, C = 32, 64, 128
RATE = 1e-3


def adam_problem() -> tuple[Array, Array]:
    """Parameters and their gradients."""
    rng = np.random.default_rng(1)
    return tuple(rng.standard_normal(PARAMETERS, np.float32) for _ in range(2))


def logits_problem() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((ROWS, V), np.float32), rng.integers(0, V, ROWS)


def embedding_problem() -> tuple[Array, Array, Array]:
    """Tokens, the matrix, and the gradient of the rows taken from it."""
    rng = np.random.default_rng(1)
    W, dy = rng.standard_normal((V, E), np.float32), rng.standard_normal((TOKENS, E), np.float32)
    return rng.integers(0, V, TOKENS), W, dy


def pictures_problem() -> tuple[Array, Array]:
    """Pictures (N, H, W, C), and the gradient of what is pooled of them."""
    rng = np.random.default_rng(1)
    pooled = (PICTURES, SIDE // 2, SIDE // 2, C)
    return rng.standard_normal((PICTURES, SIDE, SIDE, C), np.float32), rng.standard_normal(pooled, np.float32)


def adam() -> Task:
    from scratchlv.ops import adam

    params, grads = map(placed, adam_problem())
    m, v = np.zeros_like(params), np.zeros_like(params)
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        adam.step(params, grads, m, v, t, lr=RATE)

    def results() -> dict[str, Array]:
        before = params.copy()
        step()
        return on_host({"change": params - before})

    return Task(step, results)


def cross_entropy() -> Task:
    from scratchlv.ops import softmax_cross_entropy

    logits, targets = map(placed, logits_problem())

    def step() -> tuple[Any, Array]:
        loss, cache = softmax_cross_entropy.forward(logits, targets)
        return loss, softmax_cross_entropy.backward(1.0, cache)[0]

    def results() -> dict[str, Any]:
        loss, dlogits = step()
        return on_host({"loss": loss, "logits": dlogits})

    return Task(step, results)


def embedding() -> Task:
    from scratchlv.ops import embedding

    tokens, W, dy = map(placed, embedding_problem())

    def step() -> tuple[Array, Array]:
        y, cache = embedding.forward(tokens, W)
        return y, embedding.backward(dy, cache)[0]

    return Task(step, lambda: on_host(dict(zip(("y", "W"), step(), strict=True))))


def max_pool() -> Task:
    from scratchlv.ops import max_pool2d

    x, dy = map(placed, pictures_problem())

    def step() -> tuple[Array, Array]:
        y, cache = max_pool2d.forward(x, size=2)
        return y, max_pool2d.backward(dy, cache)[0]

    return Task(step, lambda: on_host(dict(zip(("y", "x"), step(), strict=True))))


def _sweep(moved: float, pattern: str, in_place: float = 0.0) -> tuple[Phase, ...]:
    """Bytes, of which ``in_place`` are read and written in the same place."""
    return (Phase(bytes=moved, working_set=moved - in_place, pattern=pattern),)


_POOLED = PICTURES * (SIDE // 2) ** 2 * C
GOAL = Goal(share=0.8)

CASES = (
    Case(
        "adam",
        "Adam on 12 million parameters",
        adam,
        _sweep(
            4.0 * 7 * PARAMETERS, "update", in_place=4.0 * 3 * PARAMETERS
        ),  # four arrays are read, three of them written
        GOAL,
        tolerance=1e-3,  # in the first step the change is the rate times g / (|g| + ε); 1 + x - 1 costs its digits
    ),
    Case(
        "softmax-cross-entropy",
        "softmax cross-entropy of 640 rows of 10,000; forward and backward",
        cross_entropy,
        _sweep(4.0 * 2 * ROWS * V, "copy"),  # the logits are read, their gradient is written
        GOAL,
    ),
    Case(
        "embedding",
        "embedding of 8,192 tokens in 512 of 10,000 rows; forward and backward",
        embedding,
        # rows are read, y is written; dy is read, its sums and the rows without any are written
        _sweep(4.0 * (3 * TOKENS * E + V * E), "copy"),
        GOAL,
    ),
    Case(
        "max-pool",
        "2×2 max-pool of 32 maps of 64×64×128; forward and backward",
        max_pool,
        # x is read, y and the argmaxes (a byte each) are written; dy and they are read, dx is written
        _sweep(2 * (4.0 * (4 + 1) + 1) * _POOLED, "copy"),
        GOAL,
    ),
)
