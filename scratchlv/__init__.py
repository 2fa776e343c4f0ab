"""Language and vision from scratch: hand-written forward and backward passes, custom kernels, no autograd."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchlv import ops
    from scratchlv.kernels.building_blocks.threads import set_threads
    from scratchlv.ops import use

__version__ = "0.1.0"
__all__ = ["ops", "set_threads", "use"]

_HOMES = {"use": "scratchlv.ops", "set_threads": "scratchlv.kernels.building_blocks.threads"}


def __getattr__(name: str) -> Any:
    """What needs NumPy or Numba comes when it is asked for: this import is to be light, pytest makes it whenever it starts."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "ops":
        return importlib.import_module("scratchlv.ops")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
