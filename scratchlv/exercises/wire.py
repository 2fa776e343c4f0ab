"""What goes between the grader and the learner's process: numbers, arrays, texts, and tuples, lists and dicts of these.

Nothing that is read can run code, as a pickle could. A message is two lengths, a line of JSON, and the arrays' bytes. The file
needs numpy alone: the learner's process loads it without the package.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

HEAD = struct.Struct("<QQ")  # bytes of JSON, bytes of arrays
_KINDS = "biufc"  # of arrays: bool, integers, floating point, complex
_DTYPE = re.compile(r"[<>|=][biufc]\d{1,2}")
_LONGEST = 100  # letters of what something is called


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
        found = _Message(body[size:])
        value = found.unpacked(json.loads(bytes(body[:size])))
        if found.left:
            raise Unreadable("numbers are left over")
        return value
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, RecursionError, OverflowError) as error:
        raise Unreadable(str(error)) from None


def _packed(value: Any, arrays: list[bytes], depth: int) -> Any:
    if value is None or isinstance(value, bool) or type(value) in (int, float):
        return value
    if isinstance(value, str):
        return {"source" if isinstance(value, Source) else "text": str(value)}
    if isinstance(value, complex) and not isinstance(value, np.generic):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, np.generic | np.ndarray):
        array = np.asarray(value)  # of a subclass, what it is in truth
        if array.dtype.kind in _KINDS:
            arrays.append(array.tobytes())
            return {"array" if isinstance(value, np.ndarray) else "number": [array.dtype.str, list(array.shape)]}
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
    return f"a {type(value).__name__}"[:_LONGEST]


class _Message:
    """What is left of the arrays' bytes: each array takes its own, so that none is there twice."""

    def __init__(self, arrays: memoryview) -> None:
        self.left = arrays

    def unpacked(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        ((kind, inner),) = value.items()
        return self.KINDS[kind](self, inner)

    def _array(self, inner: Any) -> np.ndarray:
        dtype, shape = inner
        if not _DTYPE.fullmatch(dtype) or any(type(n) is not int or n < 0 for n in shape):
            raise Unreadable(f"an array of {dtype}")
        of = np.dtype(dtype)
        size = math.prod(shape) * of.itemsize
        if size > len(self.left):
            raise Unreadable("an array has no numbers")
        data, self.left = self.left[:size], self.left[size:]
        return np.frombuffer(data, of).reshape(shape).copy() if size else np.zeros(shape, of)

    def _number(self, inner: Any) -> Any:
        array = self._array(inner)
        if array.ndim:
            raise Unreadable("a number has axes")
        return array[()]

    def _tuple(self, inner: Any) -> tuple:
        return tuple(self._list(inner))

    def _list(self, inner: Any) -> list:
        if not isinstance(inner, list):
            raise Unreadable("a list is none")
        return [self.unpacked(each) for each in inner]

    def _dict(self, inner: Any) -> dict:
        return {self.unpacked(key): self.unpacked(each) for key, each in inner}

    def _text(self, inner: Any) -> str:
        if not isinstance(inner, str):
            raise Unreadable("a text is none")
        return inner

    def _source(self, inner: Any) -> Source:
        return Source(self._text(inner))

    def _opaque(self, inner: Any) -> Opaque:
        return Opaque(plain(self._text(inner), _LONGEST))

    def _complex(self, inner: Any) -> complex:
        real, imaginary = inner
        if not all(type(each) in (int, float) for each in inner):
            raise Unreadable("a complex number is none")
        return complex(real, imaginary)

    KINDS: ClassVar = {
        "array": _array,
        "number": _number,
        "tuple": _tuple,
        "list": _list,
        "dict": _dict,
        "text": _text,
        "source": _source,
        "opaque": _opaque,
        "complex": _complex,
    }


def plain(text: str, most: int) -> str:
    """Text from a stranger in one line: without what moves a terminal's cursor, and not too long."""
    cleaned = "".join(letter if letter.isprintable() else " " for letter in text[: most + 1])
    return cleaned if len(cleaned) <= most else f"{cleaned[:most]} …"
