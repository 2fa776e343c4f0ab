"""Stacked and bidirectional recurrence: gradients, and what a direction may know."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import check_model
from scratchlv.models import recurrent

T, N, D, H = 5, 3, 4, 2
LENGTHS = np.array([5, 2, 4])


def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((T, N, D)), rng


def in_float64(params):
    return {name: value.astype(np.float64) for name, value in params.items()}


@pytest.mark.parametrize("cell", recurrent.CELLS)
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_a_stacks_gradients(cell, p):
    x, rng = inputs()
    state = tuple(
        tuple(s + rng.standard_normal((N, H)) for s in recurrent.zero_state(cell, N, H, np.zeros(0))) for _ in range(3)
    )
    dh, dlast = rng.standard_normal((T, N, H)), rng.standard_normal((N, H))
    params = in_float64({**recurrent.init_stack(rng, "stack", cell, D, [H] * 3), "x": x})

    def forward(params):
        h, last, cache = recurrent.stack_forward(params, "stack", cell, params["x"], state, LENGTHS, p=p, seed=(7,))
        return (h * dh).sum() + (last[-1][0] * dlast).sum(), cache

    def loss_and_grads(params):
        loss, cache = forward(params)
        dx, grads = recurrent.stack_backward(dh, (dlast, None), cache)
        return loss, {**grads, "x": dx}

    with scratchlv.use("reference"):
        report = check_model(params, loss_and_grads, loss=lambda params: forward(params)[0], seed=1)
    assert report.ok, str(report)


@pytest.mark.parametrize("cell", recurrent.CELLS)
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_both_directions_gradients(cell, p):
    x, rng = inputs()
    dh = rng.standard_normal((T, N, 2 * H))
    params = in_float64({**recurrent.init_bidirectional(rng, "both", cell, D, [H] * 2), "x": x})

    def forward(params):
        h, cache = recurrent.bidirectional_forward(params, "both", cell, params["x"], LENGTHS, 2, p=p, seed=(7,))
        return (h * dh).sum(), cache

    def loss_and_grads(params):
        loss, cache = forward(params)
        dx, grads = recurrent.bidirectional_backward(dh, cache)
        return loss, {**grads, "x": dx}

    with scratchlv.use("reference"):
        report = check_model(params, loss_and_grads, loss=lambda params: forward(params)[0], seed=1)
    assert report.ok, str(report)


def test_dropout_leaves_the_way_through_time_alone():
    """All inputs dropped, the states still go on: what is dropped goes up, not on (Zaremba et al. 2014)."""
    x, rng = inputs()
    params = recurrent.init_stack(rng, "stack", "rnn", D, [H])
    params = {name: value.astype(np.float64) for name, value in params.items()}
    h0 = rng.standard_normal((N, H))
    with scratchlv.use("reference"):
        h, _, _ = recurrent.stack_forward(params, "stack", "rnn", np.zeros_like(x), ((h0,),), p=0.9, seed=(1,))
    for t in range(T):
        h0 = np.tanh(h0 @ params["stack.0.Wh"] + params["stack.0.b"])
        np.testing.assert_allclose(h[t], h0, rtol=1e-12)


def test_the_backward_direction_reads_each_sentence_from_its_own_end():
    x, rng = inputs()
    params = in_float64(recurrent.init_bidirectional(rng, "both", "lstm", D, [H]))
    with scratchlv.use("reference"):
        h, _ = recurrent.bidirectional_forward(params, "both", "lstm", x, LENGTHS, 1, train=False)
        for n, length in enumerate(LENGTHS):
            alone = x[:length, n : n + 1]
            weights = [params[f"both.0.backward.{w}"] for w in ("Wx", "Wh", "b")]
            zero = np.zeros((1, H))
            (back, _), _ = scratchlv.ops.lstm.forward(alone[::-1].copy(), zero, zero, *weights, train=False)
            np.testing.assert_allclose(h[:length, n, H:], back[::-1, 0], rtol=1e-12)


def test_reversal_twice_is_nothing():
    x, _ = inputs()
    order = recurrent.reversal(T, LENGTHS)
    np.testing.assert_array_equal(recurrent.reverse(recurrent.reverse(x, order), order), x)
    np.testing.assert_array_equal(recurrent.reverse(x, order)[:2, 1], x[:2, 1][::-1])
