"""How kernels are compiled: once, and kept on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import config

from scratchlv.cache import cache_folder


def kernel(**options: Any) -> Callable:
    """``@njit`` with its compiled code kept in :func:`kernel_folder`; takes ``njit``'s options."""

    def decorate(function: Callable) -> Any:
        before = config.CACHE_DIR
        config.CACHE_DIR = before or str(kernel_folder())
        try:
            return njit(cache=True, **options)(function)
        finally:
            config.CACHE_DIR = before

    return decorate


@functools.cache
def kernel_folder() -> Path:
    """Where compiled kernels are kept: ``$NUMBA_CACHE_DIR``, or a folder below ``$SCRATCHLV_CACHE`` or ``~/.cache/scratchlv``.

    Numba looks only at the file of a function to tell whether it changed, and our kernels are made of parts from several
    files: so each state of the sources has a folder of its own. Where none can be made, a temporary one serves.
    """
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    folder = cache_folder() / "kernels" / _fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.gettempdir()) / f"scratchlv-{_user()}" / "kernels" / folder.name


def _fingerprint() -> str:
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for path in sorted(Path(__file__).resolve().parents[1].glob("*/*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
