"""Translators with attention: a training step, and one sentence after the other by beam search."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Goal, Phase, Task, matmul_flops, training_phases, training_task

V, E, ENCODER, H, A = 10_000, 256, 256, 512, 512  #: both directions of the encoder are 512 wide together
N, S, T = 64, 20, 20
BEAM, SENTENCES = 5, 4  #: of ``beam``, whose sentences come one after the other
D = 2 * ENCODER


def model() -> Any:
    from scratchlv.models.translator import Translator, TranslatorConfig

    widths = TranslatorConfig(
        vocabulary=V, source_vocabulary=V, embedding=E, hidden=ENCODER, decoder_hidden=H, attention=A
    )
    return Translator(widths, seed=0)


def problem() -> tuple[Any, Any]:
    """The model, and one batch of random sentences, all of the same lengths."""
    from scratchlv.batches import PairBatch

    rng, begun = np.random.default_rng(1), model()
    for name in (
        "source.W",
        "embedding.W",
    ):  # as what was learned: attention that does not care has gradients of rounding
        begun.params[name] *= 10
    source, tokens = rng.integers(4, V, (S, N)), rng.integers(4, V, (T + 1, N))
    return begun, PairBatch(source, np.full(N, S), tokens, np.full(N, T))


def beam_problem() -> tuple[Any, np.ndarray]:
    """The same model, ready to be used, and sources (S, sentences)."""
    from scratchlv.models.inference import make_ready

    ready = model()
    for name in ("embedding.W", "output.Wo"):  # wide apart, as what was learned: rounding seldom chooses the words
        ready.params[name] *= 10
    make_ready(ready)
    return ready, np.random.default_rng(2).integers(4, V, (S, SENTENCES))


def beam() -> Task:
    """As ``scratchlv translate --beam 5`` does it; the best of each sentence, with its log probability."""
    from scratchlv import decode
    from scratchlv.device import backend, to_backend
    from scratchlv.models.inference import make_ready

    ready, sources = beam_problem()
    if backend() != "cpu":
        make_ready(to_backend(ready))
    lengths = np.full(1, S)

    def step() -> list:
        options = {"beam": BEAM, "max_length": T, "min_length": T}
        return [
            said
            for k in range(SENTENCES)
            for said in decode.beam_search(ready, (sources[:, k : k + 1], lengths), **options)
        ]

    return Task(step, lambda: {"log_probability": np.array([said.log_probability for said in step()])})


def _flops(rows: int, sources: int) -> float:
    """Of the encoder over ``sources`` words, and of the decoder over ``rows`` of the target; tanh not counted."""
    encoder = 2 * matmul_flops(sources, E + ENCODER, 4 * ENCODER) + matmul_flops(sources, D, A)
    cell = matmul_flops(rows, H, A) + matmul_flops(rows, E + D + H, 4 * H)
    return encoder + cell + 2.0 * rows * S * (A + D) + matmul_flops(rows, H + D, E) + matmul_flops(rows, E, V)


_WEIGHTS = 2 * (E + ENCODER) * 4 * ENCODER + D * A + H * A + (E + D + H) * 4 * H + (H + D) * E + E * V
_SIZE = 4.0 * (_WEIGHTS - 2 * (E + ENCODER) * 4 * ENCODER - D * A)  #: what every word reads, in bytes

CASES = (
    Case(
        "seq2seq-attention",
        "translator, bidirectional LSTM of 256, decoder of 512 with additive attention, V=10,000, N=64, 20 + 20 words; "
        "forward and backward",
        lambda: training_task(*problem()),
        training_phases(_flops(N * T, N * S), _WEIGHTS + 2 * V * E),
        Goal(ratio_best=1.1),
    ),
    Case(
        "beam",
        f"the same translator, beam search 5 wide, {SENTENCES} sentences of 20 words one after the other",
        beam,
        (Phase(SENTENCES * _flops(BEAM * T, S), SENTENCES * T * _SIZE, working_set=_SIZE),),
        Goal(ratio_best=1.05),
        tolerance=1e-3,
    ),
)
