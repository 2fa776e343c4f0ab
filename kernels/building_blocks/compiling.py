"""How kernels are compiled: once, and kept on disk; and no more of each than is run."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import threading
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit
from numba.core import config, event, sigutils
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.core.cpu import CPUContext
from numba.core.cpu_options import ParallelOptions
from numba.core.registry import cpu_target

from scratchlv.errors import KernelsUnavailable
from scratchlv.kernels.building_blocks import processor as processor  # says what Numba compiles for, before it starts
from scratchlv.kernels.building_blocks.fingerprint import fingerprint
from scratchlv.kernels.building_blocks.kernel_cache import KernelCache, kernel_folders
from scratchlv.kernels.building_blocks.threads import guard_against_fork

if config.DISABLE_JIT:
    raise KernelsUnavailable("NUMBA_DISABLE_JIT is set: Numba compiles nothing, and only the references run; unset it")


def kernel(**options: Any) -> Callable:
    """``@njit`` with its compiled code kept on disk (:func:`kernel_folders`); takes ``njit``'s options.

    A number divided by zero is infinity or NaN, as in NumPy. With ``parallel=True`` the loops over ``prange`` are parallel, each
    by itself, and nothing else is. Called in a process that was forked after the threads had started, such a kernel raises
    ``RuntimeError``.
    """
    if options.get("parallel") is True:
        options["parallel"] = _PRANGE_ALONE

    def decorate(function: Callable) -> Any:
        dispatcher = njit(no_cfunc_wrapper=True, error_model="numpy", **options)(function)
        _attend(dispatcher)
        _compiler.kernels.add(function)
        if options.get("parallel"):
            guard_against_fork(dispatcher)
        return dispatcher

    return decorate


_NOT_PARALLEL = ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion")
#: Array expressions stay as they are, so that Numba need not look for them (a tenth of the time of compiling); and it fuses no
#: loops, since it does not see what vector instructions read and write. No dict: Numba empties one when it reads it.
_PRANGE_ALONE = ParallelOptions(dict.fromkeys(_NOT_PARALLEL, False))


class Callback:
    """A function of whole numbers that kernels :func:`call` by its ``address``: made of kernels, and kept as they are."""

    def __init__(self, function: Callable, signature: Any) -> None:
        self.py_func, self._signature = function, signature
        self._made: Any = None
        _compiler.kernels.add(function)

    @property
    def address(self) -> int:
        if self._made is None and _compiler.noted is not None:
            _compiler.noted[self, ()] = None
            return 0
        self.compile()
        return self._made.address

    def compile(self, types: tuple = ()) -> None:
        """Compile it, or find it on disk."""
        if self._made is None:
            made = CFunc(self.py_func, sigutils.normalize_signature(self._signature), {}, {})
            compile_uncached = made._compile_uncached

            def compile_as_ours() -> Any:
                with _compiler.at(self.py_func):
                    return compile_uncached()

            made._compile_uncached = compile_as_ours
            made._cache = _Cache(self.py_func, _MADE_BY)
            try:
                made.compile()
            finally:
                _claims.close()
            self._made = made


def compiled() -> int:
    """How many kernels this process has compiled so far; those that were found on disk do not count."""
    return _compiler.compiled


@contextlib.contextmanager
def when_compiling(begins: Callable[[], None], at_once: Callable[[], None] | None = None) -> Iterator[None]:
    """Call ``begins`` before the first kernel that is compiled inside the ``with`` block, and ``at_once``, if given, right now.

    A block within a block calls nothing: the outer one does, or has; nor does one that another thread begins meanwhile, whichever
    of the two ends first.
    """

    def first() -> None:
        _compiler.begins = _has_begun
        begins()

    with _compiler.lock:
        outer = _compiler.blocks == 0
        _compiler.blocks += 1
        if outer:
            _compiler.begins = first
    try:
        if outer and at_once is not None:
            at_once()
        yield
    finally:
        with _compiler.lock:
            _compiler.blocks -= 1
            if _compiler.blocks == 0:
                _compiler.begins = None


def _has_begun() -> None:
    pass


Call = tuple[Any, tuple]  # a kernel, and the types of its arguments


@contextlib.contextmanager
def rehearsal() -> Iterator[list[Call]]:
    """Inside the ``with`` block kernels are not run, only noted, each once for the types it is called with.

    What they would have computed is zeros, or undefined. Those that this process has compiled or loaded do run.
    """
    before, _compiler.noted = _compiler.noted, {}
    try:
        calls: list[Call] = []
        yield calls
    finally:
        calls += _compiler.noted
        _compiler.noted = before


def compile_unless_others_do(kernel: Any, types: tuple) -> None:
    """Compile a kernel, or find it on disk; not when another process is compiling it at this moment."""
    _compiler.waits = False
    try:
        kernel.compile(types)
    except _OthersDo:
        pass
    finally:
        _compiler.waits = True


def size(kernel: Any) -> int:
    """Bytes of bytecode of a kernel and all that it is made of: the time it takes to compile grows with them."""
    found: set[Callable] = set()

    def collect(function: Callable) -> None:
        if function not in found:
            found.add(function)
            named = map(function.__globals__.get, function.__code__.co_names)
            for part in [getattr(each, "py_func", None) for each in named]:
                if part is not None:
                    collect(part)

    collect(kernel.py_func)
    return sum(len(function.__code__.co_code) for function in found)


class _OthersDo(Exception):
    """Another process is compiling a kernel."""


# --- less work -------------------------------------------------------------------------------------------------------


class _Compiler(event.Listener):
    """Stands by while Numba compiles, and saves it half of the time."""

    def __init__(self) -> None:
        self.kernels: set[Callable] = set()
        self.compiled = 0
        self.begins: Callable[[], None] | None = None
        self.blocks = 0  # that are told when it begins, of all threads
        self.lock = threading.Lock()  # of these two
        self.noted: dict[Call, None] | None = None  # in a rehearsal
        self.waits = True  # for kernels that other processes are compiling
        self.loads = False  # at this moment, what was kept
        self._at_work: list[Callable] = []  # a kernel, what it calls, what that calls ...

    def on_start(self, event: Any) -> None:
        """A function was not found on disk; those that it calls are compiled inside, before :meth:`on_end`."""
        self._begin(event.data["dispatcher"].py_func)

    def on_end(self, event: Any) -> None:
        self._end()

    @contextlib.contextmanager
    def at(self, function: Callable) -> Iterator[None]:
        """What is compiled inside the ``with`` block is a part of ``function``, which is one of ours."""
        self._begin(function)
        try:
            yield
        finally:
            self._end()

    def _begin(self, function: Callable) -> None:
        if not self._at_work:
            if function not in self.kernels:
                return  # not ours
            if self.begins is not None and self.noted is None:
                self.begins()
            self.compiled += 1
            self._resume_collector = gc.isenabled()
            gc.disable()  # it would go through Numba's many small objects again and again: an eighth of the time
            cpu_target.target_context.codegen().create_library = self._create_library
            CPUContext.create_cpython_wrapper = _create_wrapper
        self._at_work.append(function)

    @property
    def busy(self) -> bool:
        """Whether a kernel is being compiled."""
        return bool(self._at_work)

    def _end(self) -> None:
        if not self._at_work:
            return
        self._at_work.pop()
        if not self._at_work:
            del cpu_target.target_context.codegen().create_library
            CPUContext.create_cpython_wrapper = _create_cpython_wrapper
            if self._resume_collector:
                gc.enable()

    def _create_library(self, name: str) -> JITCodeLibrary:
        function = self._at_work[-1]
        kind: type[JITCodeLibrary] = _Raw
        if self.loads:
            kind = JITCodeLibrary  # of a kernel that was kept, and is now a part
        elif function in self.kernels and name == function.__qualname__:  # else the body of its parallel loop
            kind = _Whole if len(self._at_work) == 1 else _Part
        return kind(cpu_target.target_context.codegen(), name)


_create_cpython_wrapper = CPUContext.create_cpython_wrapper


def _create_wrapper(context: CPUContext, library: JITCodeLibrary, *arguments: Any, **options: Any) -> None:
    """Make what Python calls; a part is called from kernels only."""
    if not isinstance(library, _Part):
        _create_cpython_wrapper(context, library, *arguments, **options)


class _Whole(JITCodeLibrary):
    """A kernel that Python calls: optimised as a whole, and not before that function by function as well."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _Part(_Whole):
    """A kernel within a kernel: optimised by itself, then linked into the other, and made machine code only there.

    Numba would make machine code of each function that a kernel is made of, though only the whole is ever run.
    """

    class _NoEnvironment:
        def set_env(self, *_: Any) -> None:
            """What is never run needs no environment."""

    codegen = _NoEnvironment()

    def enable_object_caching(self) -> None:
        """It has no object code."""

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _Raw(_Part):
    """Code that is not even optimised by itself: Numba's own functions, and the body of a parallel loop."""

    def _optimize_final_module(self) -> None:
        pass


def _attend(dispatcher: Any) -> None:
    """Have Numba ask us before it looks for a kernel, compiles it, or keeps it.

    A kernel that became a part of another one is compiled as a whole when Python calls it: then it needs machine code.
    """
    add, compile_, compile_for = dispatcher.add_overload, dispatcher.compile, dispatcher._compile_for_args

    def add_overload(result: Any) -> None:
        if _is_part(result):
            dispatcher.overloads[tuple(result.signature.args)] = result  # kernels look here, calls from Python do not
        else:
            add(result)

    def compile_for_args(*arguments: Any) -> Any:
        if _compiler.noted is not None:
            _compiler.noted[dispatcher, tuple(map(dispatcher.typeof_pyval, arguments))] = None
            return _clear
        return compile_for(*arguments)

    def compile_or_load(signature: Any) -> Any:
        if _compiler.busy:
            return compile_(signature)
        for types in [types for types, result in dispatcher.overloads.items() if _is_part(result)]:
            del dispatcher.overloads[types]  # now it is wanted as a whole
        try:
            return compile_(signature)
        finally:
            _claims.close()

    dispatcher.add_overload, dispatcher.compile = add_overload, compile_or_load
    dispatcher._compile_for_args = compile_for_args
    dispatcher._cache = _Cache(dispatcher, _MADE_BY)


def _is_part(result: Any) -> bool:
    return isinstance(result.library, _Part)


class _Cache(KernelCache):
    """Holds wholes only, and no two processes compile the same one at the same time."""

    def load_overload(self, signature: Any, context: Any) -> Any:
        _compiler.loads = True
        try:
            found = super().load_overload(signature, context)
            if found is None and not _compiler.busy:
                _claims.enter_context(_locked(f"{self.name}{signature}", _compiler.waits))
                found = super().load_overload(signature, context)  # another process may have been at it
            return found
        finally:
            _compiler.loads = False

    def save_overload(self, signature: Any, result: Any) -> None:
        if not _is_part(result):
            super().save_overload(signature, result)


def _clear(*arguments: Any) -> None:
    """What a kernel does in a rehearsal: zeros are finite, and whoever checks that goes on."""
    for argument in arguments:
        if isinstance(argument, tuple):
            _clear(*argument)
        elif isinstance(argument, np.ndarray) and argument.dtype.kind == "f":
            argument.fill(0)


_HOW = [each for kind in (_Compiler, _Whole, _Part, _Raw) for each in vars(kind).values()] + [_create_wrapper]
_MADE_BY = fingerprint(*(each.__code__ for each in _HOW if isinstance(each, FunctionType)))

_claims = contextlib.ExitStack()  # the lock of the kernel that this process is compiling
_compiler = _Compiler()
event.register("numba:compile", _compiler)


@contextlib.contextmanager
def _locked(name: str, wait: bool = True) -> Iterator[None]:
    """Keep other processes out of a block of that name, where they can be.

    Raises:
        _OthersDo: one is inside, and we do not ``wait``.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):  # then there is no lock to be had
            import fcntl

            folder = kernel_folders()[-1] / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(folder / hashlib.blake2b(name.encode(), digest_size=8).hexdigest(), "w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _OthersDo from None
        yield
