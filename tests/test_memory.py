"""The pool of memory: blocks come back when the last array on them is gone, and serve again."""

import threading

import numpy as np
import pytest

from scratchlv import memory
from scratchlv.memory import (
    LARGE,
    as_contiguous,
    blocks_made,
    empty,
    empty_like,
    zeros,
)

SHAPE = (37, LARGE // 64)  # of float32: larger than LARGE


def test_the_memory_of_an_array_serves_the_next():
    first = empty(SHAPE)
    address, made = first.ctypes.data, blocks_made()
    del first
    again = empty(SHAPE)
    assert again.ctypes.data == address
    assert blocks_made() == made


def test_an_array_keeps_its_memory_while_a_view_lives():
    array = empty(SHAPE)
    view = array[3:5].T
    view[:] = 7
    del array
    other = empty(SHAPE)
    other[:] = 1
    assert (view == 7).all()


def test_two_arrays_do_not_share():
    a, b = empty(SHAPE), empty(SHAPE)
    assert not np.shares_memory(a, b)


def test_a_smaller_array_may_use_a_block_but_not_a_far_smaller_one():
    memory._pool.unused.clear()
    memory._pool.unused_bytes = 0
    array = empty(8 * LARGE, np.uint8)
    del array
    made = blocks_made()
    little_smaller = empty(7 * LARGE, np.uint8)
    assert blocks_made() == made
    far_smaller = empty(LARGE, np.uint8)
    assert blocks_made() == made + 1
    assert little_smaller.size + far_smaller.size == 8 * LARGE


def test_what_is_never_used_again_is_let_go(monkeypatch):
    monkeypatch.setattr(memory, "_MOST_UNUSED", 4 * LARGE)
    arrays = [empty(LARGE + k, np.uint8) for k in range(9)]
    del arrays
    assert memory._pool.unused_bytes <= 4 * LARGE
    assert memory._pool.unused_bytes == sum(block[0] for block in memory._pool.unused)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [0, 5, (), (0, 3), (LARGE,), (3, 5, LARGE // 16), (np.int64(300), LARGE)])
def test_it_is_an_array_as_numpy_makes_them(shape, dtype):
    array, expected = empty(shape, dtype), np.empty(shape, dtype)
    assert (array.shape, array.dtype, array.strides) == (expected.shape, expected.dtype, expected.strides)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.nbytes < LARGE or array.ctypes.data % memory.CACHE_LINE == 0
    assert not zeros(shape, dtype).any()
    assert empty_like(array).shape == array.shape
    assert empty_like(array, np.int64).dtype == np.int64


def test_threads_may_take_and_give_at_once():
    wrong = []

    def work(number):
        for k in range(300):
            array = empty((LARGE + 64 * (k % 5),), np.uint8)
            array.fill(number)
            if not (array == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


@pytest.mark.parametrize(
    "laid_out", [np.asfortranarray, lambda a: a[:, ::2], frozen, misaligned, lambda a: a.astype(">f4"), lambda a: a]
)
def test_contiguous_is_what_a_kernel_takes(laid_out):
    array = laid_out(np.arange(24, dtype=np.float32).reshape(4, 6))
    got = as_contiguous(array)
    np.testing.assert_array_equal(got, array)
    assert got.dtype == np.float32
    assert got.dtype.isnative
    assert got.flags.c_contiguous
    assert got.flags.aligned
    assert got.flags.writeable


def test_contiguous_copies_only_where_it_must():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert as_contiguous(array) is array
    read_only = frozen(array)
    assert np.shares_memory(as_contiguous(read_only), read_only)
    assert not read_only.flags.writeable
    assert as_contiguous(array, np.int64).dtype == np.int64
