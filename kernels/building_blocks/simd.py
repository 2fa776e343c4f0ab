"""Vector instructions for Numba kernels, emitted as LLVM; addresses are int64, in bytes.

The words that a kernel is spelled in are :meth:`Emitter.load`, :meth:`~Emitter.store`, :meth:`~Emitter.broadcast`,
:meth:`~Emitter.fma` and :meth:`~Emitter.transpose`; :meth:`~Emitter.lanes` makes the mask of a load or store of less than
a vector. One vector holds :data:`WIDTH` floats. What is too large for the caches is prefetched before it is read
(:meth:`~Emitter.prefetch`) and written around them (:meth:`~Emitter.store_nontemporal`).
"""

import functools
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks import parameters
from scratchlv.kernels.building_blocks.processor import REGISTERS as REGISTERS  # handed on
from scratchlv.kernels.building_blocks.processor import WIDTH
from scratchlv.memory import CACHE_LINE

I1, I32, I64, F32 = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR = ir.VectorType(F32, WIDTH)
INDICES = ir.VectorType(I32, WIDTH)
UNDEFINED_INDICES = ir.Constant(INDICES, ir.Undefined)
MASK = ir.VectorType(I1, WIDTH)


def constant(number: Any) -> ir.Constant:
    """The vector of one number, known when the code is made."""
    return ir.Constant(VECTOR, [float(number)] * WIDTH)


ZERO, ONES = constant(0), constant(1)
LARGER_THAN_CACHES = parameters.value("memory.larger_than_caches")  # bytes


def wants_nontemporal(array: np.ndarray) -> bool:
    """Whether a kernel that writes all of ``array`` had better use non-temporal stores: no cache would hold it until it is read.

    Its rows then begin where vectors of any width may.
    """
    row = array.shape[-1] * array.itemsize
    return array.nbytes >= LARGER_THAN_CACHES and row % CACHE_LINE == 0 and array.ctypes.data % CACHE_LINE == 0


class Emitter:
    """Emits vector code at the place where ``builder`` stands."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def address(self, base, elements):
        """The address ``elements`` (an int or a value) of 4 bytes past ``base``."""
        if isinstance(elements, int):
            return base if elements == 0 else self.builder.add(base, I64(4 * elements))
        return self.builder.add(base, self.builder.shl(elements, I64(2)))

    def load(self, address, lanes=None):
        """WIDTH floats at an address that need not be aligned; of the others than ``lanes`` zeros, and nothing is read."""
        pointer = self.builder.inttoptr(address, VECTOR.as_pointer())
        if lanes is not None:
            load = self._function("llvm.masked.load", VECTOR, [pointer.type, I32, MASK, VECTOR], ".p0")
            return self.builder.call(load, [pointer, I32(4), lanes, ZERO])
        value = self.builder.load(pointer)
        value.align = 4
        return value

    def store(self, value, address, lanes=None):
        """Store a vector, or only ``lanes`` of it."""
        pointer = self.builder.inttoptr(address, VECTOR.as_pointer())
        if lanes is not None:
            store = self._function("llvm.masked.store", ir.VoidType(), [VECTOR, pointer.type, I32, MASK], ".p0")
            self.builder.call(store, [value, pointer, I32(4), lanes])
        else:
            self.builder.store(value, pointer).align = 4

    def store_nontemporal(self, value, address, wanted, lanes=None):
        """Store a vector; a whole one by a non-temporal store if ``wanted`` (an i1), at a multiple of its size.

        A processor reads a cache line before it writes to it, unless it is told that the line will not stay in the cache.
        :func:`fence` follows.
        """
        if lanes is not None:
            self.store(value, address, lanes)
            return
        with self.builder.if_else(wanted) as (around, into):
            with around:
                store = self.builder.store(value, self.builder.inttoptr(address, VECTOR.as_pointer()))
                store.align = 4 * WIDTH
                store.set_metadata("nontemporal", self.builder.module.add_metadata([I32(1)]))
            with into:
                self.store(value, address)

    def lanes(self, count):
        """The mask of the first ``count`` lanes (an int64, of any size)."""
        numbers = ir.Constant(INDICES, list(range(WIDTH)))
        first = self.builder.insert_element(UNDEFINED_INDICES, self.builder.trunc(count, I32), I32(0))
        counts = self.builder.shuffle_vector(first, UNDEFINED_INDICES, ir.Constant(INDICES, [0] * WIDTH))
        return self.builder.icmp_signed("<", numbers, counts)

    def prefetch(self, address, *, to_write=True):
        """Prefetch the cache line at an address, which is soon to be written, or only read."""
        pointer = self.builder.inttoptr(address, ir.IntType(8).as_pointer())
        signature = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
        self.builder.call(self._named("llvm.prefetch.p0", signature), [pointer, I32(int(to_write)), I32(3), I32(1)])

    def load_word(self, address):
        """One int64 at an address."""
        return self.builder.load(self.builder.inttoptr(address, I64.as_pointer()))

    def broadcast(self, address):
        """One float, in every lane."""
        return self.splat(self.builder.load(self.builder.inttoptr(address, F32.as_pointer())))

    def splat(self, scalar):
        """A vector of one float32."""
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, I32(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, WIDTH), [0] * WIDTH))

    def fma(self, a, b, c):
        """a b + c, rounded once."""
        return self.builder.call(self._function("llvm.fma", VECTOR, [VECTOR] * 3), [a, b, c])

    def within(self, x, most):
        """``x``, at least -most and at most ``most`` (a number); NaN stays NaN."""
        for side, limit in ((">", most), ("<", -most)):
            limits = constant(limit)
            x = self.builder.select(self.builder.fcmp_ordered(side, x, limits), limits, x)
        return x

    def polynomial(self, x, coefficients):
        """``c[0] + c[1] x + c[2] x² + …`` by Horner's rule."""
        *others, value = (constant(c) for c in coefficients)
        for c in reversed(others):
            value = self.fma(value, x, c)
        return value

    def reciprocal(self, x):
        """1 / x where x and 1 / x are finite and normal: relative error at most 3e-7.

        A division takes longer than an estimate (the instruction of x86) and a step of Newton's; elsewhere it is one.
        """
        estimate = self._estimate_of_reciprocal(x)
        if estimate is None:
            return self.builder.fdiv(ONES, x)
        error = self.fma(self.builder.fneg(x), estimate, ONES)
        return self.fma(error, estimate, estimate)

    def _estimate_of_reciprocal(self, x):
        """1 / x to 11 bits or more; None where there is no instruction for it."""
        if "x86_64" not in llvm.get_process_triple():
            return None
        if WIDTH == 16:
            signature = ir.FunctionType(VECTOR, [VECTOR, VECTOR, ir.IntType(16)])
            return self.builder.call(
                self._named("llvm.x86.avx512.rcp14.ps.512", signature), [x, ZERO, ir.IntType(16)(-1)]
            )
        name = "llvm.x86.avx.rcp.ps.256" if WIDTH == 8 else "llvm.x86.sse.rcp.ps"
        return self.builder.call(self._named(name, ir.FunctionType(VECTOR, [VECTOR])), [x])

    def transpose(self, rows):
        """WIDTH vectors, as the rows of a square: its columns. Blocks are exchanged, of half its side, of a quarter …"""
        side = WIDTH // 2
        while side:
            upper = ir.Constant(INDICES, [j if not j & side else WIDTH + j - side for j in range(WIDTH)])
            lower = ir.Constant(INDICES, [j + side if not j & side else WIDTH + j for j in range(WIDTH)])
            rows = [
                self.builder.shuffle_vector(rows[i], rows[i + side], upper)
                if not i & side
                else self.builder.shuffle_vector(rows[i - side], rows[i], lower)
                for i in range(WIDTH)
            ]
            side //= 2
        return rows

    def _function(self, name, result, arguments, suffix=""):
        """LLVM's intrinsic of that name for our vectors."""
        return self._named(f"{name}.v{WIDTH}f32{suffix}", ir.FunctionType(result, arguments))

    def _named(self, name, signature):
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, signature, name)

    def vectors(self, size, body):
        """Emit ``body(i, lanes)`` for the vectors that ``size`` numbers make, the first of which is number i.

        ``lanes`` is None for whole vectors and the mask of the last one, which may be empty.
        """
        whole = self.builder.sdiv(size, I64(WIDTH))

        def of_whole(v, _):
            body(self.builder.mul(v, I64(WIDTH)), None)
            return []

        self.loop(whole, [], of_whole)
        done = self.builder.mul(whole, I64(WIDTH))
        body(done, self.lanes(self.builder.sub(size, done)))

    def fold(self, size, start, body):
        """Emit ``body(i, lanes, values) -> values`` like :meth:`vectors`, threading values through.

        Even and odd vectors have values of their own, which all begin with ``start`` (a list): sums half as long, and two at
        a time. Returns both lists.
        """
        builder, n = self.builder, len(start)

        def both(first, lanes, values):
            second = builder.add(first, I64(WIDTH))
            return body(first, lanes(first), values[:n]) + body(second, lanes(second), values[n:])

        pairs = builder.sdiv(size, I64(2 * WIDTH))
        of_pair = lambda p, values: both(builder.mul(p, I64(2 * WIDTH)), lambda i: None, values)  # noqa: E731
        values = self.loop(pairs, [*start, *start], of_pair)
        done = builder.mul(pairs, I64(2 * WIDTH))
        values = both(done, lambda i: self.lanes(builder.sub(size, i)), values)
        return values[:n], values[n:]

    def largest_lane(self, vector):
        lanes = [self.builder.extract_element(vector, I32(lane)) for lane in range(WIDTH)]
        return functools.reduce(self.larger, lanes)

    def sum_of_lanes(self, vector):
        """In float64."""
        lanes = [
            self.builder.fpext(self.builder.extract_element(vector, I32(lane)), ir.DoubleType())
            for lane in range(WIDTH)
        ]
        return functools.reduce(self.builder.fadd, lanes)

    def larger(self, a, b):
        """The larger of two; ``b`` where either is NaN."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def accumulate(self, size, start, body):
        """Emit ``body(i, lanes, values) -> values`` like :meth:`vectors`, threading values through; there is no empty vector."""
        whole = self.builder.sdiv(size, I64(WIDTH))
        values = self.loop(whole, start, lambda v, values: body(self.builder.mul(v, I64(WIDTH)), None, values))
        done = self.builder.mul(whole, I64(WIDTH))
        rest = self.builder.sub(size, done)
        any_left = self.builder.zext(self.builder.icmp_signed(">", rest, I64(0)), I64)
        return self.loop(any_left, values, lambda _, values: body(done, self.lanes(rest), values))

    def loop(self, count, start, body):
        """Emit ``for i in range(count)``, ``count`` >= 0, threading values through: ``body(i, values) -> values``."""
        builder, before = self.builder, self.builder.block
        head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.phi(I64)
        i.add_incoming(I64(0), before)
        values = []
        for value in start:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            values.append(phi)
        builder.cbranch(builder.icmp_signed("<", i, count), inside, after)
        builder.position_at_end(inside)
        new = body(i, list(values))
        i.add_incoming(builder.add(i, I64(1)), builder.block)
        for phi, value in zip(values, new, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return values


@intrinsic
def address(typing_context, array):
    """The address of an array's first number, as an int64: with ``array.ctypes.data``, unsigned, Numba reckons in floats."""

    def emit(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, I64)

    return types.int64(array), emit


@intrinsic
def pointer(typing_context, address):
    """An address as ``numba.carray`` takes it, which makes an array of the float32 that lie there."""

    def emit(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), emit


@intrinsic
def float_at(typing_context, address):
    """The float32 at an address."""

    def emit(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], F32.as_pointer()))

    return types.float32(types.int64), emit


@intrinsic
def store_float(typing_context, value, address):
    """Write a float32 to an address."""

    def emit(context, builder, signature, arguments):
        builder.store(arguments[0], builder.inttoptr(arguments[1], F32.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.float32, types.int64), emit


@intrinsic
def scale(typing_context, x, factor, y, size, nontemporal):
    """``y = factor x`` of ``size`` floats at two addresses; with ``nontemporal``, y is written around the caches."""

    def emit(context, builder, signature, arguments):
        x, factor, y, size, nontemporal = arguments
        e = Emitter(builder)
        factors = e.splat(factor)

        def body(i, lanes):
            product = builder.fmul(factors, e.load(e.address(x, i), lanes))
            e.store_nontemporal(product, e.address(y, i), nontemporal, lanes)

        e.vectors(size, body)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32, types.int64, types.int64, types.boolean), emit


@intrinsic
def fence(typing_context):
    """What this thread has written by non-temporal stores is there for all others."""

    def emit(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def call(typing_context, function, arguments):
    """Call the function at an address with a tuple of int64: so it is not compiled again into each kernel that calls it."""

    def emit(context, builder, signature, values):
        function, arguments = values
        numbers = [builder.extract_value(arguments, i) for i in range(len(signature.args[1]))]
        of_type = ir.FunctionType(ir.VoidType(), [I64] * len(numbers))
        builder.call(builder.inttoptr(function, of_type.as_pointer()), numbers)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), emit


def _sum_of_pairs(e: Emitter, addresses, pairs, add):
    """The sum over ``pairs`` of vectors from each address, ``add(*vectors, sum)``: two registers, then their lanes in float64."""
    builder = e.builder

    def body(p, sums):
        starts = [e.address(address, builder.mul(p, I64(2 * WIDTH))) for address in addresses]
        return [add(*(e.load(e.address(start, j * WIDTH)) for start in starts), sums[j]) for j in range(2)]

    return e.sum_of_lanes(builder.fadd(*e.loop(pairs, [ZERO, ZERO], body)))


@intrinsic
def dot_of_pairs(typing_context, x, y, pairs):
    """Σ x_i y_i over ``pairs`` of vectors, from two addresses, as a float64."""

    def emit(context, builder, signature, arguments):
        x, y, pairs = arguments
        e = Emitter(builder)
        return _sum_of_pairs(e, [x, y], pairs, e.fma)

    return types.float64(types.int64, types.int64, types.int64), emit


@intrinsic
def total_of_pairs(typing_context, x, pairs):
    """Σ x_i over ``pairs`` of vectors, from an address, as a float64."""

    def emit(context, builder, signature, arguments):
        x, pairs = arguments
        return _sum_of_pairs(Emitter(builder), [x], pairs, builder.fadd)

    return types.float64(types.int64, types.int64), emit
