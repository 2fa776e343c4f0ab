"""How the blocks of a GPU share a recurrent layer."""

import numpy as np
import pytest

from scratchlv.cuda import load
from scratchlv.cuda.emulator import why_not
from scratchlv.cuda.precision import use_precision
from scratchlv.kernels.building_blocks.recurrent_plan import layout, plan, plan_for

CHIPS = [(132, 227 * 1024), (108, 163 * 1024), (40, 64 * 1024), (4, 99 * 1024), (1, 48 * 1024)]


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize(("processors", "shared_memory"), CHIPS)
def test_a_plan_covers_everything_once_and_fits(processors, shared_memory, gates, tf32):
    planned = 0
    for N in (1, 2, 3, 7, 8, 9, 31, 32, 33, 64, 100, 131, 257):
        for H in (1, 2, 5, 31, 32, 33, 64, 100, 127, 256, 300, 512, 650, 1024):
            p = plan(N, H, processors, shared_memory, gates=gates, tf32=tf32)
            if p is None:
                continue
            planned += 1
            units = 4 * p.quads // gates
            assert (p.column_blocks - 1) * units < H <= p.column_blocks * units
            assert (p.row_blocks - 1) * p.rows < N <= p.row_blocks * p.rows
            assert p.column_blocks * p.row_blocks <= processors
            assert max(p.forward_bytes, p.backward_bytes) <= shared_memory
            assert p.quads in (8, 16, 32)
            assert p.threads % 32 == 0
            assert p.lanes in (1, 2, 4)
    assert planned >= 13


def test_a_plan_shares_among_all_processors_and_says_when_there_is_none():
    usual = plan(32, 512, 132, 227 * 1024)
    assert usual[:4] == (32, 4, 16, 8)  # 128 of 132 processors: 32 times 16 units, 4 times 8 sequences
    assert plan(32, 512, 40, 64 * 1024) is None  # 4 MB of weights, 2.5 MB of shared memory
    assert plan(32, 512, 132, 64 * 1024) is None
    assert plan(0, 512, 132, 227 * 1024) is None


def test_the_precision_decides_who_multiplies():
    assert not plan_for(np.zeros(1), 3, 5).tf32
    with use_precision("tf32"):
        assert plan_for(np.zeros(1), 3, 5).tf32


# --- how Wh is read on the way back ----------------------------------------------------------------------------------

NOTED = """
#include "recurrent.cuh"

// Notes the place in Wh of every weight that a thread asks for, in the order of its asking.
struct Noted {
    int* reads;
    int H, gates;
    mutable int n;
    __device__ float operator()(int k, int column) const {
        return reads[n++ * blockDim.x + threadIdx.x] = (k * gates + column % gates) * H + column / gates;
    }
};

extern "C" __global__ void __launch_bounds__(256) note(int* reads, int H, int gates, int quads, int lanes, int tf32) {
    DYNAMIC_SHARED(float4, memory);
    BackwardProduct product(memory, quads, 4 * quads / gates, lanes, tf32);
    if (blockIdx.x == 0) product.load(Noted{reads, H, gates, 0});
}
"""


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize("quads", [8, 16, 32])
def test_lanes_read_whole_sectors_of_the_weights(tmp_path, quads, gates, tf32):
    """Memory comes in sectors of 32 bytes: of what a warp asks for at one place of the source all of each is used."""
    source = tmp_path / "noted.cu"
    source.write_text(NOTED)
    p = layout(8, 256, quads, 8, gates, threads=128, tf32=tf32)
    count = 4 * quads * p.column_blocks * 4 * quads // gates
    reads = np.full((count // p.threads, p.threads), -1, np.int32)
    sizes = map(np.int32, (256, gates, quads, p.lanes, tf32))
    load(source)["note"]((p.column_blocks,), (p.threads,), reads, *sizes, shared=p.backward_bytes)
    assert sorted(reads.ravel()) == sorted((256 * (np.arange(256)[:, None] * gates) + own(quads, gates)).ravel())
    together = 8 if tf32 else 16  # reads of a thread that are under way at once
    of_warps = reads.reshape(-1, together, p.threads // 32, 32)
    for at_once in of_warps.transpose(0, 2, 1, 3).reshape(-1, together * 32):
        assert len(np.unique(at_once // 8)) == together * 32 // 8


def own(quads, gates):
    """Where the columns of the first block lie in a row."""
    columns = np.arange(4 * quads)
    return columns % gates * 256 + columns // gates
