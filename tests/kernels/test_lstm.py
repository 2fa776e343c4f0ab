"""The LSTM: what is particular to it."""

import re

import numpy as np
import pytest

from scratchlv.cuda import load
from scratchlv.cuda.versions import use_version
from scratchlv.kernels.building_blocks.recurrent_plan import layout
from scratchlv.kernels.lstm import cuda, numba_cpu
from scratchlv.kernels.matmul import numba_cpu as product
from scratchlv.ops import lstm

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])
T, N, D, H = 5, 4, 3, 6
OPEN, SHUT = 1e4, -1e4  # far beyond where σ is 1 and 0


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def inputs():
    states = {"h0": normal(N, H), "c0": normal(N, H)}
    return {"x": normal(T, N, D)} | states | {"Wx": normal(D, 4 * H), "Wh": 0.3 * normal(H, 4 * H), "b": normal(4 * H)}


def with_gates(i=0.0, f=0.0, g=0.0, o=0.0):
    """Inputs whose gates are moved by so much, in the order i, f, g, o."""
    arguments = inputs()
    arguments["b"] += np.repeat(np.float32([i, f, g, o]), H)
    return arguments


def run(variant, dy, **arguments):
    """h, c, and the gradients by name."""
    module = lstm.variant(variant)
    (h, c), cache = module.forward(**arguments)
    return h, c, dict(zip(("x", "h0", "c0", "Wx", "Wh", "b"), module.backward(dy, cache), strict=True))


def assert_close(got, expected, tolerance=2e-6):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@variants
def test_with_nothing_written_and_nothing_forgotten_c_stays(variant):
    """And its gradient comes back as it is, however many steps there were: what the cell was made for."""
    arguments, dc = with_gates(i=SHUT, f=OPEN), normal(N, H)
    _, c, grads = run(variant, (None, dc), **arguments)
    np.testing.assert_array_equal(c, arguments["c0"])
    np.testing.assert_array_equal(grads["c0"], dc)


@variants
def test_with_all_forgotten_c_is_what_was_written_last(variant):
    _, c, grads = run(variant, (None, normal(N, H)), **with_gates(i=OPEN, f=SHUT, g=OPEN))
    assert_close(c, np.ones((N, H)))
    assert not grads["c0"].any()


@variants
def test_with_the_output_shut_h_is_zero(variant):
    h, c, grads = run(variant, (normal(T, N, H), None), **with_gates(o=SHUT))
    assert not h.any()
    assert c.any()
    assert not grads["c0"].any()


@variants
def test_with_the_output_open_h_is_tanh_of_c(variant):
    arguments = with_gates(o=OPEN)
    h, c, _ = run(variant, (None, None), **arguments)
    assert_close(h[-1], np.tanh(c))


@variants
def test_it_saturates_without_overflow(variant):
    for gates in ([OPEN] * 4, [SHUT] * 4):
        h, c, grads = run(variant, (normal(T, N, H), normal(N, H)), **with_gates(*gates))
        for array in (h, c, *grads.values()):
            assert np.isfinite(array).all()


@variants
def test_past_its_length_a_state_stands_still(variant):
    arguments, lengths = inputs(), np.array([5, 2, 0, 3])
    h, c, grads = run(variant, (normal(T, N, H), normal(N, H)), **arguments, lengths=lengths)
    states = np.concatenate([arguments["h0"][None], h])
    for n, length in enumerate(lengths):
        assert (states[length:, n] == states[length, n]).all()
        assert (states[1 : length + 1, n] != states[:length, n]).any(axis=1).all()
        alone = {"x": arguments["x"][:length, n : n + 1]} | {k: arguments[k][n : n + 1] for k in ("h0", "c0")}
        (_, c_alone), _ = lstm.variant(variant).forward(**arguments | alone)
        assert_close(c[n], c_alone[0])
    over = np.arange(T)[:, None] >= lengths
    assert not grads["x"][over].any()
    assert grads["x"][~over].any(axis=1).all()


@variants
def test_what_stands_past_a_length_is_not_read(variant):
    arguments, lengths, dy = inputs(), np.array([5, 2, 0, 3]), (normal(T, N, H), normal(N, H))
    spoiled = arguments["x"].copy()
    spoiled[np.arange(T)[:, None] >= lengths] = 1e4
    h, c, grads = run(variant, dy, **arguments, lengths=lengths)
    h_again, c_again, grads_again = run(variant, dy, **arguments | {"x": spoiled}, lengths=lengths)
    np.testing.assert_array_equal(h, h_again)
    np.testing.assert_array_equal(c, c_again)
    for name in grads:
        np.testing.assert_array_equal(grads[name], grads_again[name])


@variants
def test_a_stream_may_be_cut_anywhere(variant):
    """The last state of one piece is the first of the next; its gradient is handed back the same way."""
    arguments, (dh, dc) = inputs(), (normal(T, N, H), normal(N, H))
    module, x, weights = lstm.variant(variant), arguments["x"], [arguments[name] for name in ("Wx", "Wh", "b")]
    h, c, grads = run(variant, (dh, dc), **arguments)
    (first, c_between), first_cache = module.forward(x[:2], arguments["h0"], arguments["c0"], *weights)
    (second, c_last), second_cache = module.forward(x[2:], first[-1], c_between, *weights)
    assert_close(np.concatenate([first, second]), h)
    assert_close(c_last, c)
    dx2, dh2, dc2, *dweights2 = module.backward((dh[2:], dc), second_cache)
    dh1 = dh[:2].copy()
    dh1[-1] += dh2
    dx1, dh0, dc0, *dweights1 = module.backward((dh1, dc2), first_cache)
    joined = {"x": np.concatenate([dx1, dx2]), "h0": dh0, "c0": dc0}
    joined |= {name: a + b for name, a, b in zip(("Wx", "Wh", "b"), dweights1, dweights2, strict=True)}
    for name in grads:
        assert_close(joined[name], grads[name])


@variants
def test_an_output_that_nobody_uses_has_no_gradient(variant):
    arguments, dh, dc = inputs(), normal(T, N, H), normal(N, H)
    for given, zeros in [((dh, None), (dh, 0 * dc)), ((None, dc), (0 * dh, dc))]:
        _, _, grads = run(variant, given, **arguments)
        _, _, expected = run(variant, zeros, **arguments)
        for name in grads:
            np.testing.assert_array_equal(grads[name], expected[name])


@variants
@pytest.mark.parametrize(
    ("name", "shape", "needed"),
    [
        ("h0", (3, H), (N, H)),
        ("c0", (N, 1), (N, H)),
        ("Wx", (D + 1, 4 * H), (D, 4 * H)),
        ("Wh", (H, H), (H, 4 * H)),
        ("b", (1,), (4 * H,)),
        ("lengths", (N + 1,), (N,)),
    ],
)
def test_shapes_that_do_not_fit_are_named(variant, name, shape, needed):
    """Before a kernel reads past their ends, and before NumPy stretches what is 1 wide."""
    wrong = np.zeros(shape, int if name == "lengths" else np.float32)
    message = f"{name} has the shape {shape}; x (5, 4, 3) and a state of 6 numbers need {needed}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        lstm.variant(variant).forward(**inputs() | {name: wrong})


@pytest.mark.parametrize("N", [1, 2, 5, 16, 37])
def test_the_bits_do_not_depend_on_the_threads(N, monkeypatch):
    """Whether they share the sequences or, of few sequences, the columns of each step."""
    T, D, H = 4, 3, 35
    weights = [normal(D, 4 * H), 0.3 * normal(H, 4 * H), normal(4 * H)]
    x, h0, c0, lengths = normal(T, N, D), normal(N, H), normal(N, H), np.arange(N) % (T + 1)
    dy = (normal(T, N, H), normal(N, H))
    results = []
    for threads in (1, 2, 7, 40):
        for module in (numba_cpu, product):
            monkeypatch.setattr(module, "n_threads", lambda threads=threads: threads)
        (h, c), cache = numba_cpu.forward(x, h0, c0, *weights, lengths)
        results.append((h, c, *numba_cpu.backward(dy, cache)))
    for result in results[1:]:
        for first, other in zip(results[0], result, strict=True):
            assert first.tobytes() == other.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 7, 40])
@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("H", [35, 256])  # of 256, rows of weights are pages
def test_a_single_step_of_a_sequence_is_that_of_a_batch(threads, over, H, monkeypatch):
    """Bit for bit, though it has a kernel of its own; wherever the weights lie, and with more terms than a segment."""
    monkeypatch.setattr(numba_cpu, "n_threads", lambda: threads)
    N, D = 3, product.INNER_BLOCK + 7
    x, h0, c0, Wx, Wh, b = (
        normal(1, N, D),
        normal(N, H),
        normal(N, H),
        normal(D, 4 * H),
        normal(H, 4 * H),
        normal(4 * H),
    )
    lengths = np.array([1 - over] * N)
    (h, c), cache = numba_cpu.forward(x, h0, c0, Wx, Wh, b, lengths)
    for kind in (
        np.array,
        np.asfortranarray,
        product.PackedMatrix,
        lambda W: product.PackedMatrix(W[:, ::-1].copy()[:, ::-1]),
    ):
        for n in range(N):
            row = x[:, n : n + 1], h0[n : n + 1], c0[n : n + 1]
            (h_n, c_n), cache_n = numba_cpu.forward(*row, kind(Wx), kind(Wh), b, lengths[n : n + 1])
            assert h_n.tobytes() == h[:, n].tobytes()
            assert c_n.tobytes() == c[n].tobytes()
            if not over:
                assert cache_n.gates.tobytes() == cache.gates[:, n].tobytes()


def test_read_only_arrays_are_served_by_the_same_kernels():
    arguments, dy = inputs(), normal(T, N, H)
    _, _, grads = run("numba_cpu", (dy, None), **arguments)
    before = {name: len(getattr(numba_cpu, name).signatures) for name in ("_forward", "_backward")}
    for array in (*arguments.values(), dy):
        array.flags.writeable = False
    _, _, again = run("numba_cpu", (dy, None), **arguments)
    for name, array in grads.items():
        np.testing.assert_array_equal(again[name], array)
    assert before == {name: len(getattr(numba_cpu, name).signatures) for name in before}


@pytest.mark.parametrize("tf32", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("threads", [32, 64, 256])
@pytest.mark.parametrize(("quads", "rows"), [(8, 1), (8, 11), (16, 4), (16, 5), (16, 9), (32, 20), (32, 8)])
def test_however_the_blocks_share_the_work_the_result_is_right(quads, rows, threads, tf32, monkeypatch):
    T, N, D, H = 3, 11, 5, 38
    arguments = {"x": normal(T, N, D), "h0": normal(N, H), "c0": normal(N, H), "lengths": np.arange(N) % (T + 1)}
    arguments |= {"Wx": normal(D, 4 * H), "Wh": 0.2 * normal(H, 4 * H), "b": normal(4 * H)}
    dy, shared_by = (normal(T, N, H), normal(N, H)), []

    def plan_for(like, N, H):
        shared_by.append(layout(N, H, quads, rows, threads=threads, tf32=tf32))
        return shared_by[-1]

    monkeypatch.setattr(cuda, "plan_for", plan_for)
    h, c, grads = run("cuda", dy, **arguments)
    expected_h, expected_c, expected = run("reference", dy, **arguments)
    assert len(shared_by) == 2
    for got, exact in [(h, expected_h), (c, expected_c), *((grads[name], expected[name]) for name in expected)]:
        assert_close(got, exact, 2e-3 if tf32 else 2e-6)
        assert tf32 == (np.abs(got - exact).max() > 1e-5 * np.abs(exact).max())


def test_what_does_not_fit_on_the_chip_is_done_step_by_step(monkeypatch):
    arguments, dy, launched = inputs(), (normal(T, N, H), normal(N, H)), []
    h, c, grads = run("cuda", dy, **arguments)
    monkeypatch.setattr(cuda, "plan_for", lambda *_: None)
    monkeypatch.setattr(cuda, "load", lambda file: launched.append(file) or load(file))
    h_again, c_again, grads_again = run("cuda", dy, **arguments)
    assert launched == 2 * T * ["lstm.cu"]
    for got, expected in [(h_again, h), (c_again, c), *((grads_again[name], grads[name]) for name in grads)]:
        assert_close(got, expected)


@pytest.mark.parametrize("version", [1, 2])
def test_without_training_a_gpu_keeps_one_c_only(version, monkeypatch):
    made = []
    monkeypatch.setattr(cuda, "empty", lambda shape, *_: made.append(shape) or np.full(shape, np.nan, np.float32))
    arguments = inputs()
    with use_version(version):
        (h, c), _ = cuda.forward(**arguments, lengths=np.array([5, 2, 0, 3]), train=False)
    assert made == [(T + 1, N, H), (1, N, H)]
    (expected_h, expected_c), _ = lstm.variant("reference").forward(**arguments, lengths=np.array([5, 2, 0, 3]))
    assert_close(h, expected_h)
    assert_close(c, expected_c)
