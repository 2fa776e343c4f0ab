"""Arrays that do not fit each other are named before a kernel reads past their ends."""

from typing import Any


def require(given: str, **shapes: tuple[Any, tuple[int, ...]]) -> None:
    """Each of ``shapes``, ``name=(array or None, the shape it must have)``, is as it must be; ``given`` says why it must.

    Raises:
        ValueError: an array has another shape.
    """
    for name, (array, shape) in shapes.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} has the shape {array.shape}; {given} need {shape}")
