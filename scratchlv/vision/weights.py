"""Reading files that ``torch.save`` wrote, without torch, and without running anything that they contain.

Such a file is a pickle, that is a program for a small machine which may call any function there is; opening one with
``pickle.load`` runs whatever its author wanted. Here a pickle is first read through, instruction by instruction: only
those that build dictionaries and tensors may occur, and only the names of tensors may be mentioned. Then it is
carried out with harmless stand-ins for those names, and what they describe (a place, a shape and strides in a block
of numbers) is checked against the file before a number is read.

Two formats are in use. *Zip* (since 2020): ``NAME/data.pkl`` and one stored member ``NAME/data/KEY`` per block of
numbers. *Legacy*: five pickles one after the other (a magic number, 1001, a description of the machine, the object, the
keys of the blocks), then for each key an int64 count and the numbers themselves.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import pickle
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from scratchlv.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_PICKLE = 16 << 20  # bytes; a thousand tensors take 0.2 MB, and each byte can cost some hundred bytes of memory
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
# fmt: off
_INSTRUCTIONS = {  # of protocol 2, which torch.save writes
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET",
    "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD", "BINPERSID",
}
# fmt: on


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
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the path of a file of weights") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); give a readable file of weights") from None
    except (SafetensorError, KeyError, TypeError) as error:  # the latter: a type of numbers that NumPy does not know
        raise UserError(f"{path} is damaged or no safetensors file of plain numbers: {error}") from None


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
        raise _Refusal(f"its tensors would take {total:,} bytes, and the file has {file_size:,}; it is not trusted")
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
            raise _Refusal(f"its entry {name!r} is no tensor; write one with torch.save(model.state_dict(), path)")
    seen: dict[str, _Storage] = {}
    for name, tensor in unpickled.items():
        if seen.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise _Refusal(f"tensor {name!r} describes the block of numbers {tensor.storage.key!r} in a second way")
    return unpickled


def _check_view(name: str, tensor: _Tensor) -> None:
    """The tensor lies inside its block, and no two of its elements share a number."""
    storage, offset, shape, strides = tensor
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise _Refusal(f"tensor {name!r} has shape {shape}, strides {strides} and offset {offset}")
    last = offset  # the last number of the axes seen so far
    if 0 not in shape:
        for size, stride in sorted(zip(shape, strides, strict=True), key=lambda axis: axis[1]):
            if size > 1 and stride <= last - offset:
                raise _Refusal(f"tensor {name!r}, shape {shape}, strides {strides}, overlaps itself")
            last += (size - 1) * stride
        last += 1
    if last > storage.length:
        raise _Refusal(f"tensor {name!r} reaches up to number {last:,} of a block of {storage.length:,}")


def _copy(raw: bytearray, tensor: _Tensor) -> np.ndarray:
    storage, offset, shape, strides = tensor
    numbers = np.frombuffer(raw, storage.dtype)
    if 0 in shape:
        view = np.empty(shape, storage.dtype)
    else:
        view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, [s * numbers.itemsize for s in strides])
    if storage.bfloat16:
        return (view.astype(np.uint32) << 16).view(np.float32)
    return view.astype(storage.dtype.newbyteorder("="), order="C", copy=True)


class _ZipReader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        try:
            self.archive = zipfile.ZipFile(file)
        except Exception as error:
            raise _Refusal(f"its zip directory cannot be read, it may be cut off ({error})") from None
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
        for key, storage in wanted.items():
            raw = self._member(f"data/{key}", self.size)
            if len(raw) != storage.length * storage.dtype.itemsize:
                raise _Refusal(
                    f"block {key!r} has {len(raw):,} bytes instead of {storage.length:,} {storage.dtype.name}"
                )
            yield key, raw

    def _member(self, name: str, most: int) -> bytearray:
        info = self.members.get(self.prefix + name)
        if info is None:
            raise _Refusal(f"its member {self.prefix + name!r} is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(most, self.size):
            raise _Refusal(
                f"its member {info.filename!r} is compressed or too large, which torch.save never makes them"
            )
        try:
            return bytearray(self.archive.read(info))
        except Exception as error:
            raise _Refusal(f"its member {info.filename!r} cannot be read, the file may be damaged ({error})") from None


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
            raise _Refusal(f"it says it has format {protocol!r}, and {_PROTOCOL} is known")
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
                raise _Refusal(f"block {key!r} has {count:,} numbers, where its tensors expect {storage.length:,}")
            yield key, self._bytes(count * storage.dtype.itemsize, key)

    def _bytes(self, n: int, key: str) -> bytearray:
        if n < 0 or n > self.size - self.file.tell():
            raise _Refusal(f"it ends inside block {key!r}: it is cut off, download or copy it again")
        raw = bytearray(n)
        self.file.readinto(raw)  # type: ignore[attr-defined]
        return raw


def _unpickle(file: BinaryIO) -> Any:
    """Carry out the pickle that starts here, once every instruction of it has been found harmless."""
    start = file.tell()
    _inspect(_Bounded(file))
    file.seek(start)
    try:
        return _Unpickler(_Bounded(file), encoding="utf-8").load()
    except _Refusal:
        raise
    except Exception as error:  # what a pickle that makes no sense raises can be anything
        raise _Refusal(f"its pickle makes no sense ({type(error).__name__}: {error})") from None


def _inspect(file: _Bounded) -> None:
    """Read a pickle through without executing it; refuse instructions and names that weights have no need of."""
    try:
        for instruction, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]
            if instruction.name == "GLOBAL" and argument not in _NAMES:
                name = str(argument)[:80].replace(" ", ".")
                raise _Refusal(f"it mentions {name!r}, which no tensor needs; nothing in it was executed")
            if instruction.name not in _INSTRUCTIONS:
                raise _Refusal(f"it uses the pickle instruction {instruction.name}, which no tensor needs")
            if instruction.name == "LONG_BINPUT" and isinstance(argument, int) and argument > file.tell():
                raise _Refusal("it numbers its objects far beyond what it has")  # would allocate a table as long
    except _Refusal:
        raise
    except Exception as error:
        raise _Refusal(f"it is damaged, or no file that torch.save wrote ({error})") from None


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


class _Unpickler(pickle.Unpickler):
    """The second lock: names lead to the stand-ins below, whatever was inspected."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in _NAMES:
            raise _Refusal(f"it mentions '{module}.{name}', which no tensor needs; nothing in it was executed")
        return _StandIn(name)

    def persistent_load(self, identity: Any) -> _Storage:
        kind, storage, key, _, count, *view = identity  # the place is "cpu" or "cuda:0": all one here
        if kind != "storage" or not isinstance(storage, _StandIn) or storage.name not in _DTYPES:
            raise _Refusal("it refers to something that is no block of numbers")
        if not isinstance(key, str) or type(count) is not int or count < 0 or any(v is not None for v in view):
            raise _Refusal(f"it describes the block of numbers {key!r} in a way that is not supported")
        return _Storage(key, np.dtype(_DTYPES[storage.name]), count, storage.name == "BFloat16Storage")


class _StandIn:
    """What a permitted name stands for: a storage's is only a word, the others make a dictionary or a description."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any) -> Any:
        match self.name, args:
            case "OrderedDict", ():
                return _State()
            case "_rebuild_tensor", (_Storage(), _, _, _):
                return _tensor(*args)
            case "_rebuild_tensor_v2", (_Storage(), _, _, _, _, _) | (_Storage(), _, _, _, _, _, _):
                return _tensor(*args[:4])
            case "_rebuild_parameter", (_Tensor(), _, _):
                return args[0]
        raise _Refusal(f"it calls {self.name} in a way that torch.save does not")

    def __setstate__(self, state: Any) -> None:
        raise _Refusal(f"it tries to change {self.name}")


class _State(dict):
    """An ordered dictionary; what torch notes on it beside its items (versions of modules) is left out."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


def _tensor(storage: _Storage, offset: Any, shape: Any, strides: Any) -> _Tensor:
    if not (isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise _Refusal("it describes a tensor without a shape")
    if any(type(number) is not int for number in (offset, *shape, *strides)) or len(shape) > 32:
        raise _Refusal(f"it describes a tensor of shape {shape}, strides {strides} and offset {offset}")
    return _Tensor(storage, offset, shape, strides)
