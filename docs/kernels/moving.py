"""What the passes of a log softmax would take if nothing were computed: the same numbers moved, through arrays of that size."""

from numba import njit, prange

from scratchlv.bench.ceilings import bandwidths
from scratchlv.bench.timing import time_calls
from scratchlv.memory import empty


@njit(parallel=True)
def copy(z, y):
    for n in prange(z.shape[0]):
        for v in range(z.shape[1]):
            y[n, v] = z[n, v]


@njit(parallel=True)
def add(dy, y, dz):
    for n in prange(y.shape[0]):
        for v in range(y.shape[1]):
            dz[n, v] = dy[n, v] + y[n, v]


a, b, c = arrays = [empty((1280, 10_000)) for _ in range(3)]
for array in arrays:
    array[...] = 1
best = bandwidths(*(array.reshape(-1) for array in arrays), seconds=1.0)  # bytes a second: also past the caches
for name, loop, used, pattern in (("forward", copy, (a, b), "copy"), ("backward", add, (a, b, c), "triad")):
    loop(*used)
    plain = time_calls(lambda loop=loop, used=used: loop(*used), seconds=1.0).least
    size = sum(array.nbytes for array in used)
    print(f"{name:8}  a loop in Numba {1e3 * plain:.2f} ms, the fastest known {1e3 * size / best[pattern]:.2f} ms")
