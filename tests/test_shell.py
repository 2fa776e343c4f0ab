"""Paths as they are typed, and commands that can be typed."""

import shlex
from pathlib import Path

import pytest

from scratchlv.errors import UserError
from scratchlv.shell import command, path_of


def test_the_home_folder_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert path_of("~/runs/lm") == Path("/home/me/runs/lm")
    assert path_of("runs/~lm") == Path("runs/~lm")
    with pytest.raises(UserError, match="~nobody-of-that-name/x: the home folder"):
        path_of("~nobody-of-that-name/x")


def test_a_shell_takes_a_command_as_it_is():
    words = ["train", "lm", "--out", Path("my runs/it's"), "--resume"]
    assert shlex.split(command(*words)) == ["scratchlv", *map(str, words)]
    assert command("evaluate", Path("runs/lm")) == "scratchlv evaluate runs/lm"
