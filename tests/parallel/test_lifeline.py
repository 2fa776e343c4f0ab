"""The watcher: it says who was killed, and of what else it says nothing."""

import json
import os
import signal
import socket
import threading
import time

import pytest

from scratchlv.parallel import lifeline
from scratchlv.parallel.lifeline import watch
from tests.parallel.mpi import needs_mpi, program, start


class Watched:
    """A watcher in a thread, and the connections of the processes that it watches."""

    def __init__(self, size, token="secret"):
        listener = socket.create_server(("127.0.0.1", 0))
        self.said = "nothing yet"
        self.thread = threading.Thread(target=self._watch, args=(listener, size, token))
        self.thread.start()
        self.processes = [socket.create_connection(listener.getsockname()) for _ in range(size)]
        for rank, process in enumerate(self.processes):
            self.send(process, token=token, rank=rank, host="vm", pid=100 + rank, size=size)

    def _watch(self, listener, size, token):
        self.said = watch(listener, size, token)

    @staticmethod
    def send(process, **message):
        process.sendall(json.dumps(message).encode() + b"\n")

    def end(self):
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.said


def test_of_processes_that_say_goodbye_nothing_is_said():
    watched = Watched(3)
    for process in watched.processes:
        Watched.send(process, end="goodbye")
        process.close()
    assert watched.end() is None


def test_who_is_gone_is_named_with_the_last_checkpoint(tmp_path):
    for step in (20, 120):
        (tmp_path / f"checkpoint-{step:06d}.json").touch()
    watched = Watched(3)
    Watched.send(watched.processes[0], folder=str(tmp_path), resume="mpiexec -n 3 go on")
    time.sleep(0.05)
    watched.processes[1].close()
    assert watched.end() == (
        "process 1 of 3 (host vm, pid 101) was killed, and the run ends; "
        f"the last checkpoint in {tmp_path} is of step 120; go on with: mpiexec -n 3 go on"
    )


def test_of_several_that_are_gone_none_is_named():
    watched = Watched(2)
    time.sleep(0.05)
    for process in watched.processes:
        process.close()
    assert watched.end().startswith("one of 2 processes was killed, and the run ends")


def test_without_a_checkpoint_it_begins_again(tmp_path):
    watched = Watched(1)
    Watched.send(watched.processes[0], folder=str(tmp_path / "none"), resume="go")
    time.sleep(0.05)
    watched.processes[0].close()
    assert "is not written yet: it begins again; go on with: go" in watched.end()


def test_who_has_said_why_is_not_said_again():
    watched = Watched(2)
    Watched.send(watched.processes[1], end="gave up")
    watched.processes[1].close()
    assert watched.end() is None


def test_strangers_are_not_let_in():
    listener = socket.create_server(("127.0.0.1", 0))
    found = []
    thread = threading.Thread(target=lambda: found.append(watch(listener, 1, "secret")))
    thread.start()
    stranger = socket.create_connection(listener.getsockname())
    Watched.send(stranger, token="guess", rank=0, host="vm", pid=1, size=1)
    stranger.close()
    member = socket.create_connection(listener.getsockname())
    Watched.send(member, token="secret", rank=0, host="vm", pid=1, size=1)
    Watched.send(member, end="goodbye")
    member.close()
    thread.join(10)
    assert found == [None]


def test_a_process_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(lifeline, "_PATIENCE", 0.05)
    assert watch(socket.create_server(("127.0.0.1", 0)), 1, "secret") is None


_WAITING = """
import os, sys, time
from pathlib import Path
from scratchlv.parallel import mpi
team = mpi.start()
team.tell_lifeline(sys.argv[1], "the same command")
Path(sys.argv[1], f"{team.rank}.pid").write_text(str(os.getpid()))
team.exchange(0)
team.wait(lambda: False)
"""


@needs_mpi
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_run_within_seconds(tmp_path, victim):
    (tmp_path / "checkpoint-000040.json").touch()
    process = start(2, program(tmp_path, _WAITING), tmp_path)
    files = [tmp_path / f"{rank}.pid" for rank in (0, 1)]
    began = time.monotonic()
    while not all(file.exists() and file.read_text() for file in files) and time.monotonic() - began < 60:
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(int(files[victim].read_text()), signal.SIGKILL)
    killed = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - killed < 10
    assert process.returncode != 0
    sentences = [line for line in err.splitlines() if line.startswith("scratchlv:")]
    assert len(sentences) == 1, err
    assert f"process {victim} of 2" in sentences[0] or "one of 2 processes was killed" in sentences[0]
    assert "is of step 40; go on with: the same command" in sentences[0]
