import numpy as np

from scratchlv.exercises import call


def product(case, A, B, block):
    (M, K), N = A.shape, B.shape[1]
    C = np.full((M, N), 1000.0)
    last = (K - 1) // block * block
    m, k, n = (size // block * block for size in (M, K, N))
    whole, zeros = C.copy(), np.zeros((M, N))
    whole[:m, :n] = zeros[:m, :n] = A[:m, :k] @ B[:k, :n]
    known = {
        "C is added to what stood there: it is not set to 0": C + A @ B,
        "only the last squares of k are in C: what those before them have added is lost": A[:, last:] @ B[last:],
        "C[i, j] is the last product alone: nothing is added up": np.outer(A[:, -1], B[-1]),
        "the squares of B are whole rows: each product is added once for every j0": A @ B * -(-N // block),
        "the last, smaller squares are missing at the edges": zeros,
        "the last, smaller squares are missing at the edges: C is not written there": whole,
    }
    return call("matmul", case=case, expect=A @ B, known=known, A=A, B=B, block=block)


def cases(rng, M, K, N):
    A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    yield product("one block", A, B, 2)
    A, B = rng.integers(-5, 6, (2, 4, 4)).astype(np.float64)
    yield product("whole blocks", A, B, 2)
    A, B = rng.standard_normal((5, 7)), rng.standard_normal((7, 3))
    yield product("the last blocks are smaller", A, B, 2)
    A, B = rng.standard_normal((M, K)), rng.standard_normal((K, N))
    yield product("several blocks, and the last are smaller", A, B, 8)
    yield product("a block larger than the matrices", A, B, 64)
    yield product("blocks of one number", rng.standard_normal((3, 2)), rng.standard_normal((2, 4)), 1)
    yield product("one number", rng.standard_normal((1, 1)), rng.standard_normal((1, 1)), 8)


def grade(learner, rng, M, K, N):
    """That few lines are fetched."""
    A, B = rng.standard_normal((2, 32, 32))
    lines = learner.call("fetched", A, B, 8)
    if lines >= 2000:
        learner.refuse(
            "the product is right, but its numbers are not used while they are in the cache",
            stage="cache",
            expected="fewer than 2,000 cache lines are fetched (matrices of 32 x 32, block = 8)",
            came=f"{lines:,} are",
        )
