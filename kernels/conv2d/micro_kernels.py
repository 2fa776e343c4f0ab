"""The micro-kernel of weight gradients."""

from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.simd import I64, REGISTERS, WIDTH, ZERO, Emitter

CHANNELS = 8 if REGISTERS == 32 else 4  #: rows of C in a tile


@intrinsic
def outer_products(typing_context, a, lda, b, ldb, n, c, ldc):
    """``C[i, :] += Σ_p A[p, i] B[p, :]`` for ``CHANNELS`` values of i and two vectors of columns, p below ``n``.

    ``a``, ``b`` and ``c`` are addresses; their rows lie ``lda``, ``ldb`` and ``ldc`` floats apart. The sum is taken from zero
    and then added to C.
    """

    def emit(context, builder, signature, arguments):
        a, lda, b, ldb, n, c, ldc = arguments
        e = Emitter(builder)
        a_step, b_step = builder.mul(lda, I64(4)), builder.mul(ldb, I64(4))

        def body(p, values):
            a_at, b_at, sums = values[0], values[1], values[2:]
            row_of_b = [e.load(e.address(b_at, j * WIDTH)) for j in range(2)]
            for i in range(CHANNELS):
                x = e.broadcast(e.address(a_at, i))
                for j in range(2):
                    sums[2 * i + j] = e.fma(x, row_of_b[j], sums[2 * i + j])
            return [builder.add(a_at, a_step), builder.add(b_at, b_step), *sums]

        _, _, *sums = e.loop(n, [a, b, *[ZERO] * (2 * CHANNELS)], body)
        for i in range(CHANNELS):
            row = e.address(c, builder.mul(ldc, I64(i)))
            for j in range(2):
                at = e.address(row, j * WIDTH)
                e.store(builder.fadd(e.load(at), sums[2 * i + j]), at)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit
