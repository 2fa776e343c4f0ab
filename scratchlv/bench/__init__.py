"""How fast the kernels are, against what the machine can reach: ``scratchlv bench``.

Right first: what is wrong is not timed. Both ceilings, of arithmetic and of memory, are measured in the same run.
"""
