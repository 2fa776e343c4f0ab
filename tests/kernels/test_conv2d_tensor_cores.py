"""Convolution by tensor cores: all three products, on rounded numbers, for every setting."""

import types

import numpy as np
import pytest

from scratchlv.cuda.emulator import ORDERS, turns, why_not
from scratchlv.cuda.precision import use_precision
from scratchlv.cuda.versions import use_version
from scratchlv.kernels.conv2d import cuda
from scratchlv.ops import conv2d

from ..barriers import assert_each_is_needed
from ..rounding import rounded

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
precisions = pytest.mark.parametrize("precision", ["tf32", "bf16"])
rng = np.random.default_rng(0)
reference = conv2d.variant("reference")


def whole(*shape):
    """Whole numbers, which rounding leaves as they are, and whose sums are exact in any order."""
    return rng.integers(-4, 5, shape).astype(np.float32)


def passes(module, x, W, b, dy, **settings):
    y, cache = module.forward(x, W, b, **settings)
    return [y, *(array for array in module.backward(dy, cache) if array is not None)]


CALLS = {  # x, kh x kw x outputs, settings
    "padding": ((2, 5, 6, 8), (3, 3, 12), {"padding": 1}),
    "relu, pool": ((2, 6, 5, 8), (3, 3, 12), {"padding": 1, "relu": True, "pool": True}),
    "relu": ((1, 4, 4, 4), (3, 2, 8), {"relu": True}),
    "three channels": ((1, 7, 6, 3), (3, 3, 8), {"padding": 1}),
    "stride": ((1, 7, 8, 4), (3, 3, 8), {"stride": 2, "padding": 1}),
    "stride, dilation": ((1, 9, 10, 4), (3, 3, 8), {"stride": 2, "dilation": 3, "padding": 3}),
    "a tap that no pixel sees": ((1, 5, 5, 4), (2, 2, 4), {"stride": 3}),
    "groups": ((1, 5, 5, 8), (3, 3, 16), {"groups": 2, "padding": 1}),
    "more than a tile": ((1, 12, 12, 5), (2, 2, 68), {}),
    "steps in parts": ((1, 4, 4, 72), (3, 3, 64), {"padding": 1}),
    "parts, relu, pool": ((1, 4, 4, 72), (3, 3, 8), {"padding": 1, "relu": True, "pool": True}),
    "pixels in parts": ((1, 24, 24, 4), (1, 1, 4), {}),
    "one product": ((1, 1, 1, 1), (1, 1, 4), {}),
}


def call(name, numbers):
    x_shape, (kh, kw, M), settings = CALLS[name]
    x, W, b = numbers(*x_shape), numbers(kh, kw, x_shape[3] // settings.get("groups", 1), M), numbers(M)
    y, _ = reference.forward(x, W, b, **settings)
    return (x, W, b, numbers(*y.shape)), settings


@precisions
@pytest.mark.parametrize("name", CALLS)
def test_whole_numbers_are_exact(name, precision):
    arrays, settings = call(name, whole)
    with use_precision(precision):
        found = passes(cuda, *arrays, **settings)
    for got, exact in zip(found, passes(reference, *arrays, **settings), strict=True):
        np.testing.assert_array_equal(got, exact)


@precisions
@pytest.mark.parametrize("order", ORDERS)
def test_operands_are_rounded_and_nothing_else(precision, order):
    (x, W, b, dy), settings = call("padding", lambda *shape: rng.standard_normal(shape).astype(np.float32))
    x[0, 0, 0, :4] = 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8  # ties
    near = [rounded(array, precision).astype(np.float64) for array in (x, W, dy)]
    exact = passes(reference, near[0], near[1], b.astype(np.float64), near[2], **settings)
    exact[-1] = dy.sum((0, 1, 2), dtype=np.float64)  # no tensor core adds up db
    with use_precision(precision), turns(order, seed=3):
        for got, expected in zip(passes(cuda, x, W, b, dy, **settings), exact, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=3e-5)


@precisions
def test_nan_and_infinity_reach_what_sees_them(precision):
    (x, W, b, _), settings = call("padding", whole)
    x[0, 2, 2, 1], x[1, 4, 4, 7] = np.nan, np.inf
    with use_precision(precision), np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(cuda.forward(x, W, b, **settings)[0], reference.forward(x, W, b, **settings)[0])


@pytest.mark.slow
@precisions
def test_every_barrier_is_needed(precision):
    arrays, settings = call("padding", whole)  # 72 steps, several tiles
    exact = passes(reference, *arrays, **settings)
    engine = cuda.load("conv2d_tensor_cores.cu").engine(on_gpu=False)

    def is_right():
        with use_precision(precision):
            return all(map(np.array_equal, passes(cuda, *arrays, **settings), exact))

    assert_each_is_needed(engine, is_right, 3)


@pytest.mark.parametrize(
    ("precision", "exact", "asked", "capability", "number"),
    [
        ("float32", False, None, "90", 4),
        ("tf32", False, None, "90", cuda.TENSOR_CORES),
        ("bf16", False, None, "80", cuda.TENSOR_CORES),
        ("tf32", False, 3, "90", 3),
        ("tf32", True, None, "90", 4),
        ("tf32", False, None, "75", 4),
    ],
)
def test_who_multiplies(monkeypatch, precision, exact, asked, capability, number):
    device = types.SimpleNamespace(compute_capability=capability)
    W = types.SimpleNamespace(shape=(3, 3, 8, 8), size=576, device=device, data=types.SimpleNamespace(ptr=256))
    monkeypatch.setattr("scratchlv.cuda.precision.on_gpu", lambda array: True)
    monkeypatch.setattr(cuda, "on_gpu", lambda array: True)
    with use_precision(precision), use_version(asked):
        assert cuda._version(W, 1, exact) == number


def test_exact_sums_are_of_numbers_as_they_are():
    arrays, settings = call("padding", lambda *shape: rng.standard_normal(shape).astype(np.float32))
    plain = passes(cuda, *arrays, exact=True, **settings)
    with use_precision("bf16"):
        for got, same in zip(passes(cuda, *arrays, exact=True, **settings), plain, strict=True):
            assert got.tobytes() == same.tobytes()
