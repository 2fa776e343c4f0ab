"""Arrays that do not fit each other are named before a kernel reads past their ends; so are masks and lengths that are none."""

from typing import Any

import numpy as np


def require(given: str, **shapes: tuple[Any, tuple[int, ...]]) -> None:
    """Each of ``shapes``, ``name=(array or None, the shape it must have)``, is as it must be; ``given`` says why it must.

    Raises:
        ValueError: an array has another shape.
    """
    for name, (array, shape) in shapes.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} has the shape {array.shape}; {given} need {shape}")


def require_mask(mask: Any) -> None:
    """A mask says with True or 1 where to look; a bool one costs nothing here, another is read.

    Raises:
        ValueError: it holds other numbers than 0 and 1.
    """
    if mask is not None and mask.dtype != bool and not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            "mask must be bool, or 0 and 1 (True and 1: look here); one of 0 and -inf that is added to scores is mask == 0 here"
        )


def require_lengths(lengths: Any, T: int) -> None:
    """Lengths of sequences of T steps. On a GPU their values are not read back: beyond T they count as T, below 0 as 0.

    Raises:
        ValueError: they are no integers, or one is not in 0 to T.
    """
    if lengths is None:
        return
    if lengths.dtype.kind not in "iu":
        raise ValueError(f"lengths must be integers; they are {lengths.dtype}")
    if isinstance(lengths, np.ndarray):
        for length in lengths.tolist():  # of so few numbers, quicker than NumPy's minimum and maximum
            if not 0 <= length <= T:
                raise ValueError(f"a length is {length}; of {T} steps, lengths must be 0 to {T}")


def not_updatable(grads: Any, **updated: Any) -> str | None:
    """Why an optimiser's sweep cannot update these arrays in place from ``grads``, or None."""
    first = next(iter(updated.values()))
    for name, array in {**updated, "grads": grads}.items():
        if not isinstance(array, np.ndarray):
            return f"{name} is not a NumPy array"
        if array.dtype not in (np.float32, np.float64) or array.dtype != first.dtype:
            return f"{name} is {array.dtype}; it serves arrays that are all float32 or all float64"
        problem = _lies_wrong(name, array, updated)
        if problem is not None:
            return problem
    return None


def not_updatable_anywhere(grads: Any, **updated: Any) -> str | None:
    """:func:`not_updatable`, for arrays on the CPU or on a GPU whose dtypes were looked at before."""
    problems = (_lies_wrong(name, array, updated) for name, array in {**updated, "grads": grads}.items())
    return next((problem for problem in problems if problem is not None), None)


def _lies_wrong(name: str, array: Any, updated: dict[str, Any]) -> str | None:
    first = next(iter(updated))
    if array.shape != updated[first].shape:
        return f"{name} has the shape {array.shape}, and {first} {updated[first].shape}"
    if name not in updated:
        return None
    if not (array.flags.c_contiguous and getattr(array.flags, "aligned", True)):  # CuPy's always are
        return f"{name} is not contiguous and aligned, and could not be updated in place"
    return None if getattr(array.flags, "writeable", True) else f"{name} is read-only"
