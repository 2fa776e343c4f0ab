"""The attending LSTM in float32: every thread takes its rows of the batch through all steps, and waits for no other.

Weights are packed once. The words go through their part of Wx in one product before the loop; the gradients of the weights,
of the words, of the regions and of the keys are each one pass over all steps after it. What a step of attention costs:

    tanh(k + q) = 1 - 2 r        1 - tanh² = 4 p r²        p = e^{2k} e^{2q},  r = 1 / (1 + p)

e^{2k} is made once for each picture and e^{2q} once for each step, so that a score takes one reciprocal for each of its terms,
forward and backward, and nothing of size (N, L, A) is kept of a step. p must neither overflow nor vanish: q is held within
±28. Where the keys of a picture are all within ±14, k + q is then still beyond ±14, where tanh is ±1 to the last bit of float32
and more. A picture with a key further out, or with NaN, has p computed whole at every step, from k + q within ±42: slower,
and as exact.

1 - 2 r is exact to the last bits of 1, which is enough for the scores. The gradient of v is a sum of tanh itself: where keys and
queries are small, so is tanh, and it is (p - 1) r, with p - 1 = e^{2k} (e^{2q} - 1) + (e^{2k} - 1).

A gate and drawn regions are compiled only where they are asked for: without them the loop is what it would be if nobody had
ever thought of them, to the bit.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from scratchlv.kernels.additive_attention.numba_cpu import (
    add_outer,
    as_mask,
    attend,
    attend_backward,
    weighted_sum,
)
from scratchlv.kernels.additive_attention.queries import softmax_backward_of_row, softmax_of_row
from scratchlv.kernels.additive_attention.row_sums import (
    add_derivatives_of_rows,
    derivatives_over_steps,
    dots_of_rows,
    scores_of_rows,
)
from scratchlv.kernels.attention_lstm.reference import DRAWS, Gradients, check
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, dot, exp, expm1, sigmoid
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.lstm.numba_cpu import cells, cells_backward
from scratchlv.kernels.matmul.numba_cpu import (
    PackedMatrix,
    add_rows_product,
    float32_only,
    gemm,
    multiply,
    work_space,
)
from scratchlv.memory import as_contiguous, empty, empty_like, zeros

ZERO, ONE, TWO, FOUR = np.float32(0), np.float32(1), np.float32(2), np.float32(4)
MOST_KEY, MOST_QUERY, MOST_SUM = np.float32(14), np.float32(28), np.float32(42)
_NO_V = np.empty(0, np.float32)  # the score is a dot product
#: Bytes of pictures that a thread takes through all steps together: they stay in the last-level cache from step to step.
AT_ONCE = value("attention_lstm.at_once")
FEWEST = 8  #: pictures; with fewer rows at a time the matrix products would take longer


class Extra(NamedTuple):
    """What only some calls have: a gate, drawn regions, or both. What is absent has a size of 0."""

    Wg: np.ndarray  # (H,)
    bg: np.ndarray  # (1,)
    draws: np.ndarray  # (T, N)
    looked: np.ndarray  # (T, N, L), s; α itself where nothing is drawn
    context: np.ndarray  # (T, N, D), before the gate; z itself where there is none
    gate: np.ndarray  # (T, N), after σ


class Cache(NamedTuple):
    words: np.ndarray  # (T, N, E)
    x: np.ndarray  # (N, L, D)
    keys: np.ndarray  # (N, L, A)
    factors: np.ndarray  # (N, L, A), e^{2 keys}
    overflows: np.ndarray  # (N,), where the keys are too large for it
    query: np.ndarray  # (T, N, A)
    alpha: np.ndarray  # (T, N, L)
    z: np.ndarray  # (T, N, D)
    h: np.ndarray  # (T + 1, N, H)
    c: np.ndarray  # (T + 1, N, H)
    gates: np.ndarray  # (T, N, 4H), after σ and tanh
    Wq: np.ndarray  # (H, A)
    v: np.ndarray | None  # (A,)
    Wx: np.ndarray  # (E + D, 4H)
    Wh: np.ndarray  # (H, 4H)
    extra: Extra | None
    need_dx: bool

    @property
    def looked(self) -> np.ndarray:
        """s (T, N, L), which is α where no region was drawn."""
        return self.alpha if self.extra is None else self.extra.looked


def limits(
    words: Any,
    x: Any,
    keys: Any,
    h0: Any,
    c0: Any,
    Wq: Any,
    v: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    mask: Any = None,
    Wg: Any = None,
    bg: Any = None,
    draws: Any = None,
    *,
    need_dx: bool = True,
    train: bool = True,
) -> str | None:
    return float32_only(words, x, keys, h0, c0, Wq, v, Wx, Wh, b, Wg, bg)


def forward(
    words: np.ndarray,
    x: np.ndarray,
    keys: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    Wq: np.ndarray,
    v: np.ndarray | None,
    Wx: np.ndarray,
    Wh: np.ndarray,
    b: np.ndarray,
    mask: np.ndarray | None = None,
    Wg: np.ndarray | None = None,
    bg: np.ndarray | None = None,
    draws: np.ndarray | None = None,
    *,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Cache | None]:
    check(words, x, keys, h0, c0, Wq, v, Wx, Wh, b, mask, Wg, bg, draws)
    words, x, keys = (as_contiguous(a) for a in (words, x, keys))
    v = None if v is None else as_contiguous(v)
    (T, N, E), (_, L, D), (H, A) = words.shape, x.shape, Wq.shape
    gates = gemm(words.reshape(T * N, E), Wx[:E], bias=b).reshape(T, N, 4 * H)
    query, alpha, z = zeros((T, N, A)), empty((T, N, L)), empty((T, N, D))
    h, c = empty((T + 1, N, H)), empty((T + 1, N, H))
    h[0], c[0] = h0, c0
    factors, overflows = keys if v is None else empty_like(keys), np.zeros(N, np.bool_)
    panels = tuple(PackedMatrix(W).panels for W in (Wq, Wh, Wx[E:]))
    work = empty((parts_of_batch(x, keys), work_space(N, max(H, D))))
    v_or_none = _NO_V if v is None else v
    attention = x, keys, factors, overflows, v_or_none, as_mask(mask, N)
    extra = _extra(Wg, bg, draws, alpha, z)
    _forward(multiply.address, gates, attention, panels, query, alpha, z, h, c, np.full(N, T), work, extra)
    cache = Cache(words, x, keys, factors, overflows, query, alpha, z, h, c, gates, Wq, v, Wx, Wh, extra, need_dx)
    return (h[1:], z, alpha), cache if train else None


def _extra(Wg: Any, bg: Any, draws: Any, alpha: np.ndarray, z: np.ndarray) -> Extra | None:
    if Wg is None and draws is None:
        return None
    looked = alpha if draws is None else empty_like(alpha)
    draws = np.empty((0, 0), np.int64) if draws is None else as_contiguous(draws, np.int64)
    if Wg is None:
        return Extra(empty(0), empty(0), draws, looked, z, empty((0, 0)))
    return Extra(as_contiguous(Wg), as_contiguous(bg), draws, looked, empty_like(z), empty(z.shape[:2]))


def backward(dy: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None], cache: Cache) -> Gradients:
    words, x, keys, factors, overflows, query, alpha, z, h, c, gates, Wq, v, Wx, Wh, extra, need_dx = cache
    (T, N, E), H, A = words.shape, h.shape[2], keys.shape[2]
    dh_out, dz_out, dalpha_out = dy
    dh_out = zeros((T, N, H)) if dh_out is None else as_contiguous(dh_out)
    dalpha_out = zeros(alpha.shape) if dalpha_out is None else as_contiguous(dalpha_out)
    dz = empty_like(z)
    dz[:] = 0 if dz_out is None else dz_out
    dh, dc = zeros((N, H)), zeros((N, H))
    da, dquery, de = empty_like(gates), empty_like(query), empty_like(alpha)
    v_or_none = _NO_V if v is None else v
    panels = tuple(PackedMatrix(W.T).panels for W in (Wx[E:], Wh, Wq))
    work = empty((parts_of_batch(x, keys), work_space(N, max(4 * H, A))))
    upstream = dh_out, dalpha_out
    attention = x, keys, factors, overflows, v_or_none, query, alpha
    lengths = np.full(gates.shape[1], T)
    dgate = None if extra is None else empty(extra.gate.shape)
    steps = attention, c, gates, panels, lengths, work
    _backward(multiply.address, da, dquery, de, dz, dh, dc, dgate, upstream, *steps, extra)
    dkeys, dv, dx = empty_like(keys), None, None
    if v is None:
        _sum_over_steps(de, query, dkeys)  # e = keys · query
    else:
        dv_partial = empty((N, A))  # a picture's part of dv
        _key_gradients(de, query, keys, factors, overflows, v, dkeys, dv_partial)
        dv = dv_partial.sum(0, dtype=np.float64).astype(np.float32)
    if need_dx:
        dx = empty_like(x)
        _sum_over_steps(cache.looked, dz, dx)  # z = Σ s x
    words2, da2, dquery2 = words.reshape(T * N, E), da.reshape(T * N, 4 * H), dquery.reshape(T * N, A)
    h2, z2 = h[:T].reshape(T * N, H), z.reshape(T * N, z.shape[2])
    dWx, db = empty_like(Wx), empty(4 * H)
    gemm(words2, da2, dWx[:E], transpose_a=True, column_sums=db)
    gemm(z2, da2, dWx[E:], transpose_a=True)
    dwords = gemm(da2, Wx[:E], transpose_b=True).reshape(words.shape)
    dWq, dWh = gemm(h2, dquery2, transpose_a=True), gemm(h2, da2, transpose_a=True)
    dWg = dbg = None
    if extra is not None and dgate is not None and extra.bg.size:
        dWg = gemm(h2, dgate.reshape(T * N, 1), transpose_a=True).reshape(H)
        dbg = dgate.sum(dtype=np.float64, keepdims=True).astype(np.float32).reshape(1)
    return Gradients(dwords, dx, dkeys, dh, dc, dWq, dv, dWx, dWh, db, dWg, dbg)


def parts_of_batch(x: np.ndarray, keys: np.ndarray) -> int:
    """How many parts the batch is cut into, as many for each thread."""
    threads = n_threads()
    pictures, size = -(-len(x) // threads), (x.nbytes + keys.nbytes) // max(1, len(x))
    at_once = max(FEWEST, AT_ONCE // max(1, size))
    return threads * max(1, -(-pictures // at_once))


# --- through all steps -----------------------------------------------------------------------------------------------


@kernel(parallel=True, fastmath=FLAGS)
def _forward(multiply, gates, attention, panels, query, alpha, z, h, c, lengths, work, extra):
    # Without extra, which is None then, its branches are not compiled.
    x, keys, factors, overflows, v, mask = attention
    T, N, L = alpha.shape
    A = keys.shape[2]
    from_h_to_query, from_h, from_z = panels
    for part in prange(len(work)):
        first, last = share(N, part, len(work))
        sums, e_query = np.empty(L + 3), np.empty(A, np.float32)
        for n in range(first, last if v.size else first):
            overflows[n] = key_factors(keys[n], factors[n])
        exp_sums = np.empty((rows_of_overflows(overflows, first, last, L), A), np.float32)
        for t in range(T):
            add_rows_product(multiply, h[t], from_h_to_query, query[t], first, last, work[part])
            add_rows_product(multiply, h[t], from_h, gates[t], first, last, work[part])
            for i in range(last - first):
                n = first + i if t % 2 else last - 1 - i  # to and fro: the last ones are still at hand
                if v.size:
                    rows = both_factors(keys[n], factors[n], overflows[n], query[t, n], e_query, exp_sums)
                    scores_of_rows(rows, e_query, v, sums)
                else:
                    dots_of_rows(keys[n], query[t, n], sums)
                if extra is None:
                    attend(sums, mask[n], x[n], alpha[t, n], z[t, n])
                else:
                    look(sums, mask[n], x[n], h[t, n], alpha[t, n], z[t, n], extra, t, n)
            add_rows_product(multiply, z[t], from_z, gates[t], first, last, work[part])
            cells(gates, h, c, t, lengths, first, last)


@kernel(parallel=True, fastmath=FLAGS)
def _backward(multiply, da, dquery, de, dz, dh, dc, dgate, upstream, attention, c, gates, panels, lengths, work, extra):
    """``dz`` enters as the upstream gradient; ``dh`` and ``dc`` leave as those of the first state."""
    dh_out, dalpha_out = upstream
    x, keys, factors, overflows, v, query, alpha = attention
    T, N, L = alpha.shape
    A = keys.shape[2]
    to_z, to_h, from_query_to_h = panels
    for part in prange(len(work)):
        first, last = share(N, part, len(work))
        sums, e_query = np.empty(L + 3), np.empty(A, np.float32)
        exp_sums = np.empty((rows_of_overflows(overflows, first, last, L), A), np.float32)
        for t in range(T - 1, -1, -1):
            cells_backward(da, gates, c, dh_out, dh, dc, t, lengths, first, last)
            add_rows_product(multiply, da[t], to_z, dz[t], first, last, work[part])
            for i in range(last - first):
                n = first + i if t % 2 else last - 1 - i  # to and fro: the last ones are still at hand
                if extra is None:
                    attend_backward(dz[t, n], dalpha_out[t, n], x[n], alpha[t, n], sums, de[t, n])
                else:
                    look_backward(dz[t, n], dalpha_out[t, n], x[n], alpha[t, n], sums, de[t, n], dgate, extra, t, n)
                if v.size:
                    rows = both_factors(keys[n], factors[n], overflows[n], query[t, n], e_query, exp_sums)
                    query_gradient(de[t, n], rows, e_query, v, dquery[t, n])
                else:
                    weighted_sum(de[t, n], keys[n], dquery[t, n])
            add_rows_product(multiply, da[t], to_h, dh, first, last, work[part])
            add_rows_product(multiply, dquery[t], from_query_to_h, dh, first, last, work[part])
            if extra is not None:
                add_gate_gradient(dgate[t], extra.Wg, dh, first, last)


# --- one step of one picture -----------------------------------------------------------------------------------------


@kernel(fastmath=FLAGS)
def look(scores, mask, regions, state, weights, z, extra, t, n):
    """:func:`attend` where a region may be drawn, and the context goes through a gate."""
    softmax_of_row(scores, mask, weights.size, weights)
    context, looked = extra.context[t, n], weights
    if extra.draws.size:
        looked = extra.looked[t, n]
        pick(weights, extra.draws[t, n], looked)
    weighted_sum(looked, regions, context)
    if extra.bg.size:
        beta = sigmoid(np.float32(dot(state, extra.Wg) + extra.bg[0]))
        extra.gate[t, n] = beta
        for d in range(z.size):
            z[d] = beta * context[d]


@kernel(fastmath=FLAGS)
def add_gate_gradient(dgate, Wg, dh, first, last):
    """``dh[n] += dgate[n] Wg``, where there is a gate."""
    if Wg.size:
        add_outer(dgate[first:last], Wg, dh[first:last])


@kernel()
def pick(weights, draw, looked):
    """``looked`` (L,): one-hot at the region that is drawn, the weights themselves where ``draw`` is below 0."""
    reached = 0.0
    for l in range(weights.size):
        reached += np.float64(weights[l])
    draws_at = draw / DRAWS * reached
    of_none = ZERO * np.float32(reached)  # of NaN, NaN
    reached, passed = 0.0, False
    for l in range(weights.size):
        reached += np.float64(weights[l])
        now = reached > draws_at
        looked[l] = weights[l] if draw < 0 else of_none + (ONE if now and not passed else ZERO)
        passed = now


@kernel(fastmath=FLAGS)
def look_backward(dz, dweights, regions, weights, sums, dscores, dgate, extra, t, n):
    """The way back of :func:`look`; ``dz`` (D,) becomes the gradient of the context before the gate."""
    if extra.bg.size:
        beta = extra.gate[t, n]
        dgate[t, n] = np.float32(dot(dz, extra.context[t, n])) * beta * (ONE - beta)
        for d in range(dz.size):
            dz[d] *= beta
    if extra.draws.size and extra.draws[t, n] >= 0:  # what was drawn is looked at whatever the weights are
        for l in range(weights.size):
            dscores[l] = dweights[l]
        softmax_backward_of_row(weights, dscores, weights.size)
    else:
        attend_backward(dz, dweights, regions, weights, sums, dscores)


@kernel(fastmath=FLAGS)
def key_factors(keys, factors):
    """``factors = e^{2 keys}`` (L, A), and whether a key is too large for it, or NaN."""
    overflows = False
    for l in range(keys.shape[0]):
        key, factor = keys[l], factors[l]
        outside = 0
        for a in range(key.size):
            factor[a] = exp(TWO * key[a])
            outside += 0 if abs(key[a]) <= MOST_KEY else 1
        overflows |= outside > 0
    return overflows


@kernel(fastmath=FLAGS)
def rows_of_overflows(overflows, first, last, L):
    """So many rows a thread needs for those among its pictures that overflow: ``L`` or none."""
    for n in range(first, last):
        if overflows[n]:
            return L
    return 0


@kernel(fastmath=FLAGS)
def both_factors(keys, factors, overflows, query, e_query, exp_sums):
    """Rows (L, A) and ``e_query`` (A,) whose products are e^{2(keys + query)}; ``exp_sums`` (L, A) is for one that overflows."""
    if not overflows:
        query_factors(query, e_query)
        return factors
    for l in range(keys.shape[0]):
        sum_factors(keys[l], query, exp_sums[l])
    for a in range(query.size):
        e_query[a] = 1
    return exp_sums


@kernel(fastmath=FLAGS)
def query_factors(query, e_query):
    """``e_query = e^{2 query}``."""
    for a in range(query.size):
        e_query[a] = exp(TWO * within(query[a], MOST_QUERY))


@kernel(fastmath=FLAGS)
def query_factors_less_1(query, e_query_less_1):
    """``e_query_less_1 = e^{2 query} - 1``."""
    for a in range(query.size):
        e_query_less_1[a] = expm1(TWO * within(query[a], MOST_QUERY))


@kernel(fastmath=FLAGS)
def sum_factors(key, query, exp_sums):
    """``exp_sums = e^{2(key + query)}`` of one region."""
    for a in range(query.size):
        exp_sums[a] = exp(TWO * within(key[a] + query[a], MOST_SUM))


@njit(inline="always")
def within(x, most):
    """``x``, at least -most and at most most; NaN stays NaN."""
    x = most if x > most else x
    return -most if x < -most else x


@kernel(fastmath=FLAGS)
def query_gradient(de, rows, e_query, v, dquery):
    """``dquery`` = Σ_l de_l v (1 - tanh²)."""
    for a in range(dquery.size):
        dquery[a] = 0
    add_derivatives_of_rows(de, rows, e_query, dquery)
    for a in range(dquery.size):
        dquery[a] *= FOUR * v[a]


# --- over all steps, after the loop ------------------------------------------------------------------------------------


@kernel(parallel=True, fastmath=FLAGS)
def _key_gradients(de, query, keys, factors, overflows, v, dkeys, dv_partial):
    """``dkeys`` (N, L, A) and a picture's part of dv (N, A), summed over all steps while a row of keys is at hand."""
    T, N, L = de.shape
    A = keys.shape[2]
    for n in prange(N):
        e_query, e_query_less_1 = np.empty((T, A), np.float32), np.empty((T, A), np.float32)
        ones, weights, tanhs = np.ones(A, np.float32), np.empty(T, np.float32), np.empty(A, np.float32)
        sums = np.zeros(A)  # of many terms: in float64 over the regions
        for t in range(T):
            query_factors(query[t, n], e_query[t])
            query_factors_less_1(query[t, n], e_query_less_1[t])
        for l in range(L):
            key, factor, dkey = keys[n, l], factors[n, l], dkeys[n, l]
            for t in range(T):
                weights[t] = de[t, n, l]
            if overflows[n]:
                for t in range(T):
                    sum_factors(key, query[t, n], e_query[t])
                derivatives_over_steps(weights, ones, ones, e_query, e_query_less_1, dkey, tanhs)
            else:
                derivatives_over_steps(weights, key, factor, e_query, e_query_less_1, dkey, tanhs)
            for a in range(A):
                dkey[a] *= FOUR * v[a]
                sums[a] += tanhs[a]
        for a in range(A):
            dv_partial[n, a] = sums[a]


@kernel(parallel=True, fastmath=FLAGS)
def _sum_over_steps(weights, rows, out):
    """``out[n, l] = Σ_t weights[t, n, l] rows[t, n]``."""
    T, N, L = weights.shape
    for n in prange(N):
        for l in range(L):
            total = out[n, l]
            for d in range(total.size):
                total[d] = 0
            for t in range(T):
                w, row = weights[t, n, l], rows[t, n]
                for d in range(total.size):
                    total[d] += w * row[d]
