"""The LSTM on a GPU: the launches of ``lstm.cu``. What is a product over all steps is one product."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty, zeros
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.recurrent_plan import Plan, lengths_of, plan_for
from scratchlv.kernels.linear.cuda import sum_rows
from scratchlv.kernels.lstm.reference import Gradients, check
from scratchlv.kernels.matmul.cuda import Bf16Matrix, gemm, unpacked

VERSIONS = {1: "a product and a cell kernel for each step", 2: "one launch for all steps, Wh on the chip"}


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    c: Array  # (T + 1, N, H)
    gates: Array  # (T, N, 4H), after σ and tanh
    Wx: Array  # (D, 4H)
    Wh: Array  # (H, 4H)
    lengths: Array | None  # (N,)


def limits(
    x: Any, h0: Any, c0: Any, Wx: Any, Wh: Any, b: Any, lengths: Any = None, *, train: bool = True
) -> str | None:
    return cannot_serve(x, h0, c0, unpacked(Wx), unpacked(Wh), b)


def forward(
    x: Array,
    h0: Array,
    c0: Array,
    Wx: Array | Bf16Matrix,
    Wh: Array | Bf16Matrix,
    b: Array,
    lengths: Array | None = None,
    *,
    train: bool = True,
) -> tuple[tuple[Array, Array], Cache | None]:
    check(x, h0, c0, Wx, Wh, b, lengths)
    (T, N, D), H = x.shape, h0.shape[1]
    x, lengths = as_contiguous(x), lengths_of(lengths, x)
    h, c = empty((T + 1, N, H), x), empty((T + 1 if train else 1, N, H), x)
    plan = _plan(h)
    gates = gemm(x.reshape(T * N, D), Wx, bias=b if plan is None else None).reshape(T, N, 4 * H)
    if plan is not None:
        _forward(plan, gates, h0, c0, unpacked(Wh), b, lengths, h, c, train)
    else:
        h[0], c[0] = h0, c0
        for t in range(T):
            before, after = (c[t], c[t + 1]) if train else (c[0], c[0])
            gemm(h[t], Wh, gates[t], accumulate=True)
            cell_forward(gates[t], before, after, h[t], h[t + 1], lengths, t)
    return (h[1:], c[-1]), Cache(x, h, c, gates, unpacked(Wx), unpacked(Wh), lengths) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> Gradients:
    x, h, c, gates, Wx, Wh, lengths = cache
    (T, N, D), H = x.shape, h.shape[2]
    dh_out, dc_last = (None if d is None else as_contiguous(d) for d in dy)
    plan = _plan(h)
    if plan is not None:
        da, dh, dc = _backward(plan, gates, c, dh_out, dc_last, Wh, lengths)
    else:
        dh, dc, da = zeros((N, H), h), empty((N, H), h), empty((T, N, 4 * H), h)
        dc[...] = 0 if dc_last is None else dc_last
        for t in reversed(range(T)):
            dh_t = None if dh_out is None else dh_out[t]
            cell_backward(da[t], gates[t], c[t], c[t + 1], dh_t, dh, dc, lengths, t)
            gemm(da[t], Wh, dh, transpose_b=True, accumulate=True)
    da = da.reshape(T * N, 4 * H)
    dx = gemm(da, Wx, transpose_b=True).reshape(x.shape)
    dWx = gemm(x.reshape(T * N, D), da, transpose_a=True)
    dWh = gemm(h[:T].reshape(T * N, H), da, transpose_a=True)
    return Gradients(dx, dh, dc, dWx, dWh, sum_rows(da))


def _plan(h: Array) -> Plan | None:
    """How version 2 shares the work; None if version 1 is to do it: of a single step, or where Wh does not fit on the chip."""
    (N, H), T = h.shape[1:], h.shape[0] - 1
    return plan_for(h, N, H) if version(VERSIONS) == 2 and T > 1 and N > 0 and H > 0 else None


def _forward(
    plan: Plan,
    gates: Array,
    h0: Array,
    c0: Array,
    Wh: Array,
    b: Array,
    lengths: Array | None,
    h: Array,
    c: Array,
    keep: bool,
) -> None:
    """All steps: ``h`` and ``c`` (T + 1, N, H) are written, and ``gates``, which enter as x Wx, become the gates.

    Without ``keep`` no gates are written and only the last c, (1, N, H).
    """
    sizes = [np.int32(n) for n in (keep, *gates.shape[:2], h.shape[2], plan.quads, plan.rows, plan.tf32)]
    load("lstm.cu")["lstm_forward"](
        (plan.column_blocks, plan.row_blocks),
        (plan.threads,),
        *(gates, as_contiguous(h0), as_contiguous(c0), as_contiguous(Wh), as_contiguous(b), lengths, h, c, *sizes),
        shared=plan.forward_bytes,
        cooperative=True,
    )


def _backward(
    plan: Plan, gates: Array, c: Array, dh_out: Array | None, dc_last: Array | None, Wh: Array, lengths: Array | None
) -> tuple[Array, Array, Array]:
    """All steps: ``da`` (T, N, 4H), ``dh0`` and ``dc0`` (N, H)."""
    (T, N, _), H, columns = gates.shape, c.shape[2], plan.column_blocks
    da, dh0, dc0 = empty(gates.shape, c), empty((N, H), c), empty((N, H), c)
    dh_partials = empty((2, plan.row_blocks, columns, columns, plan.rows, plan.quads), c)
    load("lstm.cu")["lstm_backward"](
        (columns, plan.row_blocks),
        (plan.threads,),
        *(da, gates, c, dh_out, dc_last, as_contiguous(Wh), lengths, dh_partials, dh0, dc0),
        *(np.int32(n) for n in (T, N, H, plan.quads, plan.rows, plan.lanes, plan.tf32)),
        shared=plan.backward_bytes,
        cooperative=True,
    )
    return da, dh0, dc0


def cell_forward(
    gates: Array, c_before: Array, c_after: Array, h_before: Array, h_after: Array, lengths: Array | None, t: int
) -> None:
    """One step: ``gates`` (N, 4H), pre-activations, become the gates; ``c_after`` and ``h_after`` (N, H) are written.

    Past its length (``lengths`` (N,) int64) the state of a sequence is copied.
    """
    N, H = c_before.shape
    cell, sizes = load("lstm.cu")["lstm_cell_forward"], (np.int32(t), np.int32(N), np.int32(H))
    cell(blocks(N * H, 256), (256,), gates, c_before, c_after, h_before, h_after, lengths, *sizes)


def cell_backward(
    da: Array,
    gates: Array,
    c_before: Array,
    c_after: Array,
    dh_out: Array | None,
    dh: Array,
    dc: Array,
    lengths: Array | None,
    t: int,
) -> None:
    """One step: ``da`` (N, 4H), the gradient of the pre-activations, is written.

    ``dh`` and ``dc`` (N, H) are those of the state after the step; ``dc`` becomes that of the state before it, and so
    does ``dh`` when ``da Whᵀ`` is added to it.
    """
    N, H = c_before.shape
    cell, sizes = load("lstm.cu")["lstm_cell_backward"], (np.int32(t), np.int32(N), np.int32(H))
    cell(blocks(N * H, 256), (256,), da, gates, c_before, c_after, dh_out, dh, dc, lengths, *sizes)
