"""Vector instructions, and the kernels on processors whose vectors are shorter."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba import njit, types
from numba.extending import intrinsic

from scratchlv import ops
from scratchlv.kernels.building_blocks import simd
from scratchlv.kernels.building_blocks.simd import WIDTH, Emitter, wants_nontemporal
from scratchlv.memory import LARGE, empty

from . import bits
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


# --- what goes past the caches -----------------------------------------------------------------------------------------


def test_past_the_caches_goes_what_is_too_large_for_them_and_lies_on_lines(monkeypatch):
    assert not wants_nontemporal(empty((1000, 64)))
    monkeypatch.setattr(simd, "LARGER_THAN_CACHES", LARGE)
    large = empty((1000, 64))
    assert wants_nontemporal(large)
    assert not wants_nontemporal(empty((4, 64)))
    assert not wants_nontemporal(empty((1000, 65)))  # the second row begins amid a line
    assert not wants_nontemporal(large.reshape(-1)[1:].reshape(-1, 3)[:, :1])


@pytest.mark.parametrize(
    ("room", "options"),
    [
        ("embedding", {}),
        ("softmax_cross_entropy", {}),
        ("softmax_cross_entropy", {"label_smoothing": 0.1}),
        ("log_softmax", {}),
        ("max_pool2d", {}),
        ("avg_pool2d", {"size": 2}),
        ("conv2d", {"pool": True, "padding": 2}),
    ],
)
def test_what_goes_past_the_caches_has_the_same_bits(room, options, monkeypatch):
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.standard_normal(shape, np.float32)  # noqa: E731
    inputs: dict[str, tuple] = {
        "embedding": (rng.integers(0, 600, (50, 9)), normal(700, 48)),  # rows that are never named, once, and often
        "softmax_cross_entropy": (normal(64, 512), rng.integers(0, 512, 64)),
        "log_softmax": (normal(64, 512),),
        "max_pool2d": (normal(2, 13, 11, 144),),
        "avg_pool2d": (normal(2, 13, 11, 144),),
        "conv2d": (normal(2, 22, 22, 16), normal(5, 5, 16, 48), normal(48)),
    }
    module, asked = getattr(ops, room).variant("numba_cpu"), []
    monkeypatch.setattr(module, "wants_nontemporal", lambda array: asked.append(wants_nontemporal(array)) or asked[-1])

    def results():
        y, cache = module.forward(*inputs[room], **options)
        dy = y if room == "softmax_cross_entropy" else np.arange(y.size, dtype=np.float32).reshape(y.shape)
        return [np.array(each) for each in (y, *module.backward(dy, cache)) if each is not None]

    before = results()
    assert not any(asked)
    monkeypatch.setattr(simd, "LARGER_THAN_CACHES", 1)
    for as_it_was, past in zip(before, results(), strict=True):
        np.testing.assert_array_equal(past, as_it_was)
    assert any(asked)


# --- narrower vectors --------------------------------------------------------------------------------------------------

CHECKED = ("matmul", "conv2d", "lstm", "embedding", "max_pool2d", "softmax_cross_entropy")
NARROW = """
import sys
from scratchlv.gradcheck import check_operation
from scratchlv.kernels.building_blocks.simd import WIDTH
from scratchlv.kernels.tanh import numba_cpu as tanh
width, *rooms = sys.argv[1:]
assert WIDTH == int(width), WIDTH
for name in rooms:
    for report in check_operation(name, "numba_cpu"):
        assert report.ok or report.not_checked, report
import numpy as np
tanh.forward(np.ones(100, np.float32))
(code,) = tanh._forward.inspect_asm().values()
wide = {"8": ["zmm", "ymm16"], "4": ["zmm", "ymm"]}[width]
assert {"8": "ymm", "4": "xmm"}[width] in code and not [name for name in wide if name in code]
import pytest
chosen = "reciprocal or transpose_and or past_the_caches"
sys.exit(pytest.main(["-q", "-p", "no:xdist", "-p", "no:cacheprovider", TESTS, "-k", chosen]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 4])
def test_narrower_machines(width, tmp_path):
    """The kernels as a processor without AVX-512, or without AVX, would have them."""
    if width > WIDTH:
        pytest.skip(f"this machine's vectors hold {WIDTH} floats")
    told = {"SCRATCHLV_VECTORS": str(width), "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", f"TESTS = {__file__!r}\n{NARROW}", str(width), *CHECKED]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["scratchlv.kernels.tanh.numba_cpu", "scratchlv.kernels.building_blocks.threads"])
def test_vectors_are_held_whatever_is_imported_first(module):
    """Numba settles what it compiles for when the first function is decorated."""
    said = f"import {module}; from scratchlv.kernels.building_blocks.processor import WIDTH; print(WIDTH)"
    environment = os.environ | {"SCRATCHLV_VECTORS": "4", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", said], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("4\n", "")


ISA = {8: ("haswell", "+avx2,+fma,+avx,+sse4.2,+bmi,+bmi2,+lzcnt,+popcnt,+f16c"), 4: ("nehalem", "+sse4.2,+popcnt")}


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 4])
def test_the_bits_are_those_of_every_processor_with_vectors_of_that_width(width, tmp_path):
    if width > WIDTH or "avx512f" not in llvm.get_host_cpu_features():
        pytest.skip(f"there is no x86 processor with vectors of {width} floats that this one could play")
    rooms = "tanh", "linear", "batch_norm2d"
    name, features = ISA[width]
    held_to_it = bits.in_another_process(rooms, tmp_path, SCRATCHLV_VECTORS=str(width))
    such_a_one = bits.in_another_process(rooms, tmp_path, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    assert held_to_it == such_a_one
    assert held_to_it["vectors"] == f"{width}x16"
