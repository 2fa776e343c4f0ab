"""The register-tiled micro-kernels that every matrix product and convolution of the project is made of.

They keep a tile of C in registers for the whole inner sum. ``tile_kernel`` reads packed rows of A and adds to C.
``rows_kernel`` finds rows of A through a table of *addresses*: a row can lie anywhere, such as the shifted pixels of a
convolution (with the address of a row of zeros for padding), or that of any valid row where a tile is ragged, its result
thrown away. ``row_kernel`` is for a single row.

Long sums are made of short ones: each segment is summed from zero and then added to the tile, so that rounding errors grow
with the length of a segment and the number of segments, not with their product.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import I64, REGISTERS, WIDTH, ZERO, Emitter
from scratchlv.memory import CACHE_LINE

HEIGHT = 6  #: rows of C that a product keeps in registers
VECTORS = 4 if REGISTERS == 32 else 2  #: … by so many vectors: 24 (or 12) sums, 4 (or 2) of B, and a number of A
TILE_ROWS, TILE_COLUMNS = 2 * HEIGHT, VECTORS * WIDTH  #: of C in a tile of ``tile_kernel``
COLUMNS = 2 * WIDTH  #: columns of C in a tile of ``rows_kernel``: two vectors
ROWS = 14 if REGISTERS == 32 else 6  #: rows of C in a tile of ``rows_kernel``: 28 (or 12) sums, 2 vectors of B, 1 of A
FEW_ROWS = 8 if REGISTERS == 32 else 4  #: rows of C in a tile of ``few_rows_kernel``

_UNROLL = 4  # terms, a multiple of which most sums have
_TERMS_AHEAD = value("matmul.terms_ahead")
_LINE = CACHE_LINE // 4  # floats
STRIPS = (
    3 * REGISTERS // 4,
    REGISTERS // 4,
    1,
)  #: so many vectors of a single row of C are summed at once, as they fit


def _add(e: Emitter, tile, sums):
    return [e.builder.fadd(a, b) for a, b in zip(tile, sums, strict=True)]


def _store_tile(e: Emitter, tile, c, ldc, rows: int) -> None:
    for i in range(rows):
        for j in range(2):
            e.store(tile[2 * i + j], _tile_address(e, c, ldc, i, j))


def _tile_address(e: Emitter, c, ldc, i: int, j: int):
    return e.address(e.address(c, e.builder.mul(ldc, I64(i))), j * WIDTH)


def _rows_kernel(height: int):
    """The kernel for tiles of ``height`` rows."""

    @intrinsic
    def rows_kernel(typing_context, rows, n_segments, k, b, c, ldc):
        """``C[i, :] = Σ_s Σ_k A_s[i, k] B[s k, :]`` for ``height`` rows i.

        ``rows`` is the address of a table of ``n_segments`` times ``height`` addresses: that of ``A_s[i, 0]``. The ``k`` values
        of a row are adjacent. ``b`` is a packed panel, ``(n_segments k, COLUMNS)``. ``ldc`` is the row stride of C.
        """
        signature = types.void(*[types.int64] * 6)

        def emit(context, builder, sig, arguments):
            rows, n_segments, k, b, c, ldc = arguments
            e = Emitter(builder)
            step = I64(4 * COLUMNS)
            whole, rest = builder.sdiv(k, I64(_UNROLL)), builder.srem(k, I64(_UNROLL))

            def segment(s, values):
                table = builder.add(rows, builder.mul(s, I64(8 * height)))
                starts = [e.load_word(builder.add(table, I64(8 * i))) for i in range(height)]

                def inner(first, unroll):
                    def body(q, values):
                        b_at, sums = values[0], values[1:]
                        for u in range(unroll):
                            row_of_b = [e.load(e.address(b_at, j * WIDTH)) for j in range(2)]
                            at = builder.add(first, builder.mul(q, I64(unroll)))
                            for i in range(height):
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

            values = e.loop(n_segments, [b, *[ZERO] * (2 * height)], segment)
            _store_tile(e, values[1:], c, ldc, height)
            return context.get_dummy_value()

        return signature, emit

    return rows_kernel


rows_kernel = _rows_kernel(ROWS)
few_rows_kernel = _rows_kernel(FEW_ROWS)  #: where few rows are left: fewer are computed in vain


@intrinsic
def tile_kernel(typing_context, rows, columns, k, a, a_step, b, b_step, start, start_step, c, c_step):
    """A tile of a product, ``C[i, j] = S[i, j] + Σ_p a[p, i] b[p, j]``: at most ``TILE_ROWS`` by ``TILE_COLUMNS``.

    All are addresses, with the distance of their rows in floats; of each ``a[p]`` and ``b[p]`` as much is read as a tile has,
    rows rounded up to even, columns to 1, 2 or 4 vectors. S is where the sums start from: C itself, a bias (its rows 0 apart)
    or zeros. What is higher than ``HEIGHT`` is two tiles, one below the other.
    """
    signature = types.void(*[types.int64] * 11)

    def emit(context, builder, sig, arguments):
        rows, columns, k, a, a_step, b, b_step, start, start_step, c, c_step = arguments
        e = Emitter(builder)
        half = builder.shl(builder.lshr(builder.add(rows, I64(3)), I64(2)), I64(1))  # even
        low = builder.select(builder.icmp_signed(">", rows, I64(HEIGHT)), half, rows)
        tiles = builder.select(builder.icmp_signed(">", rows, I64(HEIGHT)), I64(2), I64(1))

        def tile(t, _):
            below = builder.mul(t, low)
            height = builder.select(builder.icmp_signed("==", t, I64(0)), low, builder.sub(rows, low))
            s_at, c_at = (e.address(x, builder.mul(below, step)) for x, step in ((start, start_step), (c, c_step)))
            _call_tile(
                builder, height, columns, k, e.address(a, below), a_step, b, b_step, s_at, start_step, c_at, c_step
            )
            return []

        e.loop(tiles, [], tile)
        return context.get_dummy_value()

    return signature, emit


def _call_tile(builder, rows, columns, *arguments) -> None:
    """Call the function that computes at least so many rows and columns."""
    after = builder.append_basic_block("after")
    widths = [n for n in (1, 2, 4) if n <= VECTORS]
    heights = list(range(2, HEIGHT + 1, 2))
    for vectors in widths:
        fits, wider = (builder.append_basic_block(f"{name}_{vectors}") for name in ("fits", "wider"))
        is_last = vectors == widths[-1]
        builder.branch(fits) if is_last else builder.cbranch(
            builder.icmp_signed("<=", columns, I64(vectors * WIDTH)), fits, wider
        )
        builder.position_at_end(fits)
        blocks = [builder.append_basic_block(f"tile_{height}_{vectors}") for height in heights]
        switch = builder.switch(rows, blocks[-1])
        for height, block in zip(heights, blocks, strict=True):
            for n in (height - 1, height):
                switch.add_case(I64(n), block)
            builder.position_at_end(block)
            builder.call(_tile_function(builder.module, height, vectors), [rows, columns, *arguments])
            builder.branch(after)
        builder.position_at_end(wider)
    builder.unreachable()
    builder.position_at_end(after)


def _tile_function(module, height: int, vectors: int):
    """The function that computes tiles of ``height`` rows, or of one row less, and at most so many vectors."""
    function, is_new = _own_function(module, f"scratchlv_tile_{height}_{vectors}", 11)
    if not is_new:
        return function
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    rows, columns, k, a, a_step, b, b_step, start, start_step, c, c_step = function.args
    e = Emitter(builder)
    for i in range(height):
        for j in range(vectors):
            e.prefetch(_tile_address(e, c, c_step, i, j))
    a_bytes, b_bytes = (builder.shl(step, I64(2)) for step in (a_step, b_step))
    ahead = builder.mul(b_bytes, I64(_TERMS_AHEAD))

    def terms(unroll: int):
        def body(p, values):
            a_at, b_at, *sums = values
            for _ in range(unroll):
                row_of_b = [e.load(e.address(b_at, j * WIDTH)) for j in range(vectors)]
                for line in range(0, vectors * WIDTH, _LINE):
                    e.prefetch(e.address(builder.add(b_at, ahead), line), to_write=False)
                for i in range(height):
                    number = e.broadcast(e.address(a_at, i))
                    for j in range(vectors):
                        sums[vectors * i + j] = e.fma(number, row_of_b[j], sums[vectors * i + j])
                a_at, b_at = builder.add(a_at, a_bytes), builder.add(b_at, b_bytes)
            return [a_at, b_at, *sums]

        return body

    values = e.loop(builder.sdiv(k, I64(_UNROLL)), [a, b, *[ZERO] * (vectors * height)], terms(_UNROLL))
    _, _, *sums = e.loop(builder.srem(k, I64(_UNROLL)), values, terms(1))

    def finish(i: int, lanes) -> None:
        for j in range(vectors):
            before = e.load(_tile_address(e, start, start_step, i, j), lanes[j])
            e.store(builder.fadd(before, sums[vectors * i + j]), _tile_address(e, c, c_step, i, j), lanes[j])

    def finish_all(lanes) -> None:
        for i in range(height - 1):
            finish(i, lanes)
        with builder.if_then(builder.icmp_signed("==", rows, I64(height))):
            finish(height - 1, lanes)

    with builder.if_else(builder.icmp_signed("==", columns, I64(vectors * WIDTH))) as (whole, ragged):
        with whole:
            finish_all([None] * vectors)
        with ragged:
            finish_all([e.lanes(builder.sub(columns, I64(j * WIDTH))) for j in range(vectors)])
    builder.ret_void()
    return function


@intrinsic
def transpose_block(typing_context, x, step, rows, later, out, out_step):
    """``out[p, i] = x[i, p]`` for WIDTH values of p and of i; rows of x past the last one repeat it.

    What lies ``later`` floats after each row is asked for: rows are too many streams for the processor to foresee.
    """

    def emit(context, builder, signature, arguments):
        builder.call(_transpose_function(builder.module), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), emit


def _transpose_function(module):
    """A function, since LLVM takes seconds for each place where so many shuffles stand."""
    function, is_new = _own_function(module, "scratchlv_transpose", 6)
    if is_new:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        x, step, rows, later, out, out_step = function.args
        e = Emitter(builder)
        last = builder.sub(rows, I64(1))
        loaded = []
        for i in range(WIDTH):
            row = builder.select(builder.icmp_signed("<", I64(i), last), I64(i), last)
            at = e.address(x, builder.mul(step, row))
            e.prefetch(e.address(at, later), to_write=False)
            loaded.append(e.load(at))
        for p, column in enumerate(e.transpose(loaded)):
            e.store(column, e.address(out, builder.mul(out_step, I64(p))))
        builder.ret_void()
    return function


def _own_function(module, name: str, arguments: int):
    """The function of that name in a module, which takes so many int64, and whether it is still to be written."""
    if name in module.globals:
        return module.globals[name], False
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * arguments), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    return function, True


@intrinsic
def copy_vector(typing_context, x, later, out):
    """``out[:WIDTH] = x[:WIDTH]``; the cache line at ``later`` is asked for, which need not be ours to read."""

    def emit(context, builder, signature, arguments):
        x, later, out = arguments
        e = Emitter(builder)
        e.prefetch(later, to_write=False)
        e.store(e.load(x), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), emit


@intrinsic
def add_panel_sums(typing_context, panel, k, sums):
    """``sums[j] += Σ_p panel[p, j]`` of a packed panel (k, TILE_COLUMNS), in float64."""

    def emit(context, builder, signature, arguments):
        panel, k, sums = arguments
        e = Emitter(builder)
        doubles = ir.VectorType(ir.DoubleType(), WIDTH)
        at = [builder.inttoptr(builder.add(sums, I64(8 * WIDTH * j)), doubles.as_pointer()) for j in range(VECTORS)]

        def body(p, totals):
            row = e.address(panel, builder.mul(p, I64(TILE_COLUMNS)))
            vectors = [e.load(e.address(row, j * WIDTH)) for j in range(VECTORS)]
            return [
                builder.fadd(total, builder.fpext(vector, doubles))
                for total, vector in zip(totals, vectors, strict=True)
            ]

        before = [builder.load(pointer, align=8) for pointer in at]
        for pointer, total in zip(at, e.loop(k, before, body), strict=True):
            builder.store(total, pointer, align=8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), emit


@intrinsic
def row_kernel(typing_context, columns, k, a, b, b_step, start, start_step, c):
    """A row of a product, ``c[j] = s[j] + Σ_p a[p] b[p, j]``: strips of its columns pass down the rows of b, where they lie.

    All are addresses, with the distances of b's rows and of s's numbers (0 or 1) in floats. It is as fast as
    b is read: after the first columns, strips begin on a cache line, so that no vector is read from two of them.
    """

    def emit(context, builder, signature, arguments):
        columns, k, a, b, b_step, start, start_step, c = arguments
        e = Emitter(builder)
        b_bytes = builder.shl(b_step, I64(2))

        def strip(j, vectors: int, lanes=None) -> None:
            def body(p, values):
                a_at, b_at, *sums = values
                number = e.broadcast(a_at)
                for i in range(vectors):
                    sums[i] = e.fma(number, e.load(e.address(b_at, i * WIDTH), lanes), sums[i])
                return [e.address(a_at, 1), builder.add(b_at, b_bytes), *sums]

            _, _, *sums = e.loop(k, [a, e.address(b, j), *[ZERO] * vectors], body)
            for i in range(vectors):
                column = builder.add(j, I64(i * WIDTH))
                before = e.load(e.address(start, builder.mul(column, start_step)), lanes)
                e.store(builder.fadd(before, sums[i]), e.address(c, column), lanes)

        to_line = builder.and_(builder.neg(builder.lshr(b, I64(2))), I64(WIDTH - 1))
        done = builder.select(builder.icmp_signed("<", to_line, columns), to_line, columns)
        with builder.if_then(builder.icmp_signed(">", done, I64(0))):
            strip(I64(0), 1, e.lanes(done))
        for vectors in STRIPS:
            width = I64(vectors * WIDTH)

            def strips(n, _, vectors=vectors, width=width, done=done):
                strip(builder.add(done, builder.mul(n, width)), vectors)
                return []

            count = builder.sdiv(builder.sub(columns, done), width)
            e.loop(count, [], strips)
            done = builder.add(done, builder.mul(count, width))
        rest = builder.sub(columns, done)
        with builder.if_then(builder.icmp_signed(">", rest, I64(0))):
            strip(done, 1, e.lanes(rest))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit
