"""Captioners: soft attention over given features, captions by beam search, and the training step of ``scratchlv demo``.

The baseline of the first is written twice: as the best-known tutorial does it (sgrvinod, *a PyTorch Tutorial to Image
Captioning*), which projects all regions again and computes the logits at each step, and with both taken out of the loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Goal, Phase, Task, matmul_flops, training_task

V, E, H, A, C = 10_000, 512, 512, 512, 512
N, T, GRID = 32, 20, 14
D, L = C + 2, GRID * GRID  # a region is its features and its two coordinates


def problem() -> tuple[Any, Any]:
    """The captioner of features, and one batch of them with random captions of T words."""
    from scratchlv.batches import CaptionBatch
    from scratchlv.models.captioner import Captioner, CaptionerConfig

    rng = np.random.default_rng(1)
    features = np.maximum(rng.standard_normal((N, GRID, GRID, C)), 0).astype(np.float32)  # as behind a ReLU
    model = Captioner(CaptionerConfig(vocabulary=V, embedding=E, hidden=H, attention=A, feature_channels=C), seed=0)
    return model, CaptionBatch(features, rng.integers(0, V, (T + 1, N)), np.full(N, T))


def train() -> Task:
    """Forward and backward."""
    return training_task(*problem())


def demo_problem() -> tuple[Any, Any, Any]:
    """The model of the demo, one batch of it, and the settings of its training."""
    from scratchlv.models.captioner import Captioner, CaptionerConfig
    from scratchlv.tasks.captioning import PRESETS, scenes_set

    settings = PRESETS["scenes", "quick"]
    data = scenes_set(0, "train", 200, settings)
    shape = CaptionerConfig(
        vocabulary=len(data.vocabulary),
        embedding=settings.embedding,
        hidden=settings.hidden,
        attention=settings.attention,
    )
    return Captioner(shape, seed=0), data.training_batch(0, settings.batch, 0), settings


PHOTOGRAPHS, BEAM, WORDS = 500, 5, 12  #: of ``caption-beam``
CHUNK = 100  #: photographs together, as ``Run.caption`` has it


def beam_problem() -> tuple[Any, np.ndarray]:
    """The captioner of the quick preset of Flickr8k, and features as EfficientNet-Lite0 has them."""
    from scratchlv.models.captioner import Captioner, CaptionerConfig
    from scratchlv.models.inference import make_ready
    from scratchlv.tasks.captioning import PRESETS

    s, rng = PRESETS["flickr8k", "quick"], np.random.default_rng(2)
    widths = CaptionerConfig(
        vocabulary=2549, embedding=s.embedding, hidden=s.hidden, attention=s.attention, feature_channels=320
    )
    model = Captioner(widths, seed=0)
    for name in (
        "embedding.W",
        "output.Wo",
    ):  # wide apart, as what was learned: so that rounding seldom chooses the words
        model.params[name] *= 10
    make_ready(model)
    return model, np.maximum(rng.standard_normal((PHOTOGRAPHS, 7, 7, 320)), 0).astype(np.float32)


def caption_beam() -> Task:
    """As ``scratchlv caption --beam 5`` does it, of captions of as many words; the best of each, with its log probability."""
    from scratchlv import decode
    from scratchlv.device import backend, to_backend
    from scratchlv.models.inference import make_ready

    model, features = beam_problem()
    if backend() != "cpu":
        make_ready(to_backend(model))

    def step() -> list:
        parts = (features[at : at + CHUNK] for at in range(0, PHOTOGRAPHS, CHUNK))
        options = {"beam": BEAM, "max_length": WORDS, "min_length": WORDS}
        return [said for part in parts for said in decode.beam_search(model, part, **options)]

    return Task(step, lambda: {"log_probability": np.array([said.log_probability for said in step()])})


def _beam_phases() -> tuple[Phase, ...]:
    D, L, E, H, A, V = 322, 49, 128, 256, 256, 2549
    rows, once = PHOTOGRAPHS * BEAM * WORDS, matmul_flops(PHOTOGRAPHS * L, D, A)
    each = matmul_flops(rows, H, A) + matmul_flops(rows, E + D + H, 4 * H) + matmul_flops(rows, H + D, E)
    return (Phase(once + each + matmul_flops(rows, E, V) + 2.0 * rows * L * (A + D), 4.0 * PHOTOGRAPHS * L * 320),)


def train_demo() -> Task:
    """A step of the trainer: forward, backward, clipping, Adam. The results are those before the first update."""
    from scratchlv.training.trainer import Trainer, TrainSettings

    model, batch, s = demo_problem()
    training = TrainSettings(10**6, s.learning_rate, s.warmup, s.clip)
    trainer = Trainer(model, lambda step: batch, training, show_progress=False)
    return Task(trainer.train_step, training_task(model, batch).results)


def _phases() -> tuple[Phase, ...]:
    attention = 2.0 * T * N * L * (A + D)  # scores and weighted sums; tanh not counted
    once = matmul_flops(N * L, D, A) + matmul_flops(T * N, H, A) + matmul_flops(T * N, E + D + H, 4 * H)
    deep = matmul_flops(T * N, H + D, E) + matmul_flops(T * N, E, V)
    unneeded = matmul_flops(N * L, D, A)  # the features are given: no gradient of them is wanted
    weights = D * A + H * A + (E + D + H) * 4 * H + (H + D) * E + E * V + V * E
    return (Phase(3 * (once + deep + attention) - unneeded, 4.0 * (2 * weights + N * L * C)),)


def _demo_phases() -> tuple[Phase, ...]:
    convolutions = (32 * 32 * 75 * 32 + 16 * 16 * 4 * 288 * 64 + 8 * 8 * 4 * 576 * 64) * 2.0 * 32
    return (Phase(3 * convolutions, 4.0 * 32 * 32 * 32 * 32 * 4),)  # the first block's output, there and back


CASES = (
    Case(
        "attention-captioner-tutorial",
        "attention captioner, 196 regions of 512, H=A=512, N=32, T=20, V=10,000, against the tutorial's step loop",
        train,
        _phases(),
        Goal(ratio=8),
    ),
    Case(
        "attention-captioner-hoisted",
        "the same captioner, against keys and logits taken out of the loop",
        train,
        _phases(),
        Goal(ratio=4, ratio_best=2.5),
    ),
    Case(
        "caption-beam",
        "captions of 500 photographs, features of 7×7×320 given, H=A=256, V=2,549, beam 5, 12 words",
        caption_beam,
        _beam_phases(),
        Goal(ratio_best=1.05),
        tolerance=1e-3,
    ),
    Case(
        "demo-step",
        "a training step of `scratchlv demo`: batch 32 of 64×64 pixels; forward, backward, clipping, Adam",
        train_demo,
        _demo_phases(),
        Goal(ratio=1.5),
        winograd=True,
        tolerance=1e-2,  # of nearly equal maxima each side takes its own, and batch norms divide
    ),
)
