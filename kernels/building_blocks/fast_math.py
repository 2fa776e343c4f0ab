"""exp, expm1, tanh and sigmoid for float32 scalars inside Numba loops, written so that LLVM vectorises them.

NaN gives NaN; overflow gives infinity and underflow zero (no denormals).
"""

import functools

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.simd import (
    I32,
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
_TWO_LOG2_E = 2.885390081777927
_HALF_LN2, _HALF_LN2_HIGH, _HALF_LN2_LOW = 0.34657359027997264, 0.3466796875, -1.0609722e-4  # in one part, and in two
_BIASED_ROUNDS = (3 << 22) + 127  # as _ROUNDS, and what the last bits then have is the exponent field of 2^n
# minimax polynomials of (z coth z - 1) / z^2 in z^2: on |z| <= 0.66, and on |z| <= ln(2)/4
_COTH = (0.333330929, -0.0221854951, 0.00195753644)
_COTH_NEAR = (0.33333236, -0.022127902)
_TANH_SMALL, _TANH_MOST = 0.655, 9.1  # from where it is 1 less what is lacking; beyond which nothing is
_SIGMOID_MOST = 89.0  # beyond it sigmoid is 0 or 1
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


class _Numbers:
    """Emits arithmetic of one type, a float or a vector of them: so that both have the same bits."""

    def __init__(self, builder: ir.IRBuilder, of_type: ir.Type) -> None:
        self.builder, self.type = builder, of_type
        self.lanes = of_type.count if isinstance(of_type, ir.VectorType) else 0

    def number(self, c: float) -> ir.Constant:
        return ir.Constant(self.type, [c] * self.lanes if self.lanes else c)

    def call(self, name: str, *arguments: ir.Value) -> ir.Value:
        """LLVM's intrinsic of that name."""
        name = f"llvm.{name}.v{self.lanes}f32" if self.lanes else f"llvm.{name}.f32"
        of_type = ir.FunctionType(self.type, [self.type] * len(arguments))
        module = self.builder.module
        return self.builder.call(module.globals.get(name) or ir.Function(module, of_type, name), arguments)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a b + c, rounded once where the processor can."""
        return self.call("fmuladd", a, b, c)

    def at_most(self, x: ir.Value, most: float) -> ir.Value:
        return self._unless(">", x, most)

    def at_least(self, x: ir.Value, least: float) -> ir.Value:
        return self._unless("<", x, least)

    def _unless(self, beyond: str, x: ir.Value, limit: float) -> ir.Value:
        outside = self.builder.fcmp_ordered(beyond, x, self.number(limit))
        return self.builder.select(outside, self.number(limit), x)  # NaN stays

    def power_of_two(self, shifted: ir.Value) -> ir.Value:
        """2^n of n + _BIASED_ROUNDS, -127 <= n <= 128: 0 and infinity at the ends."""
        whole = ir.VectorType(I32, self.lanes) if self.lanes else I32
        places = ir.Constant(whole, [23] * self.lanes if self.lanes else 23)
        return self.builder.bitcast(self.builder.shl(self.builder.bitcast(shifted, whole), places), self.type)

    def horner(self, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
        """``c[0] + c[1] x + c[2] x² + …``."""
        *others, last = map(self.number, coefficients)
        return functools.reduce(lambda value, c: self.fma(value, x, c), reversed(others), last)


def _emit_tanh(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """tanh x: with |x| = z + n ln(2)/2 and g = z coth z, a polynomial in z², e^2z is (g + z) / (g - z), and so

    tanh |x| = 1 - 2 / (1 + 2^n e^2z) = 1 - 2 (g - z) / m        m = 2^n (g + z) + (g - z)
    tanh |x| = z / g = z - 2 z (g - 1) / m                       where |x| is small: n = 0, z = |x| and m = 2 g

    What is taken off is at most 0.42 of 1, and 0.13 of z: so much less do its roundings count.
    """
    e, fmul = _Numbers(builder, x.type), builder.fmul
    size = e.at_most(e.call("fabs", x), _TANH_MOST)
    small = builder.fcmp_ordered("<", size, e.number(_TANH_SMALL))
    rounds = e.number(_BIASED_ROUNDS)
    shifted = builder.select(small, rounds, e.fma(size, e.number(_TWO_LOG2_E), rounds))
    z = e.fma(builder.fsub(shifted, rounds), e.number(-_HALF_LN2), size)
    s = fmul(z, z)
    p = e.horner(s, _COTH)
    g, g_less_1 = e.fma(p, s, e.number(1)), fmul(p, s)
    rest = builder.fsub(g, z)
    m = e.fma(e.power_of_two(shifted), builder.fadd(g, z), rest)
    taken_off = builder.fdiv(builder.select(small, fmul(z, g_less_1), rest), m)
    y = e.fma(e.number(-2), taken_off, builder.select(small, z, e.number(1)))
    return e.call("copysign", y, x)


def _emit_sigmoid(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """1 / (1 + e^-x) in the same way: -x / 2 = z + n ln(2)/2 makes it (g - z) / (2^n (g + z) + (g - z))."""
    e = _Numbers(builder, x.type)
    x = e.at_least(e.at_most(x, _SIGMOID_MOST - 1), -_SIGMOID_MOST)
    rounds = e.number(_BIASED_ROUNDS)
    shifted = e.fma(x, e.number(-_TWO_LOG2_E / 2), rounds)
    n = builder.fsub(shifted, rounds)
    z = e.fma(x, e.number(-0.5), builder.fmul(n, e.number(-_HALF_LN2_HIGH)))
    z = e.fma(n, e.number(-_HALF_LN2_LOW), z)
    return _one_of_one_and_exponential(e, shifted, z)


def _one_of_one_and_exponential(e: _Numbers, shifted: ir.Value, z: ir.Value) -> ir.Value:
    """1 / (1 + 2^n e^2z), |z| <= ln(2)/4."""
    s = e.builder.fmul(z, z)
    g = e.fma(e.horner(s, _COTH_NEAR), s, e.number(1))
    rest = e.builder.fsub(g, z)
    return e.builder.fdiv(rest, e.fma(e.power_of_two(shifted), e.builder.fadd(g, z), rest))


@intrinsic
def tanh(typing_context, x):
    """tanh x; error at most 1.5 units in the last place, so that 1 - y² is as good as a float32 y can make it."""

    def emit(context, builder, signature, arguments):
        return _emit_tanh(builder, arguments[0])

    return types.float32(types.float32), emit


@intrinsic
def sigmoid(typing_context, x):
    """1 / (1 + e^-x); relative error at most 2e-7, so that what is nearly closed is as exact as what is open."""

    def emit(context, builder, signature, arguments):
        return _emit_sigmoid(builder, arguments[0])

    return types.float32(types.float32), emit


def tanh_of_vector(e: Emitter, x: ir.Value) -> ir.Value:
    """:func:`tanh` of a vector, for kernels that are emitted: the same bits."""
    return _emit_tanh(e.builder, x)


def rough_tanh_of_vector(e: Emitter, x: ir.Value) -> ir.Value:
    """tanh x by fewer instructions; absolute error at most 1.8e-7: where x is small, no more is known than that."""
    vectors = _Numbers(e.builder, x.type)
    x = vectors.at_least(vectors.at_most(x, _TANH_MOST), -_TANH_MOST)
    rounds = vectors.number(_BIASED_ROUNDS)
    shifted = vectors.fma(x, vectors.number(_TWO_LOG2_E), rounds)
    z = vectors.fma(e.builder.fsub(shifted, rounds), vectors.number(-_HALF_LN2), x)
    return vectors.fma(vectors.number(-2), _one_of_one_and_exponential(vectors, shifted, z), vectors.number(1))


def sigmoid_of_vector(e: Emitter, x: ir.Value) -> ir.Value:
    """:func:`sigmoid` of a vector, for kernels that are emitted: the same bits."""
    return _emit_sigmoid(e.builder, x)


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
