"""What the launch wrappers do with arrays."""

import numpy as np
import pytest

from scratchlv.cuda import emulator
from scratchlv.cuda.arrays import blocks, cannot_serve, empty, threads_for, zeros

LIKE = np.zeros(1, np.float32)


def test_what_no_thread_writes_shows():
    assert np.isnan(empty((2, 3), LIKE)).all()
    assert (empty(4, LIKE, np.int32) == -1).all()
    assert empty((0, 3), LIKE).shape == (0, 3)
    assert not zeros((2, 3), LIKE).any()


@pytest.mark.parametrize(("n", "threads", "count"), [(0, 32, 0), (1, 32, 1), (32, 32, 1), (33, 32, 2), (1000, 256, 4)])
def test_blocks_cover_everything_and_none_has_nothing_to_do(n, threads, count):
    assert blocks(n, threads) == (count,)


def test_a_block_has_whole_warps():
    sizes = [threads_for(n) for n in range(10_000)]
    assert set(sizes) == {32, 64, 128, 256, 512, 1024}
    assert sizes == sorted(sizes)


def test_what_cannot_be_served_is_said(monkeypatch):
    assert "float64" in cannot_serve(LIKE, np.zeros(1))
    assert "list is no array" in cannot_serve(LIKE, [1.0])
    monkeypatch.setattr(emulator, "why_not", lambda: "there is no g++")
    assert cannot_serve(LIKE, None) == "there is no g++"
    monkeypatch.setattr(emulator, "why_not", lambda: None)
    assert cannot_serve(LIKE, None) is None
