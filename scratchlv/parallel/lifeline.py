"""A run that learns at once that one of its processes has died, whatever started them.

MPI itself waits forever for a message of a process that is no more. So the first process starts a small one that only watches,
and every process holds a connection to it; the system closes that of a process that dies, however it dies. The watcher then says
so, in one sentence, and closes the others: whoever waits for a message looks at its own, and ends.

    python -m scratchlv.parallel.lifeline DESCRIPTOR PROCESSES        the watcher: a socket that listens, and how many will come
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_GOODBYE, _GAVE_UP = "goodbye", "gave up"
_MOMENT = 0.05  # seconds, in which a launcher kills the others
_PATIENCE = 60.0  # seconds in which all have to come


class Lifeline:
    """This process's connection to the watcher of its ``team``."""

    def __init__(self, team: Any) -> None:
        where: Any = None
        if team.rank == 0:
            where = _start_watcher(team.size, several_hosts=len(set(team.hosts)) > 1)
        host, port, token = team.broadcast(where)
        self._socket = socket.create_connection((host, port), timeout=_PATIENCE)
        self._send(token=token, rank=team.rank, host=team.hosts[team.rank], pid=os.getpid(), size=team.size)
        self._socket.setblocking(False)

    def tell(self, folder: str, resume: str) -> None:
        """Where the run is, and the command that goes on with it."""
        self._send(folder=folder, resume=resume)

    def close(self) -> None:
        """This process ends as it should."""
        self._send(end=_GOODBYE)

    def give_up(self) -> None:
        """It cannot go on, and has said why."""
        self._send(end=_GAVE_UP)

    def is_cut(self) -> bool:
        """Whether the watcher has ended the run, or is gone itself."""
        try:
            return not self._socket.recv(1)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def _send(self, **message: Any) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")


def _start_watcher(size: int, several_hosts: bool) -> tuple[str, int, str]:
    """Its address, and what a process says to be let in."""
    host = socket.gethostbyname(socket.gethostname()) if several_hosts else "127.0.0.1"
    token = secrets.token_hex(16)
    with socket.create_server((host, 0), backlog=size) as listener:
        command = [sys.executable, "-m", __name__, str(listener.fileno()), str(size)]
        environment = os.environ | {"SCRATCHLV_LIFELINE": token, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        subprocess.Popen(
            command,
            pass_fds=[listener.fileno()],
            start_new_session=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        return host, listener.getsockname()[1], token


# --- the watcher -------------------------------------------------------------------------------------------------


class _Process:
    """One that is watched."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.unread = connection, b""
        self.facts: dict[str, Any] = {}  # all that it has told

    def read(self) -> bool:
        """Take in what it says; whether it is still there."""
        try:
            data = self.connection.recv(1 << 16)
        except OSError:
            return False
        self.take(data)
        return bool(data)

    def take(self, data: bytes) -> None:
        """Note what it has said."""
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                self.facts |= json.loads(line)


def watch(listener: socket.socket, size: int, token: str) -> str | None:
    """Wait until all have said goodbye, or one is gone; what is to be said of it, None if nothing."""
    watched = _arrivals(listener, size, token)
    if watched is None:
        return None
    with selectors.DefaultSelector() as selector:
        for process in watched:
            selector.register(process.connection, selectors.EVENT_READ, process)
        while selector.get_map():
            for process in [key.data for key, _ in selector.select()]:
                if process.read():
                    continue
                if "end" not in process.facts:
                    return _last_words(process, watched)
                if process.facts["end"] == _GAVE_UP:
                    return None
                selector.unregister(process.connection)
    return None


def _last_words(gone: _Process, watched: list[_Process]) -> str | None:
    """What is said of one that is gone; nothing if another gave up, whom the launcher let no one outlive.

    A launcher kills the others of a killed one, and which connection closed first does not tell who died first. So it is named
    only where no other is gone a moment later.
    """
    time.sleep(_MOMENT)
    there = [_survives(process) for process in watched if process is not gone]  # each hears what it said last
    if any(process.facts.get("end") == _GAVE_UP for process in watched):
        return None
    return _epitaph(gone.facts, {k: v for process in watched for k, v in process.facts.items()}, all(there))


def _survives(process: _Process) -> bool:
    """Whether it is there, after all that it said; one that said goodbye may go."""
    process.connection.setblocking(False)
    try:
        while data := process.connection.recv(1 << 16):
            process.take(data)
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        pass
    return process.facts.get("end") == _GOODBYE


def _arrivals(listener: socket.socket, size: int, token: str) -> list[_Process] | None:
    """All processes; None where one did not come, or is gone already."""
    listener.settimeout(_PATIENCE)
    found: list[_Process] = []
    while len(found) < size:
        try:
            process = _Process(listener.accept()[0])
        except OSError:
            return None
        while "token" not in process.facts and process.read():
            pass
        if process.facts.get("token") == token:
            found.append(process)
    return found


def _epitaph(gone: dict[str, Any], known: dict[str, Any], alone: bool) -> str:
    who = f"one of {gone['size']} processes"
    if alone:
        who = f"process {gone['rank']} of {gone['size']} (host {gone['host']}, pid {gone['pid']})"
    sentence = f"{who} was killed, and the run ends"
    if "folder" not in known:
        return sentence
    steps = [int(name[1]) for name in map(_CHECKPOINT.fullmatch, _names(Path(known["folder"]))) if name]
    kept = f"of step {max(steps)}" if steps else "not written yet: it begins again"
    return f"{sentence}; the last checkpoint in {known['folder']} is {kept}; go on with: {known['resume']}"


_CHECKPOINT = re.compile(r"checkpoint-(\d{6,})\.json")


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def main() -> None:
    """The watcher's own process."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    sentence = watch(listener, int(sys.argv[2]), os.environ.get("SCRATCHLV_LIFELINE", ""))
    if sentence is not None:
        with contextlib.suppress(OSError):
            os.write(2, f"scratchlv: {sentence}\n".encode(errors="replace"))


if __name__ == "__main__":
    main()
