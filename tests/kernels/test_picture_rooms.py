"""Arrays of every kind, given to the rooms that work on pictures: the right result, or one clear error."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.kernels.conv2d import direct, winograd
from scratchlv.kernels.max_pool2d import numba_cpu as max_pool2d
from scratchlv.memory import as_contiguous

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


# operation, arrays, settings: by small channels, one past a vector, and (conv2d) in both ways of computing
CALLS = {
    "conv2d": ((normal(2, 6, 5, 17), normal(3, 3, 17, 18), normal(18)), {"padding": 1, "relu": True, "pool": True}),
    "conv2d, exact": ((normal(2, 6, 5, 9), normal(3, 3, 9, 5), normal(5)), {"padding": 1, "exact": True}),
    "conv2d, few channels": ((normal(2, 6, 5, 3), normal(3, 3, 3, 5), normal(5)), {"padding": 1, "pool": True}),
    "depthwise_conv2d": ((normal(2, 6, 5, 17), normal(3, 3, 17), normal(17)), {"padding": 1}),
    "max_pool2d": ((normal(2, 5, 6, 17),), {}),
    "avg_pool2d": ((normal(2, 6, 5, 17),), {"size": 2}),
    "batch_norm2d": ((normal(2, 6, 5, 17), normal(17), normal(17)), {"relu": True, "pool": True}),
    "relu": ((normal(2, 6, 5, 17),), {}),
}
every_call = pytest.mark.parametrize("call", CALLS)


def run(call, arrays, settings, change_dy=lambda dy: dy):
    """Output and gradients of the variant that serves the call."""
    operation = getattr(ops, call.partition(",")[0])
    y, cache = operation.forward(*arrays, **settings)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    return [y, *operation.backward(change_dy(dy), cache)]


def fortran(array):
    return np.asfortranarray(array)


def strided(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def misaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


@every_call
@pytest.mark.parametrize("layout", [fortran, strided, read_only, misaligned])
def test_any_layout(call, layout):
    arrays, settings = CALLS[call]
    expected = run(call, arrays, settings)
    for got, same in zip(run(call, [layout(a) for a in arrays], settings, layout), expected, strict=True):
        np.testing.assert_array_equal(got, same)


@every_call
def test_bytes_in_the_other_order_and_mixed_dtypes_are_served_by_the_reference(call):
    arrays, settings = CALLS[call]
    expected = run(call, [a.astype(np.float64) for a in arrays], settings)
    for kind in (">f4", ">f8"):
        mixed = [arrays[0].astype(kind), *arrays[1:]]
        assert getattr(ops, call.partition(",")[0]).choose(*mixed, **settings)[0] == "reference"
        for got, same in zip(run(call, mixed, settings), expected, strict=True):
            np.testing.assert_allclose(got, same, rtol=1e-4, atol=1e-4)


@every_call
def test_read_only_arrays_do_not_compile_a_kernel_again(call):
    arrays, settings = CALLS[call]
    run(call, arrays, settings)
    kernels = [direct._convolve, direct._sum_bands, winograd._convolve, winograd._transform_pairs, max_pool2d._pool]
    before = [len(kernel.signatures) for kernel in kernels]
    run(call, [read_only(a) for a in arrays], settings, read_only)
    assert [len(kernel.signatures) for kernel in kernels] == before


@pytest.mark.parametrize("call", sorted(CALLS.keys() - {"batch_norm2d"}))  # a variance needs two numbers
def test_no_pictures(call):
    (x, *others), settings = CALLS[call]
    y, dx, *rest = run(call, [x[:0], *others], settings)
    assert y.shape[0] == dx.shape[0] == 0
    assert not any(gradient.any() for gradient in rest)


@every_call
def test_of_a_picture_of_two_rows_one_thread_and_two_make_the_same_bits(call, threads):
    (x, *others), settings = CALLS[call]
    arrays = [x[:1, :2, :2].copy(), *others]
    threads(2)
    expected = run(call, arrays, settings)
    threads(1)
    for got, same in zip(run(call, arrays, settings), expected, strict=True):
        np.testing.assert_array_equal(got, same)


@every_call
def test_a_gradient_of_another_shape_is_refused(call):
    arrays, settings = CALLS[call]
    with pytest.raises(ValueError, match="dy has the shape"):
        run(call, arrays, settings, lambda dy: dy[:, 1:])


@pytest.mark.parametrize(
    ("call", "wrong"),
    [("conv2d", (2, normal(17))), ("depthwise_conv2d", (2, normal(16))), ("batch_norm2d", (1, normal(16)))],
)
def test_a_bias_of_another_shape_is_refused(call, wrong):
    arrays, settings = CALLS[call]
    arrays = list(arrays)
    arrays[wrong[0]] = wrong[1]
    with pytest.raises(ValueError, match="has the shape"):
        run(call, arrays, settings)


def test_plain_arrays_share_their_memory():
    array = normal(3, 4)
    assert as_contiguous(array) is array
    view = as_contiguous(read_only(array))
    assert view.flags.writeable
    np.testing.assert_array_equal(view, array)
    frozen = read_only(array)
    assert np.shares_memory(as_contiguous(frozen), frozen)
    assert as_contiguous(read_only(normal(0, 3))).shape == (0, 3)
