"""What the guard refuses: one attack after the other in a process that nothing else shuts in: the guard stands alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scratchlv.exercises import guard

GUARD = Path(guard.__file__)
TRIED = """
import importlib, io, json, os, random, signal, sys, types
import numpy as np
spec = importlib.util.spec_from_file_location("guard", {guard!r})
guard = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guard)
HOME, HIDDEN = {home!r}, {home!r} + "/hidden"
SOLUTION, CANARY = HIDDEN + "/solution.py", HOME + "/canary"
os.chdir(HOME + "/desk")
attacks = json.loads({attacks!r})
refused = guard.install([HIDDEN], ["torch", "scratchlv"])
found = {{}}
for name, attack in attacks.items():
    before, read = len(refused), None
    scope = dict(globals())
    try:
        exec(attack, scope)
    except BaseException as error:
        found[name] = [refused[before:], scope.get("text"), type(error).__name__]
    else:
        found[name] = [refused[before:], scope.get("text"), ""]
os.write(1, json.dumps(found).encode())
"""
LIES = """
class Path:
    asked = 0
    def __fspath__(self):
        self.asked += 1
        return SOLUTION if self.asked < 2 else "harmless"
text = io.FileIO(Path(), "r").read()
"""
ALSO_LIES = """
class Text(str):
    startswith = endswith = lambda *them: False
    __str__ = __fspath__ = lambda self: "harmless"
text = open(Text(SOLUTION)).read()
"""
PATCHES = """
import builtins, posixpath
kept = os.stat, os.path.realpath, os.fsdecode, builtins.isinstance
os.stat = os.lstat = None
os.path.realpath = posixpath._joinrealpath = os.fsdecode = lambda *them, **more: "harmless"
builtins.isinstance = lambda *them: False
try:
    text = open(SOLUTION).read()
finally:
    os.stat, os.path.realpath, os.fsdecode, builtins.isinstance = kept
"""
OF_A_TRACEBACK = """
try:
    open(SOLUTION)
except PermissionError as error:
    frame = error.__traceback__.tb_next.tb_frame
    while frame:
        frame.f_locals.clear() if frame.f_locals is not frame.f_globals else None
        frame.f_globals.get("_CHANGES") and frame.f_globals.update(_CHANGES=(), _WRITING=0)
        frame = frame.f_back
text = open(SOLUTION).read()
"""
READS = {
    "open": "text = open(SOLUTION).read()",
    "open of bytes": "text = open(SOLUTION.encode()).read()",
    "os.open": "text = os.read(os.open(SOLUTION, os.O_RDONLY), 100)",
    "open_code": "text = io.open_code(SOLUTION).read()",
    "fromfile": "text = np.fromfile(SOLUTION, 'u1').tobytes()",
    "memmap": "text = np.memmap(SOLUTION, 'u1', 'r').tobytes()",
    "loadtxt": "text = np.loadtxt(SOLUTION, str)",
    "linecache": "import linecache; text = linecache.getline(SOLUTION, 1) or open(SOLUTION)",
    "an import": "sys.path.insert(0, HIDDEN); import solution; text = solution.SECRET",
    "its loader": "text = importlib.machinery.SourceFileLoader('s', SOLUTION).get_data(SOLUTION)",
    "a symbolic link": "text = open(HOME + '/desk/symbolic').read()",
    "a hard link": "text = open(HOME + '/desk/hard').read()",
    "a link to its folder": "text = open(HOME + '/desk/folder/solution.py').read()",
    "a relative path": "text = open(os.path.relpath(SOLUTION)).read()",
    "another current folder": "os.chdir(HIDDEN); text = open('solution.py').read()",
    "an open folder": "text = os.read(os.open('solution.py', 0, dir_fd=os.open(HIDDEN, 0)), 100)",
    "the root, opened": "text = os.read(os.open(SOLUTION[1:], 0, dir_fd=os.open('/', 0)), 100)",
    "a path that lies": LIES,
    "a text that lies": ALSO_LIES,
    "patched modules": PATCHES,
    "the frames of a refusal": OF_A_TRACEBACK,
}
WRITES = {
    "open": "open(CANARY, 'w')",
    "append": "open(CANARY, 'a')",
    "update": "open(CANARY, 'r+')",
    "exclusive": "open(HOME + '/new', 'x')",
    "os.open": "os.open(CANARY, os.O_WRONLY)",
    "os.open to cut": "os.open(CANARY, os.O_TRUNC)",
    "save": "np.save(HOME + '/new.npy', np.ones(2))",
    "tofile": "np.ones(2).tofile(HOME + '/new')",
    "memmap": "np.memmap(CANARY, 'u1', 'r+')[:] = 0",
    "pathlib": "import pathlib; pathlib.Path(CANARY).write_text('')",
    "here": "open('here', 'w')",
    "rename": "os.rename(CANARY, HOME + '/moved')",
    "replace": "os.replace(CANARY, HOME + '/moved')",
    "remove": "os.remove(CANARY)",
    "truncate": "os.truncate(CANARY, 0)",
    "chmod": "os.chmod(CANARY, 0)",
    "utime": "os.utime(CANARY, (1, 1))",
    "mkdir": "os.mkdir(HOME + '/new')",
    "rmdir": "os.rmdir(HOME + '/desk')",
    "symlink": "os.symlink(SOLUTION, 'here')",
    "link": "os.link(SOLUTION, 'here')",
    "mkfifo": "os.mkfifo(HOME + '/new')",
    "mkfifo of posix": "import posix; posix.mkfifo(HOME + '/new')",
    "rmtree": "import shutil; shutil.rmtree(HOME + '/desk')",
    "sqlite": "import sqlite3; sqlite3.connect(CANARY)",
    "its own memory": "open('/proc/self/mem', 'r+b')",
}
EXTENSION = """
file = HOME + "/x.so"
importlib.machinery.ExtensionFileLoader("x", file).create_module(types.SimpleNamespace(name="x", origin=file))
"""
ACTS = {
    "fork": "os.fork() or os._exit(0)",
    "fork of posix": "import posix; posix.fork() or os._exit(0)",
    "fork by a class": "[c for c in object.__subclasses__() if c.__name__ == '_wrap_close'][0].__init__.__globals__['fork']()",
    "system": "os.system('true')",
    "popen": "os.popen('true')",
    "exec": "os.execv('/bin/true', ['true'])",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "below subprocess": "import _posixsubprocess; _posixsubprocess.fork_exec",
    "kill": "os.kill(os.getppid(), 0)",
    "killpg": "os.killpg(os.getppid(), 0)",
    "another session": "os.setsid()",
    "the network": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "native code": "import ctypes; ctypes.CDLL(None)",
    "a symbol of Python's": "import ctypes; ctypes.pythonapi.Py_AddPendingCall",
    "code of bytes": "(lambda: 0).__code__.replace(co_consts=())",
    "an extension from nowhere": EXTENSION,
    "torch": "import torch",
    "scratchlv": "import scratchlv.gradcheck",
    "all objects": "import gc; gc.get_objects()",
    "what refers to it": "import gc; gc.get_referrers(os)",
    "another hook": "sys.addaudithook(print)",
    "the grader's memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
}
HARMLESS = {
    "null": "open(os.devnull, 'w').write('x')",
    "its own maps": "open('/proc/self/maps').read() if os.path.exists('/proc/self/maps') else 0",
    "tuples": "import collections; collections.namedtuple('P', 'x y')(1, 2)",
    "classes": "import dataclasses; dataclasses.make_dataclass('D', ['x'])(1)",
    "patterns": "import re; re.compile('(a|b)+').match('ab')",
    "random numbers": "np.random.default_rng(0).standard_normal(3); random.random()",
    "products": "np.einsum('ij,jk->ik', np.ones((2, 3)), np.ones((3, 4))); np.linalg.svd(np.ones((3, 3)))",
    "a module of numpy's not yet imported": "import numpy.fft, numpy.polynomial; np.fft.fft(np.ones(4))",
}
EACH = [(kind, name) for kind in ("READS", "WRITES", "ACTS", "HARMLESS") for name in globals()[kind]]


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """By kind and name: what was refused, what was read, what was raised."""
    home = tmp_path_factory.mktemp("home").resolve()
    for folder in ("hidden", "desk"):
        (home / folder).mkdir()
    (home / "hidden" / "solution.py").write_text("SECRET = 42\n")
    (home / "canary").write_text("safe")
    os.symlink(home / "hidden" / "solution.py", home / "desk" / "symbolic")
    os.symlink(home / "hidden", home / "desk" / "folder")
    os.link(home / "hidden" / "solution.py", home / "desk" / "hard")
    attacks = {f"{kind} {name}": globals()[kind][name] for kind, name in EACH}
    program = TRIED.format(guard=str(GUARD), home=str(home), attacks=json.dumps(attacks))
    said = subprocess.run([sys.executable, "-I", "-B", "-c", program], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    assert (home / "canary").read_text() == "safe" and {each.name for each in home.iterdir()} == {
        "hidden",
        "desk",
        "canary",
    }
    assert {each.name for each in (home / "desk").iterdir()} == {"symbolic", "folder", "hard"}
    return json.loads(said.stdout)


def of(tried, kind, name):
    if "/proc" in globals()[kind][name] and not os.path.isdir("/proc/self"):
        pytest.skip("this system has no /proc")
    return tried[f"{kind} {name}"]


@pytest.mark.parametrize("name", READS)
def test_the_solution_cannot_be_read_by(tried, name):
    refused, text, _ = of(tried, "READS", name)
    assert refused and text is None
    assert refused[0] in (
        "reads the solution, or the grader",
        "opens a folder",
        "opens a file by a name that is no text",
    )


@pytest.mark.parametrize("name", WRITES)
def test_no_file_is_changed_by(tried, name):
    refused, _, error = of(tried, "WRITES", name)
    assert refused and refused[0].startswith(("writes ", "changes files", "calls os.", "calls posix.")) and error


@pytest.mark.parametrize("name", ACTS)
def test_nothing_is_reached_by(tried, name):
    refused, _, error = of(tried, "ACTS", name)
    assert refused or error == "ModuleNotFoundError", "nothing was refused"


@pytest.mark.parametrize("name", HARMLESS)
def test_an_exercise_can_use(tried, name):
    assert tried[f"HARMLESS {name}"] == [[], None, ""]


def test_one_folder_can_be_written_where_compilers_work(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "other").mkdir()
    within = guard._within
    assert within([str(tmp_path / "scratch" / "new")], str(tmp_path / "scratch"))
    assert not within([str(tmp_path / "scratch2")], str(tmp_path / "scratch"))
    assert not within([str(tmp_path / "scratch" / ".." / "other")], str(tmp_path / "scratch"))
    assert not within([str(tmp_path / "scratch" / "a"), str(tmp_path / "other" / "a")], str(tmp_path / "scratch"))
    assert not within([3], str(tmp_path / "scratch")) and not within([str(tmp_path)], "")


def test_what_a_file_imports_is_numpy_and_what_computes():
    refused = []
    built_in = guard.own_builtins(refused, guard.STANDARD | {"numpy"})
    scope = {"__builtins__": built_in, "__name__": "learner"}
    exec("import numpy.linalg, math\nfrom collections import deque\nimport itertools as it", scope)
    assert refused == [] and scope["math"].pi > 3
    for text, told in (("import os", "os"), ("from os import path", "os"), ("from . import x", ".")):
        with pytest.raises(ImportError, match="it may import numpy and what computes of the standard library"):
            exec(text, scope)
        assert refused.pop() == f"imports {told}"
