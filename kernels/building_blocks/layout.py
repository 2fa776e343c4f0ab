"""How arrays lie in memory, as kernels want it."""

from typing import Any

import numpy as np

Array = np.ndarray


class _Writeable:
    """Says of a read-only array's memory that it may be written; keeps the array alive."""

    __slots__ = ("__array_interface__", "array")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__ | {"data": (array.ctypes.data, False)}


def plain(array: Any) -> Array:
    """The array C-contiguous and aligned, copied only if it is not; for reading.

    To Numba a read-only array is another type, for which a kernel would be compiled once more: so it is not told.
    """
    array = np.require(array, requirements="CA")
    if type(array) is np.ndarray and array.flags.writeable:
        return array
    return np.asarray(_Writeable(array)) if array.size else np.empty(array.shape, array.dtype)
