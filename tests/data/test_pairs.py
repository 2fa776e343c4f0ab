"""Pairs of sentences: every one once an epoch, beside others of about its length."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from scratchlv.data.pairs import PairSet
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.models.translator import Translator, TranslatorConfig
from scratchlv.tokens import END, START

WORDS = [f"w{i}" for i in range(20)]
VOCABULARY = Vocabulary(WORDS)


def pairs(n=60, longest=30, seed=0):
    """Pair k says k in its first target word, so that it is known again."""
    rng = np.random.default_rng(seed)
    sources = [rng.integers(4, 24, rng.integers(1, longest + 1)).tolist() for _ in range(n)]
    targets = [[4 + k % 20, 4 + k // 20, *rng.integers(4, 24, k % 5).tolist()] for k in range(n)]
    words = [VOCABULARY.decode(target) for target in targets]
    return PairSet(sources, targets, VOCABULARY, VOCABULARY, words)


def numbers(batch):
    """The pairs of a batch."""
    return ((batch.tokens[1] - 4) + 20 * (batch.tokens[2] - 4)).tolist()


def test_a_batch_has_symbols_at_both_ends_of_the_target_and_none_in_the_source():
    data = pairs()
    batch = data.batch(np.array([3, 8]))
    for n, k in enumerate((3, 8)):
        source, target = data.sources[k], data.targets[k]
        assert batch.source[: batch.source_lengths[n], n].tolist() == source
        assert batch.tokens[: len(target) + 2, n].tolist() == [START, *target, END]
        assert batch.lengths[n] == len(target) + 1  # to predict: the words, and the end
        assert not batch.source[len(source) :, n].any()
        assert not batch.tokens[len(target) + 2 :, n].any()


@pytest.mark.parametrize("size", [6, 10, 60])
def test_every_pair_once_an_epoch(size):
    data = pairs()
    for epoch in range(3):
        seen = [
            k for step in range(60 // size) for k in numbers(data.training_batch(epoch * 60 // size + step, size, 1))
        ]
        assert sorted(seen) == list(range(60))


def test_what_does_not_fill_a_batch_is_left_out_and_is_not_always_the_same():
    data = pairs(n=53)
    left_out = []
    for epoch in range(12):
        seen = Counter(k for step in range(5) for k in numbers(data.training_batch(5 * epoch + step, 10, seed=1)))
        assert max(seen.values()) == 1
        assert sum(seen.values()) == 50
        left_out.append(frozenset(range(53)).difference(seen))
    assert len(set(left_out)) > 6


def test_like_lengths_stand_together_and_not_in_their_order():
    data = pairs(n=400)
    batches = [data.training_batch(step, 10, seed=2) for step in range(40)]
    spread = [int(np.ptp(batch.source_lengths)) for batch in batches]
    assert max(spread) <= 4  # 40 batches over 30 lengths; by chance a batch of ten spreads over more than 20
    shortest = [int(batch.source_lengths.min()) for batch in batches]
    assert shortest != sorted(shortest)


def test_a_batch_is_never_larger_than_the_set():
    assert sorted(numbers(pairs(n=5).training_batch(11, 64, seed=0))) == list(range(5))


def test_a_batch_depends_on_the_seed_and_the_step_only():
    a, b = (pairs().training_batch(13, 6, seed=1) for _ in range(2))  # not the same object: nothing is remembered
    assert numbers(a) == numbers(b)
    assert a.dropout_seed == b.dropout_seed
    data = pairs()
    assert [numbers(data.training_batch(s, 6, 1)) for s in range(10)] != [
        numbers(data.training_batch(s, 6, 2)) for s in range(10)
    ]
    assert [numbers(data.training_batch(s, 6, 1)) for s in range(10)] != [
        numbers(data.training_batch(s, 6, 1)) for s in range(10, 20)
    ]


def test_batches_by_length_cover_the_first_pairs():
    data = pairs()
    rows = data.by_length(7, most=40)
    assert sorted(np.concatenate(rows).tolist()) == list(range(40))
    lengths = [len(data.sources[k]) for k in np.concatenate(rows)]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("model", ["naive", "additive"])
def test_the_mean_loss_counts_every_word_alike_however_it_is_cut(model):
    data = pairs(n=11)
    m = Translator(
        TranslatorConfig(
            vocabulary=len(VOCABULARY),
            source_vocabulary=len(VOCABULARY),
            model=model,
            embedding=6,
            hidden=8,
            attention=8,
        ),
        seed=1,
    )
    words = losses = 0.0
    for k in range(11):
        one = data.batch(np.array([k]))
        loss, _ = m.forward(one, train=False)
        losses += loss * one.lengths.sum()
        words += one.lengths.sum()
    for size in (3, 100):
        assert data.mean_loss(m, size) == pytest.approx(losses / words, rel=1e-5)


def test_what_may_be_copied_stands_beside_the_sources_and_is_padded_with_no_word():
    data = pairs(n=4)
    data = replace(data, copied_from=[[k + 24 for k in range(len(source))] for source in data.sources])
    batch = data.batch(np.array([2, 1]))
    for n, k in enumerate((2, 1)):
        length = batch.source_lengths[n]
        assert batch.copied_from[:length, n].tolist() == data.copied_from[k]
        assert (batch.copied_from[length:, n] == -1).all()
    assert pairs(n=4).batch(np.arange(2)).copied_from is None
