"""A matrix product in blocks that fit the cache.

    C_ij = Σ_k A_ik B_kj            A (M, K), B (K, N), C (M, N)

Three loops compute it. How fast they are is decided by the cache. A
processor does not fetch a number from memory, but a cache line: 64 bytes,
8 numbers of float64 that lie side by side in a row. It keeps the lines that
were used last. What is still there costs nothing; what has gone is fetched
again, which takes as long as a hundred multiplications.

`plain`, below, makes one number of C after the other. For each it goes down a
whole column of B, and for the next row of C it goes over all of B again: if B
is larger than the cache, all of B is fetched once for every row of C.

In blocks, the matrices are cut into squares of `block` times `block` numbers,
and the outer loops go from square to square:

    for each square of C, with rows i0 … and columns j0 …
        for each k0:
            add (square of A at i0, k0) times (square of B at k0, j0)

Three squares stay in the cache while they are used, and each number that was
fetched serves `block` times before it goes. An example, 4 x 4 numbers with
block = 2: the upper left square of C is

    C[0:2, 0:2] = A[0:2, 0:2] B[0:2, 0:2] + A[0:2, 2:4] B[2:4, 0:2]

`matmul(A, B, C, block)` writes the product into C, whatever stood there, and
returns nothing. M, K and N need not be multiples of block: the last squares
are smaller. All of it is loops, in this one function, over single numbers
A[i, k] or over slices of a row such as c = C[i, j0 : j0 + block] (no np.dot):
the check counts. Slices, with an inner loop over range(c.size), are faster:
Numba then knows that no index is negative, and takes several numbers in one
instruction. A slice that reaches past the end of a row is cut there.

    >>> A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0], [1, 1]])
    >>> C = np.full((2, 2), 7.0)
    >>> matmul(A, B, C, 1)
    >>> C.tolist()
    [[3.0, 2.0], [7.0, 4.0]]

The check compares the results. Then it plays a cache of 48 lines, runs your
function on matrices of 32 x 32 with block = 8, and counts the lines that are
fetched: `plain` fetches more than 4,000, three squares at a time about 1,200.
It must be fewer than 2,000.

Why: on every processor memory is the slow part. Run this file when you are
done: it times both on your machine. (Where all of B fits the cache, loops in
the order i, k, j are as fast. Blocks stay fast when it does not.)
"""

import numpy as np
from numba import njit


@njit
def plain(A, B, C):
    """C = A B, one number after the other."""
    for i in range(C.shape[0]):
        for j in range(C.shape[1]):
            C[i, j] = 0.0
            for k in range(A.shape[1]):
                C[i, j] += A[i, k] * B[k, j]


@njit
def matmul(A, B, C, block):
    """C = A B, square by square."""
    # <solution>
    M, K = A.shape
    N = B.shape[1]
    for i in range(M):
        for j in range(N):
            C[i, j] = 0.0
    for i0 in range(0, M, block):
        for j0 in range(0, N, block):
            for k0 in range(0, K, block):
                for i in range(i0, min(i0 + block, M)):
                    c = C[i, j0 : j0 + block]
                    for k in range(k0, min(k0 + block, K)):
                        a, b = A[i, k], B[k, j0 : j0 + block]
                        for j in range(c.size):
                            c[j] += a * b[j]
    # </solution>


if __name__ == "__main__":
    import time

    A, B = np.random.default_rng(0).standard_normal((2, 768, 768))
    C, D = np.empty_like(A), np.empty_like(A)
    small = np.ones((2, 2))
    plain(small, small, small.copy())  # compiles
    matmul(small, small, small.copy(), 1)
    start = time.perf_counter()
    plain(A, B, C)
    middle = time.perf_counter()
    matmul(A, B, D, 64)
    end = time.perf_counter()
    print(f"plain {middle - start:.2f} s, in blocks of 64 {end - middle:.2f} s")
