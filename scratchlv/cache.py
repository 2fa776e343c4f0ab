"""Where what was computed once is kept: compiled kernels, features of photographs."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """``$SCRATCHLV_CACHE``, or else ``~/.cache/scratchlv``."""
    named = os.environ.get("SCRATCHLV_CACHE")
    return Path(named).expanduser() if named else Path("~/.cache/scratchlv").expanduser()


def folder_for(*names: str) -> Path | None:
    """The folder of these names below :func:`cache_folder`, made if need be; None if nothing can be written there."""
    folder = cache_folder().joinpath(*names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
