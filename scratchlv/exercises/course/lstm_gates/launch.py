"""Calls step on arrays of NaN, and counts what it asks for."""

import numpy as np
from numba import njit
from numba.core.runtime import _nrt_python, rtsys


def step(learner, a, c_before):
    """gates, c and h."""
    gates, c, h = arrays = _outputs(c_before)
    _compiled(learner)(a, c_before, *arrays)
    for name, array in (("gates", gates), ("c", c), ("h", h)):
        bad = np.argwhere(np.isnan(array))
        if len(bad):
            at = ", ".join(map(str, bad[0]))
            learner.refuse(f"{name}[{at}] is NaN: it was not written, or it is made of what was not written yet")
    return {"gates": gates, "c": c, "h": h}


def asked_for(learner, a, c_before):
    """How often one call asks for memory, beyond what a function with these arguments does anyway."""
    _nrt_python.memsys_enable_stats()
    counts = []
    for function in (_idle, _compiled(learner)):
        arrays = _outputs(c_before)
        function(a, c_before, *arrays)  # compiled by now
        before = rtsys.get_allocation_stats().alloc
        function(a, c_before, *arrays)
        counts.append(rtsys.get_allocation_stats().alloc - before)
    return counts[1] - counts[0]


@njit
def _idle(a, c_before, gates, c, h):
    pass


def _outputs(c_before):
    N, H = c_before.shape
    return np.full((N, 4 * H), np.nan), np.full((N, H), np.nan), np.full((N, H), np.nan)


def _compiled(learner):
    if not hasattr(learner.step, "nopython_signatures"):
        learner.refuse("step is not compiled any more: put @njit back above it", stage="memory")
    return learner.step
