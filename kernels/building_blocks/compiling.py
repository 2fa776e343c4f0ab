"""How kernels are compiled: once, and kept on disk; and no more of each than is run."""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import config, event
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

from scratchlv.cache import cache_folder
from scratchlv.kernels.building_blocks.threads import guard_against_fork


def kernel(**options: Any) -> Callable:
    """``@njit`` with its compiled code kept in :func:`kernel_folder`; takes ``njit``'s options.

    A parallel kernel, called in a process that was forked after the threads had started, raises ``RuntimeError``.
    """

    def decorate(function: Callable) -> Any:
        with kept_on_disk():
            dispatcher = njit(cache=True, **options)(function)
        dispatcher._cache.save_overload = _one_at_a_time(dispatcher._cache.save_overload)
        _compiler.kernels.add(function.__qualname__)
        if options.get("parallel"):
            guard_against_fork(dispatcher)
        return dispatcher

    return decorate


@contextlib.contextmanager
def kept_on_disk() -> Iterator[None]:
    """What Numba is told to cache inside the ``with`` block is kept in :func:`kernel_folder`."""
    before = config.CACHE_DIR
    config.CACHE_DIR = before or str(kernel_folder())
    try:
        yield
    finally:
        config.CACHE_DIR = before


def compiled() -> int:
    """How many kernels this process has compiled so far; those that were found on disk do not count."""
    return _compiler.compiled


@contextlib.contextmanager
def when_compiling(begins: Callable[[], None]) -> Iterator[None]:
    """Call ``begins`` before the first kernel of this process is compiled, if that is inside the ``with`` block."""
    before, _compiler.begins = _compiler.begins, begins
    try:
        yield
    finally:
        _compiler.begins = before


# --- less work -------------------------------------------------------------------------------------------------------


class _Compiler(event.Listener):
    """Stands by while Numba compiles, and saves it half of the time."""

    def __init__(self) -> None:
        self.kernels: set[str] = set()  # their qualified names, as their libraries of code are called
        self.compiled = 0
        self.begins: Callable[[], None] | None = None
        self._depth = 0

    def on_start(self, event: Any) -> None:
        """A function was not found on disk; those that it calls are compiled inside, before :meth:`on_end`."""
        if self._depth == 0:
            if event.data["dispatcher"].py_func.__qualname__ not in self.kernels:
                return  # not ours
            if self.begins is not None and self.compiled == 0:
                self.begins()
            self.compiled += 1
            self._resume_collector = gc.isenabled()
            gc.disable()  # it would go through Numba's many small objects again and again: an eighth of the time
            cpu_target.target_context.codegen().create_library = self._create_library
        self._depth += 1

    def on_end(self, event: Any) -> None:
        if self._depth == 0:
            return
        self._depth -= 1
        if self._depth == 0:
            del cpu_target.target_context.codegen().create_library
            if self._resume_collector:
                gc.enable()

    def _create_library(self, name: str) -> JITCodeLibrary:
        return (JITCodeLibrary if name in self.kernels else _Part)(cpu_target.target_context.codegen(), name)


class _Part(JITCodeLibrary):
    """Code that is linked into a kernel, and optimised and made machine code there.

    Numba would do both for each function that a kernel is made of by itself (for the body of a parallel loop thrice), though
    only the whole is ever run.
    """

    class _NoEnvironment:
        def set_env(self, *_: Any) -> None:
            """What is never run needs no environment."""

    codegen = _NoEnvironment()

    def enable_object_caching(self) -> None:
        """It has no object code."""

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


_compiler = _Compiler()
event.register("numba:compile", _compiler)


# --- where they are kept ---------------------------------------------------------------------------------------------


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


def _one_at_a_time(save: Callable) -> Callable:
    """Of several processes that keep what they compiled, one writes at a time: Numba lets them mix up their files."""

    def saved(*arguments: Any) -> None:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(ImportError, OSError):  # then there is no lock to be had
                import fcntl

                kernel_folder().mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(open(kernel_folder() / "lock", "w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            save(*arguments)

    return saved


def _fingerprint() -> str:
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for path in sorted(Path(__file__).resolve().parents[1].glob("*/*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
