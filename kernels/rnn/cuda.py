"""The plain recurrent layer on a GPU: the launches of ``rnn.cu``. What is a product over all steps is one product."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty, zeros
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.recurrent_plan import Plan, lengths_of, plan_for
from scratchlv.kernels.linear.cuda import sum_rows
from scratchlv.kernels.matmul.cuda import Bf16Matrix, gemm, unpacked
from scratchlv.kernels.rnn.reference import Gradients, check

VERSIONS = {1: "a product and a cell kernel for each step", 2: "one launch for all steps, Wh on the chip"}


class Cache(NamedTuple):
    x: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    Wx: Array  # (D, H)
    Wh: Array  # (H, H)
    lengths: Array | None  # (N,)
    nonlinearity: str


def limits(
    x: Any,
    h0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    lengths: Any = None,
    *,
    nonlinearity: str = "tanh",
    train: bool = True,
) -> str | None:
    return cannot_serve(x, h0, unpacked(Wx), unpacked(Wh), b)


def forward(
    x: Array,
    h0: Array,
    Wx: Array | Bf16Matrix,
    Wh: Array | Bf16Matrix,
    b: Array,
    lengths: Array | None = None,
    *,
    nonlinearity: str = "tanh",
    train: bool = True,
) -> tuple[Array, Cache | None]:
    check(x, h0, Wx, Wh, b, lengths, nonlinearity)
    (T, N, D), H = x.shape, h0.shape[1]
    x, lengths = as_contiguous(x), lengths_of(lengths, x)
    h = empty((T + 1, N, H), x)
    plan = _plan(h)
    gemm(x.reshape(T * N, D), Wx, h[1:].reshape(T * N, H), bias=b if plan is None else None)
    if plan is not None:
        _forward(plan, h0, unpacked(Wh), b, lengths, h, nonlinearity)
    else:
        h[0] = h0
        cell, use_sigmoid = load("rnn.cu")["rnn_cell_forward"], np.int32(nonlinearity == "sigmoid")
        for t in range(T):
            gemm(h[t], Wh, h[t + 1], accumulate=True)
            sizes = np.int32(t), np.int32(N), np.int32(H)
            cell(blocks(N * H, 256), (256,), h[t], h[t + 1], lengths, use_sigmoid, *sizes)
    return h[1:], Cache(x, h, unpacked(Wx), unpacked(Wh), lengths, nonlinearity) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    x, h, Wx, Wh, lengths, nonlinearity = cache
    (T, N, D), H = x.shape, h.shape[2]
    dy, plan = as_contiguous(dy), _plan(h)
    if plan is not None:
        da, dh = _backward(plan, h, dy, Wh, lengths, nonlinearity)
    else:
        dh, da = zeros((N, H), h), empty((T, N, H), h)
        cell, use_sigmoid = load("rnn.cu")["rnn_cell_backward"], np.int32(nonlinearity == "sigmoid")
        for t in reversed(range(T)):
            sizes = np.int32(t), np.int32(N), np.int32(H)
            cell(blocks(N * H, 256), (256,), da[t], h[t + 1], dy[t], dh, lengths, use_sigmoid, *sizes)
            gemm(da[t], Wh, dh, transpose_b=True, accumulate=True)
    da = da.reshape(T * N, H)
    dx = gemm(da, Wx, transpose_b=True).reshape(x.shape)
    dWx = gemm(x.reshape(T * N, D), da, transpose_a=True)
    dWh = gemm(h[:T].reshape(T * N, H), da, transpose_a=True)
    return Gradients(dx, dh, dWx, dWh, sum_rows(da))


def _plan(h: Array) -> Plan | None:
    """How version 2 shares the work; None if version 1 is to do it: of a single step, or where Wh does not fit on the chip."""
    (N, H), T = h.shape[1:], h.shape[0] - 1
    return plan_for(h, N, H, gates=1) if version(VERSIONS) == 2 and T > 1 and N > 0 and H > 0 else None


def _forward(plan: Plan, h0: Array, Wh: Array, b: Array, lengths: Array | None, h: Array, nonlinearity: str) -> None:
    """All steps: ``h`` (T + 1, N, H) is written; it enters as x Wx, but for its first."""
    (N, H), T = h.shape[1:], h.shape[0] - 1
    load("rnn.cu")["rnn_forward"](
        (plan.column_blocks, plan.row_blocks),
        (plan.threads,),
        *(as_contiguous(h0), as_contiguous(Wh), as_contiguous(b), lengths, h),
        *(np.int32(n) for n in (nonlinearity == "sigmoid", T, N, H, plan.quads, plan.rows, plan.tf32)),
        shared=plan.forward_bytes,
        cooperative=True,
    )


def _backward(
    plan: Plan, h: Array, dy: Array, Wh: Array, lengths: Array | None, nonlinearity: str
) -> tuple[Array, Array]:
    """All steps: ``da`` (T, N, H) and ``dh0`` (N, H)."""
    (T, N, H), columns = dy.shape, plan.column_blocks
    da, dh0 = empty(dy.shape, h), empty((N, H), h)
    dh_partials = empty((2, plan.row_blocks, columns, columns, plan.rows, 4 * plan.quads), h)
    load("rnn.cu")["rnn_backward"](
        (columns, plan.row_blocks),
        (plan.threads,),
        *(da, h, dy, as_contiguous(Wh), lengths, dh_partials, dh0),
        *(np.int32(n) for n in (nonlinearity == "sigmoid", T, N, H, plan.quads, plan.rows, plan.lanes, plan.tf32)),
        shared=plan.backward_bytes,
        cooperative=True,
    )
    return da, dh0
