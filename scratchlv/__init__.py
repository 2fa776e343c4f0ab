"""Language and vision from scratch: hand-written forward and backward passes, custom kernels, no autograd."""

from typing import TYPE_CHECKING, Any

from scratchlv.ops import use

if TYPE_CHECKING:
    from scratchlv.kernels.building_blocks.threads import set_threads

__version__ = "0.1.0"
__all__ = ["set_threads", "use"]


def __getattr__(name: str) -> Any:
    if name == "set_threads":  # it needs Numba, and this import is to be light
        from scratchlv.kernels.building_blocks.threads import set_threads

        return set_threads
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
