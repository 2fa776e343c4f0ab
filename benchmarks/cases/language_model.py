"""Language models: one LSTM or tanh layer of 512, and the small model of Zaremba et al. 2014 with clipping and SGD."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Goal, Task, matmul_flops, on_host, placed, training_phases, training_task

LSTM = {"vocabulary": 10_000, "embedding": 512, "hidden": 512, "layers": 1, "cell": "lstm", "streams": 32}
RNN = {**LSTM, "cell": "rnn"}
SMALL = {"vocabulary": 10_000, "embedding": 200, "hidden": 200, "layers": 2, "cell": "lstm", "streams": 20}
STEPS, SMALL_STEPS = 20, 35
CLIP, RATE = 0.25, 1.0  # low enough that the gradient is clipped


def problem(settings: dict[str, Any], T: int) -> tuple[Any, Any]:
    """The model, and one batch of random words."""
    from scratchlv.batches import StreamBatch
    from scratchlv.models.language_model import LanguageModel, LanguageModelConfig

    shape = LanguageModelConfig(**settings)
    tokens = np.random.default_rng(1).integers(0, shape.vocabulary, (T + 1, shape.streams))
    return LanguageModel(shape, seed=0), StreamBatch(tokens)


def train_small() -> Task:
    """Forward, backward, clipping, SGD; the results are the clipped gradients and the parameters after the step."""
    from scratchlv.device import to_backend
    from scratchlv.ops import sgd
    from scratchlv.training.optimisers import FlatParameters

    model, batch = problem(SMALL, SMALL_STEPS)
    to_backend(model)
    batch = placed(batch)
    flat = FlatParameters(model.params)

    def step() -> tuple[float, float]:
        loss, cache = model.forward(batch)
        grads, _, scale = flat.collect(model.backward(cache), CLIP)
        sgd.step(flat.values, grads, lr=RATE, grad_scale=scale)
        return loss, scale

    def results() -> dict[str, Any]:
        loss, scale = step()
        grads = {name: scale * grad for name, grad in flat.views(flat.grads).items()}
        return on_host({"loss": loss, **grads, **{f"{name}, after": value for name, value in model.params.items()}})

    return Task(step, results)


def _phases(settings: dict[str, Any], T: int, sweeps: int = 0) -> tuple:
    """The products of every layer and of the output; ``sweeps`` over all parameters for the optimiser."""
    V, E, H, layers, N = (settings[k] for k in ("vocabulary", "embedding", "hidden", "layers", "streams"))
    gates = 4 if settings["cell"] == "lstm" else 1
    flops = sum(matmul_flops(T * N, (E if k == 0 else H) + H, gates * H) for k in range(layers))
    weights = sum(((E if k == 0 else H) + H) * gates * H for k in range(layers)) + H * V
    parameters = weights + V * E
    (training,) = training_phases(flops + matmul_flops(T * N, H, V), parameters)
    return (training._replace(bytes=training.bytes + sweeps * 4 * parameters),)


CASES = (
    Case(
        "lstm-lm",
        "LSTM language model, V=10,000, H=512, N=32, T=20; forward and backward",
        lambda: training_task(*problem(LSTM, STEPS)),
        _phases(LSTM, STEPS),
        Goal(ratio=1.9, ratio_best=1.1),
    ),
    Case(
        "lstm-lm-200",
        "LSTM language model, 2 layers of 200, V=10,000, N=20, T=35; with clipping and SGD",
        train_small,
        _phases(SMALL, SMALL_STEPS, sweeps=4),  # the norm; parameters and gradients read, parameters written
        Goal(ratio=1.9, ratio_best=1.1),
    ),
    Case(
        "rnn-lm",
        "tanh RNN language model, V=10,000, H=512, N=32, T=20; forward and backward",
        lambda: training_task(*problem(RNN, STEPS)),
        _phases(RNN, STEPS),
        Goal(ratio=2.3, ratio_best=1.15),
    ),
)
