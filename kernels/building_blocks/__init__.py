"""Not an operation: what the rooms' Numba kernels are built from (fast elementary functions, vector instructions)."""

import os

# Threads that wait for each other spin; GNU OpenMP's do so for milliseconds before they sleep. Where another program wants
# a core too, the thread that is waited for then cannot get one, and a training step takes fifty times as long. A short spin
# costs a few percent on a quiet machine. It is read when Numba starts its threads; the user's own setting stands.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
