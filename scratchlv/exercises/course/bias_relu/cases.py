import numpy as np

from scratchlv.exercises import call


def forward(case, x, b):
    known = {
        "the bias comes after the ReLU: y = max(x, 0) + b": np.maximum(x, 0) + b,
        "the bias is missing": np.maximum(x, 0),
    }
    known["the ReLU is missing: y = x + b"] = x + b
    if x.shape[0] != x.shape[1]:
        by_row = b[np.minimum(np.arange(x.size) // x.shape[1], b.size - 1)].reshape(x.shape)
        if x.shape[0] <= b.size:
            known["the bias goes by rows: b_n is added where b_d should be"] = np.maximum(x + by_row, 0)
        known["the bias is that of number i % N: b is as long as a row, and i stands in column i % D"] = np.maximum(
            x + b[np.minimum(np.arange(x.size) % x.shape[0], b.size - 1)].reshape(x.shape), 0
        )
    return call("forward", case=case, expect=np.maximum(x + b, 0), known=known, x=x, b=b)


def backward(case, dy, y):
    dx, zero = np.where(y > 0, dy, 0), np.float32(0)
    known = {
        "db sums dy, and not dx: where the ReLU was shut, no gradient goes to the bias": (dx, dy.sum(0)),
        "dx lets the gradient through where y is 0": (np.where(y >= 0, dy, zero), np.where(y >= 0, dy, zero).sum(0)),
        "db is that of the last row alone: the sum over n is missing": (dx, dx[-1]),
        "dx is shut where dy is negative: y decides, not dy": (np.maximum(dy, 0), np.maximum(dy, 0).sum(0)),
        "dx has the factor y: the slope of the ReLU is 1": (dx * y, (dx * y).sum(0)),
    }
    wrong = {sentence: {"dx": x, "db": b} for sentence, (x, b) in known.items()}
    return call("backward", case=case, expect={"dx": dx, "db": dx.sum(0)}, known=wrong, dy=dy, y=y)


def cases(rng, N, D):
    def numbers(*shape):
        return rng.integers(-9, 10, shape).astype(np.float32)

    two = np.array([[1, -3], [2, 5]], np.float32)
    yield forward("the example", two, np.array([1, 1], np.float32))
    yield forward("the last block is not full", numbers(N, D), numbers(D))
    yield forward("a single number", numbers(1, 1), numbers(1))
    yield backward("the example", np.array([[10, 20], [-30, 40]], np.float32), np.array([[2, 0], [3, 6]], np.float32))
    for rows, columns, case in ((N, D, "the last block is not full"), (1, D, "one row"), (N, 1, "one column")):
        yield backward(case, numbers(rows, columns), np.maximum(numbers(rows, columns), 0))
    y = np.maximum(rng.standard_normal((N, D)).astype(np.float32), 0)
    dy = (rng.integers(-999, 1000, (N, D)) / 64).astype(np.float32)
    yield backward("sums that are rounded", dy, y)
