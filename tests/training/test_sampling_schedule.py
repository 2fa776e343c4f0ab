"""How the model's own words come in over a training."""

import math

import pytest

from scratchlv.training.sampling_schedule import SCHEDULES, own_word_probability


@pytest.mark.parametrize("steps", [1, 10, 1700, 10**6])
def test_inverse_sigmoid_is_bengios_with_its_middle_at_half_of_the_training(steps):
    half = own_word_probability(steps // 2, steps, 0.8, "inverse-sigmoid")
    if steps > 1:
        assert half == pytest.approx(0.4)
        k = 1.0
        for _ in range(200):  # k ln k = steps / 2
            k = (k + steps / 2) / (1 + math.log(k))
        for i in (0, steps // 7, steps // 3, steps):
            expected = 0.8 * (1 - k / (k + math.exp(i / k)))
            assert own_word_probability(i, steps, 0.8, "inverse-sigmoid") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_never_falls_and_stays_within_the_most(schedule):
    found = [own_word_probability(i, 100, 0.7, schedule) for i in range(151)]
    assert all(0 <= p <= 0.7 for p in found)
    assert found == sorted(found)


def test_linear_begins_with_the_truth_and_ends_with_the_most():
    assert [own_word_probability(i, 200, 0.5, "linear") for i in (0, 50, 200, 300)] == [0, 0.125, 0.5, 0.5]
    assert own_word_probability(0, 200, 0.5, "constant") == 0.5
