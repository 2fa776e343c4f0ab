import numpy as np

from scratchlv.exercises import call

THREADS = 32


def by_block(x):
    padded = np.zeros(-(-x.size // THREADS) * THREADS, x.dtype)
    padded[: x.size] = x
    return padded.reshape(-1, THREADS)


def block_sums(case, x):
    """Whole numbers, so that every order of adding them gives the same."""
    rows = by_block(x)
    known = {
        "the last step, s = 1, is missing: part[0] holds every second number": rows[:, ::2].sum(1),
        "the first step is missing: the second half of part is never added": rows[:, : THREADS // 2].sum(1),
        "only the first number of each block arrives: nothing is added to it": rows[:, 0],
        "every block sums the first numbers of x: the number of the block is missing in i": np.repeat(
            rows[:1].sum(1), len(rows)
        ),
    }
    return call("block_sums", case=case, expect=rows.sum(1), known=known, x=x)


def cases(rng, n):
    def numbers(count):
        return rng.integers(1, 100, count).astype(np.float32)

    yield block_sums("one whole block", np.arange(1, THREADS + 1, dtype=np.float32))
    yield block_sums("three whole blocks", numbers(3 * THREADS))
    yield block_sums("the last block is not full", numbers(n))
    yield block_sums("a single number", numbers(1))
    x = numbers(n)
    yield call("total", case="block_sums again and again, until one sum is left", expect=np.array(x.sum()), x=x)
