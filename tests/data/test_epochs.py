"""An endless shuffle."""

import numpy as np

from scratchlv.data.epochs import rows_of_batch


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
