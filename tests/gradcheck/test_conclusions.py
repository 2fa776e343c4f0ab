"""What a failed check says: the line that mends it, the bug by its name, the first wrong gradient inside."""

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import check
from scratchlv.gradcheck.causes import CAUSES, REFINED_BY, key_of

from .operations import normal


def forward(x, W1, W2):
    z = x @ W1
    a = np.tanh(z)
    return a @ W2, (x, a, W1, W2)


def no_transpose(dy, cache):
    x, a, W1, W2 = cache
    da = dy @ W2.T
    dz = da * (1 - a**2)
    return dz @ W1, x.T @ dz, a.T @ dy


def no_square(dy, cache):
    x, a, W1, W2 = cache
    da = dy @ W2.T
    dz = da * (1 - a)
    return dz @ W1.T, x.T @ dz, a.T @ dy


def sorted_by_mistake(dy, cache):
    x, a, W1, W2 = cache
    da = dy @ W2.T
    dz = np.sort(np.exp(da) * (1 - a**2) + 7, 0) ** 3
    return dz @ W1.T, x.T @ dz, a.T @ dy


def raises(dy, cache):
    x, a, W1, W2 = cache
    da = dy @ W2
    dz = da * (1 - a**2)
    return dz @ W1.T, x.T @ dz, a.T @ dy


INPUTS = {"x": normal(5, 3), "W1": normal(3, 3), "W2": normal(3, 2)}


def test_a_mend_that_tells_the_cause_is_all_that_is_said():
    (sentence,) = check(forward, no_transpose, INPUTS).diagnosis
    assert "`return dz @ W1, x.T @ dz, a.T @ dy`: with .T" in sentence
    assert sentence.endswith("every gradient is right: consistent with W used for Wᵀ")


def test_a_mend_that_tells_less_stands_behind_the_name():
    named, mended = check(forward, no_square, INPUTS).diagnosis
    assert named.endswith("consistent with a wrong local derivative of tanh: it is 1 − tanh²")
    assert "`dz = da * (1 - a)`: with ** 2 (`dz = da * (1 - a ** 2)`) every gradient is right" in mended


def test_the_line_alone_for_teachers():
    named, line = check(forward, no_square, INPUTS, hint="line").diagnosis
    assert line.endswith("`dz = da * (1 - a)`: if this line is changed, every gradient is right")
    with pytest.raises(UserError, match="hint is 'all', and should be one of 'mend', 'line'"):
        check(forward, no_square, INPUTS, hint="all")


def test_without_repair_no_line_is_looked_for():
    sentences = check(forward, no_square, INPUTS, repair=False).diagnosis
    assert not any("every gradient is right" in sentence for sentence in sentences)
    assert any("the first wrong gradient inside is dz" in sentence for sentence in sentences)


def test_what_nothing_explains_is_placed_at_least():
    sentences = check(forward, sorted_by_mistake, INPUTS, repair=False).diagnosis
    assert any("the first wrong gradient inside is dz; da before it is right" in sentence for sentence in sentences)
    assert len(sentences) <= 3


def test_a_backward_that_raises_is_mended_too():
    report = check(forward, raises, {**INPUTS, "W2": normal(3, 3)[:, :2]})
    assert "backward raises ValueError" in report.problems[0]
    (sentence,) = report.diagnosis
    assert "`da = dy @ W2`: with .T (`da = dy @ W2.T`) every gradient is right" in sentence


def scaled(x, b):
    return np.tanh(b * x), (x, b)


def scaled_wrongly(dy, cache):
    x, b = cache
    da = dy * (1 - np.tanh(b * x) ** 2)
    return b * da, (x * da).mean()


@pytest.mark.parametrize("b", [0.7, np.float64(0.7), np.array(0.7)])
def test_the_gradient_of_a_single_number_is_mended_too(b):
    (sentence,) = check(scaled, scaled_wrongly, {"x": normal(5, 3), "b": b}).diagnosis
    assert "`return b * da, (x * da).mean()`: with sum for mean" in sentence


def two_loops(x):
    h = [np.zeros(3)]
    for row in x:
        h.append(np.tanh(h[-1] + row))
    return np.array(h[1:]), (x, h)


def leaves_out_the_last(dy, cache):
    x, h = cache
    dx, dh = np.zeros_like(x), 0
    for t in range(len(x) - 1, 0, -1):
        dh = (dy[t] + dh) * (1 - h[t + 1] ** 2)
        dx[t] = dh
    return dx


def test_a_round_that_is_left_out_is_not_one_too_many():
    said = " ".join(check(two_loops, leaves_out_the_last, {"x": normal(4, 3)}).diagnosis)
    assert "`for t in range(len(x) - 1, 0, -1):`" in said
    assert "dropped" in said or "left out" in said
    assert "too many" not in said


def test_the_users_functions_are_left_as_they_are():
    before = no_square.__code__
    check(forward, no_square, INPUTS)
    assert no_square.__code__ is before


def test_every_cause_is_known_by_its_words():
    for key, words in CAUSES.items():
        said = words.split("{")[0].rstrip()
        if said and sum(other.startswith(said) for other in CAUSES.values()) == 1:
            assert key_of(f"dW is wrong: consistent with {words}") == key
    assert key_of("dW is wrong") == ""
    assert all(keys <= CAUSES.keys() for keys in REFINED_BY.values())
