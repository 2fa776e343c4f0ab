"""Where compiled kernels are kept on disk: a file for each kernel, the types it was compiled for, and the state of its code.

A file's name says all that its contents depend on, so it never changes: states live side by side, and who reads needs no lock.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import re
import secrets
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from scratchlv.cache import cache_folder, with_temporary
from scratchlv.kernels.building_blocks.fingerprint import Unknown, fingerprint, surroundings

SUFFIX = ".kernel"
_CHECKSUM = 16  # bytes
_MOST_DAYS = 30  #: that a kernel is kept without being used
_MOST_STATES = 10  #: of a kernel, for the same types


class KernelCache(NullCache):
    """What Numba asks for the compiled code of a kernel, or of a function, and hands it to.

    ``made_by`` is the fingerprint of how it is compiled.
    """

    def __init__(self, kernel: Any, made_by: str) -> None:
        function = getattr(kernel, "py_func", kernel)
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._kernel, self._made_by = kernel, made_by
        self._has_warned = False

    @property
    def cache_path(self) -> str:
        return str(kernel_folders()[-1])

    def load_overload(self, signature: Any, context: Any) -> CompileResult | None:
        """The kernel as compiled for ``signature``; None if it is not there."""
        context.refresh()  # as Numba does: what the code refers to is there
        file = self._file(signature, context.codegen())
        if file is None:
            return None
        for folder in kernel_folders():
            contents = _read(folder / file)
            if contents is not None:
                _note_use(folder / file)
                with contextlib.suppress(ImportError):  # of a module that is not in sys.modules
                    return CompileResult._rebuild(context, *pickle.loads(contents))
        return None

    def save_overload(self, signature: Any, result: CompileResult) -> None:
        """Keep a kernel, if there is a place that can be written."""
        file = self._file(signature, result.codegen)
        if result.library.has_dynamic_globals:
            self._warn("it holds an address, or a large array, of this process")
        elif file:
            folder, code = kernel_folders()[-1], dumps(result._reduce())
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _write(folder / file, code)
            except OSError as error:
                _say_not_kept(folder, error.strerror or str(error))
                return
            with contextlib.suppress(OSError):
                _delete_old_states(folder, file)
                _delete_unused(folder)

    def _file(self, signature: Any, codegen: Any) -> str | None:
        """Such as ``lstm.numba_cpu._forward-TYPES-STATE.kernel``; None where we cannot tell the state."""
        try:
            types = fingerprint(self.name, signature)[:8]
            state = fingerprint(self._kernel, self._made_by, surroundings(), codegen.magic_tuple(), _CHECKSUM)[:16]
        except Unknown as unknown:
            self._warn(f"we cannot tell whether this stays the same: {unknown}")
            return None
        name = re.sub(r"[^A-Za-z0-9_.]", "", self.name.removeprefix("scratchlv.kernels."))[-100:]
        return f"{name}-{types}-{state}{SUFFIX}"

    def _warn(self, why: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(f"the kernel {self.name} is compiled anew by each process: {why}", stacklevel=2)


# --- folders ---------------------------------------------------------------------------------------------------------


def kernel_folders() -> list[Path]:
    """Where compiled kernels are looked for; new ones are kept in the last of these folders.

    The first is ``$NUMBA_CACHE_DIR``, or else one below ``$SCRATCHLV_CACHE`` or ``~/.cache/scratchlv``. Should that be read-only,
    a temporary one follows.
    """
    return _folders(Path(config.CACHE_DIR) if config.CACHE_DIR else cache_folder() / "kernels")


def kept() -> dict[Path, int]:
    """How many compiled kernels each of these folders holds."""
    return {folder: len(list(folder.glob(f"*{SUFFIX}"))) for folder in kernel_folders()}


@functools.cache
def _folders(named: Path) -> list[Path]:
    return with_temporary(named, "kernels")


# A file begins with the checksum of the rest: machine code of which a bit has changed would not fail, but compute otherwise.


def _read(path: Path) -> bytes | None:
    """What was written; None if it is not there, or, with a warning, if it is no longer what was written."""
    try:
        contents = path.read_bytes()
    except OSError:
        return None
    checksum, code = contents[:_CHECKSUM], contents[_CHECKSUM:]
    if checksum == _checksum(code):
        return code
    message = "this compiled kernel is damaged, and is compiled again; if others are, too, see to the disk"
    warnings.warn_explicit(message, UserWarning, str(path), 0)
    return None


@functools.cache  # once for each process
def _say_not_kept(folder: Path, why: str) -> None:
    message = f"compiled kernels cannot be kept here ({why}), and are compiled anew by each process"
    warnings.warn_explicit(message, UserWarning, str(folder), 0)


def _checksum(code: bytes) -> bytes:
    return hashlib.blake2b(code, digest_size=_CHECKSUM).digest()


def _write(path: Path, code: bytes) -> None:
    """Write a file that others see as a whole, or not at all."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_bytes(_checksum(code) + code)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


# --- what is no longer used ------------------------------------------------------------------------------------------
# A file's time is that of its last use. Deleting one that others are reading does not disturb them.


def _note_use(path: Path) -> None:
    with contextlib.suppress(OSError):  # it is read-only, and not ours to delete
        os.utime(path)


def _delete_old_states(folder: Path, file: str) -> None:
    """Of a kernel for the same types, keep the states that were used last."""
    states = sorted(folder.glob(f"{file.rpartition('-')[0]}-*{SUFFIX}"), key=_last_use, reverse=True)
    for state in states[_MOST_STATES:]:
        state.unlink(missing_ok=True)


@functools.cache  # once for each process
def _delete_unused(folder: Path) -> None:
    """Delete what nobody has used for long, and what is left of a process that was killed."""
    since = time.time() - _MOST_DAYS * 86_400
    for file in [*folder.glob(f"*{SUFFIX}*"), *folder.glob("locks/*")]:
        if _last_use(file) < since:
            file.unlink(missing_ok=True)
    for state in folder.glob("[0-9a-f]" * 16):  # until version 0.1 each state of all sources had a folder
        if max(map(_last_use, [state, *state.rglob("*")])) < since:
            shutil.rmtree(state, ignore_errors=True)


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process was quicker
        return 0
