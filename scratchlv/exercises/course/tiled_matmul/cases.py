import re

import numpy as np

from scratchlv.exercises import call

TILE = 8


def product(case, A, B):
    """Of whole numbers, so that every order of adding gives the same."""
    known = {}
    if B.shape[0] > TILE:
        last = (B.shape[0] - 1) // TILE * TILE
        known["only the last tile of k is in C: the sum begins anew with each tile"] = A[:, last:] @ B[last:]
        known["only the first tile of k is in C"] = A[:, :TILE] @ B[:TILE]
    if A.shape[0] == A.shape[1] == B.shape[1] == TILE:
        known |= {
            "tile_b is used as if it were transposed: C = A Bᵀ came": A @ B.T,
            "tile_a is used as if it were transposed: C = Aᵀ B came": A.T @ B,
        }
    return call("matmul", case=case, expect=A @ B, known=known, A=A, B=B)


def cases(rng, M, K, N):
    def numbers(*shape):
        return rng.integers(-9, 10, shape).astype(np.float32)

    yield product("one tile", numbers(TILE, TILE), numbers(TILE, TILE))
    yield product("two tiles of k, one after the other", numbers(TILE, 2 * TILE), numbers(2 * TILE, TILE))
    yield product("whole tiles", numbers(2 * TILE, 3 * TILE), numbers(3 * TILE, TILE))
    yield product("M is no multiple of TILE", numbers(TILE + 3, TILE), numbers(TILE, TILE))
    yield product("N is no multiple of TILE", numbers(TILE, TILE), numbers(TILE, TILE + 3))
    yield product("K is no multiple of TILE", numbers(TILE, TILE + 3), numbers(TILE + 3, TILE))
    yield product("neither M nor K nor N is a multiple of TILE", numbers(M, K), numbers(K, N))
    yield product("one number", numbers(1, 1), numbers(1, 1))


def grade(learner, rng, M, K, N):
    """That the products are of numbers in shared memory."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", learner.text, flags=re.DOTALL)
    if len(re.findall(r"\btile_a\b", code)) < 3 or len(re.findall(r"\btile_b\b", code)) < 3:
        learner.refuse(
            "the product is right, but it is read from A and B alone: the tiles in shared memory are not used",
            stage="tiles",
        )
