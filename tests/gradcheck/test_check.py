"""The gradient checker is itself checked: bugs are planted, and each must be caught, and named."""

from types import SimpleNamespace

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.errors import UserError
from scratchlv.gradcheck import check, check_model, check_operation, compare

T, N, D, H = 4, 3, 5, 2


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


# --- A recurrent network with room for bugs -------------------------------------------------------------------------


def rnn_inputs(T=T, N=N):
    return {"x": normal(T, N, D), "h0": normal(N, H), "Wx": normal(D, H), "Wh": normal(H, H), "b": normal(H)}


def rnn_forward(x, h0, Wx, Wh, b):
    h = [h0]
    for x_t in x:
        h.append(np.tanh(x_t @ Wx + h[-1] @ Wh + b))
    return np.array(h[1:]).reshape(len(x), *h0.shape), (x, np.array(h), Wx, Wh)


def rnn_backward(bug=None):
    def backward(dy, cache):
        x, h, Wx, Wh = cache
        dx, dWx, dWh, db, dh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(H), np.zeros_like(h[0])
        for t in reversed(range(1 if bug == "dropped time step" else 0, len(x))):
            dh = dh + dy[t]
            da = dh * (1 - h[t + 1]) if bug == "local derivative" else dh * (1 - h[t + 1] ** 2)
            dx[t] = da @ Wx.T
            dWx = x[t].T @ da if bug == "= for +=" else dWx + x[t].T @ da
            dWh += h[t + 1 if bug == "h_t for h_t-1" else t].T @ da
            db += da[0] if bug == "batch sum" else da.sum(0)
            dh = da @ (Wh if bug == "W for W.T" else Wh.T)
            if bug == "dh_next":
                dh = np.zeros_like(dh)
        if bug == "off by one":
            dx = np.roll(dx, 1, axis=0)
        if bug == "zero":
            db[:] = 0
        if bug == "sign":
            dWx = -dWx
        if bug == "NaN":
            dWh[0, 0] = np.nan
        if bug == "transposed":
            dWh = dWh.T
        if bug == "regularisation":
            dWx = dWx + 0.1 * Wx
        return dx, dh, dWx, dWh, db

    return backward


def check_rnn(bug=None):
    sizes = {"T": T, "N": N}
    return check(rnn_forward, rnn_backward(bug), rnn_inputs(), remake=rnn_inputs, sizes=sizes)


def wrong(report):
    return {gradient.name for gradient in report.gradients if not gradient.ok}


@pytest.mark.parametrize("seed", range(5))
def test_a_right_gradient_passes(seed):
    report = check(rnn_forward, rnn_backward(), rnn_inputs(), seed=seed)
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == ["dx", "dh0", "dWx", "dWh", "db"]
    assert report.worst.error < 1e-8  # far inside the tolerance
    assert not report.diagnosis


@pytest.mark.parametrize(
    ("bug", "wrong_gradients", "name"),
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


def test_nan_in_a_gradient_never_passes():
    report = check_rnn("NaN")
    assert not report.ok
    assert wrong(report) == {"dWh"}
    assert "dWh holds NaN or infinity" in report.problems


# --- An LSTM whose gates are mixed up -------------------------------------------------------------------------------


def lstm_inputs(T=T, N=N):
    shapes = {"x": (T, N, D), "h0": (N, H), "c0": (N, H), "Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
    return {name: normal(*shape) for name, shape in shapes.items()}


def with_gates(order):
    """The reference's backward pass, with the blocks of the weights' gradients in another order."""

    def backward(dy, cache):
        dx, dh0, dc0, *weights = ops.lstm.variant("reference").backward(dy, cache)
        return dx, dh0, dc0, *(np.concatenate([np.split(dW, 4, -1)[k] for k in order], -1) for dW in weights)

    return backward


def test_an_lstm_of_two_outputs_passes():
    reference = ops.lstm.variant("reference")
    report = check(reference.forward, reference.backward, lstm_inputs())
    assert report.ok, str(report)


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


def test_gates_swapped_inside_the_loop_are_named():
    """Then the error runs through time, and only a single step shows it clearly."""
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
    assert "with one time step, " in "\n".join(report.diagnosis)
    assert "consistent with swapped gates" in "\n".join(report.diagnosis)


# --- Other operations with a planted bug ----------------------------------------------------------------------------


def linear(x, W):
    return x @ W, (x, W)


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
        (T * N, "a mean that is missing in backward, a division by T·N"),
        (N, "a mean that is missing in backward, a division by N"),
        (1 / T, "a mean where a sum is due, a division by T too many"),
        (2, "a term that is added twice, or a missing 1/2"),
        (-N, "a division by N, and a flipped sign"),
        (0.9, "a constant factor that is missing or doubled"),
    ],
)
def test_a_factor_is_named(factor, name):
    def forward(x, W):
        return ((x @ W) ** 2).mean(), (x, W)

    def backward(dloss, cache):
        x, W = cache
        dy = factor * dloss * 2 * (x @ W) / (T * N * H)
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
    assert "consistent with a mean over the batch that is missing in backward" in report.diagnosis[0]


def test_a_missing_mean_over_features_is_named():
    report = check(lambda x: (x - x.mean(-1, keepdims=True), None), lambda dy, _: (dy,), {"x": normal(5, 3)})
    assert "consistent with a mean or sum over that axis that is missing" in report.diagnosis[0]


def test_a_softmax_whose_gradient_is_zero_is_caught():
    """With an output gradient of ones it would be right: a softmax sums to a constant."""

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(-1, keepdims=True), None

    report = check(softmax, lambda dy, _: (np.zeros_like(dy),), {"x": normal(5, 3)})
    assert "zero everywhere" in report.diagnosis[0]


def test_one_wrong_element_of_many_is_caught_along_random_directions():
    """The elements are sampled, but a direction moves them all."""

    def backward(dy, cache):
        x, W = cache
        dx = dy @ W.T
        dx.flat[1234] += 1
        return dx, x.T @ dy

    report = check(linear, backward, {"x": normal(50, 40), "W": normal(40, 3)}, max_elements=5)
    assert wrong(report) == {"dx"}
    assert "along a random direction" in str(report)


def test_a_small_relative_error_is_caught():
    report = check(lambda x: (np.sin(x), x), lambda dy, x: (dy * np.cos(x) * (1 + 1e-5),), {"x": normal(3, 4)})
    assert wrong(report) == {"dx"}


# --- What is wrong besides numbers ----------------------------------------------------------------------------------


def test_changing_an_input_in_place_is_caught():
    def forward(x):
        x *= 2
        return x.copy(), None

    report = check(forward, lambda dy, _: (2 * dy,), {"x": normal(3, 4)})
    assert report.problems == ["forward changes its inputs in place: x"]


def test_changing_the_output_gradient_in_place_is_caught():
    def backward(dy, _):
        dy *= 2
        return (dy,)

    report = check(lambda x: (2 * x, None), backward, {"x": normal(3, 4)})
    assert report.problems == ["backward changes the output gradient in place"]


@pytest.mark.parametrize("kind", [lambda y: (y,), lambda y: {"y": y}, lambda y: SimpleNamespace(y=y)])
def test_changing_the_cache_in_place_is_caught(kind):
    def backward(dy, cache):
        (y,) = cache if isinstance(cache, tuple) else (cache["y"],) if isinstance(cache, dict) else (cache.y,)
        np.subtract(1, y**2, out=y)
        return (dy * y,)

    report = check(lambda x: (np.tanh(x), kind(np.tanh(x))), backward, {"x": normal(3, 4)})
    assert len(report.problems) == 1
    assert "backward changes the cache in place" in report.problems[0]


def test_randomness_in_forward_is_caught():
    rng = np.random.default_rng(0)

    def forward(x):
        keep = rng.random(x.shape) < 0.5
        return x * keep, keep

    report = check(forward, lambda dy, keep: (dy * keep,), {"x": normal(3, 4)})
    assert "two runs of forward differ" in report.problems[0]


def test_randomness_in_backward_is_caught():
    rng = np.random.default_rng(0)
    report = check(lambda x: (x, None), lambda dy, _: (dy + 1e-9 * rng.random(dy.shape),), {"x": normal(3, 4)})
    assert not report.ok
    assert "two runs of backward differ" in report.problems[0]


def test_nan_in_the_output_is_caught():
    report = check(lambda x: (np.full_like(x, np.nan), None), lambda dy, _: (dy,), {"x": normal(3, 4)})
    assert report.problems == ["the output of forward holds NaN or infinity"]


def test_a_gradient_too_few_is_caught():
    report = check(linear, lambda dy, cache: (dy @ cache[1].T,), {"x": normal(5, 3), "W": normal(3, 4)})
    assert report.problems == ["backward returns 1 gradients, and should return 2: dx, dW"]


def test_taking_the_output_gradient_to_be_contiguous_is_caught():
    def backward(dy, _):
        return (np.ndarray(dy.shape, dy.dtype, dy.base if dy.base is not None else dy),)

    report = check(lambda x: (x.copy(), None), backward, {"x": normal(3, 4)})
    assert "not contiguous" in report.problems[0]


# --- What must not be called wrong ----------------------------------------------------------------------------------


def relu(x):
    return np.maximum(x, 0), x > 0


def test_a_kink_is_skipped_and_said():
    x = normal(3, 4)
    x[0, 1] = x[2, 2] = 0
    report = check(relu, lambda dy, positive: (dy * positive,), {"x": x})
    assert report.ok, str(report)
    assert report.gradients[0].kinks >= 2
    assert "the one-sided slopes differ" in str(report)


def test_a_kink_hides_no_bug_elsewhere():
    x = normal(3, 4)
    x[0, 1] = 0
    report = check(relu, lambda dy, positive: (dy * ~positive,), {"x": x})
    assert wrong(report) == {"dx"}


def test_a_check_with_nothing_but_kinks_does_not_pass():
    report = check(relu, lambda dy, positive: (dy * positive,), {"x": np.zeros((3, 4))})
    assert not report.ok
    assert "nothing was checked" in report.problems[0]


def test_strong_curvature_is_no_kink():
    """The one-sided slopes differ by 2 h / (x² …), yet a wrong gradient must not be excused."""
    report = check(lambda x: (np.exp(100 * x), x), lambda dy, x: (dy * np.exp(100 * x),), {"x": 0.1 * normal(3, 4)})
    assert wrong(report) == {"dx"}
    assert report.gradients[0].kinks == 0


def test_settings_and_integers_are_not_differentiated():
    def forward(x, index, b=None, *, scale):
        return x[index] * scale, (index, scale, x.shape)

    def backward(dy, cache):
        index, scale, shape = cache
        dx = np.zeros(shape)
        np.add.at(dx, index, dy * scale)
        return dx, None

    scale = normal(D)
    report = check(forward, backward, {"x": normal(4, D), "index": np.array([2, 2, 0]), "b": None, "scale": scale})
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == ["dx"]


def test_inputs_named_fixed_have_no_gradient():
    report = check(linear, lambda dy, cache: (cache[0].T @ dy,), {"x": normal(5, 3), "W": normal(3, 4)}, fixed=["x"])
    assert report.ok, str(report)


def test_the_inputs_given_are_left_alone():
    inputs = rnn_inputs()
    check(rnn_forward, rnn_backward("W for W.T"), inputs, remake=rnn_inputs)
    for name, value in rnn_inputs().items():
        np.testing.assert_array_equal(inputs[name], value)


# --- Variants -------------------------------------------------------------------------------------------------------


def variant_of_linear(**changed):
    """The reference, one function changed, playing a variant."""
    reference = ops.linear.variant("reference")
    return SimpleNamespace(**{"forward": reference.forward, "backward": reference.backward, **changed})


def test_a_variant_that_is_the_reference_is_right():
    inputs = ops.linear.room.cases(np.random.default_rng(0))["odd"]
    assert compare(variant_of_linear(), ops.linear.variant("reference"), inputs).ok


@pytest.mark.parametrize("relative_error", [3e-6, np.nan])
def test_a_variant_that_is_less_accurate_is_wrong(relative_error):
    reference = ops.linear.variant("reference")

    def backward(dy, cache):
        dx, dW, db = reference.backward(dy, cache)
        return dx, dW, (db * (1 + relative_error)).astype(np.float32)

    inputs = ops.linear.room.cases(np.random.default_rng(0))["odd"]
    report = compare(variant_of_linear(backward=backward), reference, inputs)
    assert wrong(report) == {"db"}
    assert report.worst.name == "db"


def test_a_variant_of_another_dtype_is_wrong():
    reference = ops.linear.variant("reference")

    def forward(x, W, b=None):
        return (x @ W + b).astype(np.float64), reference.forward(x, W, b)[1]

    inputs = ops.linear.room.cases(np.random.default_rng(0))["odd"]
    report = compare(variant_of_linear(forward=forward), reference, inputs)
    assert report.problems == ["y is float64, and should be float32"]


def test_a_variant_that_does_not_serve_says_so():
    module = variant_of_linear(limits=lambda **inputs: "it is Sunday")
    report = compare(module, ops.linear.variant("reference"), ops.linear.room.cases(np.random.default_rng(0))["odd"])
    assert report.verdict == "not checked"
    assert "it is Sunday" in report.not_checked


# --- Whole models ---------------------------------------------------------------------------------------------------


def model(bug=None):
    x, y = normal(6, 3), normal(6, 2)

    def loss_and_grads(params):
        h = np.tanh(x @ params["first.W"] + params["first.b"])
        error = h @ params["second.W"] - y
        derror = error / len(x)
        dh = derror @ params["second.W"].T
        da = dh * (1 - h**2)
        grads = {"first.W": x.T @ da, "first.b": da.sum(0), "second.W": h.T @ derror}
        if bug == "factor":
            grads["second.W"] = 2 * grads["second.W"]
        if bug == "missing":
            del grads["first.b"]
        if bug == "NaN":
            grads["first.b"][0] = np.nan
        if bug == "in place":
            params["first.b"] += 1
        loss = (error**2).sum() / 2 / len(x)
        return loss + (np.random.default_rng().random() if bug == "random" else 0), grads

    return {"first.W": normal(3, 4), "first.b": normal(4), "second.W": normal(4, 2)}, loss_and_grads


def test_a_right_model_passes():
    report = check_model(*model())
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == ["first.W", "first.b", "second.W"]


@pytest.mark.parametrize(("bug", "name"), [("factor", "second.W"), ("NaN", "first.b")])
def test_the_wrong_parameter_of_a_model_is_named(bug, name):
    report = check_model(*model(bug))
    assert not report.ok
    assert wrong(report) == {name}


@pytest.mark.parametrize(
    ("bug", "problem"),
    [
        ("missing", "first.b has no gradient"),
        ("in place", "the model changes the parameters in place: first.b"),
        ("random", "two runs differ"),
    ],
)
def test_what_else_is_wrong_with_a_model_is_said(bug, problem):
    assert problem in check_model(*model(bug)).problems[0]


def test_a_model_in_float32_is_refused():
    params, loss_and_grads = model()
    with pytest.raises(UserError, match=r"float32.*convert"):
        check_model({name: value.astype(np.float32) for name, value in params.items()}, loss_and_grads)


def test_an_unknown_case_lists_what_exists():
    with pytest.raises(UserError, match="no case 'even'; it has 'odd'"):
        check_operation("linear", case="even")
    with pytest.raises(UserError, match="no variant 'fast'; it has reference"):
        check_operation("linear", "fast")
