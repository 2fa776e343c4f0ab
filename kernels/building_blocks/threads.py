"""How many threads a kernel uses, and how work is divided among them."""

import numba
from numba import njit


def n_threads() -> int:
    """Threads that a kernel may use now: Numba's setting (``NUMBA_NUM_THREADS``, ``numba.set_num_threads``)."""
    return numba.get_num_threads()


@njit(inline="always")
def share(total, part, parts):
    """The half-open range of ``total`` items that belongs to one of ``parts`` equal shares."""
    return total * part // parts, total * (part + 1) // parts
