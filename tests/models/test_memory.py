"""A training step of every model uses the memory of the step before: no large array is made anew."""

import gc
import sys
import tracemalloc

import numpy as np
import pytest

from scratchlv.memory import blocks_made
from scratchlv.training.trainer import Trainer, TrainSettings

from .every_model import MODELS, Sizes, make

N, T, D = 64, 16, 128  # one activation of a sequence, (T, N, D) float32, is half a MiB
LARGE = Sizes(2003, 100, N, T, D, D, D, (32, 64, 64), (64, 64), (7, 7, D), (20, 7))
SMALL = 1 << 18  # bytes: half of it, more than a few vectors of each sequence are


STEP_BY_STEP = {
    "translator of gru cells",
    "translator of rnn cells",
}  # what it does at each step is joined in arrays that are made anew


FEW = ("captioner, attention", "captioner with a conv net of its own", "language model, lstm", "translator, additive")


KEPT = [name for name in MODELS if name not in STEP_BY_STEP]


@pytest.fixture(params=[name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in KEPT])
def trainer(request):
    model, batch = make(request.param, LARGE)
    return Trainer(model, lambda step: batch, TrainSettings(steps=100), show_progress=False)


def large_memory(step) -> tuple[int, int]:
    """The bytes that NumPy asks for at the most between two calls during ``step``, and the blocks that the pool makes."""
    gc.collect()
    made, most, before = blocks_made(), 0, 0

    def look(*event):
        nonlocal most, before
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        most, before = max(most, peak - before), now

    tracemalloc.start()
    try:
        sys.setprofile(look)
        step()
    finally:
        sys.setprofile(None)
        tracemalloc.stop()
    return most, blocks_made() - made


def test_after_the_first_steps_no_large_array_is_made(trainer):
    for _ in range(2):
        trainer.train_step()
    most, made = large_memory(trainer.train_step)
    assert made == 0
    assert most < SMALL


def test_a_large_temporary_array_would_be_seen():
    x = np.ones((T, N, D), np.float32)
    assert large_memory(lambda: (2 * x).sum())[0] > SMALL
    assert large_memory(lambda: np.empty_like(x[:2]).sum())[0] < SMALL
