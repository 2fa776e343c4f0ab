"""All that we use of Numba without a promise that it stays: hence the upper bound in ``pyproject.toml``.

To raise that bound, install the new version and run ``tests/kernels/test_numba_internals.py``, which says what has changed;
then all tests of ``tests/kernels``. Of llvmlite we use what is documented; its version is Numba's choice.
"""

from __future__ import annotations

import dis
import importlib
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import numba

#: What we do with it -> its name -> its parameters, where they matter.
INTERNALS: dict[str, dict[str, str | None]] = {
    "keep compiled kernels on disk": {
        "numba.core.caching.NullCache.load_overload": "self, sig, target_context",
        "numba.core.caching.NullCache.save_overload": "self, sig, cres",
        "numba.core.ccallback.CFunc._cache": None,
        "numba.core.codegen.JITCodeLibrary.has_dynamic_globals": None,
        "numba.core.compiler.CompileResult._rebuild": None,
        "numba.core.compiler.CompileResult._reduce": "self",
        "numba.core.compiler.CompileResult.codegen": None,
        "numba.core.config.CACHE_DIR": None,
        "numba.core.cpu.CPUContext.codegen": "self",
        "numba.core.cpu.CPUContext.refresh": "self",
        "numba.core.dispatcher.Dispatcher._cache": None,
        "numba.core.serialize.dumps": "obj",
    },
    "tell whether a compiled kernel is still up to date": {
        "numba.core.codegen.JITCPUCodegen.magic_tuple": "self",
        "numba.core.config.BOUNDSCHECK": None,
        "numba.core.config.DEBUGINFO_DEFAULT": None,
        "numba.core.config.LOOP_VECTORIZE": None,
        "numba.core.config.OPT": None,
        "numba.core.config.SLP_VECTORIZE": None,
        "numba.core.config.USING_SVML": None,
        "numba.core.dispatcher.Dispatcher.locals": None,
        "numba.core.dispatcher.Dispatcher.py_func": None,
        "numba.core.dispatcher.Dispatcher.targetoptions": None,
        "numba.core.extending._Intrinsic._ctor_kwargs": None,
        "numba.core.extending._Intrinsic._defn": None,
        "numba.core.extending._Intrinsic._prefer_literal": None,
        "numba.core.typing.Signature": None,
    },
    "hold all kernels to narrower vectors": {
        "numba.core.codegen.get_host_cpu_features": "",
        "numba.core.codegen.JITCPUCodegen.magic_tuple": "self",
        "numba.core.config.CPU_FEATURES": None,
    },
    "compile no more of a kernel than is run": {
        "numba.core.codegen.CodeLibrary._codegen": None,
        "numba.core.codegen.CodeLibrary._finalized": None,
        "numba.core.codegen.CodeLibrary.codegen": None,
        "numba.core.codegen.CPUCodegen._data_layout": None,
        "numba.core.codegen.JITCodeLibrary._finalize_dynamic_globals": "self",
        "numba.core.codegen.JITCodeLibrary._finalize_final_module": "self",
        "numba.core.codegen.JITCodeLibrary._optimize_final_module": "self",
        "numba.core.codegen.JITCodeLibrary._optimize_functions": "self, ll_module",
        "numba.core.codegen.JITCodeLibrary.enable_object_caching": "self",
        "numba.core.codegen.JITCodeLibrary.get_pointer_to_function": "self, name",
        "numba.core.codegen.JITCPUCodegen.create_library": "self, name, **kwargs",
        "numba.core.cpu.CPUContext.create_cpython_wrapper": "self, library, fndesc, env, call_helper, release_gil",
        "numba.core.cpu_options.ParallelOptions": "value",
        "numba.core.registry.cpu_target.target_context": None,
    },
    "see when a kernel is called, compiled, or loaded": {
        "numba.core.ccallback.CFunc": "pyfunc, sig, locals, options, pipeline_class",
        "numba.core.ccallback.CFunc._compile_uncached": "self",
        "numba.core.ccallback.CFunc.address": None,
        "numba.core.ccallback.CFunc.compile": "self",
        "numba.core.compiler.CompileResult.library": None,
        "numba.core.compiler.CompileResult.signature": None,
        "numba.core.dispatcher.Dispatcher._compile_for_args": "self, *args, **kws",
        "numba.core.dispatcher.Dispatcher.add_overload": "self, cres",
        "numba.core.dispatcher.Dispatcher.compile": "self, sig",
        "numba.core.dispatcher.Dispatcher.overloads": None,
        "numba.core.dispatcher.Dispatcher.typeof_pyval": "self, val",
        "numba.core.event.Listener.on_end": "self, event",
        "numba.core.event.Listener.on_start": "self, event",
        "numba.core.event.register": "kind, listener",
        "numba.core.sigutils.normalize_signature": "sig",
    },
    "say in a fork that the threads are gone": {
        "numba.core.dispatcher.Dispatcher._reset_overloads": "self",
        "numba.np.ufunc.omppool.openmp_vendor": None,
    },
    "emit LLVM for intrinsics": {
        "numba.core.base.BaseContext.get_dummy_value": "self",
        "numba.core.base.BaseContext.make_array": "self, typ",
    },
    "count what a learner's kernel allocates": {
        "numba.core.runtime._nrt_python": None,
        "numba.core.runtime.rtsys.get_allocation_stats": None,
    },
    "run a learner's threads one at a time in the simulator": {
        "numba.core.types.Type": None,
        "numba.cuda.simulator.kernel.BlockManager": None,
        "numba.cuda.simulator.kernel.BlockThread": None,
        "numba.cuda.simulator.kernelapi.FakeCUDAShared.array": "self, shape, dtype",
        "numba.np.numpy_support.as_dtype": "nbtype",
    },
}


def changes() -> Iterator[str]:
    """What of it is no longer so in the Numba that is installed: a sentence each."""
    for use, internals in INTERNALS.items():
        for name, takes in internals.items():
            now = _parameters(name)
            if now is None:
                yield f"Numba {numba.__version__} has no {name}: we need it to {use}"
            elif takes not in (None, now):
                yield f"Numba {numba.__version__} has {name} take ({now}), not ({takes}): we need it to {use}"


def _parameters(name: str) -> str | None:
    """The parameters of what has that name, nothing if it is no function; None if there is no such name."""
    try:
        found = _find(name)
    except AttributeError:
        return None
    if not callable(found):
        return ""
    mark: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(mark.get(each.kind, "") + each.name for each in inspect.signature(found).parameters.values())


def _find(name: str) -> Any:
    owner, _, last = name.rpartition(".")
    try:
        return importlib.import_module(name)
    except ImportError:
        within = _find(owner) if owner else None
    if not hasattr(within, last) and _is_set(within, last):
        return None
    return getattr(within, last)


def _is_set(kind: Any, attribute: str) -> bool:
    """Whether an object gets this attribute in a method of its class."""
    methods = [each for base in getattr(kind, "__mro__", ()) for each in vars(base).values()]
    steps = [step for each in methods if isinstance(each, FunctionType) for step in dis.get_instructions(each)]
    return any(step.opname == "STORE_ATTR" and step.argval == attribute for step in steps)
