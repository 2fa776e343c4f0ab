"""What Linux refuses to native code, where the guard sees nothing: all of it in one process, through the C library."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from scratchlv.exercises import fence

TRIED = """
import ctypes, importlib.util, json, os, sys, threading
spec = importlib.util.spec_from_file_location("fence", {fence!r})
fence = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fence)
libc = ctypes.CDLL(None, use_errno=True)
HOME = {home!r}
may = json.loads({may!r})
hidden, readable = [HOME + "/hidden", HOME + "/not there"], [HOME + "/hidden/own"]
held = {{
    "files": fence.fence_files(hidden, readable, [HOME + "/scratch"], programs=may["programs"]),
    "calls": fence.fence_calls(**may),
}}
def reads(path):
    descriptor = libc.open((HOME + path).encode(), os.O_RDONLY)
    return descriptor >= 0 and len(os.read(descriptor, 9)) > 0
def creates(path):
    return libc.creat((HOME + path).encode(), 0o600) >= 0
def forks():
    child = libc.fork()
    if child == 0:
        os._exit(0)
    return child > 0 and os.waitpid(child, 0)[1] == 0
def thread():
    done = []
    each = threading.Thread(target=done.append, args=(1,))
    each.start()
    each.join()
    return done == [1]
found = {{
    "reads what is hidden": reads("/hidden/solution.py"),
    "reads the other one": reads("/hidden/own"),
    "reads what is beside it": reads("/beside/file"),
    "creates beside it": creates("/beside/new"),
    "creates in scratch": creates("/scratch/new"),
    "removes beside it": libc.unlink((HOME + "/beside/file").encode()) == 0,
    "renames beside it": libc.rename((HOME + "/beside/file").encode(), (HOME + "/scratch/x").encode()) == 0,
    "makes a pipe": libc.mkfifo((HOME + "/beside/pipe").encode(), 0o600) == 0,
    "makes a link": libc.symlink(b"/", (HOME + "/scratch/link").encode()) == 0,
    "changes rights": libc.chmod((HOME + "/beside/file").encode(), 0) == 0,
    "changes times": libc.utimes((HOME + "/beside/file").encode(), None) == 0,
    "opens a socket": libc.socket(1, 1, 0) >= 0,
    "leaves its session": libc.setsid() >= 0 or libc.setpgid(0, 0) >= 0,
    "signals its parent": libc.kill(os.getppid(), 0) == 0,
    "traces": libc.ptrace(0, 0, 0, 0) >= 0,
    "changes its parent's limits": libc.prlimit(os.getppid(), 7, None, None) == 0,
    "asks for its own limits": libc.prlimit(0, 7, None, ctypes.create_string_buffer(16)) == 0,
    "reads its parent's memory": libc.open(f"/proc/{{os.getppid()}}/mem".encode(), os.O_RDONLY) >= 0,
    "forks": forks(),
    "runs a program": libc.system(b"true") == 0,
    "starts a thread": thread(),
    "writes to null": libc.open(b"/dev/null", os.O_WRONLY) >= 0,
}}
os.write(1, json.dumps([held, found]).encode())
"""
NEVER = (
    "reads what is hidden",
    "creates beside it",
    "removes beside it",
    "renames beside it",
    "makes a pipe",
    "makes a link",
    "changes rights",
    "changes times",
    "opens a socket",
    "leaves its session",
    "signals its parent",
    "traces",
    "changes its parent's limits",
    "reads its parent's memory",
)
ALWAYS = (
    "reads the other one",
    "reads what is beside it",
    "creates in scratch",
    "asks for its own limits",
    "starts a thread",
    "writes to null",
)


def tried(home: Path, **may: bool) -> dict[str, bool]:
    for folder in ("hidden", "beside", "scratch"):
        (home / folder).mkdir(parents=True)
    for name in ("hidden/solution.py", "hidden/own", "beside/file"):
        (home / name).write_text("something")
    program = TRIED.format(fence=fence.__file__, home=str(home.resolve()), may=json.dumps(may))
    said = subprocess.run([sys.executable, "-I", "-B", "-c", program], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    held, found = json.loads(said.stdout)
    if not all(held.values()):
        pytest.skip(f"this system has not all of it: {held}")
    return found


on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Landlock and seccomp are Linux's")


@on_linux
def test_native_code_reaches_no_hidden_file_no_process_and_no_network(tmp_path):
    found = tried(tmp_path / "home", processes=False, programs=False)
    assert {name: found[name] for name in (*NEVER, "forks", "runs a program")} == dict.fromkeys(
        (*NEVER, "forks", "runs a program"), False
    )
    assert {name: found[name] for name in ALWAYS} == dict.fromkeys(ALWAYS, True)
    assert (tmp_path / "home" / "beside" / "file").read_text() == "something"


@on_linux
def test_a_search_for_the_line_may_fork_and_a_compiler_run_and_neither_leaves_its_session(tmp_path):
    forking = tried(tmp_path / "forking", processes=True, programs=False)
    compiling = tried(tmp_path / "compiling", processes=True, programs=True)
    for found in (forking, compiling):
        assert found["forks"] and not any(found[name] for name in NEVER if name != "signals its parent")
    assert compiling["runs a program"] and not forking["runs a program"]


def test_what_is_around_what_is_hidden_is_all_but_that(tmp_path):
    folder = tmp_path.resolve()
    for name in ("a/secret/x", "a/open/x", "b/x"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("")
    os.symlink(folder, folder / "a" / "link")
    found = list(fence._around([str(folder / "a" / "secret")]))
    assert str(folder / "a" / "open") in found and str(folder / "b") in found
    above = {str(folder / "a" / "secret"), str(folder / "a"), *map(str, (folder / "a").parents)}
    assert not above & set(found) and str(folder / "a" / "link") not in found
    assert list(fence._around([])) == ["/"]


def test_of_a_folder_with_very_many_files_not_all_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "_MOST", 20)
    (tmp_path / "hidden").mkdir()
    for i in range(50):
        (tmp_path / str(i)).write_text("")
    assert len(list(fence._around([str(tmp_path.resolve() / "hidden")]))) <= 20


def test_a_system_without_them_has_no_fence(monkeypatch):
    monkeypatch.setattr(fence, "_call", lambda *them: -1)
    assert not fence.fence_files([], [], [], programs=False)
    monkeypatch.setattr(fence.platform, "machine", lambda: "vax")
    assert not fence.fence_calls(processes=False, programs=False)


def test_the_program_for_the_kernel_jumps_within_itself_and_ends_with_an_answer():
    for machine in fence._MACHINES.values():
        for clones in (None, (56, 435)):
            program = fence._filter(machine[1], [1, 2, 3], 302, clones)
            steps = list(struct.iter_unpack("=HBBI", program))
            assert steps[-1] == (0x06, 0, 0, 0x7FFF0000)
            assert all(i + 1 + max(yes, no) < len(steps) for i, (_, yes, no, _) in enumerate(steps[:-1]))
