"""The gradient checker is itself checked: what is wrong is caught, and nothing else."""

from types import SimpleNamespace

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.errors import UserError
from scratchlv.gradcheck import check, check_model

from .operations import D, check_rnn, linear, lstm_inputs, normal, rnn_backward, rnn_forward, rnn_inputs, wrong


@pytest.mark.parametrize("seed", range(5))
def test_a_right_gradient_passes(seed):
    report = check(rnn_forward, rnn_backward(), rnn_inputs(), seed=seed)
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == ["dx", "dh0", "dWx", "dWh", "db"]
    assert report.worst.error < 5e-7  # of an element, however small
    assert not report.diagnosis


def test_nan_in_a_gradient_never_passes():
    report = check_rnn("NaN")
    assert not report.ok
    assert wrong(report) == {"dWh"}
    assert "dWh holds NaN or infinity, first at (0, 0)" in report.problems


def test_an_lstm_of_two_outputs_passes():
    reference = ops.lstm.variant("reference")
    report = check(reference.forward, reference.backward, lstm_inputs())
    assert report.ok, str(report)


def test_a_softmax_whose_gradient_is_zero_is_caught():
    """With an output gradient of ones it would be right: a softmax sums to a constant."""

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(-1, keepdims=True), None

    report = check(softmax, lambda dy, _: (np.zeros_like(dy),), {"x": normal(5, 3)})
    assert "zero everywhere" in report.diagnosis[0]


def test_a_small_relative_error_is_caught():
    report = check(lambda x: (np.sin(x), x), lambda dy, x: (dy * np.cos(x) * (1 + 1e-5),), {"x": normal(3, 4)})
    assert wrong(report) == {"dx"}


def test_changing_an_input_in_place_is_caught():
    def forward(x):
        x *= 2
        return x.copy(), None

    report = check(forward, lambda dy, _: (2 * dy,), {"x": normal(3, 4)})
    assert report.problems[0] == "forward changes its inputs in place: x"
    assert "state=['x']" in report.problems[1]


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
    assert report.problems == ["the output of forward holds NaN or infinity, first at (0, 0)"]


def test_a_gradient_too_few_is_caught():
    report = check(linear, lambda dy, cache: (dy @ cache[1].T,), {"x": normal(5, 3), "W": normal(3, 4)})
    (problem,) = report.problems
    assert problem.startswith("backward returns 1 gradient, and should return 2: dx, dW; if W has none")


def test_taking_the_output_gradient_to_be_contiguous_is_caught():
    def backward(dy, _):
        return (np.ndarray(dy.shape, dy.dtype, dy.base if dy.base is not None else dy),)

    report = check(lambda x: (x.copy(), None), backward, {"x": normal(3, 4)})
    assert "not contiguous" in report.problems[0]


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
    check(rnn_forward, rnn_backward("W for W.T"), inputs, remake=rnn_inputs, repair=False)
    for name, value in rnn_inputs().items():
        np.testing.assert_array_equal(inputs[name], value)


def test_the_smallest_inputs_that_fail_are_told():
    """A sum over the batch that is left out is right for a batch of one."""
    report = check(
        lambda x, W, b: (x @ W + b, (x, W)),
        lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy, dy[0]),
        {"x": normal(7, 5), "W": normal(5, 3), "b": normal(3)},
        repair=False,
    )
    assert report.smallest == {"x": (2, 1), "W": (1, 1), "b": (1,)}


def test_one_wrong_element_of_many_leaves_the_inputs_large():
    def backward(dy, cache):
        dx = 2 * dy * cache
        dx[6:, 4:] *= 1.001
        return (dx,)

    report = check(lambda x: (x * x, x), backward, {"x": normal(9, 5)}, repair=False)
    assert report.smallest == {"x": (7, 5)}


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


def test_the_loss_alone_gives_the_same_report():
    params, loss_and_grads = model("factor")
    gradients = []

    def counted(params):
        gradients.append(params)
        return loss_and_grads(params)

    report = check_model(params, counted, loss=lambda params: loss_and_grads(params)[0])
    assert str(report) == str(check_model(params, loss_and_grads))
    assert wrong(report) == {"second.W"}
    assert len(gradients) == 2  # the others are runs of the loss


def test_another_loss_than_that_of_the_gradients_is_a_problem():
    params, loss_and_grads = model()
    report = check_model(params, loss_and_grads, loss=lambda params: 2 * loss_and_grads(params)[0])
    assert not report.ok
    assert "they should compute the same" in report.problems[0]


def test_a_model_in_float32_is_refused():
    params, loss_and_grads = model()
    with pytest.raises(UserError, match=r"float32.*convert"):
        check_model({name: value.astype(np.float32) for name, value in params.items()}, loss_and_grads)


def test_a_backward_that_is_right_for_one_sign_of_the_output_gradient_only():
    """Of a loss dy is 1: what takes its absolute value passes, and −1 shows it."""
    report = check(lambda x: ((x**2).sum(), x), lambda dloss, x: (2 * x * abs(dloss),), {"x": normal(4)})
    assert not report.ok
    assert "−dy does not give the opposite" in report.problems[0]
    assert "masked by its own sign" in report.problems[0]
