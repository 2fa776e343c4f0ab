"""What goes between the grader and the learner's process: numbers, arrays, texts, and tuples, lists and dicts of these.

Nothing that is read can run code, as a pickle could. A message is two lengths, a line of JSON, and the arrays' bytes. The file
needs numpy alone: the learner's process loads it without the package.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

HEAD = struct.Struct("<QQ")  # bytes of JSON, bytes of arrays
_KINDS = "biufc"  # of arrays: bool, integers, floating point, complex


class Unreadable(Exception):
    """What came is no message."""


@dataclass(frozen=True)
class Opaque:
    """Something that no message can hold: what it is called."""

    kind: str


class Source(str):
    """A function, as Python source."""


def encode(value: Any) -> bytes:
    """A message that holds ``value``."""
    arrays: list[bytes] = []
    text = json.dumps(_packed(value, arrays, 0)).encode()
    data = b"".join(arrays)
    return HEAD.pack(len(text), len(data)) + text + data


def decode(message: bytes) -> Any:
    """The value that a message holds.

    Raises:
        Unreadable: it is none.
    """
    try:
        size, rest = HEAD.unpack_from(message)
        body = memoryview(message)[HEAD.size :]
        if len(body) != size + rest:
            raise Unreadable("its length is not what it says")
        return _unpacked(json.loads(bytes(body[:size])), body[size:])
    except (ValueError, TypeError, KeyError, IndexError, struct.error, RecursionError, OverflowError) as error:
        raise Unreadable(str(error)) from None


def _packed(value: Any, arrays: list[bytes], depth: int) -> Any:
    if value is None or isinstance(value, bool) or type(value) in (int, float):
        return value
    if isinstance(value, str):
        return {"source" if isinstance(value, Source) else "text": str(value)}
    if isinstance(value, complex) and not isinstance(value, np.generic):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in _KINDS:
        start = sum(map(len, arrays))
        arrays.append(np.ascontiguousarray(value).tobytes())
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return {kind: [value.dtype.str, list(value.shape), start]}
    if depth > 20:
        return {"opaque": "a structure more than 20 deep"}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_packed(each, arrays, depth + 1) for each in value]}
    if isinstance(value, dict):
        return {
            "dict": [[_packed(key, arrays, depth + 1), _packed(each, arrays, depth + 1)] for key, each in value.items()]
        }
    return {"opaque": _name(value)}


def _name(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"


def _unpacked(value: Any, data: memoryview) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    ((kind, inner),) = value.items()
    if kind in ("array", "number"):
        dtype, shape, start = inner
        return _array(dtype, shape, start, data, kind)
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(_unpacked(each, data) for each in inner)
    if kind == "dict":
        return {_unpacked(key, data): _unpacked(each, data) for key, each in inner}
    made: dict[str, Callable[[Any], Any]] = {
        "text": str,
        "source": Source,
        "opaque": Opaque,
        "complex": lambda pair: complex(*pair),
    }
    return made[kind](inner)


def _array(dtype: str, shape: list[int], start: int, data: memoryview, kind: str) -> Any:
    of = np.dtype(dtype)
    if of.kind not in _KINDS or any(n < 0 for n in shape) or start < 0:
        raise Unreadable(f"an array of {dtype}")
    count = 1
    for n in shape:
        count *= n
    array = np.frombuffer(data[start : start + count * of.itemsize], of).reshape(shape).copy()
    return array if kind == "array" else array[()]
