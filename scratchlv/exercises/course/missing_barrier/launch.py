"""Launches softmax with a block for each row, and looks for barriers that could be left out."""

THREADS = 32


def softmax(kernels, x):
    """The softmax of each row."""
    p = kernels.empty(x.shape)
    kernels.softmax(x.shape[0], THREADS, x, p, x.shape[1])
    return p


def superfluous(kernels, x):
    """The lines of barriers without which every order of the threads gives the same."""
    return kernels.superfluous(softmax, x)
