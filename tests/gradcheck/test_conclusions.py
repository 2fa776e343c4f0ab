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


@pytest.mark.slow
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


@pytest.mark.slow
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


# --- Mends that are accidents, and what they spoke for ------------------------------------------------------------------


def norms(x, g):
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 0.01)
    return x * r * g, (x, r, g)


def subtracts_a_mean(dy, cache):
    x, r, g = cache
    d = dy * g
    dot = np.sum(d * x, axis=-1, keepdims=True)
    return r * (d - d.mean(axis=-1, keepdims=True)) - r**3 * x * dot / x.shape[-1], (dy * x * r).sum(0)


def test_what_is_too_much_is_not_called_missing():
    (sentence,) = check(norms, subtracts_a_mean, {"x": normal(4, 6), "g": normal(6)}).diagnosis
    assert "without d.mean(axis=-1, keepdims=True)" in sentence
    assert sentence.endswith("consistent with something that does not belong there")


def weighted(x, c):
    return 3 * c * x + 2 * np.tanh(x), (x, c)


def a_third_too_small(dy, cache):
    x, c = cache
    dx = dy * c
    dx = dx + 2 * dy * (1 - np.tanh(x) ** 2)
    dx = dx + dy * c
    return dx, 3 * (dy * x).sum(0)


def test_what_is_added_already_is_not_overwritten():
    """a = a + b with += is twice a, and b: it may fit, and it is no = for +=."""
    assert "= for +=" not in str(check(weighted, a_third_too_small, {"x": normal(4, 3), "c": normal(3)}))


def gathered(a, b, rows):
    return a * b[rows], (a, b, rows)


def added_in_place_order(dy, cache):
    a, b, rows = cache
    db = np.zeros_like(b)
    db += dy * a
    return dy * b[rows], db


@pytest.mark.slow
def test_rows_that_are_looked_up_get_their_own_gradients():
    inputs = {"a": normal(5, 3), "b": normal(5, 3), "rows": np.array([3, 0, 0, 4, 1])}
    (sentence,) = check(gathered, added_in_place_order, inputs).diagnosis
    assert "with np.add.at (`np.add.at(db, rows, dy * a)`)" in sentence
    assert sentence.endswith("gradients that are added to the wrong rows")


def sums_up(r):
    return np.cumsum(r, axis=0), ()


def sums_up_the_same_way(dy, cache):
    return np.cumsum(dy, axis=0)


def test_a_cumulative_sum_goes_back_the_other_way():
    (sentence,) = check(sums_up, sums_up_the_same_way, {"r": normal(5, 2)}).diagnosis
    assert "np.cumsum(dy[::-1], axis=0)[::-1]" in sentence
    assert sentence.endswith("a sequence that is not turned round in backward")


def two_layers(x, W):
    h = np.tanh(x @ W)
    y = np.tanh(h @ W)
    return y, ((x, h), (h, y), W)


def _layer(d, kept, W):
    x, y = kept
    da = d * (1 - y**2)
    return da @ W.T, x.T @ da


def the_upper_layer_twice(dy, cache):
    lower, upper, W = cache
    dh, dW = _layer(dy, upper, W)
    dx, more = _layer(dh, upper, W)
    return dx, dW + more


@pytest.mark.slow
def test_what_another_layer_kept_is_found():
    said = str(check(two_layers, the_upper_layer_twice, {"x": normal(4, 3), "W": normal(3, 3)}))
    assert "`dx, more = _layer(dh, upper, W)`: with lower for upper" in said


def last_steps(h):
    y = np.zeros_like(h)
    carry = np.zeros_like(h[0])
    for t in range(len(h)):
        carry = np.tanh(h[t] + carry)
        y[t] = carry
    return y, y


def starts_with_the_last(dy, cache):
    y, dh, total = cache, np.zeros_like(dy), np.zeros_like(dy[0])
    carry = dy[-1]
    for t in reversed(range(len(y))):
        d = (dy[t] + carry) * (1 - y[t] ** 2)
        dh[t] = d
        total += d
        carry = d
    return dh


@pytest.mark.slow
def test_a_factor_of_zeros_mends_nothing():
    said = str(check(last_steps, starts_with_the_last, {"h": normal(4, 3)}))
    assert "total" not in said
    assert "twice" in said or "not at zero" in said


def attends(q, k):
    return np.tril(np.ones((len(q), len(q)))) * (q @ k.T), (q, k)


def without_the_diagonal(dy, cache):
    q, k = cache
    ds = np.tril(np.ones((len(q), len(q))), -1) * dy
    return ds @ k, ds.T @ q


@pytest.mark.slow
def test_an_offset_has_no_sign():
    said = str(check(attends, without_the_diagonal, {"q": normal(4, 3), "k": normal(4, 3)}))
    assert "with 0 for -1" in said
    assert "sign" not in said


def pooled(x):
    return 5 * x[:, ::2] ** 2, x


def cut_off(dy, x):
    dx = np.zeros(x.shape, dtype=int)
    dx[:, ::2] = 10 * x[:, ::2] * dy
    return dx


def test_an_array_of_whole_numbers_is_no_float32():
    said = str(check(pooled, cut_off, {"x": normal(3, 6)}))
    assert "an array of whole numbers, which cuts off the rest" in said
    assert "float32" not in said


def cosine(k, v):
    length = np.sqrt((k**2).sum())
    return (v @ k) / length, (k, v, length)


def with_a_constant_length(dy, cache):
    k, v, length = cache
    return (dy @ v) / length, dy[:, None] * k / length


@pytest.mark.slow
def test_a_number_that_nobody_sets_is_no_regularisation():
    """The gradient lacks a multiple of k: that of its length, and of no λ."""
    said = str(check(cosine, with_a_constant_length, {"k": normal(4), "v": normal(3, 4)}))
    assert "regularisation" not in said
    assert "a use of k" in said or "path" in said


def counts(a):
    return (1 / (1 + np.exp(-a))).sum(1), 1 / (1 + np.exp(-a))


def as_of_a_softmax(dy, p):
    da = np.repeat(dy[:, None], p.shape[1], 1)
    return p * (da - (da * p).sum(1, keepdims=True))


@pytest.mark.slow
def test_a_sum_too_many_is_not_over_the_wrong_axis():
    said = str(check(counts, as_of_a_softmax, {"a": normal(4, 3)}))
    assert "without .sum" in said
    assert "wrong axis" not in said


def log_mean_exp(x, r):
    """log Σ e^{r x} / r over the first axis: y stands for the output here."""
    e = np.exp(r * x)
    y = np.log(e.mean(0)) / r
    return y, (x, r, y, e / e.sum(0))


def without_its_own_division(dy, cache):
    x, r, y, w = cache
    mean_x = (w * x).sum(0)
    return dy * w, (dy * mean_x / r).sum()


def test_what_is_called_y_is_no_target_for_its_name():
    said = str(check(log_mean_exp, without_its_own_division, {"x": normal(5, 3), "r": 1.3}))
    assert "- y" in said
    assert "target" not in said


def sequence_loss(x, W, lengths):
    keep = np.arange(len(x)) < lengths
    y = np.tanh(x @ W) * keep[:, None]
    return y, (x, W, y, keep)


def all_are_kept(dy, cache):
    x, W, y, keep = cache
    da = dy * (1 - y**2)
    return da @ W.T, x.T @ da, None


def test_a_mask_of_rows_that_count_is_not_one_of_dropout():
    (said,) = check(sequence_loss, all_are_kept, {"x": normal(5, 3), "W": normal(3, 4), "lengths": 3}).diagnosis
    assert "a mask that is missing" in said
    assert "dropout" not in said


def mean_of_windows(x):
    rows, columns = (n - 2 for n in x.shape[1:])
    y = [[x[:, i : i + 3, j : j + 3].mean((1, 2)) for j in range(columns)] for i in range(rows)]
    return np.array(y).transpose(2, 0, 1), x


def divided_by_one_side(dy, x):
    dx = np.zeros_like(x)
    _, rows, columns = dy.shape
    for i in range(rows):
        for j in range(columns):
            dx[:, i : i + 3, j : j + 3] += dy[:, i, j][:, None, None] / 3
    return dx


def test_a_number_that_others_equal_by_chance_claims_no_more_than_a_factor():
    """3 is the side of the windows, the rounds of a loop, and the root of how many elements a window has."""
    said = str(check(mean_of_windows, divided_by_one_side, {"x": normal(4, 5, 4)}))
    assert "every gradient is right" in said
    assert "each round" not in said and "√d" not in said


def run_through(x, U):
    h = np.zeros((len(x) + 1, x.shape[1]))
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] + h[t] @ U)

    def back(dh):
        dx, dU, carry = np.zeros_like(x), np.zeros_like(U), np.zeros(x.shape[1])
        for t in range(len(x) - 1, -1, -1):
            dx[t] = (dh[t] + carry) * (1 - h[t + 1] ** 2)
            dU += np.outer(h[t], dx[t])
            carry = U.T @ dx[t]
        return dx, dU

    return h[1:], back


def both_ways(x, U):
    forth, back_forth = run_through(x, U)
    back, back_back = run_through(x[::-1], U)
    return forth + back[::-1], (back_forth, back_back)


def both_ways_backward(dy, cache):
    forth, back = (each(d) for each, d in zip(cache, (dy, dy[::-1]), strict=True))
    return forth[0] + back[0][::-1], forth[1] + back[1]


def test_a_line_of_what_forward_leaves_behind_to_be_called_is_mended():
    """The mend must hold for the closures that a new call of forward makes."""
    (said,) = check(both_ways, both_ways_backward, {"x": normal(5, 3), "U": normal(3, 3)}).diagnosis
    assert "`carry = U.T @ dx[t]`: without .T (`carry = U @ dx[t]`) every gradient is right" in said
