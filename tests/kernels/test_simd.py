"""Vector instructions, and the kernels on processors whose vectors are shorter."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.simd import WIDTH, Emitter

from .floats import around, everything

ROOT = Path(__file__).resolve().parents[2]


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
sys.exit(pytest.main(["-q", "-p", "no:xdist", "-p", "no:cacheprovider", *TESTS, "-k", chosen]))
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
