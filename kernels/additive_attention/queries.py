"""Several queries for one set of keys, in float32: what the two scores share.

Queries are taken in blocks, and so are the keys whose gradients are summed: every thread takes the next block of any picture.
What a block computes is products of matrices, within its thread: the context of all its queries is α x, and so on. The
scores are made where α will stand, and a softmax goes over them row by row; keys and regions are read from where they lie.

A causal query looks at the first keys only, a block of them at no more than its last one: the others are left out.
"""

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, exp_nonpositive, total
from scratchlv.kernels.building_blocks.simd import address, call
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item
from scratchlv.kernels.matmul.micro_kernels import TILE_COLUMNS
from scratchlv.kernels.matmul.numba_cpu import work_space
from scratchlv.memory import as_contiguous, empty, zeros

AT_ONCE = 64  #: queries, or keys, of a block
NOTHING = np.zeros((1, TILE_COLUMNS), np.float32)  #: what a product is added to if to nothing
ZERO = np.float32(0)


def as_masks(mask: np.ndarray | None, N: int) -> np.ndarray:
    """The mask for the kernels: (N, T, L) or (N, 1, L); (N, 1, 0) where everything may be looked at."""
    if mask is None:
        return np.empty((N, 1, 0), np.bool_)
    mask = as_contiguous(np.asarray(mask, np.bool_))
    return mask if mask.ndim == 3 else mask[:, None]


def keys_seen(causal: bool, offset: int, T: int, L: int) -> np.ndarray:
    """How many keys each query may look at, (T,): the first ones."""
    return np.clip(np.arange(T) + offset + 1, 0, L) if causal else np.full(T, L)


def work_of_threads(*products: tuple[int, int, int]) -> np.ndarray:
    """For each thread, what :func:`product` needs for the largest of these products, given by their m, n and k."""
    of_a = max(work_space(m, k) for m, _, k in products)
    of_b = max(work_space(n, k, TILE_COLUMNS) for _, n, k in products)
    return empty((n_threads(), 2, max(of_a, of_b)))


def gradient_or_zeros(d: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """An output gradient, contiguous and of ``shape``."""
    return zeros(shape) if d is None else as_contiguous(d).reshape(shape)


@kernel()
def product(multiply, a, b, c, start, m, n, k, work):
    """``c = start + a b`` within one thread, (m, k) times (k, n); ``multiply`` is the address of the product.

    ``a``, ``b`` and ``start`` are each an address and the distances between rows and between columns, in floats, one of which
    is 1 (0 and 0: ``start`` is a vector of zeros); ``c`` an address and the distance between rows.
    """
    if m > 0 and n > 0:
        operands = a + (0,) + (b[0], b[2], b[1], 0) + c + start
        call(multiply, operands + (0, 0, 0, m, n, k, address(work[0]), address(work[1]), 0))


@kernel(fastmath=FLAGS)
def softmax_of_row(scores, mask, seen, weights):
    """``weights`` (L,), the softmax of the first ``seen`` scores for which ``mask`` (L,) or (0,) is True; the others are 0.

    All are, if there is no such score. The weights may stand where the scores do.
    """
    largest = -np.inf
    for l in range(seen):
        if mask.size and not mask[l]:
            scores[l] = -np.inf
        e = scores[l]
        largest = e if e > largest or e != e else largest
    if largest == -np.inf:
        largest = 0.0
    for l in range(seen):
        weights[l] = exp_nonpositive(np.float32(scores[l] - largest))
    for l in range(seen, weights.size):
        weights[l] = 0
    weight = total(weights)  # at least the 1 of the largest; 0 where there is nothing to look at
    scale = np.float32(1 / weight) if weight != 0 else ZERO
    for l in range(seen):
        weights[l] *= scale


@kernel()
def attend_rows(multiply, n, first, last, x, mask, seen, nothing, alpha, z, work):
    """Softmax and context of queries ``first`` to ``last`` - 1 of picture ``n``, whose scores stand in ``alpha`` (N, T, L)."""
    L, D = x.shape[1:]
    for t in range(first, last):
        softmax_of_row(alpha[n, t], mask[n, t if mask.shape[1] > 1 else 0], seen[t], alpha[n, t])
    most = seen[last - 1]
    of_alpha, of_x = (address(alpha[n, first]), L, 1), (address(x[n]), D, 1)
    product(multiply, of_alpha, of_x, (address(z[n, first]), D), (address(nothing), 0, 0), last - first, D, most, work)


@kernel(parallel=True, fastmath=FLAGS)
def backward_to_scores(multiply, dz, dalpha, de_out, x, alpha, seen, de, work):
    """``de`` (N, T, L) from the gradients of z, of α, and of the scores (N, T, L) or (0, 0, 0)."""
    N, T, L = alpha.shape
    D = x.shape[2]
    blocks = -(-T // AT_ONCE)
    counter = new_counter()
    for thread in prange(len(work)):
        item = next_item(counter)
        while item < N * blocks:
            n, first = item // blocks, item % blocks * AT_ONCE
            last = min(T, first + AT_ONCE)
            of_dz, of_x = (address(dz[n, first]), D, 1), (address(x[n]), 1, D)
            to, upstream = (address(de[n, first]), L), (address(dalpha[n, first]), L, 1)
            product(multiply, of_dz, of_x, to, upstream, last - first, seen[last - 1], D, work[thread])
            for t in range(first, last):
                softmax_backward_of_row(alpha[n, t], de[n, t], seen[t])
                if de_out.size:
                    upstream_scores, gradient = de_out[n, t], de[n, t]
                    for l in range(L):
                        gradient[l] += upstream_scores[l]
            item = next_item(counter)


@kernel(fastmath=FLAGS)
def softmax_backward_of_row(weights, d, seen):
    """The gradients of a row of attention, ``weights`` (L,), become those of its scores, in place: 0 where it may not look."""
    mean = ZERO  # Σ α dα
    for l in range(seen):
        mean += weights[l] * d[l]
    for l in range(seen):
        d[l] = weights[l] * (d[l] - mean)
    for l in range(seen, d.size):
        d[l] = 0


@kernel(parallel=True)
def sum_over_queries(multiply, weights, rows, seen, nothing, accumulate, out, work):
    """``out[n, l] = Σ_t weights[n, t, l] rows[n, t]``, or added to it. Query t has no weight for keys from ``seen[t]`` on."""
    N, T, L = weights.shape
    D = rows.shape[2]
    blocks = -(-L // AT_ONCE)
    counter = new_counter()
    for thread in prange(len(work)):
        item = next_item(counter)
        while item < N * blocks:
            n, first = item // blocks, item % blocks * AT_ONCE
            last, t = min(L, first + AT_ONCE), 0
            while t < T and seen[t] <= first:
                t += 1
            of_weights = (address(weights[n]) + 4 * (t * L + first), 1, L)  # the transpose
            of_rows, to = (address(rows[n]) + 4 * t * D, D, 1), (address(out[n, first]), D)
            before = (to[0], D, 1) if accumulate else (address(nothing), 0, 0)
            product(multiply, of_weights, of_rows, to, before, last - first, D, T - t, work[thread])
            item = next_item(counter)
