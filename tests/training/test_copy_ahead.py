"""Batches that are copied to a GPU ahead of their step, on a stand-in whose copies happen as late as they may."""

from typing import NamedTuple

import numpy as np
import pytest

from scratchlv.device import on_gpu, to_host
from scratchlv.memory import LARGE
from scratchlv.training.copy_ahead import CopyAhead
from scratchlv.training.trainer import Trainer, TrainSettings

from ..cuda import stand_in


class Batch(NamedTuple):
    pictures: np.ndarray
    views: tuple
    tokens: np.ndarray
    small: np.ndarray
    seed: int
    nothing: None = None


SIZE = LARGE // 4


def batch_at(step: int) -> Batch:
    rng = np.random.default_rng(step)
    pictures = rng.standard_normal((2 + step % 3, SIZE)).astype(np.float32)  # of several sizes
    views = rng.integers(0, 255, (4 * SIZE,)).astype(np.uint8), rng.standard_normal((2, SIZE)).astype(np.float16)
    return Batch(pictures, views, rng.integers(0, 9, 4 * SIZE), rng.random(7), step)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    stand_in.install(monkeypatch)


def same(found: Batch, wanted: Batch) -> None:
    for here, there in ((wanted.pictures, found.pictures), *zip(wanted.views, found.views, strict=True)):
        assert on_gpu(there)
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(to_host(there), here)
    assert found.tokens.tobytes() == wanted.tokens.tobytes()  # numbers of rows stay on the host, and what is small
    assert found.small.tobytes() == wanted.small.tobytes()
    assert (found.seed, found.nothing) == (wanted.seed, None)


def test_every_batch_is_the_one_that_was_asked_for():
    batches = CopyAhead(batch_at)
    for step in range(9):
        found = batches(step)
        batches.begin(step + 1)
        same(found, batch_at(step))  # while the next is on its way


def test_another_step_than_the_next_may_be_asked_for():
    batches = CopyAhead(batch_at)
    for step in (0, 1, 7, 7, 3):
        same(batches(step), batch_at(step))
        batches.begin(step + 1)


def test_the_default_stream_waits_for_the_copy_and_nobody_else():
    batches = CopyAhead(lambda step: Batch(np.full((4, SIZE), step, np.float32), (), np.zeros(1), np.zeros(1), step))
    first = batches(0)
    batches.begin(1)
    there = batches._ready[1].pictures
    assert not (to_host(there) == 1).all(), "it was not waited for"
    assert (to_host(batches(1).pictures) == 1).all()
    assert (to_host(first.pictures) == 0).all()


def test_a_side_is_filled_once_what_reads_it_was_waited_for():
    """Of step 2 into the memory of step 0, say: it waits for what was launched before step 1 was sent, and for no more."""
    batches, marks = (
        CopyAhead(lambda step: Batch(np.zeros((4, SIZE), np.float32), (), np.zeros(1), np.zeros(1), step)),
        {},
    )
    for step in range(6):
        batches(step)
        before = len(batches._stream._waits)
        batches.begin(step + 1)
        marks[step + 1] = batches._launched
        waited = batches._stream._waits[before:]
        if step >= 1:  # the first two allocate
            assert waited == [marks[step]]


def test_a_locked_buffer_is_not_filled_while_it_is_read():
    """Nobody waited for step 1: it is refilled only when its copy is over."""
    batches = CopyAhead(lambda step: Batch(np.full((4, SIZE), step, np.float32), (), np.zeros(1), np.zeros(1), step))
    batches(0)
    batches.begin(1)
    there = batches._ready[1].pictures
    copies = []
    batches._sides[1].copied.synchronize = lambda: copies.append(1)
    batches.begin(2)
    assert not copies
    batches.begin(3)
    assert copies
    assert there is not None


def test_memory_is_used_again():
    batches = CopyAhead(lambda step: batch_at(0))
    for step in range(3):
        batches(step)
        batches.begin(step + 1)
    stand_in.Gpu.allocated = 0
    for step in range(3, 7):
        batches(step)
        batches.begin(step + 1)
    assert stand_in.Gpu.allocated == 0


class Sum:
    """Notes what it is given."""

    def __init__(self):
        import cupy

        self.params, self.buffers = {"w": cupy.zeros(4)}, {}
        self.seen = []

    def forward(self, batch, *, train=True):
        assert on_gpu(batch.pictures)
        self.seen.append(int(to_host(batch.pictures)[0, 0]))
        return self.params["w"].sum(), None

    def backward(self, cache):
        import cupy

        return {"w": cupy.zeros(4)}


def test_a_trainer_copies_ahead_and_not_beyond_its_last_step():
    asked = []

    def batch_at(step):
        asked.append(step)
        return Batch(np.full((1, 4 * SIZE), step, np.float32), (), np.zeros(1), np.zeros(1), step)

    trainer = Trainer(Sum(), batch_at, TrainSettings(steps=5), show_progress=False)
    trainer.run()
    assert trainer.model.seen == [0, 1, 2, 3, 4]
    assert asked == [0, 1, 2, 3, 4]
