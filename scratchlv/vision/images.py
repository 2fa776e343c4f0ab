"""Reading photographs, whatever they are, into (H, W, 3) arrays of bytes."""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from scratchlv.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

#: Larger pictures are refused before they are decoded: a file of a few kilobytes can claim any size. In RGB this many
#: pixels take 240 MB.
MAX_PIXELS = 80_000_000
_MAX_SCANNED = 1_500_000_000  # pixels that a JPEG goes through: progressive ones do so in about ten scans
_MAX_CHUNKS = 200_000  # of a PNG; of 8 kB each they hold more than any picture may
_STRIP = 1 << 20  # pixels that are computed with at once, in float64
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # of a JPEG, and no part of a scan


def load_image(
    path: str | Path, size: tuple[int, int] | None = None, crop: int | None = None, content: bytes | None = None
) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, upright, of ``size`` = (height, width) if given; what the file holds may be given, too.

    With ``size`` alone the whole picture is resized, and loses its proportions. With ``crop`` it keeps them: its shorter side is
    brought to that length, and the middle of ``size`` is cut out, as torchvision's networks are tested (Resize(256),
    CenterCrop(224)). Either is bilinear, averaging where the picture shrinks.

    Anything that Pillow opens: grey is spread to RGB, transparency is laid on white, a camera's orientation (EXIF) is applied,
    and of an animation the first frame is taken. Of grey values that are no bytes,

        16 bits     are scaled by 65535; by 255, 1023 or 4095 if none is larger: so much of the 16 is then used
        floats      are scaled by 1, or by 255, if none is larger or below 0
        others      (32 bits, floats of another range) from the least to the largest that occurs

    Raises:
        UserError: the file is missing, no picture, damaged, or larger than :data:`MAX_PIXELS`; its values are not finite, or
            its colours have 16 bits of which Pillow leaves too little.
    """
    path = Path(path)
    if content is None and not path.is_file():
        raise UserError(f"{path} {'is not a file' if path.exists() else 'does not exist'}; give the path of a picture")
    if (path.stat().st_size if content is None else len(content)) == 0:
        raise UserError(f"{path} is empty; copy or download the picture again")
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is a lower one
            opened = Image.open(path if content is None else io.BytesIO(content))
        with opened as image:
            _check(path, image)
            _check_content(path, image, content)
            deep = ";16" in str(image.tile)
            rgb = _rgb(_with_bytes(path, _upright(image), image.format, deep))
            if size is not None:
                rgb = _resized(rgb, size, crop)
            return np.array(rgb)
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        raise UserError(
            f"{path} is no picture that Pillow can open; convert it to JPEG or PNG, or take it out"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path) from None
    except PermissionError:
        raise UserError(f"{path} may not be read; change its permissions") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} cannot be decoded ({reason}); copy or download the picture again") from None


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) uint8 brought to ``size``, as :func:`load_image` does."""
    from PIL import Image

    return np.array(_resized(Image.fromarray(image), size, None))


def cropped(image: np.ndarray, size: tuple[int, int], crop: int) -> np.ndarray:
    """What :func:`load_image` leaves of a picture (H, W, 3) with ``size`` and ``crop``, in its own resolution."""
    H, W = image.shape[:2]
    rows, columns = (min(n, max(1, round(side * min(H, W) / crop))) for n, side in zip((H, W), size, strict=True))
    top, left = round((H - rows) / 2), round((W - columns) / 2)
    return image[top : top + rows, left : left + columns]


def _resized(image: Image.Image, size: tuple[int, int], crop: int | None) -> Image.Image:
    from PIL import Image

    height, width = size
    if crop is None:
        return image.resize((width, height), Image.Resampling.BILINEAR)
    shorter = min(image.size)
    columns, rows = (crop if n == shorter else int(crop * n / shorter) for n in image.size)
    left, top = round((columns - width) / 2), round((rows - height) / 2)
    resized = image.resize((columns, rows), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + width, top + height))


def _check(path: Path, image: Image.Image) -> None:
    """Only the header has been read so far."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    if image.format in ("EPS", "WMF"):
        raise UserError(f"{path} is a drawing ({image.format}), opened by running another program; convert it to PNG")


def _check_content(path: Path, image: Image.Image, content: bytes | None) -> None:
    """What Pillow does not: the checksums of a PNG, and how often a JPEG goes through its picture."""
    if image.format == "PNG":
        with open(path, "rb") if content is None else io.BytesIO(content) as file:
            _check_chunks(path, file)
    elif image.format in ("JPEG", "MPO"):
        scans = _scans(path.read_bytes() if content is None else content)
        if scans * image.width * image.height > _MAX_SCANNED:
            raise UserError(
                f"{path} goes through its picture {scans:,} times, to keep whoever opens it busy; take it out"
            )


def _check_chunks(path: Path, file: BinaryIO) -> None:
    """Each chunk of a PNG ends in its CRC-32; Pillow skips those of the picture itself."""
    file.seek(8)
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        length, name, crc = int.from_bytes(head[:4]), head[4:], zlib.crc32(head[4:])
        while length > 0 and (part := file.read(min(length, _STRIP))):
            crc, length = zlib.crc32(part, crc), length - len(part)
        if file.read(4) != crc.to_bytes(4):
            reason = "it is cut off" if length or len(head) < 8 else "it does not match its own checksum"
            raise UserError(f"{path} cannot be decoded ({reason}); copy or download the picture again")
        if name == b"IEND":
            return
    raise UserError(f"{path} has more than {_MAX_CHUNKS:,} chunks, to keep whoever opens it busy; take it out")


def _scans(content: bytes) -> int:
    """Scans of the first picture of a JPEG file."""
    scans, at = 0, 2
    while found := _MARKER.search(content, at):
        marker, at = found[0][1], found.end()
        if marker == 0xD9:  # the end of the picture
            break
        scans += marker == 0xDA
        if marker not in (0x01, 0xD8):  # all others have a length
            at += max(2, int.from_bytes(content[at : at + 2]))
    return scans


def _too_large(path: Path) -> UserError:
    return UserError(f"{path} has more than {MAX_PIXELS // 1_000_000} million pixels; scale the picture down")


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    image.load()  # a damaged picture is found here, not below
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a camera's note that cannot be read says nothing about the orientation
        return image


def _with_bytes(path: Path, image: Image.Image, format: str | None, deep: bool) -> Image.Image:
    """The picture with bytes as its values; ``deep``: Pillow kept only the upper 8 of 16 bits of each colour."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        ends = []
        for _, values in _strips(image):
            if not np.isfinite(values).all():
                raise UserError(f"{path} has values that are no numbers; convert it to 8 or 16 bits")
            ends += [float(values.min()), float(values.max())]
        low, high = _range(min(ends), max(ends), image.mode == "F", format == "PPM")
        grey = np.empty((image.height, image.width), np.uint8)
        for top, values in _strips(image):
            values = 255 * (values - low) / max(high - low, np.finfo(float).tiny)
            grey[top : top + len(values)] = np.rint(values)
        return Image.fromarray(grey)
    if deep and max(most for _, most in image.convert("RGB").getextrema()) < 16:  # type: ignore[misc]
        raise UserError(f"{path} uses 12 of its 16 bits for each colour, or fewer; convert it to 8 bits")
    return image


def _strips(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of a picture as float64, some at a time, with the number of the first: 80 million pixels would be 640 MB."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        yield top, np.asarray(strip).astype(np.float64)


def _range(least: float, most: float, floats: bool, scaled: bool) -> tuple[float, float]:
    """What is black and what is white among grey values from ``least`` to ``most``: as the format says, or else as these do.

    ``scaled``: Pillow has scaled them to 16 bits by the largest that the file names, as PGM does.
    """
    usual = (1, 255) if floats else (65535,) if scaled else (255, 1023, 4095, 65535)
    return (0.0, next(top for top in usual if most <= top)) if least >= 0 and most <= usual[-1] else (least, most)


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
