"""Float32 numbers to try a function on."""

import numpy as np


def everything(least=0.0, most=np.inf):
    """Every 1009th float32 between two bounds, denormals among them, of both signs, and zero."""
    bits = np.arange(np.float32(least).view(np.int32), np.float32(most).view(np.int32), 1009, dtype=np.int32)
    positive = bits.view(np.float32)
    return np.concatenate([-positive[::-1], [np.float32(0)], positive])


def around(*numbers):
    """The thousand float32 on either side of each: where a function clamps, its mistakes are."""
    steps = np.arange(-1000, 1001, dtype=np.int32)
    return np.concatenate([(np.float32(x).view(np.int32) + steps).view(np.float32) for x in numbers])
