"""What the kernels are made of: elementary functions over all of float32, the matrix product, where compiled code is kept."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks import fast_math
from scratchlv.kernels.building_blocks.simd import WIDTH, Emitter
from scratchlv.kernels.matmul.numba_cpu import gemm

ROOT = Path(__file__).resolve().parents[2]


def over(function):
    @njit(fastmath=fast_math.FLAGS, error_model="numpy")
    def loop(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    def apply(x):
        x = np.asarray(x, np.float32)
        y = np.empty_like(x)
        loop(x, y)
        return y

    return apply


EXP, TANH, SIGMOID = over(fast_math.exp), over(fast_math.tanh), over(fast_math.sigmoid)
EXP_NONPOSITIVE = over(fast_math.exp_nonpositive)


def everything(least=0.0, most=np.inf):
    """Every 1009th float32 between two bounds, denormals among them, of both signs, and zero."""
    bits = np.arange(np.float32(least).view(np.int32), np.float32(most).view(np.int32), 1009, dtype=np.int32)
    positive = bits.view(np.float32)
    return np.concatenate([-positive[::-1], [np.float32(0)], positive])


def around(*numbers):
    """The thousand float32 on either side of each: where a function clamps, its mistakes are."""
    steps = np.arange(-1000, 1001, dtype=np.int32)
    return np.concatenate([(np.float32(x).view(np.int32) + steps).view(np.float32) for x in numbers])


LEAST_NORMAL = np.finfo(np.float32).tiny


def exact_sigmoid(x):
    return 1 / (1 + np.exp(-x))


@np.errstate(over="ignore")
def test_exp():
    x = np.concatenate([everything(), around(-87.33654, 88.72283, np.log(2) / 2, -np.log(2) / 2)])
    y, exact = EXP(x), np.exp(x.astype(np.float64))
    normal = (exact >= LEAST_NORMAL * (1 + 1e-6)) & (exact <= np.finfo(np.float32).max * (1 - 1e-6))
    assert np.abs(y[normal] / exact[normal] - 1).max() < 3e-7
    assert (y[exact > 1.000001 * np.finfo(np.float32).max] == np.inf).all()
    assert (y[exact < LEAST_NORMAL] <= LEAST_NORMAL).all()
    assert (y >= 0).all()


def test_exp_nonpositive():
    """The same bits as exp, but where that is denormal."""
    x = np.concatenate([everything(), around(-87.33654, -np.log(2) / 2)])
    x = np.concatenate([x[x <= 0], np.float32([0, -0.0, -np.inf, np.nan, -1e4, -3e38])])
    np.testing.assert_array_equal(EXP_NONPOSITIVE(x), EXP(x))


def test_tanh():
    x = np.concatenate([everything(), around(7.90531110763549805, -7.90531110763549805)])
    assert np.abs(TANH(x) - np.tanh(x.astype(np.float64))).max() < 3e-7
    assert np.abs(TANH(x)).max() <= 1
    small = x[np.abs(x) < 1e-3]  # 1e-42 is a few of the smallest denormals
    np.testing.assert_allclose(TANH(small), np.tanh(small.astype(np.float64)), rtol=3e-7, atol=1e-42)


@np.errstate(over="ignore")
def test_sigmoid():
    x = np.concatenate([everything(), around(87.33654, -88.72283)])
    y, exact = SIGMOID(x), exact_sigmoid(x.astype(np.float64))
    normal = exact >= LEAST_NORMAL * 2
    assert np.abs(y[normal] / exact[normal] - 1).max() < 4e-7
    assert (y[~normal] <= 2 * LEAST_NORMAL).all()
    assert (y >= 0).all()
    assert (y <= 1).all()


def test_at_the_ends():
    ends = [np.inf, -np.inf, np.nan, 1e4, -1e4, 3e38, -3e38, 0]
    np.testing.assert_array_equal(EXP(ends), np.float32([np.inf, 0, np.nan, np.inf, 0, np.inf, 0, 1]))
    np.testing.assert_allclose(TANH(ends), [1, -1, np.nan, 1, -1, 1, -1, 0], atol=2e-7)
    np.testing.assert_array_equal(SIGMOID(ends), np.float32([1, 0, np.nan, 1, 0, 1, 0, 0.5]))


@intrinsic
def transpose_and_mask(typing_context, x, y, lanes):
    """A square is turned round, and only so many lanes of it are stored."""

    def emit(context, builder, signature, arguments):
        x, y, lanes = arguments
        e = Emitter(builder)
        rows = [e.load(e.address(x, i * WIDTH)) for i in range(WIDTH)]
        for i, column in enumerate(e.transpose(rows)):
            e.store(column, e.address(y, i * WIDTH), e.lanes(lanes))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@pytest.mark.parametrize("lanes", [-3, 0, 1, WIDTH - 1, WIDTH, WIDTH + 5, 1 << 20])
def test_transpose_and_the_lanes_of_a_store(lanes):
    @njit
    def run(x, y, lanes):
        transpose_and_mask(x.ctypes.data, y.ctypes.data, lanes)

    x, y = np.arange(WIDTH * WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH), np.full((WIDTH, WIDTH), -1, np.float32)
    run(x, y, lanes)
    expected = np.where(np.arange(WIDTH) < lanes, x.T, -1)
    np.testing.assert_array_equal(y, expected)


@intrinsic
def reciprocals(typing_context, x, y, size):
    def emit(context, builder, signature, arguments):
        x, y, size = arguments
        e = Emitter(builder)
        e.vectors(size, lambda i, lanes: e.store(e.reciprocal(e.load(e.address(x, i), lanes)), e.address(y, i), lanes))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


def test_reciprocal():
    """Where it and its reciprocal are normal; NaN stays NaN."""

    @njit
    def run(x, y):
        reciprocals(x.ctypes.data, y.ctypes.data, x.size)

    x = everything(2.0**-125, 2.0**125)
    x = np.concatenate([x[x != 0], around(1.0, 2.0), np.float32([np.nan])])
    y = np.full(x.size + 1, -1, np.float32)
    run(x, y[:-1])
    assert np.abs(y[:-2] * x[:-1].astype(np.float64) - 1).max() < 3e-7
    assert np.isnan(y[-2])
    assert y[-1] == -1  # nothing is written past the end


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


NARROW = """
import sys
import llvmlite.binding as llvm
features = llvm.get_host_cpu_features()
wanted = dict(features, **{name: False for name in features if name.startswith("avx512") or "avx2" in sys.argv[2:]
                           and name in sys.argv[2:]})
llvm.get_host_cpu_features = lambda: type(features)(wanted)
from scratchlv.kernels.building_blocks.simd import WIDTH
from scratchlv.kernels.matmul.micro_kernels import ROWS
assert WIDTH == int(sys.argv[1]), WIDTH
from scratchlv.gradcheck import check_operation
for name in ("matmul", "conv2d", "lstm", "embedding", "max_pool2d", "softmax_cross_entropy"):
    for report in check_operation(name, "numba_cpu"):
        assert report.ok or report.not_checked, report
import pytest
chosen = "reciprocal or transpose_and or past_the_caches"
sys.exit(pytest.main(["-q", "-n0", "-p", "no:cacheprovider", *TESTS, "-k", chosen]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("width", "without"), [(8, []), (4, ["avx2", "fma"])])
def test_narrower_machines(width, without, tmp_path):
    """The kernels as a processor without AVX-512, or without AVX2, would have them."""
    if width > WIDTH:
        pytest.skip(f"this machine's vectors hold {WIDTH} floats")
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(ROOT))
    tests = [__file__, str(ROOT / "tests" / "test_memory.py")]
    command = [sys.executable, "-c", f"TESTS = {tests!r}\n{NARROW}", str(width), *without]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("n", [0, 1, 7, 31, 32, 33, 1000])
def test_dot_and_total(n):
    @njit
    def both(x, y):
        return fast_math.dot(x, y), fast_math.total(x)

    x, y = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    np.testing.assert_allclose(
        both(x, y), (x.astype(np.float64) @ y, x.sum(dtype=np.float64)), atol=1e-6 * max(1, n**0.5)
    )


SAME_BITS = """
import hashlib
import numpy as np
from scratchlv.kernels.building_blocks.kernel_cache import kept
from scratchlv.ops import OPERATIONS
import scratchlv.ops as ops
digest = hashlib.sha256()
for name in sorted(set(OPERATIONS) - {"adam", "sgd", "global_norm"}):
    operation, rng = getattr(ops, name), np.random.default_rng(0)
    for case in list(operation.room.cases(rng).values()):
        inputs = {k: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == np.float64 else v for k, v in case.items()}
        if operation.choose(**inputs)[0] != "numba_cpu":
            continue
        y, cache = operation.variant("numba_cpu").forward(**inputs)
        outputs = y if isinstance(y, tuple) else (y,)
        dy = tuple(rng.standard_normal(np.shape(o)).astype(np.float32) for o in outputs)
        grads = operation.backward(dy if isinstance(y, tuple) else dy[0], cache)
        for array in (*outputs, *grads):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
print(digest.hexdigest(), sum(kept().values()))
"""


@pytest.mark.slow
def test_the_bits_are_the_same_when_the_kernels_come_from_disk(tmp_path):
    """LLVM may optimise a kernel differently in the process that compiles it: that must not show."""
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(ROOT))
    outputs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", SAME_BITS], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.split())
    (cold, compiled), (warm, kept) = outputs
    assert int(compiled) == int(kept) > 20
    assert cold == warm
