import numpy as np

from scratchlv.exercises import call


def shift(case, x, start=1.0):
    moved = np.concatenate([np.array([start], np.float32), x[:-1]])
    known = {"nothing is moved: out_i is in_i": np.concatenate([moved[:1], x[1:]])}
    return call("shift", case=case, expect=moved, known=known, x=x, start=start)


def transpose(case, x):
    return call("transpose", case=case, expect=np.ascontiguousarray(x.T), x=x)


def cases(rng, n, N, D):
    def numbers(*shape):
        return rng.integers(1, 100, shape).astype(np.float32)

    yield shift("four words", np.array([5, 7, 2, 9], np.float32))
    yield shift("as many words as threads", numbers(32))
    yield shift("words of which the last block has few", numbers(n))
    yield shift("a single word", numbers(1))
    yield transpose("as many rows and columns as threads", numbers(8, 16))
    yield transpose("the last block of columns is not full", numbers(8, D))
    yield transpose("the last block of rows is not full", numbers(N, 8))
    yield transpose("neither is full", numbers(N, D))
    yield transpose("a single column", numbers(N, 1))
