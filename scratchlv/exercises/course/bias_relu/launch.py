"""Launches the two kernels."""

THREADS = 32


def forward(kernels, x, b):
    """y (N, D)."""
    y = kernels.empty(x.shape)
    kernels.forward(-(-x.size // THREADS), THREADS, x, b, y, *x.shape)
    return y


def backward(kernels, dy, y):
    """dx (N, D) and db (D,)."""
    dx, db = kernels.empty(dy.shape), kernels.empty(dy.shape[1])
    kernels.backward(-(-dy.shape[1] // THREADS), THREADS, dy, y, dx, db, *dy.shape)
    return {"dx": dx, "db": db}
