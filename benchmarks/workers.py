"""Processes that work when they are told to, and stand still else: so that nobody's waiting threads disturb another.

The parent starts a :class:`Worker`, which makes itself ready, writes its first results into a file, and then answers each
line that it reads by a line of JSON (:func:`serve`).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from comparing import Refused

SIGKILL, PR_SET_PDEATHSIG = 9, 1


class Worker:
    """A process that runs ``python COMMAND… RESULTS`` with the environment ``variables``; ``name`` is for messages."""

    def __init__(self, name: str, command: Sequence[str | Path], variables: dict[str, str], folder: Path) -> None:
        self.name = name
        self.results = Path(tempfile.mkstemp(".npz", dir=folder)[1])
        self.errors: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by kill
        self.process = subprocess.Popen(
            [sys.executable, *command, self.results],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=variables,
            start_new_session=True,  # Ctrl-C is for us
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> dict[str, np.ndarray]:
        """Wait until it is ready; its first results."""
        if self._answer() != "ready\n":
            raise Refused(f"{self.name} failed: {self._last_words()}")
        with np.load(self.results) as file:
            results = {name: file[name] for name in file.files}
        self.results.unlink()
        self.stop()
        return results

    def run(self, request: object) -> Any:
        """Its answer to a request, which is told as text."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        answer = self._answer()
        self.stop()
        if not answer:
            raise Refused(f"{self.name} failed: {self._last_words()}")
        return json.loads(answer)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def _last_words(self) -> str:
        self.process.wait(timeout=10)
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with status {self.process.returncode}"


def serve(results: dict[str, Any], file: Path, answers: IO[str], answer: Callable[[str], Any]) -> None:
    """The worker's side: save the first results, and answer each line of the standard input."""
    np.savez(file, **results)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(line.rstrip("\n"))), file=answers, flush=True)


@contextlib.contextmanager
def as_worker():
    """Inside, whoever else prints does not disturb the protocol; yields the file to print answers to."""
    _die_with_the_parent()
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        yield answers
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(1)


def _die_with_the_parent() -> None:
    """On Linux a worker ends with whoever started it, even if it is stopped and cannot notice."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
