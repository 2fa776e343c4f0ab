"""Not an operation: what the rooms' Numba kernels are built from (fast elementary functions, vector instructions)."""
