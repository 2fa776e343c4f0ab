"""Features of many photographs, computed once and kept.

The cache is a folder of *blocks*. A block is an array file, and beside it a list of the pictures in its rows, each
named by the checksum of its content: a picture that moves or is copied keeps its features, one that changes gets new
ones, and other weights have a folder of their own. While features are computed, each 256 pictures make a block, so
that little is lost when the process is killed; at the end all pictures asked for make one block, in their order, that
is mapped into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from scratchlv.cache import cache_folder
from scratchlv.errors import UserError
from scratchlv.vision.images import load_image

DTYPE = np.float16  # of what is stored: 31 kB a picture, and features are far from exact anyway
_SHARD = 256  # pictures between two saves
_BATCH = 32  # pictures that the network is given at once
_THREADS = max(1, (os.cpu_count() or 1) // 2)  # that decode pictures, while the network works on those before


class Extractor(Protocol):
    """What turns pictures into features; EfficientNetLite0 is one."""

    name: str
    checksum: str  # of its weights
    size: tuple[int, int]  # (height, width) of the pictures it wants

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture's features."""

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, height, width, 3) uint8 to (N, *shape)."""


def extract(
    paths: Sequence[str | Path],
    extractor: Extractor,
    cache_dir: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Features of the pictures at ``paths``, in their order: (n, *extractor.shape) float16, read-only, memory-mapped.

    Only pictures whose content is not in the cache are computed. ``progress(done, total)`` is called with how many of
    the pictures have their features, at first with those found in the cache.

    A picture of the same path, size and modification time (in nanoseconds) as before is taken to be the same.

    Raises:
        UserError: a picture cannot be read, or the cache folder not be written.
    """
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digests = _digests([Path(path) for path in paths], folder / "pictures.json")
        cache = _Cache(folder / f"{extractor.name}-{extractor.checksum[:16]}", extractor.shape)
        return _extract(paths, digests, extractor, cache, progress or (lambda done, total: None))
    except OSError as error:
        problem = f"the cache folder {folder} cannot be used ({error.strerror or error})"
        raise UserError(f"{problem}; set SCRATCHLV_CACHE to a folder that can be written") from error


def _extract(
    paths: Sequence[str | Path],
    digests: list[str],
    extractor: Extractor,
    cache: _Cache,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    if not digests:
        return np.empty((0, *extractor.shape), DTYPE)
    whole = cache.open(digests)
    if whole is None:
        rows = cache.rows()
        missing = {d: path for d, path in zip(digests, paths, strict=True) if d not in rows}  # each content once
        done = sum(digest not in missing for digest in digests)
        progress(done, len(digests))
        for shard in _groups(missing, _SHARD):
            batches = []
            for features in _compute([missing[digest] for digest in shard], extractor):
                batches.append(features)
                done += len(features)
                progress(done, len(digests))
            cache.save(shard, np.concatenate(batches))
        rows = cache.rows()
        whole = cache.save(digests, (rows[digest] for digest in digests))
        cache.remove_parts_of(digests)
    progress(len(digests), len(digests))
    return whole


def _compute(paths: list[str | Path], extractor: Extractor) -> Iterator[np.ndarray]:
    """Features of the pictures, batch by batch; while the network works on one, the next is being decoded."""
    batches = list(_groups(paths, _BATCH))
    with ThreadPoolExecutor(_THREADS) as pool:

        def decode(batch: list[str | Path]) -> list[Future[np.ndarray]]:
            return [pool.submit(load_image, path, extractor.size) for path in batch]

        ahead = decode(batches[0])
        for i, batch in enumerate(batches):
            images, ahead = ahead, decode(batches[i + 1]) if i + 1 < len(batches) else []
            features = extractor.features(np.stack([image.result() for image in images])).astype(DTYPE)
            for path, row in zip(batch, features, strict=True):
                if not np.isfinite(row).all():
                    raise UserError(f"{extractor.name} gives NaN or infinity for {path}; its weights may be damaged")
            yield features


def _groups(items: Iterable[Any], size: int) -> Iterator[list]:
    items = iter(items)
    while group := list(islice(items, size)):
        yield group


class _Block(NamedTuple):
    digests: list[str]
    features: np.ndarray  # (len(digests), *shape), memory-mapped


class _Cache:
    """The blocks of one extractor."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.folder, self.shape = folder, tuple(shape)
        folder.mkdir(exist_ok=True)

    def open(self, digests: list[str]) -> np.ndarray | None:
        """The block of exactly these pictures, if it is there and whole."""
        name = _name(digests)
        try:
            features = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):  # missing or cut off
            return None
        return features if features.shape == (len(digests), *self.shape) and features.dtype == DTYPE else None

    def blocks(self) -> Iterator[_Block]:
        for path in sorted(self.folder.glob("*.json")):
            digests = _read_json(path, list)
            if all(isinstance(digest, str) for digest in digests):
                features = self.open(digests)
                if features is not None:
                    yield _Block(digests, features)

    def rows(self) -> dict[str, np.ndarray]:
        """Each known picture's features."""
        return {
            digest: row for block in self.blocks() for digest, row in zip(block.digests, block.features, strict=True)
        }

    def save(self, digests: list[str], features: Iterable[np.ndarray]) -> np.ndarray:
        """Write a block; its list comes last, so what has a list is whole."""
        name = _name(digests)

        def write(file: BinaryIO) -> None:
            header = {"descr": np.dtype(DTYPE).str, "fortran_order": False, "shape": (len(digests), *self.shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for row in features:
                file.write(np.ascontiguousarray(row, DTYPE).tobytes())

        _write_atomically(self.folder / f"{name}.npy", write)
        _write_atomically(self.folder / f"{name}.json", lambda file: file.write(json.dumps(digests).encode()))
        saved = self.open(digests)
        if saved is None:
            raise OSError(f"{name}.npy was not written whole")
        return saved

    def remove_parts_of(self, digests: list[str]) -> None:
        """Remove other blocks that hold nothing but these pictures."""
        contained = set(digests)
        for block in self.blocks():
            if contained.issuperset(block.digests) and block.digests != digests:
                for suffix in (".json", ".npy"):  # a mapped file cannot be removed everywhere; then it stays
                    with suppress(OSError):
                        (self.folder / (_name(block.digests) + suffix)).unlink()


def _name(digests: list[str]) -> str:
    return hashlib.blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()


def _digests(paths: list[Path], known_file: Path) -> list[str]:
    """The checksum of each picture's content; those seen before, and not touched since, are not read again."""
    known = _read_json(known_file, dict)
    new = {}

    def digest(path: Path) -> str:
        try:
            status = path.stat()
            key, stamp = str(path.absolute()), [status.st_size, status.st_mtime_ns]
            entry = known.get(key)
            if isinstance(entry, list) and len(entry) == 3 and entry[:2] == stamp and isinstance(entry[2], str):
                return entry[2]
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; give the path of a picture") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror or error}); give a readable picture") from None
        new[key] = [*stamp, content]
        return content

    with ThreadPoolExecutor(_THREADS) as pool:
        digests = list(pool.map(digest, paths))
    if new:
        _write_atomically(known_file, lambda file: file.write(json.dumps(known | new).encode()))
    return digests


def _read_json(path: Path, kind: type) -> Any:
    """What a file of ours holds; nothing, if it is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return kind()
    return value if isinstance(value, kind) else kind()


def _write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """The file is there whole or not at all, whenever the process is killed."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
