"""Language and vision from scratch: hand-written forward and backward passes, custom kernels, no autograd."""

from scratchlv.ops import use

__version__ = "0.1.0"
__all__ = ["use"]
