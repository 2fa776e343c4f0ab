"""An endless shuffle."""

import numpy as np

from scratchlv.data.epochs import LengthBuckets, rows_of_batch


def epoch(number, n=7, size=3, seed=0):
    return np.concatenate([rows_of_batch(n, 2 * number + k, size, seed) for k in range(2)])


def test_every_row_comes_at_most_once_an_epoch_in_a_new_order_each_time():
    """Of seven rows in batches of three one is left over, and it is not always the same."""
    epochs = [epoch(number) for number in range(20)]
    assert all(len(set(rows)) == 6 for rows in map(tuple, epochs))
    assert len({tuple(rows) for rows in epochs}) == 20
    assert set(np.concatenate(epochs)) == set(range(7))


def test_a_batch_is_a_function_of_its_step_and_the_seed():
    np.testing.assert_array_equal(epoch(3), epoch(3))
    assert (epoch(3) != epoch(3, seed=1)).any()


def test_a_set_that_is_smaller_than_a_batch_is_one():
    assert sorted(rows_of_batch(4, 5, 100, seed=0)) == [0, 1, 2, 3]


def test_buckets_hold_every_row_once_an_epoch_beside_others_of_its_length():
    lengths = np.random.default_rng(0).integers(1, 30, 1007)
    buckets = LengthBuckets(lengths)
    for epoch in range(3):
        batches = [buckets.rows_of_batch(100 * epoch + k, 10, seed=4) for k in range(100)]
        assert len(set(np.concatenate(batches))) == 1000
        assert np.mean([np.ptp(lengths[rows]) for rows in batches]) < 2
        middle = [lengths[rows].mean() for rows in batches]
        assert np.abs(np.diff(middle)).mean() > 5  # short and long ones come in no order


def test_a_bucket_is_a_function_of_its_step_whatever_was_asked_before():
    lengths = np.random.default_rng(0).integers(1, 30, 50)
    buckets = LengthBuckets(lengths)
    there = {step: buckets.rows_of_batch(step, 7, seed=1).tolist() for step in (0, 9, 1, 30, 0)}
    for step, rows in there.items():
        assert LengthBuckets(lengths).rows_of_batch(step, 7, seed=1).tolist() == rows
    assert there[0] != LengthBuckets(lengths).rows_of_batch(0, 7, seed=2).tolist()
    assert sorted(LengthBuckets(lengths[:4]).rows_of_batch(5, 100, seed=0)) == [0, 1, 2, 3]
