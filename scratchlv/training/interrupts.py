"""Ctrl-C between two steps, never inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
_SIGNALS = [s for s in (signal.SIGINT, signal.SIGTERM, _HANGUP) if s is not None]


@contextmanager
def finish_the_step() -> Iterator[threading.Event]:
    """Ctrl-C, a polite kill and a terminal that is closed set the event instead of breaking into a half-made step.

    A second one does break in. Where a closed terminal is ignored (``nohup``), it still is.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {s: signal.signal(s, note) for s in _SIGNALS if s != _HANGUP or signal.getsignal(s) is not signal.SIG_IGN}
    try:
        yield event
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
