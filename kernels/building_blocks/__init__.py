"""Not an operation: what the rooms' Numba kernels are built from (fast elementary functions, vector instructions)."""

import os
import sys

from scratchlv.cores import Cores, usable_cores
from scratchlv.errors import UserError

# Threads that wait for each other spin; GNU OpenMP's do so for milliseconds before they sleep. Where another program wants
# a core too, the thread that is waited for then cannot get one, and a training step takes fifty times as long. A short spin
# costs a few percent on a quiet machine. It is read when Numba starts its threads; the user's own setting stands.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

MOST_THREADS = 1000
_VARIABLE = "NUMBA_NUM_THREADS"


def _threads() -> Cores:
    """How many threads Numba has, and why; said to Numba by its variable, which it reads at every kernel that it compiles.

    Raises:
        UserError: the variable, where the user has set it, is no number of threads.
    """
    told = os.environ.get(_VARIABLE)
    if told is None:
        cores = usable_cores()
        if not getattr(sys.modules.get("numba.np.ufunc.parallel"), "_is_initialized", False):  # else it is too late
            os.environ[_VARIABLE] = str(min(cores.n, MOST_THREADS))
        return cores
    if not (told.isdecimal() and 1 <= int(told) <= MOST_THREADS):
        raise UserError(f"{_VARIABLE}={told}: give a whole number of threads, 1 to {MOST_THREADS}, or unset it")
    return Cores(int(told), _VARIABLE)


default_threads = _threads()
