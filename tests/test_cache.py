"""Where what was computed once is kept."""

import threading
from pathlib import Path

import pytest

from scratchlv.cache import alone_in, cache_folder, folder_for


def test_the_folder_is_the_one_that_is_named_or_one_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCRATCHLV_CACHE", "~/there")
    assert cache_folder() == tmp_path / "there"
    monkeypatch.delenv("SCRATCHLV_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "scratchlv"


def test_a_folder_is_made_and_nothing_is_left_in_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "mine"))
    folder = folder_for("kernels", "v1")
    assert folder == tmp_path / "mine" / "kernels" / "v1"
    assert list(folder.iterdir()) == []
    assert folder_for("kernels", "v1") == folder


def test_where_nothing_can_be_written_there_is_none(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "file" / "below"))
    assert folder_for("kernels") is None


def test_one_at_a_time(tmp_path):
    pytest.importorskip("fcntl", reason="this system has no such lock")
    order, waited = [], threading.Event()

    def second():
        with alone_in(tmp_path, waited.set):
            order.append("second")

    with alone_in(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_an_error_inside_lets_the_next_one_in(tmp_path):
    with pytest.raises(KeyError), alone_in(tmp_path):
        raise KeyError
    with alone_in(tmp_path, lambda: pytest.fail("it is taken")):
        pass


def test_where_there_is_no_lock_everybody_is_let_in(tmp_path):
    with alone_in(tmp_path / "not there"):
        pass
