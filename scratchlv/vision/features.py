"""Features of many photographs, computed once and kept.

Each picture is named by the checksum of its content: one that moves or is copied keeps its features, one that changes gets
new ones, and other weights have a folder of their own. Features are stored as they are made
(:mod:`scratchlv.vision.feature_store`): a process that is killed loses the batch it was at. A picture's features are the
same bits in whatever batch and by however many threads they are made, so those made after a kill are the same, too, and so
are those that are made anew because the disk has changed them.

The network's kernels share each batch among all cores, and meanwhile threads decode the pictures of the next one. A process for
each core, with a thread each, was no faster: of 256 photographs on two cores 7.9 s against 7.4 (medians of four, in turns, on a
busy machine), besides two seconds to start and as many copies of the weights.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scratchlv.cache import cache_folder
from scratchlv.cores import usable_cores
from scratchlv.errors import UserError, disk_is_full
from scratchlv.vision.feature_store import DTYPE, Features, FeatureStore, is_checksum
from scratchlv.vision.images import load_image, resized

_BATCH = 32  # pictures that the network is given at once, and that are lost at most when the process is killed
_GROUP = 1024  # pictures whose checksums are made between two saves
_THREADS = max(1, usable_cores().n // 2)  # that decode pictures, while the network works on those before


class Extractor(Protocol):
    """What turns pictures into features; a Backbone is one."""

    @property
    def name(self) -> str: ...

    @property
    def checksum(self) -> str:
        """Of its weights."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures it wants."""

    @property
    def crop(self) -> int | None:
        """The shorter side of a photograph before its middle is cut out; None: it wants the whole picture."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture's features."""

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, height, width, 3) uint8 to (N, *shape)."""


Picture = str | Path | np.ndarray  #: a file, or bytes (H, W, 3)


def extract(
    pictures: Sequence[str | Path] | np.ndarray,
    extractor: Extractor,
    cache_dir: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of ``pictures``, in their order: (n, *extractor.shape) float16, on disk until they are read.

    Pictures are paths of files, or bytes (n, H, W, 3) of pictures that were drawn: of these the whole is always wanted.

    Only pictures whose content is not in the cache are computed. ``progress(done, total)`` is called with how many of
    the pictures have their features, at first with those found in the cache. What another process computes at the same
    time is waited for.

    A picture of the same path, size and modification time (in nanoseconds) as before is taken to be the same.

    Raises:
        UserError: a picture cannot be read or was changed meanwhile, the disk has not the space, or the cache folder cannot be
            written.
    """
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(pictures, np.ndarray):
            digests = [_checksum(io.BytesIO(picture.tobytes())) for picture in pictures]
        else:
            digests = _digests([Path(path) for path in pictures], folder / "pictures.jsonl")
        store = FeatureStore(folder / f"{extractor.name}-{extractor.checksum[:16]}", extractor.shape)
        picture_of: dict[str, Picture] = dict(zip(digests, pictures, strict=True))
        _complete(store, picture_of, digests, extractor, progress or (lambda done, total: None))
        with suppress(OSError):  # of rows that cannot be written, what is there is used
            if store.lacks_sums():
                store.note_sums(lambda: None)
        rows = store.rows()

        def remake(digest: str) -> np.ndarray:
            (row,) = next(_compute([[digest]], picture_of, extractor))
            return row

        return store.open([rows[digest] for digest in digests], remake)
    except _Changed as changed:  # of the same size and time it would be taken for the one listed, again and again
        _note(folder / "pictures.jsonl", [[str(changed.path.absolute()), -1, -1, ""]])
        raise
    except OSError as error:
        if disk_is_full(error):
            problem = (
                f"the disk of {folder} is full, and the features of {len(set(digests)):,} pictures are to go there"
            )
            raise UserError(f"{problem}; free some space and start again: what was made is kept") from error
        problem = f"the cache folder {folder} cannot be used ({error.strerror or error})"
        raise UserError(f"{problem}; set SCRATCHLV_CACHE to a folder that can be written") from error


def _complete(
    store: FeatureStore,
    pictures: dict[str, Picture],
    digests: list[str],
    extractor: Extractor,
    progress: Callable[[int, int], None],
) -> None:
    """Compute what the store has not yet; of ``pictures`` each content is there once."""

    def missing() -> list[str]:
        rows = store.rows()
        found = [digest for digest in pictures if digest not in rows]
        progress(sum(digest in rows for digest in digests), len(digests))
        return found

    if missing():
        with store.adding(while_waiting=missing) as add:
            batches = list(_groups(missing(), _BATCH))  # again: another process may have added some
            _check_space(store, sum(map(len, batches)))
            done = len(digests) - sum(map(len, batches))
            for batch, features in zip(batches, _compute(batches, pictures, extractor), strict=True):
                add(batch, features)
                done += len(batch)
                progress(done, len(digests))
    progress(len(digests), len(digests))


def _check_space(store: FeatureStore, n: int) -> None:
    need, free = n * store.row_bytes, shutil.disk_usage(store.folder).free
    if need > free:
        raise UserError(
            f"the features of {n:,} pictures take {_size(need)}, and the disk of {store.folder} has {_size(free)} free; "
            "free some space, or set SCRATCHLV_CACHE to a folder on a larger disk"
        )


def _size(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"


def _compute(batches: list[list[str]], pictures: dict[str, Picture], extractor: Extractor) -> Iterator[np.ndarray]:
    """Features of the pictures, batch by batch; while the network works on one, the next is being decoded."""
    with ThreadPoolExecutor(_THREADS) as pool:

        def decode(batch: list[str]) -> list[Future[np.ndarray]]:
            return [pool.submit(_decoded, pictures[digest], digest, extractor) for digest in batch]

        ahead = decode(batches[0]) if batches else []
        for i, batch in enumerate(batches):
            images, ahead = ahead, decode(batches[i + 1]) if i + 1 < len(batches) else []
            features = extractor.features(np.stack([image.result() for image in images])).astype(DTYPE)
            for digest, row in zip(batch, features, strict=True):
                if not np.isfinite(row).all():
                    picture = pictures[digest]
                    of = "a drawn picture" if isinstance(picture, np.ndarray) else picture
                    raise UserError(f"{extractor.name} gives NaN or infinity for {of}; its weights may be damaged")
            yield features


class _Changed(UserError):
    """A picture is not the one that was listed."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def _decoded(picture: Picture, digest: str, extractor: Extractor) -> np.ndarray:
    """A picture as the extractor wants it.

    Raises:
        UserError: what is in the file is not what its checksum was made of.
    """
    if isinstance(picture, np.ndarray):
        return resized(picture, extractor.size)
    path, advice = Path(picture), "start again when nothing writes there: what was made is kept"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} was there when the pictures were listed, and is gone; {advice}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read any more ({error.strerror or error}); {advice}") from None
    if _checksum(io.BytesIO(content)) != digest:
        raise _Changed(f"{path} was changed while features were made; {advice}", path)
    return load_image(path, extractor.size, extractor.crop, content)


def _groups(items: Iterable[Any], size: int) -> Iterator[list]:
    items = iter(items)
    while group := list(islice(items, size)):
        yield group


def _digests(paths: list[Path], known_file: Path) -> list[str]:
    """The checksum of each picture's content; those seen before, and not touched since, are not read again."""
    known = _read_known(known_file)

    def digest(path: Path) -> tuple[str, list | None]:
        """The checksum, and what to note where it is a new one."""
        try:
            status = path.stat()
            key, stamp = str(path.absolute()), [status.st_size, status.st_mtime_ns]
            entry = known.get(key)
            if entry is not None and entry[:2] == stamp:
                return entry[2], None
            with open(path, "rb") as file:
                content = _checksum(file)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; give the path of a picture") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror or error}); give a readable picture") from None
        return content, [key, *stamp, content]

    digests: list[str] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for group in _groups(paths, _GROUP):
            found = list(pool.map(digest, group))
            digests += [content for content, _ in found]
            _note(known_file, [new for _, new in found if new is not None])
    return digests


def _checksum(file: Any) -> str:
    """Of what a binary file holds."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read_known(file: Path) -> dict[str, list]:
    """Path of a picture -> its size, modification time and checksum. Lines that are damaged are passed over."""
    known: dict[str, list] = {}
    with suppress(OSError), open(file, "rb") as lines:
        for line in lines:
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                types = [type(part) for part in entry] if isinstance(entry, list) else []
                if types == [str, int, int, str]:  # without a checksum that one is taken back
                    known[entry[0]] = entry[1:] if is_checksum(entry[3]) else [-1, -1, ""]
    return known


def _note(file: Path, entries: list[list]) -> None:
    """Add lines in one piece, and begin with a new one: a process that was killed may have left half a line.

    What cannot be noted is only read again the next time.
    """
    if entries:
        with suppress(OSError), open(file, "ab") as lines:
            lines.write(("\n" + "".join(json.dumps(entry) + "\n" for entry in entries)).encode())
