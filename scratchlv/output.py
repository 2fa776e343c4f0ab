"""What is printed reaches whoever reads it: in characters that the encoding has, and without harm when nobody reads it.

Nor does it do harm to the terminal: control characters, which the name of a file or the caption of a picture may hold, are
written out. What moves the cursor or colours text on purpose goes to :func:`styled`.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from scratchlv.errors import UserError

SPELT = "scratchlv.spelt"  #: how to encode what the encoding lacks: one of Python's error handlers
_SPELT = {
    **{"ᵀ": ".T", "ᵗ": "^t", "−": "-", "√": "sqrt ", "∂": "d", "·": "*", "×": "x", "⊙": "*", "∘": "o", "‖": "||"},
    **{"²": "^2", "³": "^3", "⁻": "^-", "₁": "1", "₂": "2", "∞": "inf", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~"},
    **{"±": "+-", "→": "->", "←": "<-", "…": "...", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"'},
    **{"α": "alpha", "β": "beta", "δ": "delta", "ε": "eps", "θ": "theta", "λ": "lambda", "σ": "sigma", "τ": "tau"},
    **{"Σ": "sum ", "ℓ": "l", "█": "#", "▓": "#", "▒": ":", "░": ":"},
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but tabs and line ends
_NOBODY = (errno.EPIPE, errno.EIO)  # the other end of the pipe is closed, the terminal is gone


# --- characters ------------------------------------------------------------------------------------------------------


def spelt(text: str, encoding: str | None) -> str:
    """The text in characters that the encoding has; what has no spelling is escaped, so that nothing is lost."""
    return text.encode(encoding or "utf-8", SPELT).decode(encoding or "utf-8")


def harmless(text: str) -> str:
    """The text with its control characters written out: a terminal would obey them."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelling, error.object[error.start : error.end])), error.end


def _spelling(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return _SPELT.get(character) or character.encode("ascii", "backslashreplace").decode()


codecs.register_error(SPELT, _spell)


# --- the standard streams --------------------------------------------------------------------------------------------


class _Outlet(io.FileIO):
    """A file descriptor to write to. Once nobody reads it, or it can take no more, what is written to it goes nowhere."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.unread = False
        self.failed: OSError | None = None  # what it said instead of taking more

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            self.unread = True
            if error.errno not in _NOBODY:
                self.failed = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for child processes as well
            os.close(nowhere)
            return len(data)


class _Text(io.TextIOWrapper):
    """Writes text without control characters."""

    def write(self, text: str) -> int:
        return super().write(harmless(text))


class _Styled:
    """A stream as it was, control characters and all."""

    def __init__(self, stream: _Text) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return io.TextIOWrapper.write(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def styled(stream: TextIO) -> Any:
    """The stream for those who move the cursor or colour text; what others wrote is theirs to make :func:`harmless`."""
    return _Styled(stream) if isinstance(stream, _Text) else stream


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Inside the ``with`` block whatever is printed to ``sys.stdout`` or ``sys.stderr`` is spelt, and writing never fails.

    So work outlives its readers: ``train … | head -1`` trains to the end. A line is written as soon as it is whole.

    Raises:
        UserError: at the end, when standard output could not be written for another reason than that nobody reads it.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    _claim_closed()
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout, sys.stderr = _outlet_of(sys.stdout, 1), _outlet_of(sys.stderr, 2)
    ours = sys.stdout
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before
    failed = getattr(_raw(ours), "failed", None)
    if failed is not None:
        raise UserError(
            f"standard output could not be written: {failed.strerror}; what was printed is cut off: give it another place"
        )


def unread(stream: TextIO) -> bool:
    """Whether nobody reads any more what is written here: work that goes on for it alone may end."""
    return getattr(_raw(stream), "unread", False)


def insist(line: str) -> None:
    """Print a line on standard error; when nobody reads it there, on the terminal that the command was given at, if any."""
    print(line, file=sys.stderr, flush=True)
    if unread(sys.stderr):
        with contextlib.suppress(OSError), open("/dev/tty", "w", errors=SPELT) as terminal:
            print(line, file=terminal)


def _claim_closed() -> None:
    """Open the descriptors 0 to 2 where they are closed, or the next file that is opened becomes standard output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
            os.set_inheritable(descriptor, True)


def _outlet_of(stream: TextIO | None, descriptor: int) -> TextIO:
    encoding = "utf-8"
    if stream is not None:
        if not isinstance(_raw(stream), io.FileIO):
            return stream  # a notebook's, a test's, a console of Windows, which has all characters
        stream.flush()
        descriptor, encoding = stream.fileno(), stream.encoding
    buffer = io.BufferedWriter(_Outlet(descriptor))
    return _Text(buffer, encoding=encoding, errors=SPELT, line_buffering=True)


def _raw(stream: Any) -> Any:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
