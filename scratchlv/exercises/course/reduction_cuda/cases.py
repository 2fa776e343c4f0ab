import numpy as np

from scratchlv.exercises import call

THREADS = 64


def by_block(x):
    padded = np.zeros(-(-x.size // THREADS) * THREADS, x.dtype)
    padded[: x.size] = x
    return padded.reshape(-1, THREADS)


def block_sums(case, x):
    """Whole numbers, so that every order of adding them gives the same."""
    rows = by_block(x)
    past_the_end = rows.sum(1)
    if x.size % THREADS:
        past_the_end[-1] = np.nan
    known = {
        "the last step, s = 1, is missing: part[0] holds every second number": rows[:, ::2].sum(1),
        "the numbers past the end of x, which are not there, are summed too": past_the_end,
        "only the first number of each block arrives: nothing is added to it": rows[:, 0],
    }
    return call("block_sums", case=case, expect=rows.sum(1), known=known, x=x)


def cases(rng, n):
    def numbers(count):
        return rng.integers(1, 100, count).astype(np.float32)

    yield block_sums("one whole block", np.arange(1, THREADS + 1, dtype=np.float32))
    yield block_sums("three whole blocks", numbers(3 * THREADS))
    yield block_sums("the last block is not full", numbers(n))
    yield block_sums("a single number", numbers(1))
    for count in (n, 5 * THREADS * THREADS + 1):
        x = numbers(count)
        yield call("total", case="block_sums again and again, until one sum is left", expect=np.array(x.sum()), x=x)
