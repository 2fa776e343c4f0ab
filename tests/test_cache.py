"""Where what was computed once is kept."""

import os
import pwd
import tempfile
import threading
from pathlib import Path

import pytest

from scratchlv import cache
from scratchlv.cache import alone_in, cache_folder, folders_for
from scratchlv.errors import UserError


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """The system's folder of temporary files."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


@pytest.fixture
def homeless(monkeypatch, temporary):
    """No HOME, and a user number that no list of users has: a container or a service."""

    def unlisted(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unlisted)


def test_the_folder_is_the_one_that_is_named_or_one_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCRATCHLV_CACHE", "~/there")
    assert cache_folder() == tmp_path / "there"
    monkeypatch.delenv("SCRATCHLV_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "scratchlv"


def test_a_user_without_a_home_has_a_temporary_folder_of_their_own(homeless, monkeypatch, temporary):
    monkeypatch.delenv("SCRATCHLV_CACHE", raising=False)
    assert cache_folder() == temporary / f"scratchlv-{os.getuid()}"
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    assert folders_for("kernels") == [cache_folder() / "kernels"]
    monkeypatch.setenv("SCRATCHLV_CACHE", "~/there")
    with pytest.raises(UserError, match="~/there: the home folder that ~ stands for is not known"):
        cache_folder()


def test_a_folder_is_made_and_nothing_is_left_in_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "mine"))
    (folder,) = folders_for("kernels")
    assert folder == tmp_path / "mine" / "kernels"
    assert list(folder.iterdir()) == []
    assert folders_for("kernels") == [folder]


def test_where_nothing_can_be_written_a_temporary_folder_follows(monkeypatch, tmp_path, temporary):
    """What is kept in the first is still found there."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "file" / "below"))
    named, other = folders_for("kernels")
    assert named == tmp_path / "file" / "below" / "kernels"
    assert other == temporary / f"scratchlv-{os.getuid()}" / "kernels"
    assert cache.can_write(other)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    assert folders_for("kernels") == [named]


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
