"""Numbers that write down what becomes of them."""

import math

import numpy as np
import pytest

from scratchlv.show.explain.tape import Number, Tape, places, values


def test_what_is_computed_can_be_played_with_other_numbers():
    tape = Tape()
    a, b = tape.give(2.0), tape.give(3.0)
    c = -(a * b - 1) / (b + 2) ** 2 + a.exp() * b.log() + (1 - a.tanh())
    other = tape.play({a.place: 0.5, b.place: 1.5})[c.place, 0]

    def exact(a, b):
        return -(a * b - 1) / (b + 2) ** 2 + math.exp(a) * math.log(b) + (1 - math.tanh(a))

    assert c.value == pytest.approx(exact(2.0, 3.0), rel=1e-15)
    assert other == pytest.approx(exact(0.5, 1.5), rel=1e-15)


def test_a_number_on_the_way_can_be_moved():
    tape = Tape()
    a = tape.give(3.0)
    square = a * a
    result = square * 10
    played = tape.play(shifted=[a.place, square.place], by=1.0)
    assert played[result.place].tolist() == [160.0, 100.0]


def test_arrays_of_numbers_go_through_numpy():
    tape, rng = Tape(), np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
    A, B = tape.numbers(a), tape.numbers(b)
    y = np.tanh(A @ B)[:, ::2].sum(0) / np.exp(A).max()
    np.testing.assert_allclose(values(y), np.tanh(a @ b)[:, ::2].sum(0) / np.exp(a).max(), rtol=1e-14)
    assert all(isinstance(each, Number) for each in y)
    np.testing.assert_allclose(tape.play()[places(y, tape), 0], values(y))


def test_constants_are_kept_once():
    tape = Tape()
    before = tape.give(1.0)
    for _ in range(3):
        before = before * 0.5 + 2
    assert sum(operation < 0 for operation in tape.operations) == 3
