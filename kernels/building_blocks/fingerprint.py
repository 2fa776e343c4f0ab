"""What the compiled code of a kernel depends on, in one short text: while that stays the same, so does the code.

It is taken of the objects that Numba compiles, as they are loaded. Of a function: its bytecode, and the globals, closures and
defaults that it names; of these the same again, and so on. So it holds the kernels that a kernel calls, the constants that are
compiled into it, its intrinsics, and the functions and classes with which those emit LLVM. It does not hold comments,
docstrings, line numbers and paths, nor what else stands in a file.

Python's library, NumPy, Numba and llvmlite count by their versions. What is reached by no name cannot be seen: hence ``getattr``
and the like are refused, and so is any object of which we cannot tell whether it stays the same (:class:`Unknown`).
"""

from __future__ import annotations

import collections
import dis
import functools
import hashlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from numba.core import config
from numba.core.cpu_options import ParallelOptions
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.typing import Signature


class Unknown(Exception):
    """Code depends on something of which we cannot tell whether it stays the same."""


def fingerprint(*values: Any) -> str:
    """The fingerprint of functions, kernels, and whatever may be in their code.

    Raises:
        Unknown: of something there we cannot tell whether it stays the same.
    """
    lines, met = [], dict[int, tuple[int, Any]]()  # the objects themselves as well: else another could have the same id

    def visit(value: Any) -> None:
        kind = type(value)
        if kind in _PLAIN:
            lines.append(f"{kind.__name__} {value!r}")
            return
        if id(value) in met:
            lines.append(f"number {met[id(value)][0]} again")
            return
        label, parts = describe(value)
        if kind not in _EQUAL_OR_SAME:
            met[id(value)] = len(met), value
        parts = [*parts] if _is_foreign(kind) else [kind, *parts]
        lines.append(f"{label}, {len(parts)} parts")
        for part in parts:
            visit(part)

    visit(values)
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def surroundings() -> tuple:
    """What code depends on besides its source: versions, and the settings of Numba that change what it makes."""
    versions = sys.implementation.cache_tag, np.__version__, numba.__version__, llvmlite.__version__
    return *versions, *(str(getattr(config, name, None)) for name in _SETTINGS)


_SETTINGS = (
    "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "ENABLE_PROFILING", "EXTEND_VARIABLE_LIFETIMES", "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS", "LOOP_VECTORIZE", "OPT", "PARFOR_MAX_TUPLE_SIZE", "SLP_VECTORIZE", "USING_SVML",
)  # fmt: skip


# --- what an object is made of ---------------------------------------------------------------------------------------

Description = tuple[str, Iterable[Any]]
_KINDS: dict[type, Callable[[Any], Description]] = {}


def describe(value: Any) -> Description:
    """What an object is in itself, and the objects that it is made of."""
    kinds = type(value).__mro__
    for kind in kinds:
        if kind in _KINDS:
            return _KINDS[kind](value)
    if all(kind is object or not _is_foreign(kind) and not vars(kind).get("__slots__") for kind in kinds):
        return "instance", [vars(value)]
    raise Unknown(f"{value!r:.80} ({kinds[0].__module__}.{kinds[0].__qualname__})")


def _of(*kinds: type) -> Callable:
    """Have a function describe objects of these kinds."""

    def register(function: Callable[[Any], Description]) -> Callable[[Any], Description]:
        _KINDS.update(dict.fromkeys(kinds, function))
        return function

    return register


@_of(int, float, complex, str, bytes, np.dtype, ir.Type, ir.Constant, numba.types.Type, Signature, ParallelOptions)
def _by_text(value: Any) -> Description:
    text = f"{type(value).__name__} {value if isinstance(value, ir.Constant) else repr(value)}"
    if " at 0x" in text:  # an address means nothing in another process
        raise Unknown(text)
    return text, ()


@_of(tuple, list)
def _(value: Any) -> Description:
    return type(value).__name__, value


@_of(set, frozenset)
def _(value: Any) -> Description:
    return type(value).__name__, sorted(map(fingerprint, value))


@_of(dict)
def _(value: dict) -> Description:
    return "dict", [part for item in value.items() for part in item]


@_of(slice)
def _(value: slice) -> Description:
    return "slice", [value.start, value.stop, value.step]


@_of(np.ndarray, np.generic)
def _(value: Any) -> Description:
    if value.dtype.hasobject:
        raise Unknown(f"an array of Python objects, {value!r:.80}")
    contents = hashlib.blake2b(value.tobytes()).hexdigest()
    return f"{type(value).__name__} {value.shape} {value.strides} {contents}", [value.dtype]


@_of(types.BuiltinFunctionType)
def _(value: Any) -> Description:
    return f"builtin {value.__qualname__}", [value.__self__]  # its module, or what it is a method of


@_of(np.ufunc)
def _(value: Any) -> Description:
    name = value.__name__
    if getattr(np, name, None) is not value:
        raise Unknown(f"{value!r}, which is not of NumPy")
    return f"ufunc {name}", ()


@_of(types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
def _(value: Any) -> Description:
    return "method", [value.__objclass__, value.__name__]


@_of(types.MemberDescriptorType, types.GetSetDescriptorType, collections._tuplegetter)  # type: ignore[attr-defined]
def _(value: Any) -> Description:
    return type(value).__name__, ()  # a place in an object, named in its class


@_of(types.ModuleType)
def _(value: types.ModuleType) -> Description:
    if _is_foreign(value):
        return f"module {value.__name__}", ()
    raise Unknown(f"the module {value.__name__}, but what of it we cannot tell")


@_of(types.FunctionType)
def _(value: types.FunctionType) -> Description:
    if _is_foreign(value):
        return f"function {value.__module__}.{value.__qualname__}", ()
    code = _read(value.__code__)
    closure = [_contents(cell) for cell in value.__closure__ or ()]
    found = _look_up(value.__globals__, code)
    return f"function {code.text}", [closure, value.__defaults__, value.__kwdefaults__, vars(value), *found]


@_of(types.CodeType)
def _(value: types.CodeType) -> Description:
    return f"code {_read(value).text}", ()


@_of(types.MethodType)
def _(value: types.MethodType) -> Description:
    return "method", [value.__func__, value.__self__]


@_of(staticmethod, classmethod)
def _(value: Any) -> Description:
    return type(value).__name__, [value.__func__]


@_of(property)
def _(value: property) -> Description:
    return "property", [value.fget, value.fset, value.fdel]


@_of(functools.cached_property)
def _(value: functools.cached_property) -> Description:
    return "cached_property", [value.func]


@_of(functools.partial)
def _(value: functools.partial) -> Description:
    return "partial", [value.func, value.args, value.keywords]


@_of(functools._lru_cache_wrapper)
def _(value: Any) -> Description:
    return "cache", [value.__wrapped__]


@_of(type)
def _(value: type) -> Description:
    name = f"class {value.__module__}.{value.__qualname__}"
    if _is_foreign(value):
        return name, ()
    return name, [*value.__bases__, {name: part for name, part in vars(value).items() if name not in _NOT_CODE}]


@_of(Dispatcher)
def _(value: Dispatcher) -> Description:
    function = value.py_func
    for name in _read(function.__code__).loaded:
        called = function.__globals__.get(name)
        if isinstance(called, types.FunctionType) and not _is_foreign(called):
            raise Unknown(f"what numba.extending has registered for {name}, which is no kernel")
    return "kernel", [function, value.targetoptions, value.locals]


@_of(_Intrinsic)
def _(value: _Intrinsic) -> Description:
    return "intrinsic", [value._defn, value._prefer_literal, value._ctor_kwargs]


_PLAIN = {type(None), type(...), bool, int, float, complex, str, bytes}
_EQUAL_OR_SAME = {tuple, list, dict, set, frozenset, slice}  # which of both, depends on where they were loaded from

_NOT_CODE = {  # of a class
    "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__", "__dict__", "__doc__",
    "__firstlineno__", "__module__", "__orig_bases__", "__static_attributes__", "__weakref__",
}  # fmt: skip

_FOREIGN = {"builtins", "numpy", "numba", "llvmlite"} | sys.stdlib_module_names


def _is_foreign(value: Any) -> bool:
    """Whether a module, function or class is one whose version stands in :func:`surroundings`."""
    module = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    return str(module or "builtins").partition(".")[0] in _FOREIGN


def _look_up(namespace: dict[str, Any], code: _Code) -> Iterator[Any]:
    """The globals that code looks up, each after its name; in place of a module of ours, what may be used of it."""
    for name in code.loaded:
        if name in namespace:
            value = namespace[name]
            yield name
            if isinstance(value, types.ModuleType) and not _is_foreign(value):
                yield {name: part for name, part in vars(value).items() if name in code.named}
            else:
                yield value


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "nothing yet"


# --- bytecode --------------------------------------------------------------------------------------------------------


class _Code(NamedTuple):
    text: str
    loaded: tuple[str, ...]  # the globals that it looks up, and those of the functions within it
    named: tuple[str, ...]  # these, and attributes


def _any_of(operations: Iterable[int]) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(bytes(each for each in operations if each < 256)) + b"]")


_LOAD_GLOBAL, _EXTENDED, _IMPORT = (dis.opmap[name] for name in ("LOAD_GLOBAL", "EXTENDED_ARG", "IMPORT_NAME"))
_IN_CLASSES = ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_LOADS = _any_of([_LOAD_GLOBAL, *(dis.opmap[name] for name in _IN_CLASSES if name in dis.opmap)])
_USES_CONSTANT = _any_of(dis.hasconst)
_HAS_DOCSTRING = getattr(inspect, "CO_HAS_DOCSTRING", 0)  # a flag since Python 3.13


@functools.cache
def _read(code: types.CodeType) -> _Code:
    """Instructions with the constants that they use, in the place of their numbers: so docstrings, which none uses, drop out."""
    instructions, arguments = code.co_code[::2], bytearray(code.co_code[1::2])
    loaded = dict.fromkeys(_loaded(code, instructions, arguments))
    _refuse_what_is_hidden(code, instructions, loaded)
    named = dict.fromkeys(code.co_names)
    constants = list(code.co_consts)
    if len(constants) <= 256:  # else their numbers take more than a byte
        uses = [use.start() for use in _USES_CONSTANT.finditer(instructions)]
        constants = [constants[arguments[use]] for use in uses]
        for use in uses:
            arguments[use] = 0
    for inner in constants:
        if isinstance(inner, types.CodeType):
            loaded |= dict.fromkeys(_read(inner).loaded)
            named |= dict.fromkeys(_read(inner).named)
    signature = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_HAS_DOCSTRING
    variables = code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars
    does = instructions, bytes(arguments), code.co_exceptiontable, constants
    return _Code(fingerprint(code.co_name, signature, variables, does), tuple(loaded), tuple(named))


def _loaded(code: types.CodeType, instructions: bytes, arguments: bytes | bytearray) -> Iterator[str]:
    """The names that are looked up in the globals."""
    for load in _LOADS.finditer(instructions):
        at = load.start()
        number = arguments[at]
        if at and instructions[at - 1] == _EXTENDED:
            number |= arguments[at - 1] << 8
        if instructions[at] == _LOAD_GLOBAL:
            number >>= 1  # the last bit says how it is pushed
        yield code.co_names[number]


_FINDS_BY_TEXT = {"__import__", "eval", "exec", "getattr", "globals", "locals", "vars"}
_OFFERS_BY_TEXT = {"__dict__", "__globals__", "attrgetter", "import_module", "methodcaller", "modules"}


def _refuse_what_is_hidden(code: types.CodeType, instructions: bytes, loaded: Iterable[str]) -> None:
    """What is looked up by a name that only exists while the code runs, and what is imported then."""
    for name in [*_FINDS_BY_TEXT.intersection(loaded), *_OFFERS_BY_TEXT.intersection(code.co_names)]:
        raise Unknown(f"what {name} finds in {code.co_qualname}")
    if _IMPORT in instructions:
        for each in dis.get_instructions(code):
            if each.opname == "IMPORT_NAME" and each.argval.partition(".")[0] not in _FOREIGN:
                raise Unknown(f"an import of {each.argval} in {code.co_qualname}: it belongs at the head of the file")
