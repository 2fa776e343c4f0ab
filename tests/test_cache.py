"""Where what was computed once is kept."""

from pathlib import Path

from scratchlv.cache import cache_folder, folder_for


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
