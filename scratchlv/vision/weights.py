"""Reading files that ``torch.save`` wrote, without torch, and without running anything that they contain; and safetensors.

Such a file is a pickle, that is a program for a small machine which may call any function there is; opening one with
``pickle.load`` runs whatever its author wanted. Here that machine is :class:`_Machine`, which knows only the instructions
that build dictionaries and tensors, only the names of tensors, and calls nothing: a tensor is a description (a place, a
shape and strides in a block of numbers), which is checked against the file before a number is read. Instructions and bytes are
counted, and the keys of dictionaries are texts, whose hashes nobody can foresee: a hostile file is refused within a second.

Two formats are in use. *Zip* (since 2020): ``NAME/data.pkl`` and one stored member ``NAME/data/KEY`` per block of
numbers. *Legacy*: five pickles one after the other (a magic number, 1001, a description of the machine, the object, the
keys of the blocks), then for each key an int64 count and the numbers themselves.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeGuard

import numpy as np

from scratchlv.errors import UserError, shortened

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_PICKLE = 4 << 20  # bytes; a thousand tensors take 0.2 MB
_MAX_INSTRUCTIONS = 200_000  # a tensor takes about 40
_MAX_DIRECTORY = 2 << 20  # bytes of a zip file's list of members; one of a tensor takes about 100
_MAX_HEADER = 4 << 20  # bytes of a safetensors file's description; a tensor takes about 100
_MAX_AXES = 32
_MAX_EXPANSION = 8  # tensors may share numbers (tied weights), but together be no larger than so many times the file

_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",  # the upper halves of float32 numbers
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_CALLS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
}
_NAMES = _CALLS | {f"torch {name}" for name in _DTYPES}
#: the types of safetensors that are read
_SAFE_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # the upper halves of float32 numbers
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary saved by ``torch.save``, in either format, by name.

    The arrays are contiguous and own their numbers; bfloat16 becomes float32. Only a flat dictionary of tensors is
    read (``torch.save(model.state_dict(), path)``): nothing in the file is ever executed.

    Raises:
        UserError: the file is missing, damaged, not such a dictionary, or mentions anything else than tensors.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            reader = _ZipReader if file.read(4) == b"PK\x03\x04" else _LegacyReader
            file.seek(0)
            return _read(reader(file, size), size)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the path of a file of weights") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); give a readable file of weights") from None
    except _Refusal as refusal:
        raise UserError(f"{path}: {refusal}") from None


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file (``NAME.safetensors``), or of one that ``torch.save`` wrote, by name.

    Raises:
        UserError: the file is missing, damaged, or something else.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return read_torch(path)
    try:
        with open(path, "rb") as file:
            return _read_safetensors(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the path of a file of weights") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); give a readable file of weights") from None
    except _Refusal as refusal:
        raise UserError(f"{path} is damaged or no safetensors file of plain numbers: {refusal}") from None


def _read_safetensors(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """A length, a description in JSON, and the numbers of one tensor after the other, without gaps; bfloat16 becomes float32."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _MAX_HEADER):
        raise _Refusal(f"its description would be {length:,} bytes, of a file of {size:,}")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise _Refusal("its description is no JSON") from None
    if not isinstance(header, dict):
        raise _Refusal("its description names no tensors")
    header.pop("__metadata__", None)
    found = sorted((_described(name, said) for name, said in header.items()), key=lambda tensor: tensor.begin)
    at = 0
    for tensor in found:
        if tensor.begin != at:
            raise _Refusal(
                f"tensor {shortened(tensor.name)} begins at byte {tensor.begin:,}, and the one before ends at {at:,}"
            )
        at += tensor.size
    if at != size - 8 - length:
        raise _Refusal(f"its tensors are {at:,} bytes, and {size - 8 - length:,} are there; it may be cut off")
    return {tensor.name: _widened(_numbers(file, tensor), tensor.dtype == "BF16") for tensor in found}


class _Described(NamedTuple):
    """A tensor as a safetensors file describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    size: int  # bytes


def _described(name: str, said: Any) -> _Described:
    if not isinstance(said, dict) or not isinstance(said.get("dtype"), str):
        raise _Refusal(f"tensor {shortened(name)} has no type")
    dtype, shape, place = said["dtype"], said.get("shape"), said.get("data_offsets")
    if dtype not in _SAFE_DTYPES:
        known = ", ".join(_SAFE_DTYPES)
        raise _Refusal(
            f"tensor {shortened(name)} has numbers of the type {shortened(dtype)}, and {known} are read; convert it"
        )
    if not (_are_counts(shape) and _are_counts(place) and len(place) == 2 and len(shape) <= _MAX_AXES):
        raise _Refusal(f"tensor {shortened(name)} has the shape {shortened(shape)} and the place {shortened(place)}")
    size = math.prod(shape) * np.dtype(_SAFE_DTYPES[dtype]).itemsize
    if place[1] - place[0] != size or max(shape, default=0) >= 1 << 40:
        raise _Refusal(
            f"tensor {shortened(name)} of the shape {shortened(shape)} is not {place[1] - place[0]:,} bytes of {dtype}"
        )
    return _Described(name, dtype, tuple(shape), place[0], size)


def _are_counts(found: Any) -> TypeGuard[list[int]]:
    return isinstance(found, list) and all(type(n) is int and 0 <= n < 1 << 62 for n in found)


def _numbers(file: BinaryIO, tensor: _Described) -> np.ndarray:
    """The next tensor of the file; what it says has been checked against the size of the file."""
    numbers = np.empty(tensor.shape, _SAFE_DTYPES[tensor.dtype])
    if file.readinto(numbers.reshape(-1).view(np.uint8)) != tensor.size:  # type: ignore[attr-defined]
        raise _Refusal(f"it ends inside tensor {shortened(tensor.name)}: it is cut off, download or copy it again")
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def _widened(numbers: np.ndarray, bfloat16: bool) -> np.ndarray:
    """bfloat16, the upper halves of float32 numbers, as float32; others as they are."""
    return (numbers.astype(np.uint32) << 16).view(np.float32) if bfloat16 else numbers


def checksum(params: dict[str, np.ndarray]) -> str:
    """Of a network's parameters: features computed by others have another."""
    digest = hashlib.blake2b(digest_size=16)
    for key, array in sorted(params.items()):
        digest.update(f"{key} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


class _Refusal(Exception):
    """Why a file is not read."""


class _Storage(NamedTuple):
    """A block of numbers in the file, as the pickle names it."""

    key: str
    dtype: np.dtype
    length: int
    bfloat16: bool


class _Tensor(NamedTuple):
    """A tensor as the pickle describes it; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _read(reader: _ZipReader | _LegacyReader, file_size: int) -> dict[str, np.ndarray]:
    tensors = _state(reader.unpickled)
    for name, tensor in tensors.items():
        _check_view(name, tensor)
    total = sum(math.prod(max(n, 1) for n in t.shape) * t.storage.dtype.itemsize for t in tensors.values())
    if total > _MAX_EXPANSION * file_size:
        raise _Refusal(
            f"its tensors would take {total:,} bytes, and the file has {file_size:,}: it is cut off, or not to be trusted; "
            "download or copy it again"
        )
    names: dict[str, list[str]] = {}  # of the tensors that share a block
    for name, tensor in tensors.items():
        names.setdefault(tensor.storage.key, []).append(name)
    arrays: dict[str, np.ndarray] = {}
    for key, raw in reader.blocks({key: tensors[names[key][0]].storage for key in names}):
        arrays |= {name: _copy(raw, tensors[name]) for name in names[key]}
    return {name: arrays[name] for name in tensors}  # in the file's order


def _state(unpickled: Any) -> dict[str, _Tensor]:
    if not isinstance(unpickled, dict):
        raise _Refusal("it holds no dictionary of tensors; write one with torch.save(model.state_dict(), path)")
    for name, value in unpickled.items():
        if not (isinstance(name, str) and isinstance(value, _Tensor)):
            raise _Refusal(
                f"its entry {shortened(name)} is no tensor; write one with torch.save(model.state_dict(), path)"
            )
    seen: dict[str, _Storage] = {}
    for name, tensor in unpickled.items():
        if seen.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            block = shortened(tensor.storage.key)
            raise _Refusal(f"tensor {shortened(name)} describes the block of numbers {block} in a second way")
    return unpickled


def _check_view(name: str, tensor: _Tensor) -> None:
    """The tensor lies inside its block, and no two of its elements share a number."""
    storage, offset, shape, strides = tensor
    name = shortened(name)
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise _Refusal(f"tensor {name} has shape {shape}, strides {strides} and offset {offset}")
    last = offset  # the last number of the axes seen so far
    if 0 not in shape:
        for size, stride in sorted(zip(shape, strides, strict=True), key=lambda axis: axis[1]):
            if size > 1 and stride <= last - offset:
                raise _Refusal(f"tensor {name}, shape {shape}, strides {strides}, overlaps itself")
            last += (size - 1) * stride
        last += 1
    if last > storage.length:
        raise _Refusal(f"tensor {name} reaches up to number {last:,} of a block of {storage.length:,}")


def _copy(raw: bytearray, tensor: _Tensor) -> np.ndarray:
    storage, offset, shape, strides = tensor
    numbers = np.frombuffer(raw, storage.dtype)
    if 0 in shape:
        view = np.empty(shape, storage.dtype)
    else:  # the stride of an axis of one may be any number
        steps = [stride * numbers.itemsize if n > 1 else 0 for n, stride in zip(shape, strides, strict=True)]
        view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps)
    if storage.bfloat16:
        return _widened(view, True)
    return view.astype(storage.dtype.newbyteorder("="), order="C", copy=True)


class _ZipReader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        sparing = _Sparing(file)
        try:
            self.archive = zipfile.ZipFile(sparing)  # type: ignore[call-overload]
        except _Refusal:
            raise
        except Exception as error:
            raise _Refusal(f"its zip directory cannot be read, it may be cut off ({error})") from None
        sparing.most = size
        self.members = {info.filename: info for info in self.archive.infolist()}
        pickles = [name for name in self.members if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Refusal(f"it is a zip file with {len(pickles)} members data.pkl instead of one")
        self.prefix = pickles[0].removesuffix("data.pkl")
        self.size = size
        if self.prefix + "byteorder" in self.members and self._member("byteorder", 16) != b"little":
            raise _Refusal("it was written on a big-endian machine, which is not supported")
        self.unpickled = _unpickle(io.BytesIO(self._member("data.pkl", _MAX_PICKLE)))

    def blocks(self, wanted: dict[str, _Storage]) -> Iterator[tuple[str, bytearray]]:
        self._refuse_overlaps([f"{self.prefix}data/{key}" for key in wanted])
        for key, storage in wanted.items():
            raw = self._member(f"data/{key}", self.size)
            if len(raw) != storage.length * storage.dtype.itemsize:
                raise _Refusal(
                    f"block {shortened(key)} has {len(raw):,} bytes instead of {storage.length:,} {storage.dtype.name}"
                )
            yield key, raw

    def _refuse_overlaps(self, names: list[str]) -> None:
        """Each member has its own place in the file."""
        places = sorted((info.header_offset, info.compress_size) for name in names if (info := self.members.get(name)))
        for (at, size), (after, _) in zip(places, places[1:], strict=False):
            if at + size > after:
                raise _Refusal("two of its members overlap")

    def _member(self, name: str, most: int) -> bytearray:
        info = self.members.get(self.prefix + name)
        if info is None:
            raise _Refusal(f"its member {shortened(self.prefix + name)} is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(most, self.size):
            raise _Refusal(
                f"its member {shortened(info.filename)} is compressed or too large, which torch.save never makes them"
            )
        try:
            return bytearray(self.archive.read(info))
        except Exception as error:
            named = shortened(info.filename)
            raise _Refusal(
                f"its member {named} cannot be read, the file may be damaged ({shortened(str(error))})"
            ) from None


class _Sparing:
    """A file of which no more than so many bytes are read at once: a zip directory is read as a whole."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.most = file, _MAX_DIRECTORY

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, n: int = -1) -> bytes:
        if n > self.most:
            raise _Refusal(f"its list of members takes {n:,} bytes, which that of no state dictionary does")
        return self.file.read(n if n >= 0 else self.most)


class _LegacyReader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        try:
            magic = _unpickle(file)
        except _Refusal:
            magic = None
        if magic != _MAGIC:
            raise _Refusal("it is no file that torch.save wrote")
        if (protocol := _unpickle(file)) != _PROTOCOL:
            raise _Refusal(f"it says it has format {shortened(protocol)}, and {_PROTOCOL} is known")
        machine = _unpickle(file)
        if not (isinstance(machine, dict) and machine.get("little_endian") is True):
            raise _Refusal("it was not written on a little-endian machine, which is not supported")
        self.unpickled = _unpickle(file)
        self.keys = _unpickle(file)

    def blocks(self, wanted: dict[str, _Storage]) -> Iterator[tuple[str, bytearray]]:
        keys = self.keys
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(wanted):
            raise _Refusal("its list of blocks of numbers is not what its tensors need")
        for key in keys:
            storage = wanted[key]
            count = int.from_bytes(self._bytes(8, key), "little", signed=True)
            if count != storage.length:
                raise _Refusal(
                    f"block {shortened(key)} has {count:,} numbers, where its tensors expect {storage.length:,}"
                )
            yield key, self._bytes(count * storage.dtype.itemsize, key)

    def _bytes(self, n: int, key: str) -> bytearray:
        if n < 0 or n > self.size - self.file.tell():
            raise _Refusal(f"it ends inside block {shortened(key)}: it is cut off, download or copy it again")
        raw = bytearray(n)
        self.file.readinto(raw)  # type: ignore[attr-defined]
        return raw


def _unpickle(file: BinaryIO) -> Any:
    """What the pickle that starts here builds, of dictionaries, lists, tuples, texts, numbers and tensors."""
    machine, count = _Machine(), 0
    try:
        for instruction, argument, _ in pickletools.genops(_Bounded(file)):  # type: ignore[arg-type]
            count += 1
            if count > _MAX_INSTRUCTIONS:
                raise _Refusal(
                    f"its pickle has more than {_MAX_INSTRUCTIONS:,} instructions, which no state dictionary needs"
                )
            if instruction.name == "STOP":
                return machine.stack.pop()
            machine.obey(instruction.name, argument)
    except _Refusal:
        raise
    except (
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # an instruction finds nothing, or something else, to work on
        raise _Refusal("it is a pickle that makes no sense") from None
    except Exception as error:
        raise _Refusal(f"it is damaged, or no file that torch.save wrote ({shortened(str(error))})") from None
    raise _Refusal("its pickle has no end")


class _Bounded:
    """A file that a pickle may read so much of and no more, so that a length it claims is never allocated."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.left = file, _MAX_PICKLE

    def read(self, n: int) -> bytes:
        return self._count(self.file.read(min(n, self.left)))

    def readline(self) -> bytes:
        return self._count(self.file.readline(self.left))

    def _count(self, data: bytes) -> bytes:
        self.left -= len(data)
        return data

    def tell(self) -> int:
        return _MAX_PICKLE - self.left


class _Name(str):
    """A permitted name; it stands for nothing but itself."""

    __slots__ = ()


class _State(dict):
    """An ordered dictionary; what torch notes on it beside its items (versions of modules) is left out."""

    __slots__ = ()


class _Machine:
    """Pickle's machine, as far as tensors need it: a stack, marks on it, and a memory."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memory: dict[int, Any] = {}

    def obey(self, instruction: str, argument: Any) -> None:
        stack = self.stack
        match instruction:
            case "PROTO":
                pass
            case "MARK":
                self._marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(argument)
            case "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument.encode("latin-1").decode())
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self._marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(int(instruction[-1]))))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND" | "APPENDS":
                items = self._pop(1) if instruction == "APPEND" else self._marked()
                _of_kind(stack[-1], list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM" | "SETITEMS":
                items = self._pop(2) if instruction == "SETITEM" else self._marked()
                _set_items(_of_kind(stack[-1], dict), items)
            case "BINPUT" | "LONG_BINPUT":
                self._memory[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memory[argument])
            case "GLOBAL":
                stack.append(_permitted(argument))
            case "REDUCE":
                name, arguments = self._pop(2)
                stack.append(_called(_of_kind(name, _Name), _of_kind(arguments, tuple)))
            case "BUILD":
                self._pop(1)
                if not isinstance(stack[-1], _State):
                    raise _Refusal("it changes what is no dictionary")
            case "BINPERSID":
                stack.append(_storage(_of_kind(stack.pop(), tuple)))
            case _:
                raise _Refusal(
                    f"it uses the pickle instruction {instruction}, which no tensor needs; nothing in it was executed"
                )

    def _pop(self, n: int) -> list[Any]:
        if len(self.stack) - (self._marks[-1] if self._marks else 0) < n:
            raise _Refusal("it is a pickle that makes no sense")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def _marked(self) -> list[Any]:
        mark = self._marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items


def _of_kind(found: Any, kind: type) -> Any:
    if not isinstance(found, kind):
        raise _Refusal("it is a pickle that makes no sense")
    return found


def _set_items(into: dict, items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is not str:
            raise _Refusal(
                f"it has a dictionary with {shortened(key)} for a key; those of a state dictionary are texts"
            )
        into[key] = value


def _permitted(name: str) -> _Name:
    if name not in _NAMES:
        said = shortened(name.replace(" ", "."))
        raise _Refusal(f"it mentions {said}, which no tensor needs; nothing in it was executed")
    return _Name(name)


def _called(name: _Name, arguments: tuple) -> Any:
    match name.rpartition(" ")[2], arguments:
        case "OrderedDict", ():
            return _State()
        case "_rebuild_tensor", (_Storage(), _, _, _):
            return _tensor(*arguments)
        case "_rebuild_tensor_v2", (_Storage(), _, _, _, _, _) | (_Storage(), _, _, _, _, _, _):
            return _tensor(*arguments[:4])
        case "_rebuild_parameter", (_Tensor(), _, _):
            return arguments[0]
    raise _Refusal(f"it calls {name.replace(' ', '.')} in a way that torch.save does not")


def _storage(identity: tuple) -> _Storage:
    """A block of numbers, as a pickle refers to it; the place is "cpu" or "cuda:0": all one here."""
    if (
        len(identity) < 5
        or type(identity[0]) is not str
        or identity[0] != "storage"
        or not isinstance(identity[1], _Name)
    ):
        raise _Refusal("it refers to something that is no block of numbers")
    name, key, count, view = identity[1].rpartition(" ")[2], identity[2], identity[4], identity[5:]
    if name not in _DTYPES:
        raise _Refusal("it refers to something that is no block of numbers")
    if type(key) is not str or type(count) is not int or count < 0 or any(v is not None for v in view):
        raise _Refusal(f"it describes the block of numbers {shortened(key)} in a way that is not supported")
    return _Storage(key, np.dtype(_DTYPES[name]), count, name == "BFloat16Storage")


def _tensor(storage: _Storage, offset: Any, shape: Any, strides: Any) -> _Tensor:
    if not (isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise _Refusal("it describes a tensor without a shape")
    if max(len(shape), len(strides)) > _MAX_AXES or any(type(n) is not int for n in (offset, *shape, *strides)):
        said = f"shape {shortened(shape)}, strides {shortened(strides)} and offset {shortened(offset)}"
        raise _Refusal(f"it describes a tensor of {said}")
    return _Tensor(storage, offset, shape, strides)
