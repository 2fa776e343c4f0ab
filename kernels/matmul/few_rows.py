"""Products of few rows, as when sentences are decoded word by word: they are as fast as the matrix is read.

B lies in panels (:func:`scratchlv.kernels.matmul.numba_cpu.pack`): a product reads them from one end of the memory to the other,
once for up to ``ROWS`` rows of A, which stay where they are. Its numbers may be narrower than float32, and are widened in
registers:

    float32    a row of a panel is two vectors
    bfloat16   the upper half of a float32: word j has column j below and column WIDTH + j above, so a shift widens the one and
               a mask the other, whatever the vectors
    int8       -127 … 127, times the scale of its column

and sums are those of float32 in the order of the large products: the same numbers, bit for bit, as of a widened B.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import Callback, kernel
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import I64, INDICES, REGISTERS, VECTOR, WIDTH, ZERO, Emitter, call
from scratchlv.kernels.building_blocks.threads import share
from scratchlv.kernels.matmul.micro_kernels import COLUMNS

#: Rows of C in a tile: so often a vector of B is used that was read. 16 (12) sums, 2 vectors of B, a number of A.
ROWS = 8 if REGISTERS == 32 else 6
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  #: of a number of B, by its kind
MOST_ROWS = 2 * ROWS  #: past these, a panel that passes by once more is no gain over packing A as well
_SUMS = (
    REGISTERS // 2
)  # registers for sums: of a few rows, several panels' at once, as an addition waits for the one before
_MOST_PANELS = 4  # at once: as many streams as are read side by side
_AHEAD = value("matmul.read_ahead")  # bytes
_LINE = 64


#: So many panels go at once with a tile of so many rows.
_PANELS_AT_ONCE = tuple(max(1, min(_MOST_PANELS, _SUMS // (2 * max(1, rows)))) for rows in range(ROWS + 1))


# --- how numbers are widened ------------------------------------------------------------------------------------------


def _float32(e: Emitter, at, scales):
    return [e.load(e.address(at, j * WIDTH)) for j in range(2)]


def _bfloat16(e: Emitter, at, scales):
    words = _load(e, at, INDICES)
    below = e.builder.shl(words, ir.Constant(INDICES, [16] * WIDTH))
    above = e.builder.and_(words, ir.Constant(INDICES, [-(1 << 16)] * WIDTH))
    return [e.builder.bitcast(each, VECTOR) for each in (below, above)]


def _int8(e: Emitter, at, scales):
    numbers = [_load(e, e.builder.add(at, I64(j * WIDTH)), ir.VectorType(ir.IntType(8), WIDTH)) for j in range(2)]
    wide = [e.builder.sitofp(e.builder.sext(each, INDICES), VECTOR) for each in numbers]
    return [e.builder.fmul(each, scale) for each, scale in zip(wide, scales, strict=True)]


def _load(e: Emitter, at, kind):
    vector = e.builder.load(e.builder.inttoptr(at, kind.as_pointer()))
    vector.align = 1
    return vector


_WIDEN = {"float32": _float32, "bfloat16": _bfloat16, "int8": _int8}


# --- a tile -----------------------------------------------------------------------------------------------------------


def _tile(kind: str) -> Callable:
    """The tiles of panels whose numbers are of this kind."""

    @intrinsic
    def tile(
        typing_context,
        rows,
        columns,
        k,
        a,
        a_step,
        panel,
        panel_step,
        scales,
        start,
        start_row,
        start_column,
        c,
        c_step,
    ):
        """``C[i, j] = S[i, j] + Σ_p A[i, p] B[p, j]`` of at most ``ROWS`` rows, and as many panels as go at once with so many.

        All are addresses, with distances in floats, those of panels in bytes. S is where sums start from.
        """

        def emit(context, builder, signature, arguments):
            rows = arguments[0]
            after = builder.append_basic_block("after")
            blocks = [builder.append_basic_block(f"rows_{height}") for height in range(1, ROWS + 1)]
            switch = builder.switch(rows, blocks[-1])
            for height, block in enumerate(blocks, 1):
                switch.add_case(I64(height), block)
                builder.position_at_end(block)
                panels = _PANELS_AT_ONCE[height]
                whole = builder.icmp_signed("==", arguments[1], I64(panels * COLUMNS))
                with builder.if_else(whole) as (together, alone):
                    with together:
                        builder.call(_function(builder.module, kind, height, panels, False), arguments[1:])
                    with alone:
                        builder.call(_function(builder.module, kind, height, 1, True), arguments[1:])
                builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 13), emit

    return tile


def _function(module, kind: str, height: int, panels: int, ragged: bool):
    """The function for tiles of ``height`` rows and so many panels; the columns of a ragged one are fewer."""
    name = f"scratchlv_{kind}_{height}_{panels}_{'ragged' if ragged else 'whole'}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 12), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    columns, k, a, a_step, panel, panel_step, scales, start, start_row, start_column, c, c_step = function.args
    e = Emitter(builder)
    vectors = 2 * panels
    firsts = [builder.add(panel, builder.mul(panel_step, I64(q))) for q in range(panels)]
    rows = [e.address(a, builder.mul(a_step, I64(i))) for i in range(height)]
    scale = [e.load(e.address(scales, j * WIDTH)) for j in range(vectors)] if kind == "int8" else []
    size = BYTES[kind] * COLUMNS  # of a row of a panel

    def body(p, sums):
        row_of_b = []
        for q in range(panels):
            at = builder.add(firsts[q], builder.mul(p, I64(size)))
            for ahead in range(0, size, _LINE):
                e.prefetch(builder.add(at, I64(_AHEAD + ahead)), to_write=False)
            row_of_b += _WIDEN[kind](e, at, scale[2 * q : 2 * q + 2])
        for i in range(height):
            number = e.broadcast(e.address(rows[i], p))
            for j in range(vectors):
                sums[i * vectors + j] = e.fma(number, row_of_b[j], sums[i * vectors + j])
        return sums

    sums = e.loop(k, [ZERO] * (height * vectors), body)
    for j in range(vectors):
        lanes = e.lanes(builder.sub(columns, I64(j * WIDTH))) if ragged else None
        at = e.address(start, builder.mul(start_column, I64(j * WIDTH)))
        for i in range(height):
            before = e.load(e.address(at, builder.mul(start_row, I64(i))), lanes)
            to = e.address(e.address(c, builder.mul(c_step, I64(i))), j * WIDTH)
            e.store(builder.fadd(before, sums[i * vectors + j]), to, lanes)
    builder.ret_void()
    return function


# --- a product --------------------------------------------------------------------------------------------------------


def _product(kind: str) -> Callback:
    tile, size = _tile(kind), BYTES[kind]

    def product(a, a_row, panels, scales, start, start_row, start_column, c, c_row, m, n, k, segments):
        height = -(-m // -(-m // ROWS))
        at_once = _PANELS_AT_ONCE[height]  # 1 where rows make several tiles, some of them lower
        step = size * k * COLUMNS  # from panel to panel
        j = 0
        while j < n:
            columns = at_once * COLUMNS if n - j >= at_once * COLUMNS else min(COLUMNS, n - j)
            panel = panels + j // COLUMNS * step
            for i in range(0, m, height):
                to = c + 4 * (i * c_row + j)
                before, row, column = start + 4 * (i * start_row + j * start_column), start_row, start_column
                for s in range(segments):
                    first, last = share(k, s, segments)
                    part = panel + size * first * COLUMNS
                    tile(
                        min(height, m - i),
                        columns,
                        last - first,
                        a + 4 * (i * a_row + first),
                        a_row,
                        part,
                        step,
                        scales + 4 * j,
                        before,
                        row,
                        column,
                        to,
                        c_row,
                    )
                    before, row, column = to, c_row, 1
            j += columns

    product.__name__ = product.__qualname__ = f"few_rows_of_{kind}"  # each is kept on disk by its name
    return Callback(product, types.void(*[types.int64] * 13))


#: ``C = S + A B`` within one thread, by the kind of B's numbers: kernels take its ``address`` and call it. Its numbers are ``a,
#: a_row, panels, scales, start, start_row, start_column, c, c_row, m, n, k, segments``: addresses, with strides in floats. m and
#: n are above 0.
PRODUCTS = {kind: _product(kind) for kind in BYTES}
ZEROS = np.zeros(_MOST_PANELS * COLUMNS, np.float32)  #: to start sums from, with a row and a column of 0


@kernel(parallel=True)
def multiply(
    product, size, a, a_row, panels, scales, start, start_row, start_column, c, c_row, m, n, k, segments, threads
):
    """A product whose panels, of numbers of ``size`` bytes, are shared among the threads."""
    for thread in prange(threads):
        columns_product(
            product, size, a, a_row, panels, scales, start, start_row, start_column, c, c_row, m, n, k, segments, thread, threads
        )  # fmt: skip


@kernel()
def multiply_alone(
    product, size, a, a_row, panels, scales, start, start_row, start_column, c, c_row, m, n, k, segments
):  # fmt: skip
    """The same within this thread: to wake the others takes longer than a small product, even if they have nothing to do."""
    columns_product(
        product, size, a, a_row, panels, scales, start, start_row, start_column, c, c_row, m, n, k, segments, 0, 1
    )  # fmt: skip


@kernel()
def columns_product(
    product, size, a, a_row, panels, scales, start, start_row, start_column, c, c_row, m, n, k, segments, thread, threads
):  # fmt: skip
    """The columns of a product that one of several threads takes."""
    first, last = share(-(-n // COLUMNS), thread, threads)
    if first < last:
        j = first * COLUMNS
        of_b = (panels + size * k * j, scales + 4 * j, start + 4 * j * start_column, start_row, start_column)
        call(product, (a, a_row) + of_b + (c + 4 * j, c_row, m, min(n, last * COLUMNS) - j, k, segments))  # noqa: RUF005
