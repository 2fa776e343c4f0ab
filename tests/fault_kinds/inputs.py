"""Inputs drawn at random: right ones of every kind, changed in their bytes, in their structure, or not at all."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

WORDS = [
    "a",
    "star",
    "red",
    "the",
    "é",
    "犬",
    "<end>",
    "<unk>",
    "",
    " ",
    "\0",
    "\x1b[31m",
    "\n",
    "\t",
    "x" * 300,
    "'",
    '"',
    ",",
]
NUMBERS = [0, 1, -1, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1e308, float("nan"), float("inf"), True, None]


# --- changed ---------------------------------------------------------------------------------------------------------


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with some of its bytes changed, cut, doubled or moved; sometimes as it is."""
    data = bytearray(content)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 4, 16])):
        at = rng.randrange(len(data) + 1)
        length = min(rng.choice([1, 1, 2, 4, 16, 200, 5000]), len(data) - at)
        match rng.randrange(9):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + length] = rng.randbytes(length)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                del data[at:]
            case 5:
                data[at:at] = rng.randbytes(length)
            case 6:
                data[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice([0, 1, 2**16, 2**31, 2**32 - 1]))
            case 7:
                data[at : at + length] = bytes([rng.choice([0, 255, 34, 91, 123, 10])]) * length
            case 8:
                other = rng.randrange(len(data) + 1)
                data[at:at] = data[other : other + length]
    return bytes(data)


def value(rng: random.Random, depth: int = 0) -> Any:
    """Something that JSON can hold."""
    kind = rng.randrange(7 if depth < 3 else 4)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 4:
        return rng.choice(WORDS)
    if kind == 4:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 5:
        return {rng.choice(WORDS): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    nested: Any = 0
    for _ in range(rng.choice([5, 50, 900])):
        nested = [nested]
    return nested


def changed(found: Any, rng: random.Random) -> Any:
    """A thing of JSON with one of its parts changed."""
    if isinstance(found, dict) and found and rng.random() < 0.9:
        key = rng.choice(list(found))
        match rng.randrange(5):
            case 0:
                return {name: each for name, each in found.items() if name != key}
            case 1:
                return found | {rng.choice([*WORDS, *found]): value(rng)}
            case _:
                return found | {key: changed(found[key], rng)}
    if isinstance(found, list) and found and rng.random() < 0.9:
        at = rng.randrange(len(found))
        match rng.randrange(5):
            case 0:
                return found[:at] + found[at + 1 :]
            case 1:
                return [*found, found[at]]
            case _:
                return [*found[:at], changed(found[at], rng), *found[at + 1 :]]
    return value(rng)


def json_of(found: Any, rng: random.Random) -> bytes:
    """JSON of a changed thing; sometimes its bytes are changed, too."""
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        found = changed(found, rng)
    text = json.dumps(found, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    return mutated(text, rng) if rng.random() < 0.4 else text


# --- pictures --------------------------------------------------------------------------------------------------------


@cache
def pictures() -> dict[str, bytes]:
    """Small pictures of every format that can be written here, by name."""
    from PIL import Image

    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (20, 24), dtype=np.uint16))
    frames = [rgb.convert("P"), rgb.rotate(90).convert("P")]
    wanted: list[tuple[str, Any, dict[str, Any]]] = [
        ("rgb.png", rgb, {}), ("grey.png", rgb.convert("L"), {}), ("bits.png", rgb.convert("1"), {}),
        ("alpha.png", rgb.convert("RGBA"), {}), ("palette.png", rgb.convert("P"), {"transparency": 3}), ("deep.png", deep, {}),
        ("animated.png", frames[0], {"save_all": True, "append_images": frames[1:]}),
        ("rgb.jpg", rgb, {"quality": 60}), ("progressive.jpg", rgb, {"progressive": True}), ("cmyk.jpg", rgb.convert("CMYK"), {}),
        ("exif.jpg", rgb, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
        ("plain.gif", frames[0], {}), ("animated.gif", frames[0], {"save_all": True, "append_images": frames[1:]}),
        ("rgb.bmp", rgb, {}), ("rgb.tif", rgb, {}), ("deep.tif", deep, {}), ("float.tif", rgb.convert("F"), {}),
        ("int.tif", rgb.convert("I"), {}), ("jpeg.tif", rgb, {"compression": "jpeg"}),
        ("lzw.tif", rgb, {"compression": "tiff_lzw"}),
        ("deflate.tif", rgb, {"compression": "tiff_deflate"}), ("g4.tif", rgb.convert("1"), {"compression": "group4"}),
        ("rgb.webp", rgb, {}), ("lossless.webp", rgb, {"lossless": True}), ("rgb.ppm", rgb, {}),
        ("deep.pgm", deep.convert("I"), {}),
        ("rgb.tga", rgb, {}), ("rle.tga", rgb, {"compression": "tga_rle"}), ("rgb.ico", rgb, {}), ("rgb.jp2", rgb, {}),
        ("rgb.pcx", rgb, {}), ("rgb.sgi", rgb, {}), ("rgb.dds", rgb, {}), ("rgb.icns", rgb.resize((32, 32)), {}),
        ("rgb.im", rgb, {}), ("rgb.avif", rgb, {}), ("bits.xbm", rgb.convert("1"), {}), ("float.spi", rgb.convert("F"), {}),
        ("rgb.mpo", rgb, {}), ("rgb.qoi", rgb, {}), ("rgb.eps", rgb, {}), ("bits.msp", rgb.convert("1"), {}),
    ]  # fmt: skip
    found = {}
    for name, image, options in wanted:
        content = io.BytesIO()
        kinds = {"tif": "TIFF", "jpg": "JPEG", "pgm": "PPM", "jp2": "JPEG2000", "spi": "SPIDER"}
        suffix = name.rpartition(".")[2]
        try:
            image.save(content, kinds.get(suffix, suffix.upper()), **options)
        except (OSError, KeyError, ValueError):  # this Pillow cannot write it
            continue
        found[name] = content.getvalue()
    return found


# --- annotations -----------------------------------------------------------------------------------------------------

Files = dict[str, bytes]


def _jsons(**found: Any) -> Callable[[random.Random], Files]:
    return lambda rng: {name.replace("__", "."): json_of(each, rng) for name, each in found.items()}


def _texts(**found: str) -> Callable[[random.Random], Files]:
    return lambda rng: {name.replace("__", "."): mutated(each.encode(), rng) for name, each in found.items()}


_KARPATHY = {
    "dataset": "x",
    "images": [
        {"filename": f"{k}.png", "imgid": k, "split": split, "sentids": [k],
         "sentences": [{"tokens": ["a", "b"], "raw": "A b.", "imgid": k, "sentid": k}]}
        for k, split in enumerate(("train", "train", "val", "test", "restval"))
    ],
}  # fmt: skip
_COCO = {
    "images": [{"id": k, "file_name": f"{k}.png", "width": 8, "height": 8} for k in range(3)],
    "annotations": [{"id": k, "image_id": k % 3, "caption": f"a star {k}"} for k in range(6)],
}
_VQA_Q = {"questions": [{"question_id": k, "image_id": k % 3, "question": "what is red ?"} for k in range(4)]}
_VQA_A = {
    "annotations": [
        {"question_id": k, "image_id": k % 3, "question_type": "what", "answer_type": "other", "multiple_choice_answer": "star",
         "answers": [{"answer_id": i, "answer": "star", "answer_confidence": "yes"} for i in range(10)]}
        for k in range(4)
    ]
}  # fmt: skip
_CLEVR = {
    "info": {},
    "questions": [
        {"image_index": k, "image_filename": f"{k}.png", "question_index": k, "question_family_index": 0, "split": "train",
         "question": "how many ?", "answer": "2", "program": [{"function": "count", "inputs": [], "value_inputs": []}]}
        for k in range(3)
    ],
}  # fmt: skip
_BABI = "1 Mary went to the hall.\n2 John moved to the garden.\n3 Where is Mary? \thall\t1\n" * 6
_ROWS = 'source,target\na star,une étoile\n"the, red",le rouge\n' * 3
_LINES = "a star is red .\nthe star\n\nred , red\n" * 8

#: the folders where pictures are looked for, and their names
PICTURES = [
    f"{folder}{name}" for folder in ("", "images/") for name in ("0.png", "1.png", "2.png", "image0.png", "image1.png")
]
PICTURES += [f"images/{part}/{k}.png" for part in ("train", "val") for k in range(3)]
#: a set of files, and what --data says of them; {0} is their folder
ANNOTATIONS: dict[str, tuple[Callable[[random.Random], Files], str]] = {
    "karpathy": (_jsons(d__json=_KARPATHY), "karpathy:{0}/d.json:{0}"),
    "coco": (_jsons(captions_train2014__json=_COCO, captions_val2014__json=_COCO), "coco:{0}/captions_train2014.json:{0}"),
    "flickr8k": (
        _texts(
            Flickr8k__token__txt="0.png#0\tA star .\n0.png#1\tred\n1.png#0\ta b c\n2.png#0\tc\n" * 2,
            Flickr_8k__trainImages__txt="0.png\n1.png\n", Flickr_8k__devImages__txt="2.png\n",
            Flickr_8k__testImages__txt="1.png\n",
        ),
        "flickr8k:{0}",
    ),
    "captions.txt": (_texts(captions__txt="image,caption\n0.png,A star .\n1.png,\"red, b\"\n2.png,c\n"), "flickr8k:{0}"),
    "vqa": (
        _jsons(q_train__json=_VQA_Q, a_train__json=_VQA_A, q_val__json=_VQA_Q, a_val__json=_VQA_A),
        "vqa:{0}/q_train.json:{0}/a_train.json:{0}",
    ),
    "daquar": (
        lambda rng: {
            f"qa.{part}.txt": mutated(b"what is red in the image0 ?\nstar, table\nhow many in the image1 ?\n2\n" * 3, rng)
            for part in ("train", "test")
        },
        "daquar:{0}",
    ),
    "clevr": (
        lambda rng: {f"questions/CLEVR_{part}_questions.json": json_of(_CLEVR, rng) for part in ("train", "val")},
        "clevr:{0}",
    ),
    "babi": (
        lambda rng: {f"qa1_single-supporting-fact_{part}.txt": mutated(_BABI.encode(), rng) for part in ("train", "test")},
        "babi:{0}:1",
    ),
    "ptb": (_texts(ptb__train__txt=_LINES, ptb__valid__txt=_LINES, ptb__test__txt=_LINES), "ptb:{0}"),
    "text": (_texts(t__txt=_LINES), "text:{0}/t.txt"),
    "parallel": (_texts(a__txt=_LINES, b__txt=_LINES), "parallel:{0}/a.txt,{0}/b.txt"),
    "csv": (_texts(t__csv=_ROWS), "csv:{0}/t.csv:source:target"),
    "tsv": (_texts(t__tsv="a star\tune étoile\tby me\nthe red\tle rouge\n" * 4), "tsv:{0}/t.tsv"),
    "jsonl": (
        _texts(t__jsonl='{"s": "a star", "t": "une étoile"}\n{"s": "red", "t": "rouge"}\n{"s": "the red", "t": "x"}\n' * 3),
        "jsonl:{0}/t.jsonl:s:t",
    ),
    "multi30k": (
        lambda rng: {
            f"{part}.{language}": mutated(_LINES.encode(), rng) for part in ("train", "val") for language in ("en", "de")
        },
        "multi30k:{0}:en:de",
    ),
}  # fmt: skip


def packed(content: bytes, rng: random.Random) -> bytes:
    """The content, now and then packed, and damaged then."""
    import bz2
    import gzip
    import lzma

    if rng.random() < 0.9:
        return content
    return mutated(rng.choice([gzip.compress, bz2.compress, lzma.compress])(content), rng)


# --- weights ---------------------------------------------------------------------------------------------------------


@cache
def weights() -> dict[str, bytes]:
    """A safetensors file, and a state dictionary in both of torch's formats."""
    import tempfile

    from safetensors.numpy import save

    from tests.vision.test_weights import tensor, write

    rng = np.random.default_rng(0)
    numbers = {"0": rng.standard_normal(12).astype(np.float32), "1": rng.standard_normal(3).astype(np.float32)}
    found = {"w.safetensors": save({"conv.W": numbers["0"].reshape(3, 4), "conv.b": numbers["1"]}, {"by": "us"})}
    with tempfile.TemporaryDirectory() as folder:
        for form in ("zip", "legacy"):
            legacy = form == "legacy"
            state = {
                "conv.W": tensor("0", (3, 4), (4, 1), count=12, legacy=legacy),
                "conv.b": tensor("1", (3,), (1,), count=3, legacy=legacy),
            }
            found[f"{form}.pth"] = write(Path(folder, form), state, numbers, form).read_bytes()
    return found


def rezipped(content: bytes, rng: random.Random) -> bytes:
    """A zip file of which one member was changed, and whose checksums are right: damage that only the reader can find."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as new:
        chosen = rng.choice(archive.namelist())
        for name in archive.namelist():
            data = archive.read(name)
            new.writestr(name, mutated(data, rng) if name == chosen else data)
    return out.getvalue()


# --- what is typed ---------------------------------------------------------------------------------------------------

_ANY = [
    "0",
    "1",
    "-1",
    "3",
    "1e3",
    "nan",
    "inf",
    "-0.5",
    "0.5",
    "9" * 30,
    "--",
    "-",
    "",
    "x",
    "é",
    "\x1b[2J",
    "'",
    "~",
    "~nobody",
    "a=b",
]


def typed(rng: random.Random) -> str:
    """A text as somebody might type it, or a program."""
    parts = [
        rng.choice([*WORDS, *_ANY, chr(rng.randrange(1, 0x11000)), rng.choice("abc ")])
        for _ in range(rng.randrange(12))
    ]
    return "".join(parts).replace("\0", "").encode("utf-8", "replace").decode()


def option_value(rng: random.Random) -> str:
    return rng.choice([*_ANY, typed(rng)]).replace("\0", "")
