"""Every kind of picture that a folder of photographs may hold, and what only looks like one."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from scratchlv.errors import UserError
from scratchlv.vision import images
from scratchlv.vision.images import MAX_PIXELS, load_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.fixture
def saved(tmp_path):
    def save(image: Image.Image, name: str, **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def photo() -> Image.Image:
    """Smooth, not symmetric, height and width different."""
    y, x = np.mgrid[:30, :40]
    return Image.fromarray(np.stack([6 * x, 8 * y, 3 * (x + y)], -1).astype(np.uint8))


def test_rgb_is_read_as_it_is(saved, photo):
    pixels = load_image(saved(photo, "photo.png"))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.array(photo))


def test_jpeg(saved, photo):
    pixels = load_image(str(saved(photo, "photo.jpg", quality=95)))
    assert abs(pixels.astype(int) - np.array(photo)).max() < 12


def test_size_is_height_and_width(saved, photo):
    pixels = load_image(saved(photo, "photo.png"), (15, 8))
    assert pixels.shape == (15, 8, 3)
    means = np.array(photo).reshape(15, 2, 8, 5, 3).mean((1, 3))
    assert abs(pixels[1:-1, 1:-1] - means[1:-1, 1:-1]).max() < 1.5, "each pixel stands for all those it replaces"


def test_grey(saved):
    pixels = load_image(saved(Image.new("L", (3, 2), 77), "grey.png"))
    assert pixels.shape == (2, 3, 3)
    assert (pixels == 77).all()


def test_black_and_white(saved):
    assert (load_image(saved(Image.new("1", (3, 2), 1), "bits.png")) == 255).all()


@pytest.mark.parametrize(("name", "mode"), [("deep.png", "I;16"), ("deep.tif", "I;16"), ("deep.tif", "I")])
def test_sixteen_bits_are_scaled_not_cut(saved, name, mode):
    values = np.array([[0, 257, 49152], [65535, 128, 129]])
    image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    assert np.array_equal(load_image(saved(image, name))[..., 0], [[0, 1, 191], [255, 0, 1]])


GREY = np.array([[0, 1, 2], [3, 4, 5]]) / 5


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (GREY.astype(np.float32), "floats.tif"),
        ((255 * GREY).astype(np.float32), "floats.tif"),
        ((GREY - 0.5).astype(np.float32), "floats.tif"),  # from the least to the largest
        ((4e5 * GREY).astype(np.float32), "floats.tif"),
        ((2**31 - 1) * GREY, "long.tif"),
        (3000 * GREY - 1000, "scan.tif"),
        (4095 * GREY, "twelve bits.png"),
        (4095 * GREY, "twelve bits.tif"),
        (1023 * GREY, "ten bits.png"),
        (255 * GREY, "eight bits.png"),
    ],
)
def test_grey_values_of_every_range_are_seen(saved, values, name):
    """A float in 0 to 1, or 12 bits in 16, were black."""
    if values.dtype != np.float32:
        values = values.astype(np.uint16 if "bits" in name else np.int32)
    pixels = load_image(saved(Image.fromarray(values), name))
    assert np.abs(pixels[..., 0] - 255 * GREY).max() <= 1


def test_a_dark_picture_stays_dark_where_the_format_says_what_white_is(saved, tmp_path):
    (tmp_path / "dark.pgm").write_bytes(b"P5 2 1 4095\n" + np.array([100, 200]).astype(">u2").tobytes())
    assert load_image(tmp_path / "dark.pgm")[..., 0].tolist() == [[6, 12]]
    dark = np.array([[0, 13000]], np.uint16)  # of 16 bits
    assert load_image(saved(Image.fromarray(dark), "dark.png"))[..., 0].tolist() == [[0, 51]]
    dark = np.array([[0.0, 0.1]], np.float32)
    assert load_image(saved(Image.fromarray(dark), "dark.tif"))[..., 0].tolist() == [[0, 26]]
    same = np.full((1, 2), -7.0, np.float32)  # nothing to be seen
    assert load_image(saved(Image.fromarray(same), "same.tif")).max() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(saved, value):
    path = saved(Image.fromarray(np.array([[0, value]], np.float32)), "floats.tif")
    with pytest.raises(UserError, match=r"floats\.tif has values that are no numbers"):
        load_image(path)


@pytest.mark.parametrize(("colour", "bands"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_which_too_few_bits_are_used(tmp_path, colour, bands):
    """Pillow keeps the upper half of 16 bits: of 12 that are used, the upper 4."""
    for most in (4095, 65535):
        rows = b"".join(b"\0" + np.full(3 * bands, most, ">u2").tobytes() for _ in range(2))
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 16, colour, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
        written = b"\x89PNG\r\n\x1a\n"
        for name, body in (*chunks, (b"IEND", b"")):
            written += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        (tmp_path / f"{most}.png").write_bytes(written)
    assert (load_image(tmp_path / "65535.png") == 255).all()
    with pytest.raises(UserError, match=r"4095\.png uses 12 of its 16 bits .*convert it to 8 bits"):
        load_image(tmp_path / "4095.png")


def test_palette(saved, photo):
    image = photo.quantize(200)
    assert np.array_equal(load_image(saved(image, "palette.png")), np.array(image.convert("RGB")))


def test_palette_with_transparency_is_laid_on_white(saved):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, 0, 0, 255])
    image.putdata([0, 1])
    pixels = load_image(saved(image, "palette.png", transparency=1))
    assert np.array_equal(pixels, [[RED, WHITE]])


def test_transparency_is_laid_on_white(saved):
    image = Image.new("RGBA", (3, 1))
    image.putdata([(255, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 128)])
    pixels = load_image(saved(image, "clear.png"))
    assert np.array_equal(pixels, [[RED, WHITE, (127, 127, 127)]])


def test_grey_with_transparency(saved):
    pixels = load_image(saved(Image.new("LA", (1, 1), (0, 0)), "clear.png"))
    assert np.array_equal(pixels, [[WHITE]])


def test_cmyk(saved):
    pixels = load_image(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "print.jpg", quality=100))
    assert abs(pixels.astype(int) - RED).max() < 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_orientation_is_applied(saved, photo, orientation):
    turns = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = load_image(saved(photo, "turned.png", exif=exif))
    assert np.array_equal(pixels, turns[orientation](np.array(photo)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_an_unreadable_orientation_is_ignored(saved, photo):
    path = saved(photo, "photo.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert np.array_equal(load_image(path), np.array(photo))


def test_one_pixel(saved):
    path = saved(Image.new("RGB", (1, 1), RED), "dot.png")
    assert np.array_equal(load_image(path), [[RED]])
    assert (load_image(path, (5, 7)) == RED).all()


def test_an_animations_first_frame(saved):
    frames = [Image.new("RGB", (4, 3), colour) for colour in (RED, WHITE)]
    pixels = load_image(saved(frames[0], "moving.gif", save_all=True, append_images=frames[1:]))
    assert (pixels == RED).all()


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_truncated(saved, photo, name):
    path = saved(photo, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{name} cannot be decoded"):
        load_image(path)


def test_damaged(saved, photo):
    path = saved(photo, "photo.png")
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"photo\.png cannot be decoded"):
        load_image(path)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"hello", "is no picture"), (b"\xff\xd8\xff\xe0", "photo.jpg")]
)
def test_no_picture(tmp_path, content, reason):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        load_image(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match=r"none\.jpg does not exist"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="is not a file"):
        load_image(tmp_path)


def test_drawings_that_another_program_would_run_are_refused(saved, photo):
    with pytest.raises(UserError, match=r"photo\.eps is a drawing"):
        load_image(saved(photo, "photo.eps"))


def png_that_claims(width: int, height: int) -> bytes:
    """A header, and no pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(MAX_PIXELS + 1, 1), (10_000, 10_000), (60_000, 60_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(width, height))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UserError, match=r"bomb\.png has more than 80 million pixels"):
        load_image(path)


# --- made to do harm ---------------------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_in_a_png_is_found(saved, photo):
    path = saved(photo.resize((9, 7)), "photo.png")
    whole = path.read_bytes()
    assert load_image(path).shape == (7, 9, 3)
    for at in range(8, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(UserError, match=r"photo\.png"):
            load_image(path)


def again(jpeg: bytes, n: int) -> bytes:
    """The JPEG with its last scan n times."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * n + jpeg[-2:]


def test_a_jpeg_that_goes_through_its_picture_again_and_again_is_refused(saved):
    path = saved(Image.new("RGB", (1400, 1000)), "often.jpg", progressive=True)
    once = path.read_bytes()
    assert images._scans(once) == once.count(b"\xff\xda") == 10
    path.write_bytes(again(once, 1200))
    with pytest.raises(UserError, match=r"often\.jpg goes through its picture 1,209 times"):
        load_image(path)
    small = saved(Image.new("RGB", (20, 10)), "small.jpg", progressive=True)
    small.write_bytes(again(small.read_bytes(), 1200))
    assert load_image(small).shape == (10, 20, 3)  # that takes no time


def test_scans_are_those_of_the_picture_and_not_of_what_a_camera_notes_in_it(saved, photo):
    path = saved(photo, "noted.jpg", exif=b"Exif\0\0" + b"\xff\xda\xff\xd9" * 5000, quality=100)
    assert images._scans(path.read_bytes()) == 1
    assert images._scans(b"\xff\xd8\xff") == images._scans(b"") == images._scans(b"\xff\xd8\xff\xda") - 1 == 0


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_strips_are_the_whole(saved, mode, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60_000, (50, 31)).astype({"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode])
    path = saved(Image.fromarray(values), "deep.tif")
    whole = load_image(path)
    monkeypatch.setattr(images, "_STRIP", 100)
    assert np.array_equal(load_image(path), whole)
    top = 65535 if mode != "F" else None
    low, high = (0, top) if top else (values.min(), values.max())
    expected = np.rint(255 * (values.astype(np.float64) - low) / (float(high) - low)).astype(np.uint8)
    assert np.array_equal(whole[..., 0], expected)


def test_deep_pictures_of_the_largest_size_take_no_float64_copy(monkeypatch):
    """Strips are a fixed number of pixels, however large the picture."""
    sizes = []
    real = np.isfinite
    monkeypatch.setattr(np, "isfinite", lambda values: sizes.append(values.size) or real(values))
    images._with_bytes("deep", Image.new("I", (3000, 2000), 70_000), "TIFF", False)
    assert sum(sizes) == 6_000_000
    assert max(sizes) <= images._STRIP


def test_a_png_of_very_many_chunks_is_refused(saved, photo, monkeypatch):
    path = saved(photo, "chunks.png")
    monkeypatch.setattr(images, "_MAX_CHUNKS", 2)
    with pytest.raises(UserError, match=r"chunks\.png has more than 2 chunks"):
        load_image(path)


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (30, 30), (31, 45)])
def test_the_middle_is_cut_out_as_torchvision_does(tmp_path, shape):
    """Resize(6), CenterCrop(4): halves of a pixel are rounded to even numbers."""
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    H, W = (6 if n == min(shape) else int(6 * n / min(shape)) for n in shape)
    whole = np.asarray(Image.fromarray(image).resize((W, H), Image.Resampling.BILINEAR))
    top, left = round((H - 4) / 2), round((W - 4) / 2)
    found = load_image(tmp_path / "a.png", (4, 4), 6)
    np.testing.assert_array_equal(found, whole[top : top + 4, left : left + 4])
    content = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(load_image("nowhere.png", (4, 4), 6, content), found)
