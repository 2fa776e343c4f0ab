"""The OpenBLAS that NumPy has loaded, if it is that."""

import ctypes
from pathlib import Path

import pytest

from scratchlv import blas


def test_libraries_are_found_by_a_word_in_their_names(monkeypatch, tmp_path):
    maps = tmp_path / "maps"
    maps.write_bytes(
        b"7f0-7f1 r 0 00:00 1   /lib/M\xfcller/libopenblas64.so\n7f1-7f2 r 0 00:00 0\n7f2-7f3 r 0 00:00 2 /lib/c.so\n"
    )
    monkeypatch.setattr(blas, "Path", lambda name: maps if str(name) == "/proc/self/maps" else Path(name))
    (found,) = blas.libraries("openblas")
    assert found.endswith("ller/libopenblas64.so")


def threads():
    return blas.openblas("get_num_threads", ctypes.c_int)


@pytest.mark.skipif(threads() is None, reason="NumPy's BLAS is not OpenBLAS")
def test_one_thread_for_a_while():
    before = threads()
    blas.openblas("set_num_threads", None, 2)
    try:
        with blas.one_thread():
            assert threads() == 1
            with blas.one_thread():
                assert threads() == 1
        assert threads() == 2
        with pytest.raises(ZeroDivisionError), blas.one_thread():
            1 / 0  # noqa: B018
        assert threads() == 2
    finally:
        blas.openblas("set_num_threads", None, before)


def test_without_openblas_nothing_happens(monkeypatch):
    monkeypatch.setattr(blas, "_function", lambda name: None)
    with blas.one_thread():
        assert blas.openblas("get_num_threads", ctypes.c_int) is None
