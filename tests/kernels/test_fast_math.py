"""Elementary functions over all of float32, and sums of vectors."""

import numpy as np
import pytest
from numba import njit, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks import fast_math
from scratchlv.kernels.building_blocks.simd import Emitter, address

from .floats import around, everything


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


def of_vectors(function):
    """The same of what is emitted."""

    @intrinsic
    def emitted(typing_context, x, y, size):
        def emit(context, builder, signature, arguments):
            x, y, size = arguments
            e = Emitter(builder)

            def body(i, lanes):
                e.store(function(e, e.load(e.address(x, i), lanes)), e.address(y, i), lanes)

            e.vectors(size, body)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), emit

    @njit
    def run(x, y):
        emitted(address(x), address(y), x.size)

    def apply(x):
        x = np.asarray(x, np.float32)
        y = np.empty_like(x)
        run(x, y)
        return y

    return apply


EXP, TANH, SIGMOID = over(fast_math.exp), over(fast_math.tanh), over(fast_math.sigmoid)
EXP_NONPOSITIVE, EXPM1 = over(fast_math.exp_nonpositive), over(fast_math.expm1)
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


def test_exp_nonpositive_of_vector():
    payload = np.int32([0x7FC00001, 0x7FFFFFFF, -1]).view(np.float32)  # bits of NaN that are no use as an exponent
    x = np.concatenate([everything(), around(-87.33654, -np.log(2) / 2)])
    x = np.concatenate([x[x <= 0], np.float32([0, -0.0, -np.inf, -1e4, -3e38]), payload])
    y, exact = of_vectors(fast_math.exp_nonpositive_of_vector)(x), np.exp(x.astype(np.float64))
    normal = exact >= LEAST_NORMAL * (1 + 1e-6)
    assert np.abs(y[normal] / exact[normal] - 1).max() < 1e-7
    assert (y[exact < LEAST_NORMAL * (1 - 1e-6)] == 0).all()
    assert (y[x == 0] == 1).all()
    assert np.isnan(y[np.isnan(x)]).all()


def test_expm1():
    x = np.concatenate([everything(), around(np.log(2) / 2, -np.log(2) / 2)])
    x = x[(np.abs(x) <= 87) & (np.abs(x) > LEAST_NORMAL)]
    np.testing.assert_allclose(EXPM1(x), np.expm1(x.astype(np.float64)), rtol=4e-7)
    np.testing.assert_array_equal(EXPM1([0, np.nan]), [0, np.nan])


def around_tanh():
    """All magnitudes, where the formula changes, and where its reduced argument does; and between, finely."""
    turns = (np.arange(1, 27) - 0.5) * np.log(2) / 2
    x = np.concatenate(
        [everything(), around(0.655, 9.1, 9.0109, *turns), np.linspace(0, 10, 500_001, dtype=np.float32)]
    )
    return np.concatenate([x, -x[np.isfinite(x)]])


def test_tanh():
    x = around_tanh()
    y, exact = TANH(x), np.tanh(x.astype(np.float64))
    ulp = np.spacing(np.minimum(np.abs(exact), 1 - 2.0**-25).astype(np.float32)).astype(np.float64)
    assert (np.abs(y - exact) <= 1.5 * ulp).all()
    np.testing.assert_array_equal(TANH(-x), -y)
    np.testing.assert_array_equal(np.signbit(TANH([0.0, -0.0])), [False, True])


def test_a_rough_tanh_is_as_exact_as_near_1():
    x = around_tanh()
    y = of_vectors(fast_math.rough_tanh_of_vector)(x)
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), rtol=0, atol=1.8e-7)
    np.testing.assert_array_equal(
        of_vectors(fast_math.rough_tanh_of_vector)([np.inf, -np.inf, np.nan]), [1, -1, np.nan]
    )


def test_the_slope_of_tanh_where_it_is_saturated():
    """1 - y² has what a float32 y leaves of it: the distance to 1 is right to half a unit, which 1 - y² doubles."""
    x = np.linspace(3, 9, 100_001, dtype=np.float32)
    y, exact = TANH(x).astype(np.float64), np.cosh(x.astype(np.float64)) ** -2
    assert np.abs(1 - y * y - exact).max() <= 1.1 * 2.0**-24
    steep = x < 5
    np.testing.assert_allclose((1 - y * y)[steep], exact[steep], rtol=3.5e-4)


@pytest.mark.parametrize(
    ("scalars", "vectors"),
    [(TANH, fast_math.tanh_of_vector), (SIGMOID, fast_math.sigmoid_of_vector)],
    ids=["tanh", "sigmoid"],
)
def test_a_vector_has_the_bits_of_scalars(scalars, vectors):
    x = np.concatenate([around_tanh(), np.linspace(-90, 90, 100_003, dtype=np.float32)])
    np.testing.assert_array_equal(of_vectors(vectors)(x), scalars(x))


@np.errstate(over="ignore")
def test_sigmoid():
    x = np.concatenate([everything(), around(87.33654, -88.72283, 88, -88.37626, -89)])
    y, exact = SIGMOID(x), exact_sigmoid(x.astype(np.float64))
    normal = exact >= LEAST_NORMAL * 2
    assert np.abs(y[normal] / exact[normal] - 1).max() < 2e-7
    assert (y[~normal] <= 2 * LEAST_NORMAL).all()
    assert (y >= 0).all()
    assert (y <= 1).all()


def test_a_sum_is_added_up_in_the_order_in_which_it_is_written():
    """Vectorised, it would have other bits; and LLVM might do so in the process that compiles, and not in the next."""

    @njit(fastmath=fast_math.FLAGS)
    def added(x):
        s = np.float32(0)
        for i in range(x.size):
            s += x[i]
        return s

    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    in_order = np.cumsum(x)[-1]
    assert in_order != np.float32(x.sum(dtype=np.float64))  # so that another order shows
    assert added(x) == in_order


def test_at_the_ends():
    ends = [np.inf, -np.inf, np.nan, 1e4, -1e4, 3e38, -3e38, 0]
    np.testing.assert_array_equal(EXP(ends), np.float32([np.inf, 0, np.nan, np.inf, 0, np.inf, 0, 1]))
    np.testing.assert_allclose(TANH(ends), [1, -1, np.nan, 1, -1, 1, -1, 0], atol=2e-7)
    np.testing.assert_array_equal(SIGMOID(ends), np.float32([1, 0, np.nan, 1, 0, 1, 0, 0.5]))


@pytest.mark.parametrize("n", [0, 1, 7, 31, 32, 33, 1000])
def test_dot_and_total(n):
    @njit
    def both(x, y):
        return fast_math.dot(x, y), fast_math.total(x)

    x, y = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    np.testing.assert_allclose(
        both(x, y), (x.astype(np.float64) @ y, x.sum(dtype=np.float64)), atol=1e-6 * max(1, n**0.5)
    )
