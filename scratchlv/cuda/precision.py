"""How exactly matrix products are computed on a GPU: float32, TF32 (a 10-bit mantissa, 8 times as fast), or bfloat16.

Inside ``with use_precision("tf32"):`` another one holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from scratchlv.arrays import Array
from scratchlv.cuda.arrays import on_gpu

PRECISIONS = ("float32", "tf32", "bf16")

_precision = "float32"


@contextlib.contextmanager
def use_precision(name: str) -> Iterator[None]:
    """Inside, products are computed in this precision, one of :data:`PRECISIONS`; sums are always kept in float32."""
    global _precision
    if name not in PRECISIONS:
        raise ValueError(f"a precision is one of {', '.join(PRECISIONS)}, not {name!r}")
    before, _precision = _precision, name
    try:
        yield
    finally:
        _precision = before


def precision() -> str:
    return _precision


def has_tensor_cores(array: Array) -> bool:
    """Whether where ``array`` lies there are those that multiply TF32 and bfloat16; a CPU plays them."""
    return not on_gpu(array) or int(array.device.compute_capability) >= 80
