"""A training step of every model uses the memory of the step before: no large array is made anew."""

import gc
import tracemalloc

import numpy as np
import pytest

from scratchlv.memory import blocks_made
from scratchlv.training.trainer import Trainer, TrainSettings

from .every_model import MODELS, Sizes, make

N, T, D = 64, 16, 128  # one activation of a sequence, (T, N, D) float32, is half a MiB
LARGE = Sizes(2003, 100, N, T, D, D, D, (32, 64, 64), (64, 64), (7, 7, D), (20, 7))
SMALL = 1 << 20  # bytes: what all small arrays, and what Python itself needs, may come to


STEP_BY_STEP = {
    "translator of gru cells",
    "translator of rnn cells",
}  # what it does at each step is joined in arrays that are made anew


FEW = ("captioner, attention", "captioner with a conv net of its own", "language model, lstm", "translator, additive")


KEPT = [name for name in MODELS if name not in STEP_BY_STEP]


_NOT_YET = pytest.mark.xfail(
    strict=True, reason="its hops make arrays of the size of the regions anew, 4.5 MB in a step"
)


def marks(name):
    return [
        *([] if name in FEW else [pytest.mark.slow]),
        *([_NOT_YET] if name == "question answerer, glimpses" else []),
    ]


@pytest.fixture(params=[pytest.param(name, marks=marks(name)) for name in KEPT])
def trainer(request):
    model, batch = make(request.param, LARGE)
    return Trainer(model, lambda step: batch, TrainSettings(steps=100), show_progress=False)


def large_memory(step) -> tuple[int, int]:
    """The bytes that NumPy asks for during ``step`` at the most, and the blocks that the pool makes."""
    gc.collect()
    made = blocks_made()
    tracemalloc.start()
    try:
        step()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most, blocks_made() - made


def test_after_the_first_steps_no_large_array_is_made(trainer):
    for _ in range(2):
        trainer.train_step()
    most, made = large_memory(trainer.train_step)
    assert made == 0
    assert most < SMALL


def test_a_large_temporary_array_would_be_seen():
    assert large_memory(lambda: np.ones((T, N, D)) + 1)[0] > SMALL
    assert large_memory(lambda: None)[0] < SMALL
