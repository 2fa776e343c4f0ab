"""Launches matmul with a block of TILE x TILE threads for each tile of C."""

TILE = 8


def matmul(kernels, A, B):
    """C = A B."""
    (M, K), N = A.shape, B.shape[1]
    C = kernels.empty((M, N))
    kernels.matmul((-(-N // TILE), -(-M // TILE)), (TILE, TILE), A, B, C, M, K, N)
    return C
