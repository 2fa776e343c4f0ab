"""The exceptions that are meant for the user's eyes, and what the system's errors say to a user."""

import errno
import os
import re
import reprlib


class UserError(Exception):
    """A mistake that the user can mend: one sentence that names the file or argument, the reason and the remedy.

    The command line prints it without a traceback and exits with status 2.
    """


class KernelsUnavailable(ImportError):
    """The kernels of the CPU cannot be had, for a reason that the user can mend; the references run all the same."""


_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxlong = 2, 80, 80, 40


def shortened(found: object) -> str:
    """What a file or a user gave, as Python writes it, at a length that can be read in a sentence."""
    try:
        return _short.repr(found)
    except ValueError:  # a whole number of more digits than Python writes out
        return "a number of thousands of digits"


_LONG = re.compile(r"\S{400,}")


def readable(sentence: str) -> str:
    """A sentence on one line, with what is very long in it, such as a path, cut in the middle."""
    sentence = sentence.replace("\r", "\\r").replace("\n", "\\n")
    sentence = _LONG.sub(lambda found: f"{found[0][:120]}…{found[0][-60:]}", sentence)
    return sentence if len(sentence) <= 2000 else f"{sentence[:1200]} … {sentence[-700:]}"


_SPACE = "free some space or choose another folder"
_PERMISSION = "change its permissions or choose another"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: "choose a folder that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is no folder",
    errno.EISDIR: "give a file, not a folder",
    errno.EEXIST: "choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "close other programs, or allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs",
}


def disk_is_full(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def explain(error: OSError) -> str:
    """What the system refused, why, and what to do, in one sentence."""
    if error.errno == errno.ENOENT and not _current_folder_exists():
        return "the current folder no longer exists; cd to one that does"
    remedy = _REMEDIES.get(error.errno or 0, "choose another file or folder")
    return f"{error.filename or 'a file'}: {error.strerror}; {remedy}"


def _current_folder_exists() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
