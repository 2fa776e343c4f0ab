"""Bugs are planted, and each must be named; and nothing else."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.gradcheck import check as check_and_repair

from ...slow import one_of, slow_unless
from ..operations import D, H, N, T, check_rnn, linear, lstm_inputs, normal, wrong


def check(*arguments, **options):
    """What the numbers tell: the line is not looked for, nor are gradients inside."""
    report = check_and_repair(*arguments, repair=False, **options)
    report.diagnosis = [sentence for sentence in report.diagnosis if "wrong gradient inside" not in sentence]
    return report


@pytest.mark.parametrize(
    ("bug", "wrong_gradients", "name"),
    one_of(
        2,
        [
            ("zero", {"db"}, "zero everywhere: consistent with a term that is missing"),
            ("sign", {"dWx"}, "consistent with a sign that is flipped"),
            ("transposed", {"dWh"}, "is transposed"),
            ("dropped time step", {"dx", "dh0", "dWx", "dWh", "db"}, "consistent with a time step that is dropped"),
            ("= for +=", {"dWx"}, "consistent with = for += over time in dWx"),
            ("W for W.T", {"dx", "dh0", "dWx", "dWh", "db"}, "consistent with W used for Wᵀ in the recurrent path"),
            ("dh_next", {"dx", "dh0", "dWx", "dWh", "db"}, "consistent with dh_next being dropped"),
            ("h_t for h_t-1", {"dWh"}, "consistent with h_t used for h_{t−1}"),
            ("batch sum", {"db"}, "consistent with a missing sum over the batch"),
            ("off by one", {"dx"}, "consistent with being off by one in time"),
            ("local derivative", {"dx", "dh0", "dWx", "dWh", "db"}, "consistent with a wrong local derivative"),
            ("regularisation", {"dWx"}, "off by 0.1 times Wx: consistent with a regularisation term"),
        ],
    ),
)
def test_a_planted_bug_is_caught_and_named(bug, wrong_gradients, name):
    report = check_rnn(bug)
    assert not report.ok
    assert name in "\n".join(report.diagnosis)
    assert wrong(report) == wrong_gradients
    assert name in str(report)


@pytest.mark.parametrize("bug", ["zero", "sign", "transposed", "off by one", "regularisation", "= for +=", "batch sum"])
def test_nothing_else_is_named(bug):
    assert len(check_rnn(bug).diagnosis) == 1


def with_gates(order):
    """The reference's backward pass, with the blocks of the weights' gradients in another order."""

    def backward(dy, cache):
        dx, dh0, dc0, *weights = ops.lstm.variant("reference").backward(dy, cache)
        return dx, dh0, dc0, *(np.concatenate([np.split(dW, 4, -1)[k] for k in order], -1) for dW in weights)

    return backward


@pytest.mark.parametrize(
    ("order", "name"),
    [
        ([0, 2, 1, 3], "the blocks of gates f and g: consistent with swapped gates"),
        ([0, 1, 3, 2], "the blocks of gates g and o: consistent with swapped gates"),
        ([1, 2, 0, 3], "the gates in the order f, g, i, o: consistent with swapped gates"),
    ],
)
def test_swapped_gates_are_named(order, name):
    report = check(ops.lstm.variant("reference").forward, with_gates(order), lstm_inputs(), remake=lstm_inputs)
    assert wrong(report) == {"dWx", "dWh", "db"}
    assert name in report.diagnosis[0]


@pytest.mark.slow
def test_gates_swapped_inside_the_loop_are_named():
    """Then the error runs through time."""
    reference = ops.lstm.variant("reference")

    def swap(a):
        i, f, g, o = np.split(a, 4, -1)
        return np.concatenate([i, o, g, f], -1)

    def backward(dy, cache):
        swapped = cache._replace(Wx=swap(cache.Wx), Wh=swap(cache.Wh))
        dx, dh0, dc0, dWx, dWh, db = reference.backward(dy, swapped)
        return dx, dh0, dc0, swap(dWx), swap(dWh), swap(db)

    report = check(reference.forward, backward, lstm_inputs(), remake=lstm_inputs)
    assert not report.ok
    assert "with the gates f and o exchanged: consistent with swapped gates" in report.diagnosis[0]


def test_w_for_its_transpose_is_named_without_further_shapes():
    report = check(linear, lambda dy, cache: (dy @ cache[1], cache[0].T @ dy), {"x": normal(5, 3), "W": normal(3, 3)})
    assert wrong(report) == {"dx"}
    assert "W used for Wᵀ" in report.diagnosis[-1]


def test_shapes_that_do_not_fit_are_explained():
    report = check(linear, lambda dy, cache: (dy @ cache[1], cache[0].T @ dy), {"x": normal(5, 3), "W": normal(3, 4)})
    assert not report.ok
    assert "backward raises ValueError" in report.problems[0]
    assert "W used for Wᵀ" in report.problems[1]


def test_a_gradient_of_transposed_shape_is_named():
    report = check(linear, lambda dy, cache: (dy @ cache[1].T, dy.T @ cache[0]), {"x": normal(5, 3), "W": normal(3, 4)})
    assert "dW has the shape (4, 3); W has (3, 4)" in report.problems
    assert "transposed" in report.problems[1]


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (lambda t, n: t * n, "a mean that is missing in backward, a division by T·N"),
        (lambda t, n: n, "a mean that is missing in backward, a division by N"),
        (lambda t, n: 1 / t, "a mean where a sum is due, a division by T too many"),
        (lambda t, n: 2, "a term that is added twice, or a missing 1/2"),
        (lambda t, n: -n, "a division by N, and a flipped sign"),
        (lambda t, n: 0.9, "a constant factor that is missing or doubled"),
    ],
)
def test_a_factor_is_named(factor, name):
    def forward(x, W):
        return ((x @ W) ** 2).mean(), (x, W)

    def backward(dloss, cache):
        x, W = cache
        dy = factor(len(x), x.shape[1]) * dloss * 2 * (x @ W) / (x @ W).size
        return dy @ W.T, np.tensordot(x, dy, ((0, 1), (0, 1)))

    inputs = {"x": normal(T, N, D), "W": normal(D, H)}
    report = check(forward, backward, inputs, sizes={"T": T, "N": N})
    assert wrong(report) == {"dx", "dW"}
    assert report.diagnosis[0].startswith("every gradient is ")
    assert name in report.diagnosis[0]


def test_rows_of_repeated_tokens_are_named():
    def backward(dy, tokens):
        dW = np.zeros((7, D))
        dW[tokens] += dy
        return (dW,)

    def forward(tokens, W):
        return W[tokens], tokens

    report = check(forward, backward, {"tokens": np.array([1, 4, 1, 0]), "W": normal(7, D)})
    assert wrong(report) == {"dW"}
    assert "consistent with += where np.add.at is needed" in report.diagnosis[0]


@pytest.mark.parametrize("label", ["mask", "lengths"])
def test_a_missing_mask_is_named(label):
    lengths = np.array([4, 1, 3])
    mask = np.arange(T)[:, None] < lengths
    given = mask if label == "mask" else lengths

    def forward(x, **given):
        return np.tanh(x) * mask[..., None], x

    report = check(forward, lambda dy, x: (dy * (1 - np.tanh(x) ** 2),), {"x": normal(T, N, D), label: given})
    assert wrong(report) == {"dx"}
    assert "consistent with a mask that is missing in backward" in report.diagnosis[0]


def test_a_missing_batch_mean_is_named():
    report = check(lambda x: (x - x.mean(0), None), lambda dy, _: (dy,), {"x": normal(5, 3)})
    assert "a mean over the batch that is missing in backward" in report.diagnosis[0]


def test_a_missing_mean_over_features_is_named():
    report = check(lambda x: (x - x.mean(-1, keepdims=True), None), lambda dy, _: (dy,), {"x": normal(5, 3)})
    assert "a mean or sum over that axis that is missing" in report.diagnosis[0]


def lstm_forward(x, h0, c0, W, b):
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    h, c, cache, hs = h0, c0, [], []
    for x_t in x:
        z = np.concatenate([x_t, h], axis=1)
        i, f, o, g = np.split(z @ W + b, 4, axis=1)
        i, f, o, g, c_prev = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g), c
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        cache.append((z, i, f, o, g, c_prev, c))
        hs.append(h)
    return np.array(hs), (cache, W, x.shape)


def lstm_backward(bug):
    def backward(dhs, cache):
        steps, W, shape = cache
        dx, dW, db, dh, dc = np.zeros(shape), np.zeros_like(W), np.zeros(W.shape[1]), 0 * dhs[0], 0 * dhs[0]
        for t in reversed(range(len(steps))):
            z, i, f, o, g, c_prev, c = steps[t]
            dh = dhs[t] if bug == "dh_next" else dhs[t] + dh
            slope = 1 - np.tanh(c) if bug == "tanh" else 1 - np.tanh(c) ** 2
            dc = dh * o * slope if bug == "dc_next" else dc + dh * o * slope
            di, df = dc * g, dc * (c if bug == "c_t" else c_prev)
            di = di * (i if bug == "sigmoid" else i * (1 - i))
            da = np.concatenate([di, df * f * (1 - f), dh * np.tanh(c) * o * (1 - o), dc * i * (1 - g**2)], axis=1)
            if bug == "gates":
                da = np.concatenate([np.split(da, 4, axis=1)[k] for k in (1, 0, 2, 3)], axis=1)
            dW = z.T @ da if bug == "= for +=" else dW + z.T @ da
            db += da.sum(0)
            dz = da @ W.T
            dx[t], dh, dc = dz[:, : shape[2]], dz[:, shape[2] :], dc if bug == "forget gate" else dc * f
        return dx, dh, dc, dW, db

    return backward


@pytest.mark.parametrize(
    ("bug", "name"),
    slow_unless(
        lambda bug, name: bug in ("dh_next", "gates", "= for +="),
        [
            ("dh_next", "dh_next being dropped"),
            ("dc_next", "dc_next being dropped"),
            ("c_t", "c_t used for c_{t−1}"),
            ("tanh", "a wrong local derivative of tanh"),
            ("sigmoid", "a wrong local derivative of σ"),
            ("gates", "swapped gates"),
            ("= for +=", "= for += over time in dW"),
            ("forget gate", "a factor that is missing in a product"),
        ],
    ),
)
def test_bugs_of_an_lstm_are_named_without_remake(bug, name):
    inputs = {
        "x": normal(T, N, D),
        "h0": normal(N, H),
        "c0": normal(N, H),
        "W": normal(D + H, 4 * H),
        "b": normal(4 * H),
    }
    report = check(lstm_forward, lstm_backward(bug), inputs)
    assert name in report.diagnosis[0]
    assert len(report.diagnosis) == 1


def attention(q, k, v):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p @ v, (q, k, v, p)


def attention_backward(bug):
    def backward(dy, cache):
        q, k, v, p = cache
        dp = dy @ v.swapaxes(-1, -2)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        if bug == "softmax":
            ds = p * (1 - p) * dp
        ds = ds / np.sqrt(q.shape[-1]) if bug != "scale" else ds
        dq, dk = ds @ (q if bug == "wrong array" else k), ds.swapaxes(-1, -2) @ q
        dq, dk = (0 * dq, 0 * dk) if bug == "weights' path" else (dq, dk)
        return dq, dk, (p if bug == "transposed" else p.swapaxes(-1, -2)) @ dy

    return backward


@pytest.mark.parametrize(
    ("bug", "name"),
    [
        ("softmax", "a wrong local derivative of softmax"),
        ("scale", "a scale of 1/√d"),
        ("wrong array", "a product with the wrong array"),
        ("transposed", "transposed"),
        ("weights' path", "missing"),
    ],
)
def test_bugs_of_attention_are_named_and_none_is_put_down_to_time(bug, name):
    report = check(attention, attention_backward(bug), {name: normal(2, 4, 3, seed=k) for k, name in enumerate("qkv")})
    assert name in report.diagnosis[0]
    assert not any(word in sentence for sentence in report.diagnosis for word in ("over time", "in time", "recurrent"))


def test_an_operation_that_cannot_be_watched_is_diagnosed_all_the_same():
    def forward(x):
        if type(x) is not np.ndarray:
            raise TypeError("an array, please")
        return np.tanh(x), x

    report = check(forward, lambda dy, x: (-dy * (1 - np.tanh(x) ** 2),), {"x": normal(4)})
    assert "a sign that is flipped" in report.diagnosis[0]


def test_blocks_are_gates_only_where_there_are_gates():
    def backward(dy, cache):
        x, W = cache
        one, two, three = np.split(x.T @ dy, 3, axis=1)
        return dy @ W.T, np.concatenate([two, one, three], axis=1)

    report = check(linear, backward, {"x": normal(5, 3), "W": normal(3, 6)})
    assert report.diagnosis == [
        "dW has blocks that are exchanged: consistent with blocks of an array that are put together in the wrong order"
    ]


def test_an_index_of_several_parts_does_not_end_the_simulation():
    def forward(p, v):
        q = np.tanh(p)
        return q[0, np.array([1, 1, 0])] * v + q[1, np.array([0, 2, 1])], (q, v)

    def backward(dy, cache):
        q, v = cache
        dq = np.zeros_like(q)
        np.add.at(dq, (0, np.array([1, 1, 0])), dy * v)
        return dq * (1 - q**2), dy * q[0, np.array([1, 1, 0])]

    (sentence, *_) = check(forward, backward, {"p": normal(2, 3), "v": normal(3)}).diagnosis
    assert "without the path through `q[1, np.array([0, 2, 1])]`" in sentence
