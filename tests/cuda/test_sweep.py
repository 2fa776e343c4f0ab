"""The sweeps of ``sweep.cu``, with threads in three orders, against plain array code in float64."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import ORDERS, turns, without_barrier
from scratchlv.kernels.building_blocks import sweep_cuda as sweep

from .checks import WHY_NOT

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
orders = pytest.mark.parametrize("order", ORDERS)
sizes = pytest.mark.parametrize("size", [0, 1, 3, 4, 1021, 2 * 4096 + 5])
odd = pytest.mark.parametrize("odd", [False, True])  # at an address where no float4 can be read
rng = np.random.default_rng(0)


def placed(x, odd):
    """A float32 copy of x, at a multiple of 16 bytes, or 4 past one."""
    roomy = np.empty(x.size + 8, np.float32)
    start = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4 * odd)
    copy = roomy[start : start + x.size].reshape(x.shape)
    copy[...] = x
    return copy


@orders
@odd
@sizes
def test_the_sum_of_squares(size, odd, order):
    x = placed(rng.standard_normal(size) * rng.choice([1, 1e-3, 100], size), odd)
    with turns(order, seed=3):
        total = sweep.sum_squares(x)
        assert total.shape == ()
        assert total.tobytes() == sweep.sum_squares(x).tobytes()
    np.testing.assert_allclose(total, (x.astype(np.float64) ** 2).sum(), rtol=1e-6)


def test_a_sum_of_more_parts_than_threads():
    x = np.ones(300 * 4096 + 1, np.float32)
    assert sweep.sum_squares(x) == x.size


def test_the_order_of_the_threads_is_not_the_order_of_the_additions():
    x, sums = rng.standard_normal(50_000).astype(np.float32), set()
    for order in ORDERS:
        with turns(order, seed=5):
            sums.add(sweep.sum_squares(x).tobytes())
    assert len(sums) == 1


@pytest.mark.parametrize(
    ("norm", "factor"), [(0, 1), (2, 1), (5, 1), (10, 0.5), (3e38, 5 / 3e38), (np.inf, np.nan), (np.nan, np.nan)]
)
def test_the_factor_that_clips(norm, factor):
    found = sweep.clip_factor(np.array(norm, np.float32), 5)
    assert found.shape == ()
    np.testing.assert_array_equal(found, np.float32(factor))


@orders
@odd
@sizes
def test_tanh_in_place(size, odd, order):
    x = placed(3 * rng.standard_normal((size, 1)), odd)
    expected = np.tanh(x.astype(np.float64))
    with turns(order, seed=3):
        assert sweep.tanh_in_place(x) is x
    np.testing.assert_allclose(x, expected, rtol=0, atol=4e-7)


@orders
@odd
@pytest.mark.parametrize("count", [1, 2, 4, 6])
@pytest.mark.parametrize("size", [0, 1, 4, 1021])
def test_tanh_backward_adds_up_what_every_use_sends(count, size, odd, order):
    y = rng.uniform(-1, 1, (size, 1)).astype(np.float32)
    dy = [placed(rng.standard_normal((size, 1)), odd and k == count - 1) for k in range(count)]
    expected = (1 - y.astype(np.float64) ** 2) * sum(d.astype(np.float64) for d in dy)
    given = list(dy)
    with turns(order, seed=3):
        assert sweep.tanh_backward(y, dy) is dy[0]
    assert all(a is b for a, b in zip(dy, given, strict=True))  # the list is the caller's
    np.testing.assert_allclose(dy[0], expected, rtol=0, atol=3e-6)


@orders
@odd
@sizes
def test_add(size, odd, order):
    total, d = rng.standard_normal(size).astype(np.float32), placed(rng.standard_normal(size), odd)
    expected = total + d
    with turns(order, seed=3):
        assert sweep.add(total, d) is total
    np.testing.assert_array_equal(total, expected)


def test_arrays_of_two_shapes_are_not_added():
    with pytest.raises(ValueError, match=r"\(3,\) is added to one of \(4,\)"):
        sweep.add(np.zeros(4, np.float32), np.zeros(3, np.float32))


# --- rows ------------------------------------------------------------------------------------------------------------

ROWS = [(0, 5), (1, 1), (3, 31), (2, 33), (3, 1025), (2, 5000), (1, 13_001)]  # the last does not fit into shared memory
SPREAD = 200  # a wrong maximum is not seen in tame numbers: softmax forgives it


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True, initial=-np.inf)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@orders
@pytest.mark.parametrize("shape", [*ROWS, (2, 3, 7)])
def test_log_softmax(shape, order):
    x = (SPREAD * rng.standard_normal(shape)).astype(np.float32)
    with turns(order, seed=3):
        np.testing.assert_allclose(sweep.log_softmax(x), log_softmax(x), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("V", [5, 13_001])
def test_log_softmax_where_numbers_end(V):
    x = rng.standard_normal((4, V)).astype(np.float32)
    x[0, 1], x[1, 2], x[2, 3] = -np.inf, np.nan, np.inf
    with np.errstate(invalid="ignore"):
        expected = log_softmax(x)
    np.testing.assert_array_equal(np.isnan(sweep.log_softmax(x)), np.isnan(expected))
    assert sweep.log_softmax(x)[0, 1] == -np.inf


@orders
@pytest.mark.parametrize("shape", ROWS)
def test_argmax_rows(shape, order):
    for x in (rng.standard_normal(shape), rng.integers(0, 3, shape), np.full(shape, -np.inf)):
        with turns(order, seed=3):
            found = sweep.argmax_rows(x.astype(np.float32))
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, x.argmax(1))


@pytest.mark.parametrize("V", [4, 999])
def test_the_first_nan_is_the_largest(V):
    x = rng.standard_normal((3, V)).astype(np.float32)
    x[1, V // 2 :], x[2, [1, V - 1]] = np.nan, [np.inf, np.nan]
    np.testing.assert_array_equal(sweep.argmax_rows(x), x.argmax(1))


def test_a_row_without_numbers_has_no_largest():
    with pytest.raises(ValueError, match="without numbers"):
        sweep.argmax_rows(np.zeros((3, 0), np.float32))


@orders
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (2, 3, 3, 64), (5, 1, 1, 1), (0, 2, 2, 3), (2, 0, 2, 3)])
def test_pictures_get_a_mean_square_of_one(shape, order):
    source = (rng.standard_normal(shape) * rng.uniform(0.1, 100, (shape[0], 1, 1, 1))).astype(np.float32)
    target = np.full((*shape[:3], shape[3] + 2), 7, np.float32)
    with turns(order, seed=3):
        sweep.to_unit_size(source, target)
    mean_square = (source.astype(np.float64) ** 2).sum(axis=(1, 2, 3), keepdims=True) / max(1, np.prod(shape[1:]))
    np.testing.assert_allclose(target[..., : shape[3]], source / np.sqrt(mean_square), rtol=1e-5)
    assert (target[..., shape[3] :] == 7).all()  # is not ours to write


def test_a_picture_of_zeros_stays_one_and_nan_stays_in_its_picture():
    source = rng.standard_normal((3, 2, 2, 33)).astype(np.float32)
    source[0], source[1, 0, 0, 0] = 0, np.nan
    target = np.empty_like(source)
    sweep.to_unit_size(source, target)
    assert (target[0] == 0).all()
    assert np.isnan(target[1]).all()
    assert np.isfinite(target[2]).all()
    with pytest.raises(ValueError, match="do not go into"):
        sweep.to_unit_size(source, target[:2])


# --- barriers --------------------------------------------------------------------------------------------------------


def what_needs_barriers():
    """Whether each sweep over rows or sums is right."""
    generator = np.random.default_rng(1)
    x = (SPREAD * generator.standard_normal((3, 500))).astype(np.float32)
    picture = x.reshape(3, 5, 10, 10)
    target = np.empty_like(picture)
    sweep.to_unit_size(picture, target)
    unit = picture / np.sqrt((picture**2).mean((1, 2, 3), keepdims=True))
    return (
        np.allclose(sweep.sum_squares(x), (x**2).sum(), rtol=1e-5)
        and np.allclose(sweep.log_softmax(x), log_softmax(x), rtol=1e-5, atol=1e-4)
        and np.array_equal(sweep.argmax_rows(x), x.argmax(1))
        and np.allclose(target, unit, rtol=1e-4)
    )


def test_every_barrier_is_needed():
    engine = sweep.load("sweep.cu").engine(on_gpu=False)
    engine.barriers_met()
    assert what_needs_barriers()
    met = engine.barriers_met()
    assert {file for file, _ in met} == {"sweep.cu", "scratchlv.cuh"}
    for site in met:
        assert any(is_missed(site, order) for order in ORDERS), site


def is_missed(site, order):
    with turns(order, seed=7), without_barrier(*site), np.errstate(all="ignore"):
        return not what_needs_barriers()
