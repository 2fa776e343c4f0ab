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
    return folder if can_write(folder) else None


def can_write(folder: Path) -> bool:
    """Whether files can be written to a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
