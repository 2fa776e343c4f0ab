"""The GRU: what is particular to it."""

import re
from math import exp, tanh

import numpy as np
import pytest

from scratchlv import use
from scratchlv.kernels.gru import numba_cpu
from scratchlv.kernels.matmul import numba_cpu as product
from scratchlv.ops import gru

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])
#: Every variant, and the reference with h reset before the product.
ways = pytest.mark.parametrize(
    ("variant", "reset"), [("reference", "before"), *((v, "after") for v in ("reference", "numba_cpu", "cuda"))]
)
T, N, D, H = 5, 4, 3, 6
OPEN, SHUT = 1e4, -1e4  # far beyond where σ is 1 and 0


@pytest.fixture(autouse=True)
def the_same_numbers_for_each_test():
    global rng
    rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def inputs(reset="after"):
    weights = {"Wx": normal(D, 3 * H), "Wh": 0.3 * normal(H, 3 * H), "b": normal((4 if reset == "after" else 3) * H)}
    return {"x": normal(T, N, D), "h0": normal(N, H)} | weights | {"reset": reset}


def with_gates(reset, r=0.0, z=0.0, n=0.0):
    """Inputs whose gates are moved by so much."""
    arguments = inputs(reset)
    arguments["b"][: 3 * H] += np.repeat(np.float32([r, z, n]), H)
    return arguments


def run(variant, dh, **arguments):
    """h, and the gradients by name."""
    module = gru.variant(variant)
    h, cache = module.forward(**arguments)
    return h, dict(zip(("x", "h0", "Wx", "Wh", "b"), module.backward(dh, cache), strict=True))


def assert_close(got, expected, tolerance=2e-6):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max(initial=0)))


@variants
def test_a_step_by_hand(variant):
    """One unit: each letter of the README's equations is a number here."""
    x, h0, wr, wz, wn, ur, uz, un, br, bz, bn, bq = (0.5, 0.25, 0.75, -1.0, 2.0, -1.5, 0.5, 1.25, 0.1, -0.2, 0.3, -0.4)
    r, z = 1 / (1 + exp(-(x * wr + h0 * ur + br))), 1 / (1 + exp(-(x * wz + h0 * uz + bz)))
    q = h0 * un + bq
    n = tanh(x * wn + bn + r * q)
    dn = (1 - z) * (1 - n**2)
    dz, dq = (h0 - n) * z * (1 - z), dn * r
    dr = dn * q * r * (1 - r)
    numbers = {"x": [[[x]]], "h0": [[h0]], "Wx": [[wr, wz, wn]], "Wh": [[ur, uz, un]], "b": [br, bz, bn, bq]}
    h, grads = run(variant, np.float32([[[1]]]), **{name: np.float32(value) for name, value in numbers.items()})
    assert_close(h.item(), (1 - z) * n + z * h0)
    assert_close(grads["x"].item(), dr * wr + dz * wz + dn * wn)
    assert_close(grads["h0"].item(), z + dr * ur + dz * uz + dq * un)
    assert_close(grads["Wx"].ravel(), [x * dr, x * dz, x * dn])
    assert_close(grads["Wh"].ravel(), [h0 * dr, h0 * dz, h0 * dq])
    assert_close(grads["b"], [dr, dz, dn, dq])


@ways
def test_with_the_update_gate_at_one_h_stays(variant, reset):
    """And so does its gradient, however many steps there were: what makes it learn over many steps."""
    dh = np.zeros((T, N, H), np.float32)
    dh[-1] = normal(N, H)
    arguments = with_gates(reset, z=OPEN)
    h, grads = run(variant, dh, **arguments)
    np.testing.assert_array_equal(h, np.broadcast_to(arguments["h0"], h.shape))
    np.testing.assert_array_equal(grads["h0"], dh[-1])


@ways
def test_with_both_gates_shut_h_is_forgotten(variant, reset):
    arguments = with_gates(reset, r=SHUT, z=SHUT)
    h, grads = run(variant, normal(T, N, H), **arguments)
    assert_close(h, np.tanh(arguments["x"] @ arguments["Wx"][:, 2 * H :] + arguments["b"][2 * H : 3 * H]))
    assert not grads["h0"].any()


@variants
def test_with_the_reset_gate_open_both_places_of_it_are_one(variant):
    after = with_gates("after", r=OPEN)
    after["b"][3 * H :] = 0
    dh = normal(T, N, H)
    h, grads = run(variant, dh, **after)
    expected_h, expected = run("reference", dh, **after | {"b": after["b"][: 3 * H], "reset": "before"})
    assert_close(h, expected_h)
    for name in ("x", "h0", "Wx", "Wh"):
        assert_close(grads[name], expected[name])


@ways
def test_it_saturates_without_overflow(variant, reset):
    for gates in ([OPEN] * 3, [SHUT] * 3):
        h, grads = run(variant, normal(T, N, H), **with_gates(reset, *gates))
        for array in (h, *grads.values()):
            assert np.isfinite(array).all()


@ways
def test_past_its_length_a_state_stands_still(variant, reset):
    arguments, lengths, dh = inputs(reset), np.array([5, 2, 0, 3]), normal(T, N, H)
    h, grads = run(variant, dh, **arguments, lengths=lengths)
    states = np.concatenate([arguments["h0"][None], h])
    for n, length in enumerate(lengths):
        assert (states[length:, n] == states[length, n]).all()
        assert (states[1 : length + 1, n] != states[:length, n]).any(axis=1).all()
        alone = {"x": arguments["x"][:length, n : n + 1], "h0": arguments["h0"][n : n + 1]}
        h_alone, _ = gru.variant(variant).forward(**arguments | alone)
        assert_close(h[:length, n], h_alone[:, 0])
    over = np.arange(T)[:, None] >= lengths
    assert not grads["x"][over].any()
    assert grads["x"][~over].any(axis=1).all()
    spoiled = arguments["x"].copy()
    spoiled[over] = 1e4
    h_again, grads_again = run(variant, dh, **arguments | {"x": spoiled}, lengths=lengths)
    np.testing.assert_array_equal(h, h_again)
    for name in grads:
        np.testing.assert_array_equal(grads[name], grads_again[name])


@ways
def test_a_stream_may_be_cut_anywhere(variant, reset):
    """The last state of one piece is the first of the next; its gradient is handed back the same way."""
    arguments, dh = inputs(reset), normal(T, N, H)
    h, grads = run(variant, dh, **arguments)
    module, x = gru.variant(variant), arguments["x"]
    first, first_cache = module.forward(**arguments | {"x": x[:2]})
    second, second_cache = module.forward(**arguments | {"x": x[2:], "h0": first[-1]})
    assert_close(np.concatenate([first, second]), h)
    dx2, dh2, *dweights2 = module.backward(dh[2:], second_cache)
    dh1 = dh[:2].copy()
    dh1[-1] += dh2
    dx1, dh0, *dweights1 = module.backward(dh1, first_cache)
    joined = {"x": np.concatenate([dx1, dx2]), "h0": dh0}
    joined |= {name: a + b for name, a, b in zip(("Wx", "Wh", "b"), dweights1, dweights2, strict=True)}
    for name in grads:
        assert_close(joined[name], grads[name])


@variants
@pytest.mark.parametrize(
    ("name", "shape", "needed"),
    [
        ("h0", (3, H), " need (4, 6)"),
        ("Wx", (D + 1, 3 * H), " need (3, 18)"),
        ("Wh", (H, H), " need (6, 18)"),
        ("b", (3 * H,), ", reset after the product, need (24,)"),
        ("lengths", (N + 1,), " need (4,)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(variant, name, shape, needed):
    wrong = np.zeros(shape, int if name == "lengths" else np.float32)
    message = f"{name} has the shape {shape}; x (5, 4, 3) and a state of 6 numbers{needed}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        gru.variant(variant).forward(**inputs() | {name: wrong})


def test_where_h_is_reset_is_one_of_two_and_the_fast_variants_say_that_they_have_one():
    with pytest.raises(ValueError, match="^reset must be one of after, before; it is 'linear'$"):
        gru.forward(**inputs() | {"reset": "linear"})
    with pytest.raises(ValueError, match=re.escape("reset before the product, need (18,)")):
        gru.forward(**inputs() | {"reset": "before"})
    before = inputs("before")
    assert "not numba_cpu: it resets after the product" in gru.explain(**before)
    for variant in ("numba_cpu", "cuda"):
        with use(variant), pytest.raises(ValueError, match="it resets after the product with Wh, not before"):
            gru.forward(**before)


@pytest.mark.parametrize("N", [1, 2, 5, 16, 37])
def test_the_bits_do_not_depend_on_the_threads(N, monkeypatch):
    """Whether they share the sequences or, of few sequences, the columns of each step."""
    T, D, H = 4, 3, 35
    weights = [normal(D, 3 * H), 0.3 * normal(H, 3 * H), normal(4 * H)]
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


@pytest.mark.parametrize("threads", [1, 7])
@pytest.mark.parametrize("over", [False, True])
def test_a_single_step_of_a_sequence_is_that_of_a_batch(threads, over, monkeypatch):
    """Bit for bit, though it has a kernel of its own; with more terms than a segment."""
    for module in (numba_cpu, product):
        monkeypatch.setattr(module, "n_threads", lambda: threads)
    monkeypatch.setattr(product, "_WORTH_THREADS", 0)
    N, D, H = 3, product.INNER_BLOCK + 7, 35
    x, h0, Wx, Wh, b = normal(1, N, D), normal(N, H), normal(D, 3 * H), normal(H, 3 * H), normal(4 * H)
    lengths = np.array([1 - over] * N)
    h, cache = numba_cpu.forward(x, h0, Wx, Wh, b, lengths)
    for kind in (np.array, product.PackedMatrix):
        for n in range(N):
            h_n, cache_n = numba_cpu.forward(x[:, n : n + 1], h0[n : n + 1], kind(Wx), kind(Wh), b, lengths[n : n + 1])
            assert h_n.tobytes() == h[:, n].tobytes()
            if not over:
                assert cache_n.gates.tobytes() == cache.gates[:, n].tobytes()
                assert cache_n.q.tobytes() == cache.q[:, n].tobytes()


def test_read_only_arrays_are_served_by_the_same_kernels():
    arguments, dy = inputs(), normal(T, N, H)
    _, grads = run("numba_cpu", dy, **arguments)
    before = {name: len(getattr(numba_cpu, name).signatures) for name in ("_forward", "_backward")}
    for array in (*arguments.values(), dy):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    _, again = run("numba_cpu", dy, **arguments)
    for name, array in grads.items():
        np.testing.assert_array_equal(again[name], array)
    assert before == {name: len(getattr(numba_cpu, name).signatures) for name in before}
