"""What a kernel takes, read from its CUDA C source, so that a wrong argument is refused before it is launched."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

#: what an array's element, or a number, must be for a C type
DTYPES: dict[str, tuple[np.dtype, ...]] = {
    name: tuple(np.dtype(d) for d in dtypes)
    for name, dtypes in {
        "float": (np.float32,),
        "double": (np.float64,),
        "int": (np.int32,),
        "unsigned": (np.uint32,),
        "unsigned int": (np.uint32,),
        "long long": (np.int64,),
        "unsigned long long": (np.uint64,),
        "unsigned short": (np.uint16,),
        "unsigned char": (np.uint8, np.bool_),
        "bool": (np.bool_,),
        "float2": (np.float32,),
        "float4": (np.float32,),
    }.items()
}

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\(\s*(\w+)[^)]*\)\s*)?(\w+)\s*\(([^)]*)\)'
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


class Parameter(NamedTuple):
    name: str
    c_type: str  # "float", "int" …
    pointer: bool
    written: bool  # a pointer without const


class Signature(NamedTuple):
    name: str
    parameters: tuple[Parameter, ...]
    most_threads: int  # of a block


def read_signatures(source: str) -> dict[str, Signature]:
    """The kernels of a CUDA C source by name.

    Raises:
        ValueError: a parameter's type is none of :data:`DTYPES`.
    """
    code = _COMMENT.sub("", source)
    constants = dict(re.findall(r"#define\s+(\w+)\s+(\d+)\s*$", code, re.MULTILINE))
    found = {}
    for bound, name, parameters in _KERNEL.findall(code):
        most = int(constants.get(bound, bound or 1024))
        parts = [p for p in parameters.split(",") if p.strip()]
        found[name] = Signature(name, tuple(_parameter(name, p) for p in parts), most)
    return found


def _parameter(kernel: str, text: str) -> Parameter:
    words = re.sub(r"\b(?:__restrict__|volatile)\b|\*", " ", text).split()
    constant, name = "const" in words, words[-1]
    c_type = " ".join(word for word in words[:-1] if word != "const")
    if c_type not in DTYPES:
        raise ValueError(
            f"{kernel}: the parameter {name} is {c_type!r}; a kernel takes {', '.join(DTYPES)} and pointers"
        )
    return Parameter(name, c_type, "*" in text, "*" in text and not constant)


def check_arguments(signature: Signature, arguments: tuple[Any, ...], array_type: type) -> None:
    """
    Raises:
        TypeError: an argument is missing, or is not what the source asks for; the sentence says what would be.
    """
    if len(arguments) != len(signature.parameters):
        names = ", ".join(p.name for p in signature.parameters)
        raise TypeError(f"{signature.name} takes {len(signature.parameters)} arguments ({names}), not {len(arguments)}")
    for parameter, argument in zip(signature.parameters, arguments, strict=True):
        problem = (_array_problem if parameter.pointer else _number_problem)(parameter, argument, array_type)
        if problem:
            raise TypeError(f"{signature.name}: {parameter.name} {problem}")


def _array_problem(parameter: Parameter, argument: Any, array_type: type[Any]) -> str | None:
    if argument is None:
        return None  # a null pointer, which the kernel must look for
    wanted = DTYPES[parameter.c_type]
    if not isinstance(argument, array_type):
        return f"is {_kind(argument)}; the other arrays of this launch are {_kind_of(array_type)}"
    if argument.dtype not in wanted:
        return f"is an array of {argument.dtype}; the kernel reads {parameter.c_type}: give {wanted[0]}"
    if not argument.flags.c_contiguous:
        return "is not contiguous, and a kernel sees a bare pointer: pass ascontiguousarray of it"
    if array_type is np.ndarray:
        if not argument.flags.aligned:
            return "is not aligned in memory: pass a copy of it"
        if parameter.written and not argument.flags.writeable:
            return "is read-only, and the kernel writes to it"
    return None


def _number_problem(parameter: Parameter, argument: Any, array_type: type) -> str | None:
    wanted = DTYPES[parameter.c_type][0]
    if isinstance(argument, np.generic) and argument.dtype == wanted:
        return None
    if isinstance(argument, bool | int | float) and not isinstance(argument, np.generic):
        return f"is a plain Python number, whose size in C would be a guess: pass np.{wanted.name}({argument})"
    return f"is {_kind(argument)}; the kernel takes {parameter.c_type}: pass np.{wanted.name}"


def _kind_of(array_type: type) -> str:
    return "NumPy arrays" if array_type is np.ndarray else "CuPy arrays"


def _kind(argument: Any) -> str:
    if isinstance(argument, np.ndarray):
        return "a NumPy array"
    return f"of the type {type(argument).__module__.split('.')[0]}.{type(argument).__name__}"
