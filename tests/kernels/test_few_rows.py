"""Products of few rows by packed weights, in float32 and in fewer bits."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.kernels.building_blocks.simd import WIDTH
from scratchlv.kernels.matmul import narrow, numba_cpu
from scratchlv.kernels.matmul.few_rows import MOST_ROWS, ROWS
from scratchlv.kernels.matmul.micro_kernels import COLUMNS
from scratchlv.kernels.matmul.narrow import NarrowMatrix, to_bfloat16, to_int8
from scratchlv.kernels.matmul.numba_cpu import INNER_BLOCK, PackedMatrix, gemm
from scratchlv.ops import gru, linear, lstm, rnn

rng = np.random.default_rng(0)
kinds = pytest.mark.parametrize("kind", narrow.KINDS)
SHAPES = [(1, 1), (7, COLUMNS - 1), (0, 5), (3, 0), (2 * INNER_BLOCK + 1, 2 * COLUMNS + WIDTH), (5, 9 * COLUMNS + 3)]


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def matrix(W, kind):
    return PackedMatrix(W) if kind == "float32" else NarrowMatrix(W, kind)


@kinds
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_numbers_are_those_of_the_widened_matrix(kind, shape, threads, monkeypatch):
    """Bit for bit those of the large product, however many rows there are beside, and nothing else is written."""
    monkeypatch.setattr(numba_cpu, "n_threads", lambda: threads)
    monkeypatch.setattr(numba_cpu, "_WORTH_THREADS", 0)
    (k, n), most = shape, MOST_ROWS + 1
    b = matrix(normal(k, n), kind)
    a, bias, start = normal(most, k), normal(n), normal(most, n)
    expected = gemm(a, b.array, bias=bias)
    added = gemm(a, b.array, start.copy(), accumulate=True)
    for m in (1, 2, 3, ROWS, ROWS + 1, MOST_ROWS, most):
        roomy = np.full((m, n + 2), np.nan, np.float32)
        gemm(a[:m], b, roomy[:, 1:-1], bias=bias)
        assert roomy[:, 1:-1].tobytes() == expected[:m].tobytes()
        assert np.isnan(roomy[:, [0, -1]]).all()
        rows = np.asfortranarray(a[-m:])
        assert gemm(rows, b, start[-m:].copy(), accumulate=True).tobytes() == added[-m:].tobytes()


@kinds
@pytest.mark.parametrize("N", [1, 5, MOST_ROWS + 1])
def test_a_step_of_a_recurrence(kind, N):
    D, H = 5, COLUMNS + 3
    for layer, gates, states, biases in ((lstm, 4, 2, 4), (gru, 3, 1, 4), (rnn, 1, 1, 1)):
        x, state = normal(1, N, D), [normal(N, H) for _ in range(states)]
        Wx, Wh, b = matrix(normal(D, gates * H), kind), matrix(normal(H, gates * H), "float32"), normal(biases * H)
        got, _ = layer.forward(x, *state, Wx, Wh, b, train=False)
        expected, _ = layer.forward(x, *state, Wx.array, Wh.array, b, train=False)
        np.testing.assert_equal(got, expected)


def test_several_steps_with_narrow_weights():
    x, h, c, b = normal(4, 2, 5), normal(2, 3), normal(2, 3), normal(12)
    Wx, Wh = (NarrowMatrix(normal(k, 12), "int8") for k in (5, 3))
    got, _ = lstm.forward(x, h, c, Wx, Wh, b, train=False)
    np.testing.assert_equal(got, lstm.forward(x, h, c, Wx.array, Wh.array, b, train=False)[0])


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_bfloat16_is_the_nearest_and_of_two_the_even_one():
    exact = np.float32([0, -0.0, 1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, 1e-40, 2**-140])
    expected = np.float32([0, -0.0, 1, 1, 1 + 2**-6, 1 + 2**-7, -1, 1e-40, 2**-140])
    wide = (to_bfloat16(exact) << 16).view(np.float32)
    assert wide[:7].tobytes() == expected[:7].tobytes()
    np.testing.assert_allclose(wide[7:], expected[7:], atol=2.0**-134)  # half of the least number above 0
    W = normal(300, 70)
    assert (np.abs(NarrowMatrix(W, "bfloat16").array - W) <= np.abs(W) * 2.0**-8).all()


def test_int8_is_within_half_a_step_of_its_column():
    W = normal(300, 70) * 10.0 ** rng.uniform(-30, 30, 70).astype(np.float32)
    W[:, 3] = 0
    W[:, 4] = 1e-45  # its scale underflows
    numbers, scales = to_int8(W)
    assert numbers.min() >= -127
    assert (np.abs(numbers).max(axis=0)[5:] == 127).all()
    wide = NarrowMatrix(W, "int8").array
    assert (np.abs(wide - W) <= scales * 0.5001 + 2e-45).all()
    assert not wide[:, 3:5].any()
    assert np.isfinite(gemm(normal(1, 300), NarrowMatrix(W[:, :5], "int8"))).all()


@pytest.mark.parametrize("kind", narrow.KINDS[1:])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(kind, number):
    W = normal(4, 40)
    W[2, 37] = number
    with pytest.raises(ValueError, match=rf"{kind} holds finite numbers"):
        ops.pack(W, kind)


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(ValueError, match="3.39e38"):
        ops.pack(np.full((1, 1), np.finfo(np.float32).max), "bfloat16")
    with pytest.raises(ValueError, match="int4"):
        ops.pack(normal(2, 2), "int4")
    with pytest.raises(ValueError, match="only matrices"):
        ops.pack(normal(3, 3, 2, 2), "int8")
    assert narrow.KINDS == ops.KINDS


@pytest.mark.parametrize("kind", narrow.KINDS[1:])
def test_narrow_weights_are_not_trained(kind):
    W = ops.pack(normal(4, 3), kind)
    with pytest.raises(ValueError, match="trained is in float32"):
        linear.forward(normal(2, 4), W, train=True)


@pytest.mark.parametrize(("kind", "share"), [("bfloat16", 0.5), ("int8", 0.25)])
def test_they_take_less_memory(kind, share):
    W = normal(64, 8 * COLUMNS)
    assert NarrowMatrix(W, kind).nbytes <= share * W.nbytes + 4 * W.shape[1]


@pytest.mark.parametrize("kind", narrow.KINDS[1:])
def test_the_reference_has_the_same_numbers(kind):
    W = normal(5, 4)
    with ops.use("reference"):
        np.testing.assert_array_equal(ops.pack(W, kind), NarrowMatrix(W, kind).array)
    assert ops.pack(W.astype(np.float64), kind).dtype == np.float64
