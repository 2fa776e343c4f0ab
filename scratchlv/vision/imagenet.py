"""How torchvision's networks want ImageNet's pictures."""

from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import place

MEAN = (0.485, 0.456, 0.406)  # of the colours, 0 to 1
STD = (0.229, 0.224, 0.225)


def normalise(images: Array, dtype: Any = np.float32) -> Array:
    """RGB from 0 to 255, to numbers of mean 0 and deviation 1 over ImageNet."""
    mean, std = (place(np.array(values, dtype), images) for values in (MEAN, STD))
    return (images / dtype(255) - mean) / std
