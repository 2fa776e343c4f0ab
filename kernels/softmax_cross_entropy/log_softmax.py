"""The log of a softmax, for choosing words: a row is read and written while it is in cache."""

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, exp_nonpositive, total
from scratchlv.kernels.building_blocks.memory import as_contiguous, empty
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.softmax_cross_entropy.numba_cpu import _largest


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """``z - log Σ e^z`` of float32 ``logits`` z (N, V) with V ≥ 1, along V."""
    out = empty(logits.shape)
    _log_softmax(as_contiguous(logits), out, min(n_threads(), len(logits)) if len(logits) > 1 else 1)
    return out


@kernel(parallel=True, fastmath=FLAGS)
def _log_softmax(z, out, threads):
    for thread in prange(threads):
        first, last = share(len(z), thread, threads)
        for n in range(first, last):
            row, log_p = z[n], out[n]
            top = _largest(row)
            for v in range(row.size):
                log_p[v] = exp_nonpositive(row[v] - top)
            log_sum = np.float32(np.log(total(log_p)))
            for v in range(row.size):
                log_p[v] = (row[v] - top) - log_sum
