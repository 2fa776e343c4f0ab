"""Files as people have them: packed or not, under one of several names, of text or of JSON."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeGuard

from scratchlv.errors import UserError

SUFFIXES = ("", ".gz", ".bz2", ".xz")  #: that a text file's name may end in, besides its own
#: the first bytes of a packed file, and who reads it
_UNPACK: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


@contextmanager
def opened(path: str | Path, what: str = "a text file") -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where they are gzip's, bzip2's or xz's, whatever its name is.

    Raises:
        UserError: there is no such file, it cannot be read, or (also later, within the block) it is damaged.
    """
    try:
        with open(path, "rb") as raw:
            start = raw.peek(6)
            unpack = next((unpack for magic, unpack in _UNPACK.items() if start.startswith(magic)), None)
            if unpack is None:
                yield raw
                return
            with unpack(raw) as file:
                yield file
    except FileNotFoundError:
        raise UserError(f"{path} is not there; give the path of {what}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the path of {what}") from None
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno is None:  # gzip's and bzip2's own
            raise _damaged(path, error) from None
        raise UserError(f"{path} cannot be read ({error.strerror or error}); change its permissions") from None


def _damaged(path: str | Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be unpacked ({error}); copy or download it again")


def find(folder: Path, *names: str) -> Path | None:
    """The first of these files that is in a folder, packed or not; None if none is."""
    files = (folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def unpacked_name(path: Path) -> str:
    """The name of a file without what says how it is packed."""
    return path.stem if path.suffix in SUFFIXES[1:] else path.name


def sibling(file: Path, part: str) -> Path | None:
    """The file of another part, as ``a_val.json`` beside ``a_train.json``, packed or not; None if there is none."""
    name = unpacked_name(file).replace("train", part, 1)
    return find(file.parent, name) if name != unpacked_name(file) else None


# --- JSON --------------------------------------------------------------------------------------------------------


def read_json(path: str | Path, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """What a JSON file holds; ``object_hook`` makes something smaller of each object, as :func:`json.loads` has it.

    Raises:
        UserError: as :func:`opened`; or it is not whole, or no JSON.
    """
    with opened(path, "a JSON file") as file:
        raw = file.read()
    try:
        return json.loads(raw.decode("utf-8-sig"), object_hook=object_hook)
    except UnicodeDecodeError as error:
        problem = f"byte 0x{error.object[error.start]:02x} at position {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        problem = f"line {error.lineno} column {error.colno}: {error.msg}"
    except RecursionError:
        problem = "it is nested too deeply"
    raise UserError(f"{path} is no JSON, or not whole ({problem}); copy or download it again")


def is_file_name(name: Any) -> TypeGuard[str]:
    """Whether it is the name of a file or folder, and leads nowhere else."""
    return (
        isinstance(name, str) and bool(name.strip()) and not {"/", "\\", "\0"} & set(name) and name not in (".", "..")
    )


def is_number(found: Any) -> TypeGuard[int]:
    """Whether it is a whole number; JSON's true and false are none."""
    return isinstance(found, int) and not isinstance(found, bool)
