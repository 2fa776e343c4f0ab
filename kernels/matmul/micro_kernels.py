"""The two register-tiled micro-kernels that every matrix product and convolution of the project is made of.

Both keep a tile of C, ``TILE`` rows by ``COLUMNS`` (two vectors), in registers for the whole inner sum. Rows of A are
found through a table of *addresses*: a row can lie anywhere, so the same kernel serves a plain matrix, the shifted
pixels of a convolution (with the address of a row of zeros for padding), and a ragged last tile (the address of any
valid row, its result thrown away).

Long sums are made of short ones: each segment is summed from zero and then added to the tile, so that rounding errors grow
with the length of a segment and the number of segments, not with their product.
"""

from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.simd import I64, REGISTERS, WIDTH, ZERO, Emitter

COLUMNS = 2 * WIDTH  #: columns of C in a tile: two vectors
ROWS = 14 if REGISTERS == 32 else 6  #: rows of C in a tile of ``rows_kernel``: 28 (or 12) sums, 2 vectors of B, 1 of A
CHANNELS = 8 if REGISTERS == 32 else 4  #: rows of C in a tile of ``columns_kernel``
_UNROLL = 4


def _load_tile(e: Emitter, c, ldc, accumulate, rows: int):
    """The tile of C to add to, or zeros."""
    builder = e.builder
    before = builder.block
    with builder.if_then(builder.icmp_signed("!=", accumulate, I64(0))):
        loaded = [e.load(_tile_address(e, c, ldc, i, j)) for i in range(rows) for j in range(2)]
        inside = builder.block
    tile = []
    for value in loaded:
        phi = builder.phi(value.type)
        phi.add_incoming(ZERO, before)
        phi.add_incoming(value, inside)
        tile.append(phi)
    return tile


def _add(e: Emitter, tile, sums):
    return [e.builder.fadd(a, b) for a, b in zip(tile, sums, strict=True)]


def _store_tile(e: Emitter, tile, c, ldc, rows: int) -> None:
    for i in range(rows):
        for j in range(2):
            e.store(tile[2 * i + j], _tile_address(e, c, ldc, i, j))


def _tile_address(e: Emitter, c, ldc, i: int, j: int):
    return e.address(e.address(c, e.builder.mul(ldc, I64(i))), j * WIDTH)


@intrinsic
def rows_kernel(typing_context, rows, n_segments, k, b, c, ldc, accumulate):
    """``C[i, :] (+)= Σ_s Σ_k A_s[i, k] B[s k, :]`` for ``ROWS`` rows i.

    ``rows`` is the address of a table of ``n_segments`` times ``ROWS`` addresses: that of ``A_s[i, 0]``. The ``k`` values
    of a row are adjacent. ``b`` is a packed panel, ``(n_segments k, COLUMNS)``. ``ldc`` is the row stride of C.
    """
    signature = types.void(*[types.int64] * 7)

    def emit(context, builder, sig, arguments):
        rows, n_segments, k, b, c, ldc, accumulate = arguments
        e = Emitter(builder)
        tile = _load_tile(e, c, ldc, accumulate, ROWS)
        step = I64(4 * COLUMNS)
        whole, rest = builder.sdiv(k, I64(_UNROLL)), builder.srem(k, I64(_UNROLL))

        def segment(s, values):
            table = builder.add(rows, builder.mul(s, I64(8 * ROWS)))
            starts = [e.load_word(builder.add(table, I64(8 * i))) for i in range(ROWS)]

            def inner(first, unroll):
                def body(q, values):
                    b_at, sums = values[0], values[1:]
                    for u in range(unroll):
                        row_of_b = [e.load(e.address(b_at, j * WIDTH)) for j in range(2)]
                        at = builder.add(first, builder.mul(q, I64(unroll)))
                        for i in range(ROWS):
                            a = e.broadcast(e.address(e.address(starts[i], at), u))
                            for j in range(2):
                                sums[2 * i + j] = e.fma(a, row_of_b[j], sums[2 * i + j])
                        b_at = builder.add(b_at, step)
                    return [b_at, *sums]

                return body

            b_at, tile = values[0], values[1:]
            values = e.loop(whole, [b_at, *[ZERO] * len(tile)], inner(I64(0), _UNROLL))
            b_at, *sums = e.loop(rest, values, inner(builder.mul(whole, I64(_UNROLL)), 1))
            return [b_at, *_add(e, tile, sums)]

        values = e.loop(n_segments, [b, *tile], segment)
        _store_tile(e, values[1:], c, ldc, ROWS)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def columns_kernel(typing_context, table, offset, n, b, ldb, c, ldc, accumulate):
    """``C[i, :] (+)= Σ_p A[p, offset + i] B[p, :]`` for ``CHANNELS`` values of i: a product with A transposed.

    ``table`` is the address of a table of ``n`` addresses: that of ``A[p, 0]``. Rows of ``b`` are ``ldb`` floats apart.
    """
    signature = types.void(*[types.int64] * 8)

    def emit(context, builder, sig, arguments):
        table, offset, n, b, ldb, c, ldc, accumulate = arguments
        e = Emitter(builder)
        tile = _load_tile(e, c, ldc, accumulate, CHANNELS)
        ldb_bytes = builder.mul(ldb, I64(4))

        def body(p, values):
            b_at, sums = values[0], values[1:]
            start = e.address(e.load_word(builder.add(table, builder.mul(p, I64(8)))), offset)
            row_of_b = [e.load(e.address(b_at, j * WIDTH)) for j in range(2)]
            for i in range(CHANNELS):
                a = e.broadcast(e.address(start, i))
                for j in range(2):
                    sums[2 * i + j] = e.fma(a, row_of_b[j], sums[2 * i + j])
            return [builder.add(b_at, ldb_bytes), *sums]

        _, *sums = e.loop(n, [b, *[ZERO] * len(tile)], body)
        _store_tile(e, _add(e, tile, sums), c, ldc, CHANNELS)
        return context.get_dummy_value()

    return signature, emit
