"""The plain recurrent layer: what is particular to it."""

from math import tanh

import numpy as np
import pytest

from scratchlv.kernels.building_blocks.recurrent_plan import layout
from scratchlv.kernels.matmul import numba_cpu as product
from scratchlv.kernels.rnn import cuda, numba_cpu
from scratchlv.ops import rnn

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])
T, N, D, H = 5, 4, 3, 6


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def inputs():
    return {"x": normal(T, N, D), "h0": normal(N, H), "Wx": normal(D, H), "Wh": 0.3 * normal(H, H), "b": normal(H)}


def run(variant, dh, **arguments):
    """h, and the gradients by name."""
    module = rnn.variant(variant)
    h, cache = module.forward(**arguments)
    return h, dict(zip(("x", "h0", "Wx", "Wh", "b"), module.backward(dh, cache), strict=True))


def assert_close(got, expected, tolerance=2e-6):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@variants
def test_two_steps_by_hand(variant):
    x1, x2, h0, wx, wh, b = 0.5, -1.0, 0.25, 0.75, -1.5, 0.125
    h1 = tanh(x1 * wx + h0 * wh + b)
    h2 = tanh(x2 * wx + h1 * wh + b)
    da2 = 1 - h2**2  # only the last state is looked at
    da1 = da2 * wh * (1 - h1**2)
    numbers = {"x": [[[x1]], [[x2]]], "h0": [[h0]], "Wx": [[wx]], "Wh": [[wh]], "b": [b]}
    arguments = {name: np.float32(value) for name, value in numbers.items()}
    h, grads = run(variant, np.float32([[[0]], [[1]]]), **arguments)
    assert_close(h.ravel(), [h1, h2])
    assert_close(grads["x"].ravel(), [da1 * wx, da2 * wx])
    assert_close(grads["h0"].item(), da1 * wh)
    assert_close(grads["Wx"].item(), da1 * x1 + da2 * x2)
    assert_close(grads["Wh"].item(), da1 * h0 + da2 * h1)
    assert_close(grads["b"].item(), da1 + da2)


@variants
def test_sigmoid_is_tanh_in_other_units(variant):
    """σ(a) = (1 + tanh(a / 2)) / 2: a layer with σ is one with tanh whose states are g = 2h - 1."""
    arguments, dh = inputs(), normal(T, N, H)
    h, grads = run(variant, dh, **arguments, nonlinearity="sigmoid")
    Wh = arguments["Wh"]
    same = {
        "x": arguments["x"],
        "h0": 2 * arguments["h0"] - 1,
        "Wx": arguments["Wx"] / 2,
        "Wh": Wh / 4,
        "b": arguments["b"] / 2 + Wh.sum(0) / 4,
    }
    g, grads_of_same = run(variant, dh / 2, **same)
    assert_close(h, (1 + g) / 2)
    assert_close(grads["x"], grads_of_same["x"])
    assert_close(grads["h0"], 2 * grads_of_same["h0"])
    assert_close(grads["Wx"], grads_of_same["Wx"] / 2)
    assert_close(grads["b"], grads_of_same["b"] / 2)


@variants
@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid"])
def test_past_its_length_a_state_stands_still(variant, nonlinearity):
    arguments, lengths = inputs(), np.array([5, 2, 0, 3])
    h, cache = rnn.variant(variant).forward(**arguments, lengths=lengths, nonlinearity=nonlinearity)
    states = np.concatenate([arguments["h0"][None], h])
    for n, length in enumerate(lengths):
        assert (states[length:, n] == states[length, n]).all()
        assert (states[1 : length + 1, n] != states[:length, n]).any(axis=1).all()
    dx = rnn.variant(variant).backward(np.ones_like(h), cache)[0]
    over = np.arange(T)[:, None] >= lengths
    assert not dx[over].any()
    assert dx[~over].any(axis=1).all()


@variants
def test_what_stands_past_a_length_is_not_read(variant):
    arguments, lengths, dh = inputs(), np.array([5, 2, 0, 3]), normal(T, N, H)
    spoiled = arguments["x"].copy()
    spoiled[np.arange(T)[:, None] >= lengths] = 1e4
    h, grads = run(variant, dh, **arguments, lengths=lengths)
    h_again, grads_again = run(variant, dh, **arguments | {"x": spoiled}, lengths=lengths)
    np.testing.assert_array_equal(h, h_again)
    for name in grads:
        np.testing.assert_array_equal(grads[name], grads_again[name])


@variants
def test_the_gradient_of_a_state_that_stands_still_is_that_of_the_last_real_one(variant):
    arguments, lengths, at_the_end, where_it_was_made = inputs(), np.array([5, 2, 1, 3]), *np.zeros((2, T, N, H), "f")
    at_the_end[-1] = normal(N, H)
    where_it_was_made[lengths - 1, np.arange(N)] = at_the_end[-1]
    _, late = run(variant, at_the_end, **arguments, lengths=lengths)
    _, early = run(variant, where_it_was_made, **arguments, lengths=lengths)
    for name in late:
        np.testing.assert_array_equal(late[name], early[name])


@variants
@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid"])
def test_a_stream_may_be_cut_anywhere(variant, nonlinearity):
    """The last state of one piece is the first of the next; its gradient is handed back the same way."""
    arguments, dh = inputs(), normal(T, N, H)
    module, settings = rnn.variant(variant), {"nonlinearity": nonlinearity}
    x, weights = arguments["x"], [arguments[name] for name in ("Wx", "Wh", "b")]
    whole, grads = run(variant, dh, **arguments, **settings)
    first, first_cache = module.forward(x[:2], arguments["h0"], *weights, **settings)
    second, second_cache = module.forward(x[2:], first[-1], *weights, **settings)
    assert_close(np.concatenate([first, second]), whole)
    dx2, dh2, *dweights2 = module.backward(dh[2:], second_cache)
    dh1 = dh[:2].copy()
    dh1[-1] += dh2
    dx1, dh0, *dweights1 = module.backward(dh1, first_cache)
    assert_close(np.concatenate([dx1, dx2]), grads["x"])
    assert_close(dh0, grads["h0"])
    for name, one, two in zip(("Wx", "Wh", "b"), dweights1, dweights2, strict=True):
        assert_close(one + two, grads[name])


@variants
@pytest.mark.parametrize("stretch", [0.5, 2.0])
def test_gradients_vanish_and_explode_geometrically(variant, stretch):
    """At a = 0 the slope of tanh is 1 and that of σ is 1/4: over k steps they come to the power k, with Wh."""
    k = 12
    nothing = {"x": np.zeros((k, 1, 1), "f"), "Wx": np.zeros((1, 1), "f"), "Wh": np.float32([[stretch]])}
    dh = np.zeros((k, 1, 1), np.float32)
    dh[-1] = 1
    _, grads = run(variant, dh, **nothing, h0=np.float32([[0]]), b=np.float32([0]))
    assert grads["h0"].item() == pytest.approx(stretch**k, rel=1e-5)
    _, grads = run(variant, dh, **nothing, h0=np.float32([[0.5]]), b=np.float32([-stretch / 2]), nonlinearity="sigmoid")
    assert grads["h0"].item() == pytest.approx((stretch / 4) ** k, rel=1e-5)


@variants
@pytest.mark.parametrize(("nonlinearity", "low"), [("tanh", -1), ("sigmoid", 0)])
def test_it_saturates_without_overflow(variant, nonlinearity, low):
    arguments = inputs() | {"b": np.float32([1e4, -1e4] * 3)}
    h, grads = run(variant, np.ones((T, N, H), np.float32), **arguments, nonlinearity=nonlinearity)
    np.testing.assert_allclose(h, np.broadcast_to([1, low] * 3, h.shape), atol=1e-6)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, 0, atol=1e-4, err_msg=name)


@variants
def test_a_nonlinearity_that_is_none_is_named(variant):
    with pytest.raises(ValueError, match="nonlinearity must be one of tanh, sigmoid; it is 'relu'"):
        rnn.variant(variant).forward(**inputs(), nonlinearity="relu")


@variants
@pytest.mark.parametrize(
    ("name", "shape"), [("h0", (3, H)), ("Wx", (D + 1, H)), ("Wh", (H, H + 1)), ("b", (1,)), ("lengths", (N + 1,))]
)
def test_shapes_that_do_not_fit_are_named(variant, name, shape):
    wrong = np.zeros(shape, int if name == "lengths" else np.float32)
    with pytest.raises(
        ValueError, match=rf"{name} has the shape \({shape[0]},.*x \(5, 4, 3\) and a state of 6 numbers"
    ):
        rnn.variant(variant).forward(**inputs() | {name: wrong})


@pytest.mark.parametrize("N", [1, 2, 5, 16, 37])
def test_the_bits_do_not_depend_on_the_threads(N, monkeypatch):
    """Whether they share the sequences or, of few sequences, the columns of each step."""
    T, D, H = 4, 3, 35
    weights = [normal(D, H), 0.3 * normal(H, H), normal(H)]
    x, h0, lengths, dh = normal(T, N, D), normal(N, H), np.arange(N) % (T + 1), normal(T, N, H)
    results = []
    for threads in (1, 2, 7, 40):
        for module in (numba_cpu, product):
            monkeypatch.setattr(module, "n_threads", lambda threads=threads: threads)
        h, cache = numba_cpu.forward(x, h0, *weights, lengths)
        results.append((h, *numba_cpu.backward(dh, cache)))
    for result in results[1:]:
        for first, other in zip(results[0], result, strict=True):
            assert first.tobytes() == other.tobytes()


def test_read_only_arrays_are_served_by_the_same_kernels():
    arguments, dy = inputs(), normal(T, N, H)
    _, grads = run("numba_cpu", dy, **arguments)
    before = {name: len(getattr(numba_cpu, name).signatures) for name in ("_forward", "_backward")}
    for array in (*arguments.values(), dy):
        array.flags.writeable = False
    _, again = run("numba_cpu", dy, **arguments)
    for name, array in grads.items():
        np.testing.assert_array_equal(again[name], array)
    assert before == {name: len(getattr(numba_cpu, name).signatures) for name in before}


@pytest.mark.parametrize("tf32", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("threads", [32, 64, 256])
@pytest.mark.parametrize(("quads", "rows"), [(8, 1), (8, 11), (16, 4), (16, 9), (32, 5), (32, 20)])
@pytest.mark.parametrize(("H", "nonlinearity"), [(70, "tanh"), (36, "sigmoid")])
def test_however_the_blocks_share_the_work_the_result_is_right(
    H, nonlinearity, quads, rows, threads, tf32, monkeypatch
):
    T, N, D = 3, 11, 5
    arguments = {"x": normal(T, N, D), "h0": normal(N, H), "Wx": normal(D, H), "Wh": 0.2 * normal(H, H), "b": normal(H)}
    arguments |= {"lengths": np.arange(N) % (T + 1), "nonlinearity": nonlinearity}
    dh, shared_by = normal(T, N, H), []

    def plan_for(like, N, H, gates):
        shared_by.append(layout(N, H, quads, rows, gates, threads, tf32))
        return shared_by[-1]

    monkeypatch.setattr(cuda, "plan_for", plan_for)
    h, grads = run("cuda", dh, **arguments)
    expected_h, expected = run("reference", dh, **arguments)
    assert len(shared_by) == 2
    for got, exact in [(h, expected_h), *((grads[name], expected[name]) for name in expected)]:
        assert_close(got, exact, 2e-3 if tf32 else 2e-6)
        assert tf32 == (np.abs(got - exact).max() > 1e-5 * np.abs(exact).max())
