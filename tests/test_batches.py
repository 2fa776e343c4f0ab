"""What all batches have in common: the weight of each in a mean, and the seed of its dropout."""

import math

import numpy as np
import pytest

from scratchlv.batches import (
    CaptionBatch,
    PairBatch,
    QuestionBatch,
    StoryBatch,
    StreamBatch,
    dropout_seed,
    mean_loss,
)

TOKENS, LENGTHS, ANSWERS = np.zeros((6, 3), np.int64), np.array([2, 5, 4]), np.array([7, -1, 0])
BATCHES = {
    "stream": (StreamBatch(TOKENS), 5),
    "pair": (PairBatch(TOKENS, LENGTHS - 1, TOKENS, LENGTHS), 11),
    "caption": (CaptionBatch(TOKENS, TOKENS, LENGTHS), 11),
    "question": (QuestionBatch(TOKENS, LENGTHS, TOKENS, LENGTHS, ANSWERS), 2),
    "story": (StoryBatch(TOKENS, TOKENS, TOKENS, LENGTHS, ANSWERS), 2),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_a_batch_weighs_what_its_loss_is_a_mean_of(kind):
    batch, weight = BATCHES[kind]
    assert batch.weight == weight


def test_the_mean_counts_every_word_alike_and_asks_for_no_cache():
    losses = {5: 2.0, 11: 3.0}

    def forward(batch, *, train):
        assert train is False
        return np.float32(losses[batch.weight]), None

    batches = [BATCHES["stream"][0], BATCHES["caption"][0]]
    assert mean_loss(forward, batches) == pytest.approx((5 * 2 + 11 * 3) / 16)
    assert math.isnan(mean_loss(forward, []))


def test_steps_and_runs_drop_different_things():
    assert len({dropout_seed(seed, step) for seed in range(5) for step in range(1000)}) == 5000
