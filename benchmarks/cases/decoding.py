"""Decoding of 20 words with a language model of 512: greedily, by beam search, and with weights in fewer bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from case import Case, Goal, Phase, Task, matmul_flops

V, H, WORDS, BEAM = 10_000, 512, 20, 5
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


def problem(kind: str = "float32") -> Any:
    """The model, made ready with its weights in so many bits: its parameters are the rounded ones, for all sides."""
    from scratchlv.models.inference import make_ready
    from scratchlv.models.language_model import LanguageModel, LanguageModelConfig

    model = LanguageModel(LanguageModelConfig(vocabulary=V, embedding=H, hidden=H), seed=0)
    model.params["embedding.W"] *= 10  # wide apart, so that rounding does not choose the words
    make_ready(model, kind)
    return model


def decoding(N: int, beam: int = 1, kind: str = "float32") -> Task:
    """Through ``decode``; row n begins with the word 10 + n, and none may end early."""
    from scratchlv import decode
    from scratchlv.device import backend, to_backend
    from scratchlv.models.inference import make_ready

    model, prompt = problem(kind), first_words(N)[None]
    if backend() != "cpu":
        make_ready(to_backend(model))
    lengths = {"max_length": WORDS, "min_length": WORDS, "prompt": prompt}

    def step() -> list:
        if beam > 1:
            return decode.beam_search(model, N, beam=beam, **lengths)
        return decode.greedy(model, N, **lengths)

    def results() -> dict[str, Any]:
        said = step()
        return {
            "tokens": np.stack([sentence.tokens for sentence in said]),
            "probabilities": np.stack([sentence.probabilities for sentence in said]),
        }

    return Task(step, results)


def first_words(N: int) -> np.ndarray:
    return np.arange(10, 10 + N)


def _case(name: str, how: str, N: int, goal: Goal, beam: int = 1, kind: str = "float32") -> Case:
    weights = 2 * H * 4 * H + H * V
    size = float(BYTES[kind]) * weights  # 29 MB in float32: a large cache holds them from one word to the next
    return Case(
        name,
        f"{how} of {WORDS} words, H=512, V=10,000, batch {N}",
        partial(decoding, N, beam, kind),
        (Phase(WORDS * matmul_flops(N * beam, weights), WORDS * size, working_set=size),),
        goal,
        tolerance=1e-3,
    )


CASES = (
    _case("decode-n1", "greedy decoding", 1, Goal(ratio=7)),
    _case("decode-n16", "greedy decoding", 16, Goal(ratio=3)),
    _case("decode-beam5", "beam search, 5 wide,", 1, Goal(ratio_best=1.05), beam=BEAM),
    _case("decode-n1-bfloat16", "greedy decoding, weights in bfloat16,", 1, Goal(ratio_best=1.05), kind="bfloat16"),
    _case("decode-n1-int8", "greedy decoding, weights in int8,", 1, Goal(ratio_best=1.05), kind="int8"),
)
