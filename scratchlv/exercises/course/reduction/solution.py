"""A sum by many threads: a tree in shared memory.

A GPU runs one function, the kernel, in thousands of threads. They come in
blocks, and the threads of a block share a small, fast memory. Here each block
of THREADS threads adds up THREADS numbers of x:

    part[t] = x_i, or 0 past the end        i = block · THREADS + t
    part[t] = part[t] + part[t + s]         for t < s;  s = THREADS/2 … 2, 1
    sums[block] = part[0]

So log2(THREADS) steps do what one thread would do in THREADS: in step s the
first s threads each add a number that lies s further. An example with
THREADS = 4 and x = 1 2 3 4 5:

    block 0:  part = 1 2 3 4    s = 2:  4 6 . .    s = 1:  10 . . .
    block 1:  part = 5 0 0 0    s = 2:  5 0 . .    s = 1:   5 . . .
    sums = 10 5

What you need of numba.cuda, inside of the kernel:

- cuda.threadIdx.x is the number of the thread in its block, cuda.blockIdx.x
  that of the block. Every thread runs the whole function, with its own.
- cuda.shared.array(THREADS, float32) makes one array for all threads of the
  block. What it holds in the beginning is not defined: NaN, here.
- cuda.syncthreads() is a barrier: a thread waits there until all threads of
  its block have come to it. Without one nothing is said about who is first: a
  thread may read a number before another one has written it. All threads of
  the block must come to each barrier. So it cannot stand in an `if t < s:`,
  nor behind a `return` that some threads have taken.

`block_sums(x, sums)`: x (n,), n at least 1; sums (blocks,). The kernel is
launched with as many blocks as are needed, and returns nothing. No GPU is
needed: Numba's simulator runs the threads in Python. So this is slow, and its
errors are Python's.

If you run the file by itself, set NUMBA_ENABLE_CUDASIM=1 before.

Why: sums over a million numbers are everywhere (a loss, a norm, a softmax),
and one thread alone would keep the whole chip waiting.
"""

from numba import cuda, float32

THREADS = 32


@cuda.jit
def block_sums(x, sums):
    """One sum for each block of THREADS numbers."""
    part = cuda.shared.array(THREADS, float32)
    # <solution>
    t = cuda.threadIdx.x
    i = cuda.blockIdx.x * THREADS + t
    part[t] = x[i] if i < x.size else 0.0
    cuda.syncthreads()
    s = THREADS // 2
    while s > 0:
        if t < s:
            part[t] += part[t + s]
        cuda.syncthreads()
        s //= 2
    if t == 0:
        sums[cuda.blockIdx.x] = part[0]
    # </solution>
