"""Stacked attention (Yang et al. 2016): two hops over given features, one question a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Goal, Phase, matmul_flops, training_task

V, E, H, A, C = 10_000, 512, 512, 512, 512
N, T, GRID, HOPS, ANSWERS = 32, 14, 14, 2, 1000
D, L = C + 2, GRID * GRID  # a region is its features and its two coordinates


def problem() -> tuple[Any, Any]:
    from scratchlv.batches import QuestionBatch
    from scratchlv.models.question_answerer import QuestionAnswerer, QuestionAnswererConfig

    rng = np.random.default_rng(1)
    features = np.maximum(rng.standard_normal((N, GRID, GRID, C)), 0).astype(np.float32)  # as behind a ReLU
    shape = QuestionAnswererConfig(
        vocabulary=V,
        answers=ANSWERS,
        model="attention",
        hops=HOPS,
        embedding=E,
        hidden=H,
        attention=A,
        feature_channels=C,
    )
    tokens, answers = rng.integers(0, V, (T, N)), rng.integers(0, ANSWERS, N)
    return QuestionAnswerer(shape, seed=0), QuestionBatch(features, np.arange(N), tokens, np.full(N, T), answers)


def _phases() -> tuple[Phase, ...]:
    regions = matmul_flops(N * L, D, H)
    question = matmul_flops(T * N, E + H, 4 * H)
    hops = HOPS * (matmul_flops(N * L, H, A) + matmul_flops(N, H, A) + 2.0 * N * L * (A + H))
    answer = matmul_flops(N, H, H) + matmul_flops(N, H, ANSWERS)
    weights = V * E + (E + H) * 4 * H + D * H + HOPS * 2 * H * A + H * H + H * ANSWERS
    # the features are given: no gradient of them is wanted
    return (Phase(3 * (regions + question + hops + answer) - regions, 4.0 * (2 * weights + N * L * C)),)


CASES = (
    Case(
        "stacked-attention",
        "two hops over 196 regions of 512, N=32, questions of 14 words, H=512, 1,000 answers; forward and backward",
        lambda: training_task(*problem()),
        _phases(),
        Goal(ratio=2.2, ratio_best=1.2),
    ),
)
