"""exp, expm1, tanh and sigmoid for float32 scalars inside Numba loops, written so that LLVM vectorises them.

NaN gives NaN; overflow gives infinity and underflow zero (no denormals).
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.simd import (
    INDICES,
    VECTOR,
    WIDTH,
    ZERO,
    Emitter,
    address,
    constant,
    dot_of_pairs,
    total_of_pairs,
)

#: Flags for ``@kernel(fastmath=FLAGS)``: multiply-adds may be fused; NaN and infinity keep their meaning. Sums may not be
#: reordered ("reassoc"): LLVM would do it one way in the process that compiles and another way in the one that finds the code
#: on disk, and a resumed run would not have the same bits. Long sums are written with :func:`dot` and :func:`total`.
FLAGS = {"contract", "nsz", "arcp"}

f32 = np.float32
_LOG2_E = f32(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = f32(0.693359375), f32(-2.12194440e-4)  # ln 2 in two parts: x - n ln 2 keeps its last bits
_EXP_LEAST, _EXP_MOST = f32(-87.33654), f32(88.72283)
# minimax polynomial of (e^r - 1 - r) / r^2 on |r| <= ln(2)/2
_E0, _E1, _E2, _E3, _E4, _E5 = (
    f32(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
_ROUNDS = f32(3 << 22)  # 3 * 2^22: added, it leaves no bits after the point
# minimax polynomial of e^r on |r| <= ln(2)/2, 1 + r + ...: relative error 3.1e-9
_EXP = tuple(f32(c) for c in (1, 1, 0.49999994, 0.166665211, 0.041668389, 0.00836874545, 0.00138145406))
_TANH_MOST = f32(7.90531110763549805)  # beyond it tanh is 1 to the last bit but one
# tanh x = x P(x^2) / Q(x^2)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = (
    f32(c)
    for c in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_Q0, _Q1, _Q2, _Q3 = (
    f32(c) for c in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)
_HALF, _ONE, _ZERO, _INFINITY = f32(0.5), f32(1), f32(0), f32(np.inf)


@intrinsic
def _power_of_two(typing_context, n):
    """2^n for a whole float32 -126 <= n <= 127: n goes straight into the exponent bits."""

    def emit(context, builder, signature, arguments):
        bits = builder.add(builder.fptosi(arguments[0], ir.IntType(32)), ir.IntType(32)(127))
        return builder.bitcast(builder.shl(bits, ir.IntType(32)(23)), ir.FloatType())

    return types.float32(types.float32), emit


@njit(inline="always")
def exp(x):
    """e^x; relative error at most 3e-7."""
    inside = _EXP_LEAST if x < _EXP_LEAST else x
    inside = _EXP_MOST if inside > _EXP_MOST else inside
    inside = inside if x == x else _ZERO
    n = np.floor(inside * _LOG2_E + _HALF)
    r = inside - n * _LN2_HIGH - n * _LN2_LOW
    y = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    y = y * r * r + r + _ONE
    half_n = np.floor(n * _HALF)  # in two factors, since 2^128 has no float32
    y = y * _power_of_two(half_n) * _power_of_two(n - half_n)
    y = _ZERO if x < _EXP_LEAST else y
    y = _INFINITY if x > _EXP_MOST else y
    return y if x == x else x


@njit(inline="always")
def exp_nonpositive(x):
    """e^x of x <= 0, as a softmax takes it: half the work of :func:`exp`, and the same error; what is above 0 is undefined."""
    inside = x if x > _EXP_LEAST else _EXP_LEAST
    n = np.floor(inside * _LOG2_E + _HALF)
    r = inside - n * _LN2_HIGH - n * _LN2_LOW
    y = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    y = (y * r * r + r + _ONE) * _power_of_two(n)
    y = _ZERO if x < _EXP_LEAST else y
    return y if x == x else x


def exp_nonpositive_of_vector(e: Emitter, x: ir.Value) -> ir.Value:
    """e^x of a vector of x <= 0, for kernels that are emitted; relative error at most 3e-7.

    x log2 e + 3 * 2^22 rounds to the whole number n nearest to x log2 e, and has n in its last bits: 2^n needs a shift.
    """
    builder = e.builder
    shifted = e.fma(x, constant(_LOG2_E), constant(_ROUNDS))
    n = builder.fsub(shifted, constant(_ROUNDS))
    r = e.fma(n, constant(-_LN2_LOW), e.fma(n, constant(-_LN2_HIGH), x))
    bits = builder.shl(builder.bitcast(shifted, INDICES), ir.Constant(INDICES, [23] * WIDTH))
    power = builder.bitcast(builder.add(bits, ir.Constant(INDICES, [127 << 23] * WIDTH)), VECTOR)
    y = builder.fmul(e.polynomial(r, _EXP), power)
    return builder.select(builder.fcmp_unordered(">=", x, constant(_EXP_LEAST)), y, ZERO)  # NaN is not less


@njit(inline="always")
def expm1(x):
    """e^x - 1 of |x| <= 87; relative error at most 4e-7, also where x is small; what is beyond is undefined."""
    inside = x if x == x else _ZERO
    n = np.floor(inside * _LOG2_E + _HALF)
    r = inside - n * _LN2_HIGH - n * _LN2_LOW
    y = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    scale = _power_of_two(n)
    y = (y * r * r + r) * scale + (scale - _ONE)  # the first is e^r - 1
    return y if x == x else x


@njit(inline="always")
def tanh(x):
    """tanh x; absolute error at most 3e-7."""
    inside = -_TANH_MOST if x < -_TANH_MOST else x
    inside = _TANH_MOST if inside > _TANH_MOST else inside
    s = inside * inside
    p = _P0 + s * (_P1 + s * (_P2 + s * (_P3 + s * (_P4 + s * (_P5 + s * _P6)))))
    q = _Q0 + s * (_Q1 + s * (_Q2 + s * _Q3))
    return inside * p / q


def tanh_of_vector(e: Emitter, x: ir.Value) -> ir.Value:
    """:func:`tanh` of a vector, for kernels that are emitted; where x is small, relative to it as exact as near 1."""
    inside = e.within(x, _TANH_MOST)
    s = e.builder.fmul(inside, inside)
    p = e.polynomial(s, (_P0, _P1, _P2, _P3, _P4, _P5, _P6))
    q = e.polynomial(s, (_Q0, _Q1, _Q2, _Q3))
    return e.builder.fdiv(e.builder.fmul(inside, p), q)


@njit(inline="always")
def sigmoid(x):
    """1 / (1 + e^-x); relative error at most 4e-7, so that what is nearly closed is as exact as what is open."""
    return _ONE / (_ONE + exp(-x))


@njit(inline="always")
def dot(x, y):
    """Σ x_i y_i of two contiguous float32 vectors, summed in the lanes of two vector registers; a float64."""
    pairs = x.size // (2 * WIDTH)
    s = dot_of_pairs(address(x), address(y), pairs)
    for i in range(pairs * 2 * WIDTH, x.size):
        s += x[i] * y[i]
    return s


@njit(inline="always")
def total(x):
    """Σ x_i of a contiguous float32 vector, summed like :func:`dot`."""
    pairs = x.size // (2 * WIDTH)
    s = total_of_pairs(address(x), pairs)
    for i in range(pairs * 2 * WIDTH, x.size):
        s += x[i]
    return s
