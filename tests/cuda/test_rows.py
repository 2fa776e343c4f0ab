"""Rows with room between them: kernels read four numbers at once where a row's length alone would not let them."""

import numpy as np
import pytest

from scratchlv import device, ops
from scratchlv.arrays import row_stride
from scratchlv.cuda.arrays import as_strided_rows, stride_of, whole_rows
from scratchlv.cuda.precision import PRECISIONS, use_precision
from scratchlv.cuda.versions import use_version
from scratchlv.gradcheck.trees import as_float32
from scratchlv.memory import LARGE
from scratchlv.memory import empty as on_a_cache_line
from scratchlv.vision import regions

from ..slow import slow_unless
from . import stand_in
from .checks import WHY_NOT, cases, versions

needs_compiler = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
ATTENDING = ("additive_attention", "dot_product_attention", "attention_lstm")
ROWS = [(name, number, case) for name in ATTENDING for number in versions(name) for case in cases(name)]


def apart(x):
    """The same numbers, their rows at multiples of 32 bytes, and NaN between them."""
    stride = -(-x.shape[-1] // 8) * 8
    shape = *x.shape[:-1], stride
    wide = on_a_cache_line((max(np.prod(shape), LARGE),))[: np.prod(shape)].reshape(shape)
    wide[...] = np.nan
    wide[..., : x.shape[-1]] = x
    return wide[..., : x.shape[-1]]


# --- which arrays are taken as they lie ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5, 66), (3, 5, 7), (1, 5, 66), (3, 1, 66), (1, 1, 66), (4, 514)])
def test_rows_that_lie_apart_are_taken_as_they_lie(shape):
    x = apart(np.ones(shape, np.float32))
    taken = whole_rows(as_strided_rows(x))
    assert np.shares_memory(taken, x)
    assert taken.flags.c_contiguous
    assert taken.shape == (*shape[:-1], stride_of(x))
    np.testing.assert_array_equal(taken[..., : shape[-1]], x)


@pytest.mark.parametrize(
    "x",
    [
        np.ones((4, 6, 520), np.float32)[
            ..., :64
        ],  # a few channels of many: all that lies between would be carried along
        np.ones((4, 6, 20), np.float32)[..., :18],  # not at multiples of 32 bytes
        np.ones((4, 6, 24), np.float32)[:, ::2, :18],  # not evenly
        np.ones((4, 18, 6), np.float32).swapaxes(1, 2),
    ],
)
def test_other_arrays_become_contiguous(x):
    assert as_strided_rows(x).flags.c_contiguous
    assert stride_of(as_strided_rows(x)) == x.shape[-1]
    np.testing.assert_array_equal(as_strided_rows(x), x)


def test_an_empty_array_and_a_vector_have_no_rows_to_be_moved():
    assert whole_rows(as_strided_rows(np.ones((0, 5, 8), np.float32)[..., :6])).shape == (0, 5, 6)
    assert as_strided_rows(np.ones(7, np.float32)).shape == (7,)


# --- attention -------------------------------------------------------------------------------------------------------


def run(name, inputs):
    module, rng = getattr(ops, name).variant("cuda"), np.random.default_rng(2)
    y, cache = module.forward(**inputs)
    return [*y, *module.backward(tuple(rng.standard_normal(part.shape).astype(np.float32) for part in y), cache)]


@needs_compiler
@pytest.mark.parametrize(
    ("name", "number", "case"), slow_unless(lambda name, number, _: number == max(versions(name)), ROWS)
)
def test_what_lies_between_rows_changes_no_bit(name, number, case):
    inputs = as_float32(cases(name)[case])
    with use_version(number), np.errstate(all="ignore"):
        expected = run(name, inputs)
        found = run(name, inputs | {"x": apart(inputs["x"])})
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


# --- products --------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("transposes", [(False, False), (True, False), (False, True), (True, True)])
def test_a_product_takes_rows_as_they_lie(precision, transposes, monkeypatch):
    stand_in.install(monkeypatch)
    import cupy

    from scratchlv.kernels.matmul.cuda import gemm

    rng, (m, k, n) = np.random.default_rng(0), (5, 18, 10)
    shapes = [shape[::-1] if turned else shape for shape, turned in zip([(m, k), (k, n)], transposes, strict=True)]
    a, b = (rng.integers(-8, 8, shape).astype(np.float32) for shape in shapes)  # exact in each precision
    wide = [cupy.asarray(whole_rows(apart(x)))[:, : x.shape[1]] for x in (a, b)]
    monkeypatch.setattr(cupy, "ascontiguousarray", None)  # nothing is copied
    with use_precision(precision):
        found = gemm(*wide, transpose_a=transposes[0], transpose_b=transposes[1])
    a, b = (x.T if turned else x for x, turned in zip((a, b), transposes, strict=True))
    np.testing.assert_array_equal(device.to_host(found), a @ b)


# --- regions ---------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(("channels", "waves"), [(8, 0), (6, 0), (5, 1)])
def test_regions_on_a_gpu_begin_at_multiples_of_32_bytes(channels, waves, monkeypatch):
    features = np.random.default_rng(0).random((2, 3, 4, channels), np.float32)
    expected, _ = regions.forward({}, {}, features, channels, frequencies=waves, train=False)
    assert expected.flags.c_contiguous
    stand_in.install(monkeypatch)
    import cupy

    found, _ = regions.forward({}, {}, cupy.asarray(features), channels, frequencies=waves, train=False)
    assert found.shape == expected.shape
    assert stride_of(found) == row_stride(expected.shape[2], found)
    assert found.strides[0] % 32 == found.strides[1] % 32 == 0
    np.testing.assert_allclose(device.to_host(found), expected, rtol=1e-6)
