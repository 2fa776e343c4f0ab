"""Launches running_total with one block."""

THREADS = 64


def running_total(kernels, x):
    """The running total of at most THREADS numbers."""
    y = kernels.empty(x.size)
    kernels.running_total(1, THREADS, x, y, x.size)
    return y


def superfluous(kernels, x):
    """The lines of barriers without which every order of the threads gives the same."""
    return kernels.superfluous(running_total, x)
