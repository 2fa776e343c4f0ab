"""What the READMEs of ``kernels/`` say of the code is so: files that are named, numbers that are constants there."""

import re
from pathlib import Path

import pytest

from scratchlv import kernels
from scratchlv.cuda.arrays import MOST_UNASKED
from scratchlv.kernels.additive_attention import cuda as attention_cuda
from scratchlv.kernels.additive_attention.queries import AT_ONCE
from scratchlv.kernels.attention_lstm import numba_cpu as attention_lstm
from scratchlv.kernels.conv2d import cuda as conv2d_cuda
from scratchlv.kernels.conv2d import winograd
from scratchlv.kernels.embedding import cuda as embedding_cuda
from scratchlv.kernels.matmul import numba_cpu as matmul
from scratchlv.kernels.matmul.micro_kernels import HEIGHT

KERNELS = Path(kernels.__path__[-1])
ROOMS = sorted(path.parent for path in KERNELS.glob("*/README.md"))
SOURCES = {".py", ".cu", ".cuh", ".h"}
FLOATS_OF_PANEL = matmul.INNER_BLOCK * 64
NUMBERS = {
    "matmul": (
        f"A panel of B ({matmul.INNER_BLOCK} x 64 floats, {4 * FLOATS_OF_PANEL // 1024} KiB)",
        f"2 x {HEIGHT} x 64 x {matmul.INNER_BLOCK} FLOP for {4 * FLOATS_OF_PANEL // 1024} KiB, {2 * HEIGHT // 4} FLOP a byte",
        f"At most {matmul.INNER_BLOCK} terms are summed from zero",
    ),
    "additive_attention": (
        f"chunks of {attention_cuda.CHUNK} regions",
        f"in blocks of {AT_ONCE} queries, or of {AT_ONCE} keys",
    ),
    "dot_product_attention": (f"chunks of {attention_cuda.CHUNK} regions", f"a block of {AT_ONCE} queries or keys"),
    "attention_lstm": (
        f"within ±{attention_lstm.MOST_QUERY:.0f}",
        f"as long as all keys are within ±{attention_lstm.MOST_KEY:.0f}",
        f"with k + q within ±{attention_lstm.MOST_SUM:.0f}",
    ),
    "conv2d": (
        f"at least {winograd.FEWEST_CHANNELS} channels in x and in y",
        "a tile of {} x {}, a thread 8 x 4".format(*conv2d_cuda.TILES[3]),
    ),
    "embedding": (f"within tiles of {embedding_cuda.TILE:,}", f"cut into chunks of {embedding_cuda.CHUNK};"),
    "softmax_cross_entropy": (f"({MOST_UNASKED // 1024} KiB: V = {MOST_UNASKED // 4:,})",),
}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_file_is_named(room):
    files = {path.name for path in room.iterdir() if path.suffix in SOURCES and path.name != "__init__.py"}
    text = (room / "README.md").read_text("utf-8")
    assert not {name for name in files if not re.search(rf"(?<![\w.]){re.escape(name)}", text)}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_file_that_is_named_is_there(room):
    """In the room, or by its path in the repository."""
    there = {path.name for path in KERNELS.glob("*/*") if path.suffix in SOURCES}
    named = re.findall(
        r"(?<![\w/.])(?:\./|\.\./\w+/)?(\w+\.(?:cuh|cu|py|h))\b", (room / "README.md").read_text("utf-8")
    )
    assert set(named) <= there


@pytest.mark.parametrize(("room", "said"), [(room, said) for room, texts in NUMBERS.items() for said in texts])
def test_a_number_is_that_of_the_code(room, said):
    assert said in " ".join((KERNELS / room / "README.md").read_text("utf-8").split())
