"""Greedy decoding of 20 words from a language model of 512."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from case import Case, Goal, Phase, Task, matmul_flops

V, H, WORDS = 10_000, 512, 20


def problem() -> Any:
    from scratchlv.models.language_model import LanguageModel, LanguageModelConfig

    model = LanguageModel(LanguageModelConfig(vocabulary=V, embedding=H, hidden=H), seed=0)
    model.params["embedding.W"] *= 10  # wide apart, so that rounding does not choose the words
    return model


def greedy(N: int) -> Task:
    """Through ``decode.greedy``; row n begins with the word 10 + n, and none may end early."""
    from scratchlv import decode
    from scratchlv.device import to_backend

    model, prompt = to_backend(problem()), first_words(N)[None]

    def step() -> list:
        return decode.greedy(model, N, max_length=WORDS, min_length=WORDS, prompt=prompt)

    def results() -> dict[str, Any]:
        said = step()
        return {
            "tokens": np.stack([sentence.tokens for sentence in said]),
            "probabilities": np.stack([sentence.probabilities for sentence in said]),
        }

    return Task(step, results)


def first_words(N: int) -> np.ndarray:
    return np.arange(10, 10 + N)


def _case(N: int, ratio: float) -> Case:
    weights = 2 * H * 4 * H + H * V
    size = 4.0 * weights  # 29 MB: a large cache holds them from one word to the next
    return Case(
        f"decode-n{N}",
        f"greedy decoding of {WORDS} words, H=512, V=10,000, batch {N}",
        partial(greedy, N),
        (Phase(WORDS * matmul_flops(N, weights), WORDS * size, working_set=size),),
        Goal(ratio=ratio),
        tolerance=1e-3,
    )


CASES = (_case(1, 7), _case(16, 3))
