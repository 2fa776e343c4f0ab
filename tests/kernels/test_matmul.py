"""The matrix product: what is particular to it."""

import ctypes
import itertools
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import ORDERS, turns, why_not
from scratchlv.cuda.precision import has_tensor_cores, use_precision
from scratchlv.cuda.versions import use_version
from scratchlv.kernels.building_blocks.simd import WIDTH
from scratchlv.kernels.matmul import cublas, cuda, numba_cpu
from scratchlv.kernels.matmul.micro_kernels import STRIPS, TILE_COLUMNS, TILE_ROWS
from scratchlv.kernels.matmul.numba_cpu import INNER_BLOCK, PackedMatrix, gemm
from scratchlv.kernels.matmul.versions import VERSIONS
from scratchlv.memory import LARGE, empty
from scratchlv.ops import matmul

from ..barriers import assert_each_is_needed
from ..rounding import rounded
from ..slow import slow_unless

rng = np.random.default_rng(0)
needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", pytest.param("cuda", marks=needs_compiler)])


def whole(*shape):
    """Whole numbers, whose sums are exact in any order."""
    return rng.integers(-9, 10, shape).astype(np.float32)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


@variants
@pytest.mark.parametrize("m", [1, 3, 4, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 2 * TILE_ROWS + 1])
@pytest.mark.parametrize("n", [1, TILE_COLUMNS - 1, TILE_COLUMNS, TILE_COLUMNS + 1, 2 * TILE_COLUMNS + 1])
def test_products_of_whole_numbers_are_exact(variant, m, n):
    """On either side of the edges of a tile, and where the way of computing changes."""
    a, b, dc = whole(m, 7), whole(7, n), whole(m, n)
    module = matmul.variant(variant)
    c, cache = module.forward(a, b)
    da, db = module.backward(dc, cache)
    for got, expected in ((c, a @ b), (da, dc @ b.T), (db, a.T @ dc)):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (2, 3, 8 * numba_cpu._ITEM_COLUMNS + TILE_COLUMNS + 1),
        (1, 2 * INNER_BLOCK + 1, 5),
        (5, 2 * INNER_BLOCK + 1, 8 * numba_cpu._ITEM_COLUMNS + 5),
        (2 * numba_cpu._ITEM_ROWS + TILE_ROWS + 1, INNER_BLOCK + 1, 37),
        (3 * TILE_ROWS - 2, INNER_BLOCK + 1, 3 * TILE_COLUMNS - 1),  # items of a part of either side
        (1, 3, 20_000),
    ],
)
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_past_the_ends_of_blocks_and_with_more_threads_than_rows(m, k, n, threads, monkeypatch):
    monkeypatch.setattr(numba_cpu, "n_threads", lambda: threads)
    a, b, start = whole(m, k), whole(k, n), whole(m, n)
    exact = a @ b
    for given in (b, PackedMatrix(b)):
        np.testing.assert_array_equal(gemm(a, given), exact)
        np.testing.assert_array_equal(gemm(a, given, start.copy(), accumulate=True), start + exact)
    np.testing.assert_array_equal(gemm(a.T.copy(), b.T.copy(), transpose_a=True, transpose_b=True), exact)


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (0, 3, 4),
        (1, 5, 3),
        (1, 0, 3),
        (3, 2 * INNER_BLOCK + 1, TILE_COLUMNS + 1),
        (2 * numba_cpu._ITEM_ROWS + 1, 7, 8 * numba_cpu._ITEM_COLUMNS + 5),
        (100 * TILE_ROWS, 40, TILE_COLUMNS),
    ],
)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_columns_of_b_are_summed_on_the_way(m, k, n, threads, monkeypatch):
    """Whoever shares the rows of C, or its columns; the product is what it is without."""
    monkeypatch.setattr(numba_cpu, "n_threads", lambda: threads)
    a, b = whole(m, k), whole(k, n)
    for given, flags in ((b, {}), (PackedMatrix(b), {}), (b.T.copy(), {"transpose_b": True})):
        sums = np.full(n, np.nan, np.float32)
        np.testing.assert_array_equal(gemm(a, given, column_sums=sums, **flags), a @ b)
        np.testing.assert_array_equal(sums, b.sum(0))


def test_a_row_does_not_depend_on_the_rows_beside_it():
    """Nor on whether B was packed before: bit for bit."""
    a, b = normal(TILE_ROWS + 3, 700), normal(700, TILE_COLUMNS + 9)
    together, packed = gemm(a, b), PackedMatrix(b)
    for rows in (slice(0, 1), slice(2, 4), slice(1, TILE_ROWS + 2)):
        assert gemm(a[rows], b).tobytes() == together[rows].tobytes()
        assert gemm(a[rows], packed).tobytes() == together[rows].tobytes()


@pytest.mark.parametrize(
    ("m", "n"),
    [
        (3 * TILE_ROWS - 2, 3 * TILE_COLUMNS - 1),
        (9 * TILE_ROWS, TILE_COLUMNS + 1),
        (TILE_ROWS + 1, 9 * TILE_COLUMNS + 3),
    ],
)
def test_who_takes_which_item_changes_no_bit(m, n, monkeypatch):
    a, b, results = normal(m, INNER_BLOCK + 9), normal(INNER_BLOCK + 9, n), set()
    for threads in (1, 2, 2, 7):
        monkeypatch.setattr(numba_cpu, "n_threads", lambda threads=threads: threads)
        for given in (b, PackedMatrix(b)):
            results.add(gemm(a, given).tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n", [1, WIDTH - 1, TILE_COLUMNS, STRIPS[0] * WIDTH + 5, 3 * sum(STRIPS) * WIDTH - 1])
def test_a_row_times_a_matrix_that_begins_anywhere_in_a_cache_line(n, threads, monkeypatch):
    """Its strips begin on cache lines, the first columns apart: all are computed, and nothing beside them is written."""
    monkeypatch.setattr(numba_cpu, "n_threads", lambda: threads)
    monkeypatch.setattr(numba_cpu, "_WORTH_THREADS", 0)
    a, b, space = whole(1, 11), whole(11, n), np.empty(11 * n + WIDTH, np.float32)
    for offset in range(WIDTH):
        moved = space[offset : offset + 11 * n].reshape(11, n)
        moved[...] = b
        beside = np.full((1, n + 2), np.nan, np.float32)
        gemm(a, moved, beside[:, 1:-1])
        np.testing.assert_array_equal(beside[:, 1:-1], a @ b)
        assert np.isnan(beside[0, [0, -1]]).all()


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (5, 3, 7), (TILE_ROWS + 1, 300, TILE_COLUMNS + 1), (3, 0, 4), (0, 3, 4)]
)
def test_every_version_computes_the_same(name, m, k, n):
    a, b = whole(m, k), whole(k, n)
    np.testing.assert_array_equal(VERSIONS[name](a, b), a @ b)


@pytest.mark.parametrize("m", [1, 2, TILE_ROWS + 2])
def test_nan_stays_in_its_row_and_its_column(m):
    """Ragged tiles are computed with rows that are there only to fill them: they must not spread."""
    module, n = matmul.variant("numba_cpu"), TILE_COLUMNS + 3
    a, b = np.ones((m, 5), np.float32), np.ones((5, n), np.float32)
    a[-1, 0], b[0, -1] = np.nan, np.nan
    spoiled = np.zeros((m, n), bool)
    spoiled[-1], spoiled[:, -1] = True, True
    np.testing.assert_array_equal(np.isnan(module.forward(a, b)[0]), spoiled)


@pytest.mark.parametrize("m", [1, 2, TILE_ROWS + 2])
def test_infinities_follow_ieee(m):
    a, b = np.ones((m, 9), np.float32), np.ones((9, 5), np.float32)
    b[0, 0], b[0, 1], b[1, 1], b[0, 2], b[0, 3] = np.inf, np.inf, -np.inf, -np.inf, np.inf
    a[0, 0] = 0
    expected = np.full((m, 5), 9.0)
    expected[:, :4] = [np.inf, np.nan, -np.inf, np.inf]
    expected[0] = [np.nan, np.nan, np.nan, np.nan, 8]  # 0 times infinity
    np.testing.assert_array_equal(gemm(a, b), expected.astype(np.float32))


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 70), (14, 16, 32), (15, 300, 33), (131, 67, 97), (3, 0, 4)])
def test_gemm_in_all_its_forms(transpose_a, transpose_b, shape):
    m, k, n = shape
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    start, bias = rng.standard_normal((m, n)), rng.standard_normal(n)
    a32 = np.float32(a.T.copy() if transpose_a else a)
    b32 = np.float32(b.T.copy() if transpose_b else b)
    out = np.float32(start)
    gemm(a32, b32, out, transpose_a=transpose_a, transpose_b=transpose_b, accumulate=True, bias=np.float32(bias))
    np.testing.assert_allclose(out, start + a @ b + bias, atol=1e-6 * max(1, k))
    gemm(a32, b32, out, transpose_a=transpose_a, transpose_b=transpose_b)
    np.testing.assert_allclose(out, a @ b, atol=1e-6 * max(1, k))


def test_gemm_refuses_what_does_not_fit():
    a = np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"\(3, 4\) by \(3, 4\)"):
        gemm(a, a)
    with pytest.raises(ValueError, match="out"):
        gemm(a, a, np.zeros((4, 4), np.float32), transpose_b=True)


def test_long_sums_stay_exact():
    """A hundred thousand terms: summed one after the other in float32, the error would be a hundred times as large."""
    rng = np.random.default_rng(2)
    a, b = rng.random((5, 100_000), np.float32), rng.random((100_000, 3), np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(gemm(a, b) / exact - 1).max() < 2e-6
    assert np.abs(gemm(a.T.copy(), b, transpose_a=True) / exact - 1).max() < 2e-6


# --- what becomes of a product while it is in the cache ------------------------------------------------------------


def swept(epilogue, c, y):
    """The same as sweeps over the finished product."""
    if epilogue == "tanh":
        return ops.tanh.variant("numba_cpu").forward(c)[0]
    if epilogue == "relu":
        return ops.relu.variant("numba_cpu").forward(c)[0]
    if epilogue == "tanh_backward":
        return c * (1 - y * y)
    return np.where(y <= 0, np.float32(0), c) if epilogue == "relu_backward" else c


@pytest.mark.parametrize("epilogue", get_args(numba_cpu.Epilogue))
@pytest.mark.parametrize("m", [1, 3, 2 * TILE_ROWS + 1])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_epilogue_gives_what_a_sweep_over_the_product_would(epilogue, m, threads, monkeypatch):
    """Over many segments, where only the last is to be followed by it; from zeros, from a bias, and from what was there."""
    monkeypatch.setattr(numba_cpu, "n_threads", lambda: threads)
    k, n = 2 * INNER_BLOCK + 5, 2 * TILE_COLUMNS + 3
    a, b, bias, start = whole(m, k) / 512, whole(k, n) / 512, normal(n), normal(m, n)
    y = np.tanh(normal(m, n)) if epilogue.endswith("_backward") else None
    for given in (b, PackedMatrix(b)):
        for how in ({}, {"bias": bias}, {"accumulate": True}):
            expected = gemm(a, given, start.copy(), **how)
            got = gemm(a, given, start.copy(), epilogue=epilogue, y=y, **how)
            np.testing.assert_allclose(got, swept(epilogue, expected, y), rtol=1e-6, atol=1e-7)


def test_an_epilogue_lets_nan_through():
    a, b = np.float32([[np.nan], [1]]), np.ones((1, TILE_COLUMNS + 1), np.float32)
    for epilogue in ("tanh", "relu"):
        np.testing.assert_array_equal(np.isnan(gemm(a, b, epilogue=epilogue)).all(1), [True, False])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epilogue": "tahn"}, "no epilogue 'tahn'"),
        ({"epilogue": "tanh", "y": np.zeros((3, 3), np.float32)}, "takes no y"),
        ({"epilogue": "tanh_backward"}, r"needs y, .* \(3, 3\)"),
        ({"epilogue": "relu_backward", "y": np.zeros((3, 2), np.float32)}, r"needs y, .* \(3, 3\)"),
    ],
)
def test_an_epilogue_that_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        gemm(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), **given)


# --- arrays as they come -------------------------------------------------------------------------------------------


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def misaligned(x):
    buffer = np.empty(x.nbytes + 1, np.uint8)[1:]
    y = buffer.view(x.dtype).reshape(x.shape)
    y[...] = x
    assert not y.flags.aligned
    return y


def every_other(x):
    roomy = np.full((2 * x.shape[0], 2 * x.shape[1]), np.nan, x.dtype)
    roomy[::2, ::2] = x
    return roomy[::2, ::2]


def cut_out(x):
    roomy = np.full((x.shape[0] + 2, x.shape[1] + 5), np.nan, x.dtype)
    roomy[1:-1, 2:-3] = x
    return roomy[1:-1, 2:-3]


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other": every_other,
    "cut out": cut_out,
    "cut out and transposed": lambda x: cut_out(x.T.copy()).T,
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "rows backwards": lambda x: x[::-1].copy()[::-1],
    "read-only": read_only,
    "misaligned": misaligned,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 5, 40), (TILE_ROWS + 5, 37, 2 * TILE_COLUMNS + 1), (40, 1, 1), (1, 1, 40)]
)
def test_any_layout_in_memory(layout, m, k, n):
    a, b, bias, lay = whole(m, k), whole(k, n), whole(1, n), LAYOUTS[layout]
    for transpose_a in (False, True):
        for transpose_b in (False, True):
            a_given = lay(a.T.copy() if transpose_a else a)
            b_given = lay(b.T.copy() if transpose_b else b)
            c = gemm(a_given, b_given, transpose_a=transpose_a, transpose_b=transpose_b, bias=lay(bias)[0])
            np.testing.assert_array_equal(c, a @ b + bias)


def test_one_number_repeated_without_a_copy():
    np.testing.assert_array_equal(gemm(np.broadcast_to(np.float32([[1, 2, 3]]), (20, 3)), whole(3, 4) * 0 + 1), 6)


def test_a_layout_is_no_reason_to_compile_again():
    a, b = whole(20, 30), whole(30, 40)
    gemm(a, b)
    before = len(numba_cpu._product.signatures)
    for lay in LAYOUTS.values():
        gemm(lay(a), lay(b))
    assert len(numba_cpu._product.signatures) == before


def test_what_it_does_not_serve_it_says():
    a, b = whole(3, 4), whole(4, 2)
    for other, word in ((a.astype(">f4"), ">f4"), (a.astype(np.float64), "float64"), (a.astype(np.int64), "int64")):
        assert word in matmul.explain(other, b)
        assert "reference" in matmul.explain(other, b)
        np.testing.assert_array_equal(matmul.forward(other, b)[0], a @ b)
        with pytest.raises(ValueError, match=word):
            gemm(other, b)


def test_out_may_be_cut_out_of_something_larger():
    a, b, roomy = (
        whole(TILE_ROWS + 1, 3),
        whole(3, TILE_COLUMNS + 1),
        np.full((TILE_ROWS + 3, TILE_COLUMNS + 9), 7, np.float32),
    )
    out = roomy[1:-1, 4:-4]
    assert gemm(a, b, out) is out
    np.testing.assert_array_equal(out, a @ b)
    out[...] = 7
    assert (roomy == 7).all()


def test_out_that_cannot_be_written_is_refused():
    a = whole(4, 4)
    for out in (np.zeros((4, 4)), np.zeros((4, 4), np.float32, order="F"), read_only(a), misaligned(a)):
        with pytest.raises(ValueError, match="writeable float32"):
            gemm(a, a, out)


def test_out_that_overlaps_an_input_is_refused():
    a = whole(4, 4)
    for arguments in ((a, whole(4, 4), a), (whole(4, 4), a, a[:, :]), (whole(3, 4), a, a[1:])):
        with pytest.raises(ValueError, match="overlaps"):
            gemm(*arguments)
    shared = whole(4, 8)
    gemm(shared[:, :4], whole(4, 4), shared[:, 4:])  # side by side, but apart


def test_two_threads_at_once():
    a, b = [normal(50, 60) for _ in range(2)], [normal(60, 70) for _ in range(2)]
    exact = [gemm(x, y) for x, y in zip(a, b, strict=True)]
    with ThreadPoolExecutor(2) as pool:
        for i, c in enumerate(pool.map(lambda i: gemm(a[i % 2], b[i % 2]), range(200))):
            assert c.tobytes() == exact[i % 2].tobytes()


@variants
def test_shapes_that_do_not_fit_are_refused(variant):
    with pytest.raises(ValueError, match=r"multiply|mismatch"):
        matmul.variant(variant).forward(np.zeros((3, 4), np.float32), np.zeros((5, 2), np.float32))


# --- packed once ---------------------------------------------------------------------------------------------------


def test_only_what_the_fast_product_serves_is_packed():
    W = whole(5, 4)
    assert isinstance(ops.pack(W), PackedMatrix)
    for other in (W.astype(np.float64), W.astype(">f4")):
        assert ops.pack(other) is other
    with ops.use("reference"):
        assert ops.pack(W) is W


@pytest.mark.parametrize("name", ["linear", "rnn", "lstm", "gru"])
def test_a_packed_weight_stands_for_the_array(name):
    operation = getattr(ops, name)
    for inputs in operation.room.cases(np.random.default_rng(1)).values():
        inputs = {k: np.float32(v) if getattr(v, "dtype", None) == np.float64 else v for k, v in inputs.items()}
        packed = {k: ops.pack(v) if k.startswith("W") else v for k, v in inputs.items()}
        expected, _ = operation.forward(**inputs, train=False)
        got, cache = operation.forward(**packed, train=False)
        assert cache is None
        np.testing.assert_equal(got, expected)
        with ops.use("reference"):
            reference, _ = operation.forward(**inputs, train=False)
            np.testing.assert_equal(operation.forward(**packed, train=False)[0], reference)


# --- on a GPU ------------------------------------------------------------------------------------------------------

PRECISIONS = ("float32", "tf32", "bf16")
WAYS = [*((number, "float32") for number in cuda.VERSIONS), (cuda.TENSOR_CORES, "tf32"), (cuda.TENSOR_CORES, "bf16")]
ways = pytest.mark.parametrize(("number", "precision"), WAYS)
SHAPES = [(1, 1, 1), (3, 0, 4), (0, 3, 4), (5, 33, 131), (130, 9, 7), (36, 20, 132)]
COMBINATIONS = list(itertools.product((False, True), repeat=4))  # transpose_a, transpose_b, accumulate, a bias


def check_product(a, b, start, bias, combination, precision, tolerance, **arguments):
    """``gemm`` on operands that lie transposed, or not, against float64."""
    transpose_a, transpose_b, accumulate, with_bias = combination
    exact = rounded(a, precision).astype(np.float64) @ rounded(b, precision)
    exact += start if accumulate else 0
    exact += bias if with_bias else 0
    given = a.T.copy() if transpose_a else a, b.T.copy() if transpose_b else b
    out = start.copy() if accumulate else np.full_like(start, np.nan)
    flags = {"transpose_a": transpose_a, "transpose_b": transpose_b, "accumulate": accumulate}
    with use_precision(precision):
        assert cuda.gemm(*given, out, **flags, bias=bias if with_bias else None, **arguments) is out
    np.testing.assert_allclose(out, exact, rtol=0, atol=tolerance)


@needs_compiler
@pytest.mark.parametrize(("number", "precision"), slow_unless(lambda number, _: number == max(cuda.VERSIONS), WAYS))
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_cuda_every_version_serves_every_form_of_the_product(number, precision, m, k, n):
    """Whole numbers are exact, also in TF32 and bfloat16."""
    a, b, start, bias = whole(m, k), whole(k, n), whole(m, n), whole(n)
    with use_version(number):
        for combination in COMBINATIONS:
            check_product(a, b, start, bias, combination, precision, tolerance=0)


@needs_compiler
def test_cuda_sums_in_parts_serve_every_form_too():
    a, b, start, bias = whole(3, 1030), whole(1030, 5), whole(3, 5), whole(5)
    for combination in COMBINATIONS:
        check_product(a, b, start, bias, combination, "float32", tolerance=0)


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_cuda_tensor_cores_multiply_rounded_numbers(precision, order):
    a, b, start, bias = normal(20, 37), normal(37, 30), normal(20, 30), normal(30)
    a[0, :4] = 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8  # ties
    with turns(order, seed=7):
        for combination in ((False, False, True, True), (True, True, False, False)):
            check_product(a, b, start, bias, combination, precision, tolerance=1e-5)


@needs_compiler
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_cuda_tensor_cores_let_nan_and_infinity_through(precision):
    a, b = np.ones((3, 9), np.float32), np.ones((9, 5), np.float32)
    a[0, 0], a[1, 8], b[3, 4] = np.nan, np.inf, -np.inf
    with use_precision(precision), np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(cuda.gemm(a, b), a @ b)


@needs_compiler
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_cuda_tensor_cores_need_every_barrier(precision):
    engine = cuda.load("tensor_cores.cu").engine(on_gpu=False)
    a, b = whole(20, 50), whole(50, 30)

    def is_right():
        with use_precision(precision):
            return np.array_equal(cuda.gemm(a, b), a @ b)

    assert_each_is_needed(engine, is_right, 2)


@needs_compiler
@ways
def test_cuda_operands_at_any_address(number, precision):
    a, b, start, bias = whole(12, 20), whole(20, 8), whole(12, 8), whole(8)

    def odd(x):  # where no float4 can be read, nor a float2
        roomy = np.empty(x.size + 4, np.float32)
        offset = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4)
        return roomy[offset : offset + x.size].reshape(x.shape)

    with use_version(number), use_precision(precision):
        for which in range(4):
            given = [x.copy() for x in (a, b, start, bias)]
            given[which] = odd(given[which])
            given[which][...] = (a, b, start, bias)[which]
            out = cuda.gemm(given[0], given[1], given[2], accumulate=True, bias=given[3])
            np.testing.assert_array_equal(out, start + a @ b + bias)


@needs_compiler
def test_cuda_what_does_not_fit_is_named():
    a, b = whole(3, 4), whole(4, 5)
    for arguments, match in (
        ({"b": whole(5, 4)}, r"cannot multiply \(3, 4\) by \(5, 4\)"),
        ({"bias": whole(4)}, r"bias has shape \(4,\), a row of the product has \(5,\)"),
        ({"out": whole(5, 3)}, r"shape \(3, 5\), not \(5, 3\)"),
        ({"out": whole(5, 3).T}, "out must be contiguous"),
    ):
        with pytest.raises(ValueError, match=match):
            cuda.gemm(a, **{"b": b} | arguments)


def memory(address, dtype, count):
    kinds = {np.float32: ctypes.c_float, np.uint16: ctypes.c_uint16}
    return np.ctypeslib.as_array((kinds[dtype] * count).from_address(address))


def matrix(address, kind, rows, columns, leading):
    """A matrix whose columns lie in memory one after the other, so far apart; its numbers in float64."""
    assert leading >= max(1, rows)
    flat = memory(address, {0: np.float32, 14: np.uint16}[kind], leading * columns)
    values = flat if kind == 0 else (flat.astype(np.uint32) << 16).view(np.float32)
    return values.reshape(columns, leading)[:, :rows].T.astype(np.float64)


class FakeCublas:
    """``gemmEx`` as the documentation of cuBLAS has it, on the memory of the CPU."""

    def __init__(self):
        self.computed = []

    def gemmEx(  # noqa: N802
        self,
        handle,
        transa,
        transb,
        m,
        n,
        k,
        alpha,
        a,
        a_kind,
        lda,
        b,
        b_kind,
        ldb,
        beta,
        c,
        c_kind,
        ldc,
        compute,
        algo,
    ):
        assert (handle, c_kind, algo) == (7, 0, -1)
        self.computed.append((a_kind, b_kind, compute))
        alpha, beta = (memory(scalar, np.float32, 1)[0] for scalar in (alpha, beta))
        left = matrix(a, a_kind, k, m, lda).T if transa else matrix(a, a_kind, m, k, lda)
        right = matrix(b, b_kind, n, k, ldb).T if transb else matrix(b, b_kind, k, n, ldb)
        if compute == 77:
            left, right = rounded(left, "tf32"), rounded(right, "tf32")
        assert ldc >= max(1, m)
        out = memory(c, np.float32, ldc * n).reshape(n, ldc)[:, :m]
        out[...] = (alpha * (left @ right)).T + (beta * out if beta else 0)


@pytest.fixture
def gpu(monkeypatch):
    """As if NumPy's arrays were on a GPU, with a cuBLAS that is none."""
    fake = FakeCublas()
    device = types.SimpleNamespace(get_cublas_handle=lambda: 7)
    monkeypatch.setitem(sys.modules, "cupy.cuda", types.SimpleNamespace(device=device))
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", types.SimpleNamespace(cublas=fake))
    monkeypatch.setattr(cublas, "_address", lambda array: array.ctypes.data)
    monkeypatch.setattr(cuda, "on_gpu", lambda array: True)
    return fake


KINDS = {"float32": (0, 0, 68), "tf32": (0, 0, 77), "bf16": (14, 14, 68)}


@needs_compiler
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("m", "k", "n"), [*SHAPES, (300, 5, 300)])
def test_cuda_cublas_is_asked_for_every_form_of_the_product(gpu, precision, m, k, n):
    a, b, start, bias = normal(m, k), normal(k, n), normal(m, n), normal(n)
    for combination in COMBINATIONS if k else COMBINATIONS[:1]:
        check_product(a, b, start, bias, combination, precision if k else "float32", tolerance=1e-5)
    assert set(gpu.computed) == ({KINDS[precision]} if m and k else set())
    before = len(gpu.computed)
    with use_version(4):  # ours
        check_product(a, b, start, bias, COMBINATIONS[0], "float32", tolerance=1e-5)
    assert len(gpu.computed) == before


@needs_compiler
def test_cuda_a_weight_is_rounded_once(gpu, monkeypatch):
    W, rounds = normal(6, 5), []
    plainly = cuda._rounded
    monkeypatch.setattr(cuda, "_rounded", lambda x: rounds.append(x.shape) or plainly(x))
    assert cuda.packed(W) is W
    with use_precision("bf16"):
        packed = cuda.packed(W)
        for transpose in (False, True):
            a = normal(3, 5 if transpose else 6)
            expected = cuda.gemm(a, W, transpose_b=transpose)
            rounds.clear()
            np.testing.assert_array_equal(cuda.gemm(a, packed, transpose_b=transpose), expected)
            assert rounds.count(W.shape) == (not transpose)
    a = normal(3, 6)
    np.testing.assert_array_equal(cuda.gemm(a, packed), cuda.gemm(a, W))  # in float32 it is the weight itself
    np.testing.assert_array_equal(packed, W)
    assert cuda.limits(a, packed) is None


@needs_compiler
@pytest.mark.parametrize("number", [1, None])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["linear", "lstm", "gru", "rnn"])
def test_cuda_a_packed_weight_stands_for_the_array(name, precision, number):
    operation = getattr(ops, name)
    module, inputs = operation.variant("cuda"), next(iter(operation.room.cases(np.random.default_rng(0)).values()))
    inputs = {key: v.astype(np.float32) if isinstance(v, np.ndarray) else v for key, v in inputs.items()}
    with use_precision(precision), use_version(number):
        packed = {key: cuda.packed(v) if key.startswith("W") else v for key, v in inputs.items()}
        assert isinstance(next(v for key, v in packed.items() if key.startswith("W")), cuda.Bf16Matrix) == (
            precision == "bf16"
        )
        assert module.limits(**packed) is None
        expected, _ = module.forward(**inputs, train=False)
        got, cache = module.forward(**packed, train=False)
    assert cache is None
    np.testing.assert_equal(got, expected)


@pytest.mark.parametrize(("capability", "has"), [("75", False), ("80", True), ("90", True), ("120", True)])
def test_cuda_an_older_chip_multiplies_in_float32(monkeypatch, capability, has):
    monkeypatch.setattr("scratchlv.cuda.precision.on_gpu", lambda array: True)
    array = types.SimpleNamespace(device=types.SimpleNamespace(compute_capability=capability))
    assert has_tensor_cores(array) == has


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("n", [3, TILE_COLUMNS + 5])
def test_what_a_packed_panel_lacks_is_zeros(n, transpose):
    """Memory is used again, and what lies in it may be denormal."""
    k, panels = LARGE // (4 * TILE_COLUMNS) + 37, -(-n // TILE_COLUMNS)
    b = normal(n, k).T if transpose else normal(k, n)
    used = empty(panels * k * TILE_COLUMNS)
    used.fill(1e-40)
    del used
    filled = np.zeros((k, panels * TILE_COLUMNS), np.float32)
    filled[:, :n] = b
    np.testing.assert_array_equal(numba_cpu.pack(b).transpose(1, 0, 2).reshape(k, -1), filled)
