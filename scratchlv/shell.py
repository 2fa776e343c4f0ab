"""Paths as users type them, and commands as they can type them."""

from __future__ import annotations

import shlex
from pathlib import Path

from scratchlv.errors import UserError


def path_of(text: str) -> Path:
    """A path that may begin with ``~``: shells leave it as it is behind ``--option=`` and ``kind:``.

    Raises:
        UserError: that home is not known.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: the home folder that ~ stands for is not known; write the whole path") from None


def command(*words: object) -> str:
    """The ``scratchlv`` command of these words, quoted so that a shell takes it as it is."""
    return shlex.join(["scratchlv", *map(str, words)])
