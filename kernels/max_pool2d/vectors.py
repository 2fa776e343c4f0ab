"""What pooling is made of, as vector code. Other rooms that pool 2x2 windows in the same sweep (conv2d, batch_norm2d) share it.

A 2x2 window's four values are compared in the order of its places, row by row: 0 1 over 2 3. The argmax's place is kept in a
byte; :data:`CLOSED` stands there where ReLU let nothing through, so that the byte alone says where a gradient goes.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.parameters import value as parameter
from scratchlv.kernels.building_blocks.simd import I32, I64, MASK, VECTOR, WIDTH, ZERO, Emitter
from scratchlv.memory import CACHE_LINE

CLOSED = 4  #: the argmax where ReLU is closed
#: floats; two rows of pixels are more streams than the processor foresees
_PREFETCH_DISTANCE = parameter("max_pool2d.prefetch_distance")
BYTES = ir.VectorType(ir.IntType(8), WIDTH)


class PixelEmitter(Emitter):
    """Emits code for WIDTH channels of a pixel, or for the fewer ones at the end (``mask``)."""

    mask = None  #: which lanes may be read and written; None: all

    def channels(self, count, body: Callable) -> None:
        """Emit ``body(c)`` for c = 0, WIDTH, … below ``count``; the last time masked, if the channels end amid a vector."""
        builder = self.builder
        whole = builder.sdiv(count, I64(WIDTH))

        def step(i, values):
            body(builder.mul(i, I64(WIDTH)))
            return values

        self.loop(whole, [], step)
        rest = builder.srem(count, I64(WIDTH))
        with builder.if_then(builder.icmp_signed("!=", rest, I64(0))):
            self.mask = self.lanes(rest)
            body(builder.mul(whole, I64(WIDTH)))
            self.mask = None

    def lines(self, count, body: Callable) -> None:
        """Emit ``body([c, …])`` for the vectors that make a cache line, then for those that are left, one by one.

        A line that is written around the caches in parts, with other lines in between, is sent to the memory in parts.
        """
        vectors, builder = CACHE_LINE // 4 // WIDTH, self.builder
        if vectors == 1:
            self.channels(count, lambda c: body([c]))
            return
        whole = builder.sdiv(count, I64(vectors * WIDTH))

        def step(i, values):
            first = builder.mul(i, I64(vectors * WIDTH))
            body([builder.add(first, I64(v * WIDTH)) for v in range(vectors)])
            return values

        self.loop(whole, [], step)
        done = builder.mul(whole, I64(vectors * WIDTH))
        self.channels(builder.sub(count, done), lambda c: body([builder.add(done, c)]))

    def load_lanes(self, address, kind=VECTOR):
        """Floats (or, by ``kind``, bytes) of the channels at an address; zeros in lanes that are masked."""
        pointer = self.builder.inttoptr(address, kind.as_pointer())
        align = kind.element.width // 8 if isinstance(kind.element, ir.IntType) else 4
        if self.mask is None:
            value = self.builder.load(pointer)
            value.align = align
            return value
        arguments = [kind.as_pointer(), I32, MASK, kind]
        function = self._declare("load", kind, ir.FunctionType(kind, arguments))
        zeros = ir.Constant(kind, [0] * WIDTH)
        return self.builder.call(function, [pointer, I32(align), self.mask, zeros])

    def store_lanes(self, value, address) -> None:
        kind = value.type
        pointer = self.builder.inttoptr(address, kind.as_pointer())
        align = kind.element.width // 8 if isinstance(kind.element, ir.IntType) else 4
        if self.mask is None:
            self.builder.store(value, pointer).align = align
            return
        arguments = [kind, kind.as_pointer(), I32, MASK]
        function = self._declare("store", kind, ir.FunctionType(ir.VoidType(), arguments))
        self.builder.call(function, [value, pointer, I32(align), self.mask])

    def _declare(self, what: str, kind, signature):
        element = f"i{kind.element.width}" if isinstance(kind.element, ir.IntType) else "f32"
        name = f"llvm.masked.{what}.v{WIDTH}{element}.p0"
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, signature, name)

    def largest(self, values):
        """The largest of four values in every lane, and the place of the first that is; NaN is largest."""
        builder = self.builder
        best, argmax = values[0], place(0)
        for k, value in enumerate(values[1:], 1):
            larger = self.beats(value, best)
            best, argmax = builder.select(larger, value, best), builder.select(larger, place(k), argmax)
        return best, argmax

    def beats(self, value, best):
        """Where ``value`` takes the place of the largest so far."""
        builder = self.builder
        return builder.and_(
            builder.fcmp_unordered(">", value, best),  # also where either is NaN,
            builder.fcmp_ordered("ord", best, best),  # but the first NaN stays
        )

    def rectify(self, value, floor):
        """``value``, or ``floor`` where it is below; a NaN in ``floor`` lets everything pass. And where it was not above."""
        closed = self.builder.fcmp_ordered("<=", value, floor)
        return self.builder.select(closed, floor, value), closed

    def taken(self, gradient, argmax, k: int):
        """The gradient in lanes whose argmax is place ``k``, elsewhere zero."""
        return self.builder.select(self.builder.icmp_unsigned("==", argmax, place(k)), gradient, ZERO)


def place(k: int) -> ir.Constant:
    """``k`` in every lane of a vector of bytes."""
    return ir.Constant(BYTES, [k] * WIDTH)


@intrinsic
def pool_pixel(typing_context, top, bottom, y, argmax, channels, keep, nontemporal):
    """Pool a 2x2 window: ``top`` and ``bottom`` are the addresses of its rows, each of two pixels of ``channels`` floats.

    Writes the largest values to ``y``, with ``nontemporal`` around the caches, and, if ``keep``, the bytes that tell their
    places to ``argmax``.
    """

    def emit(context, builder, signature, arguments):
        top, bottom, y, argmax, channels, keep, nontemporal = arguments
        e = PixelEmitter(builder)
        pixels = [top, e.address(top, channels), bottom, e.address(bottom, channels)]

        def body(c):
            for pixel in pixels:
                e.prefetch(e.address(pixel, builder.add(c, I64(_PREFETCH_DISTANCE))), to_write=False)
            best, place_of_best = e.largest([e.load_lanes(e.address(pixel, c)) for pixel in pixels])
            e.store_nontemporal(best, e.address(y, c), nontemporal, e.mask)
            with builder.if_then(builder.icmp_signed("!=", keep, I64(0))):
                e.store_lanes(place_of_best, builder.add(argmax, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, types.boolean), emit


@intrinsic
def pool_window(typing_context, first, rows, columns, row, place_of_first, row_of_places, y, argmax, channels, keep):
    """Pool a window of ``rows`` by ``columns`` pixels, all in the picture, the first of which is at the address ``first``.

    Its rows lie ``row`` floats apart, its pixels ``channels``. The first is ``place_of_first`` of the whole window, of which
    some may be cut off: its rows are ``row_of_places`` places long.
    """

    def emit(context, builder, signature, arguments):
        first, rows, columns, row, place_of_first, row_of_places, y, argmax, channels, keep = arguments
        e = PixelEmitter(builder)

        def splat(place):
            undefined = ir.Constant(BYTES, ir.Undefined)
            one = builder.insert_element(undefined, builder.trunc(place, ir.IntType(8)), I32(0))
            return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, WIDTH), [0] * WIDTH))

        def body(c):
            def of_row(i, values):
                pixels, places = e.address(first, builder.mul(i, row)), builder.mul(i, row_of_places)

                def of_pixel(j, values):
                    best, taken = values
                    value = e.load_lanes(e.address(pixels, builder.add(builder.mul(j, channels), c)))
                    larger = e.beats(value, best)
                    here = splat(builder.add(builder.add(places, place_of_first), j))
                    return [builder.select(larger, value, best), builder.select(larger, here, taken)]

                return e.loop(columns, values, of_pixel)

            start = [e.load_lanes(e.address(first, c)), splat(place_of_first)]
            best, taken = e.loop(rows, start, of_row)
            e.store_lanes(best, e.address(y, c))
            with builder.if_then(builder.icmp_signed("!=", keep, I64(0))):
                e.store_lanes(taken, builder.add(argmax, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10), emit


@intrinsic
def unpool_pixel(typing_context, dy, argmax, top, bottom, next_pixel, channels, nontemporal):
    """Write the four pixels of a 2x2 window: each channel's gradient at its argmax's place, zeros elsewhere.

    ``top`` and ``bottom`` are the addresses of the window's rows, whose second pixels lie ``next_pixel`` floats further on.
    With ``nontemporal`` they are written around the caches.
    """

    def emit(context, builder, signature, arguments):
        dy, argmax, top, bottom, next_pixel, channels, nontemporal = arguments
        e = PixelEmitter(builder)
        pixels = [top, e.address(top, next_pixel), bottom, e.address(bottom, next_pixel)]

        def body(cs):
            loaded = [(e.load_lanes(e.address(dy, c)), e.load_lanes(builder.add(argmax, c), BYTES)) for c in cs]
            for k, pixel in enumerate(pixels):
                for c, (gradient, place_of_best) in zip(cs, loaded, strict=True):
                    e.store_nontemporal(e.taken(gradient, place_of_best, k), e.address(pixel, c), nontemporal, e.mask)

        e.lines(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, types.boolean), emit
