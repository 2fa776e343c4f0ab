"""Where arrays are: NumPy's on the CPU, CuPy's on a GPU. Nothing here imports CuPy before somebody asks for a GPU.

A model is where its parameters are. It takes batches of NumPy arrays and sends them there itself; inside a step nothing comes
back: the loss is an array without axes, and who wants to see it says ``float(loss)``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.errors import UserError

BACKENDS = ("cpu", "cuda")

_backend = BACKENDS[0]


def use_backend(name: str) -> None:
    """From now on :func:`to_backend` brings models to the CPU (``"cpu"``) or to the GPU (``"cuda"``).

    Whether there is a GPU that can be used, :func:`scratchlv.cuda.availability.what_is_wrong` says.

    Raises:
        UserError: there is no such backend.
    """
    global _backend
    if name not in BACKENDS:
        raise UserError(f"--backend {name}: give {' or '.join(BACKENDS)}")
    _backend = name


def backend() -> str:
    """Where models are brought to."""
    return _backend


def on_gpu(array: Any) -> bool:
    """Whether this is a CuPy array; CuPy is not imported to find out."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


def place(value: Any, like: Array) -> Any:
    """``value``, a NumPy array or a tuple that holds some, where ``like`` is."""
    if not on_gpu(like):
        return value
    if isinstance(value, tuple):
        parts = [place(part, like) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return sys.modules["cupy"].asarray(value) if isinstance(value, np.ndarray) else value


def to_host(value: Any) -> Any:
    """``value``, an array or a tuple that holds some, as NumPy's."""
    if isinstance(value, tuple):
        parts = [to_host(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value.get() if on_gpu(value) else value


def to_backend(model: Any) -> Any:
    """The model itself, its parameters and buffers brought to where :func:`use_backend` says."""
    if _backend == "cuda":
        import cupy

        for arrays in (model.params, model.buffers):
            arrays.update({name: cupy.asarray(array) for name, array in arrays.items()})
    return model
