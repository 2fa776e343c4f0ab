"""Reading photographs, whatever they are, into (H, W, 3) arrays of bytes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchlv.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

#: Larger pictures are refused before they are decoded: a file of a few kilobytes can claim any size. In RGB this many
#: pixels take 240 MB.
MAX_PIXELS = 80_000_000


def load_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, upright, of ``size`` = (height, width) if given.

    Anything that Pillow opens: grey and 16-bit values are spread to RGB, transparency is laid on white, a camera's
    orientation (EXIF) is applied, and of an animation the first frame is taken. Resizing does not keep proportions; it
    is bilinear, averaging where the picture shrinks.

    Raises:
        UserError: the file is missing, no picture, damaged, or larger than :data:`MAX_PIXELS`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} {'is not a file' if path.exists() else 'does not exist'}; give the path of a picture")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; copy or download the picture again")
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is a lower one
            opened = Image.open(path)
        with opened as image:
            _check(path, image)
            rgb = _rgb(_upright(image))
            if size is not None:
                rgb = rgb.resize((size[1], size[0]), Image.Resampling.BILINEAR)
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


def _check(path: Path, image: Image.Image) -> None:
    """Only the header has been read so far."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    if image.format in ("EPS", "WMF"):
        raise UserError(f"{path} is a drawing ({image.format}), opened by running another program; convert it to PNG")


def _too_large(path: Path) -> UserError:
    return UserError(f"{path} has more than {MAX_PIXELS // 1_000_000} million pixels; scale the picture down")


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    image.load()  # a damaged picture is found here, not below
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a camera's note that cannot be read says nothing about the orientation
        return image


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; 32 in mode "I", which Pillow gives 16-bit PGM (and once gave PNG)
        values = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
