"""Settings that all tests share."""

import os

# Some tests compare one thread with two, also on a machine with one core; read when Numba is imported.
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(2, os.cpu_count() or 1)))
