"""Where what was computed once is kept: compiled kernels, features of photographs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$SCRATCHLV_CACHE``, or else ``~/.cache/scratchlv``."""
    named = os.environ.get("SCRATCHLV_CACHE")
    return Path(named).expanduser() if named else Path("~/.cache/scratchlv").expanduser()
