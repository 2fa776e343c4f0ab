"""What the learner's process does by itself: reading, writing, and telling what was raised."""

import os
import signal
import sys
import types

import numpy as np
import pytest

from scratchlv.exercises import child, guard, launching, wire

SETTINGS = {
    "path": "/learner.py",
    "launch": "",
    "kind": "numpy",
    "guarded_import": True,
    "imports": ["numpy"],
    "memory": 1 << 40,
    "cpu": 10**6,
    "file": 1 << 40,
    "most_processes": 0,
}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delitem(sys.modules, "exercise_of_a_learner", raising=False)
    yield child.Server(SETTINGS, wire, guard, launching, [])
    sys.modules.pop("exercise_of_a_learner", None)


def load(server, text):
    return server.answer({"do": "load", "with": {"text": text}})


def call(server, function, *inputs, **more):
    return server.answer({"do": "call", "with": {"function": function, "inputs": list(inputs), **more}})


def test_a_file_is_run_and_its_functions_are_named(server):
    assert load(server, "import math\ndef f(): return math.pi\nx = 3\n") == {"value": ["f"], "refused": []}
    assert call(server, "f")["value"]["result"] == np.pi


def test_a_forward_keeps_its_cache_for_backward(server):
    load(
        server,
        "def forward(x):\n    return 2 * x, [x]\ndef backward(dy, cache):\n    cache[0] = dy\n    return cache\n"
        "def none(x): return x\n",
    )
    assert call(server, "forward", 3.0, keep=True)["value"] == {"result": 6.0, "changed": False}
    assert server.answer({"do": "backward", "with": {"function": "backward", "dy": 5.0}})["value"]["result"] == [5.0]
    assert call(server, "none", 3.0, keep=True)["value"]["no_cache"] == 3.0


def test_changed_inputs_are_told(server):
    load(server, "def forward(x, n):\n    x *= 1\n    x += n\ndef backward(dy, cache):\n    dy[0] = 9\n")
    assert not call(server, "forward", np.ones(2), 0)["value"]["changed"]
    assert call(server, "forward", np.ones(2), 1)["value"]["changed"]
    assert server.answer({"do": "backward", "with": {"function": "backward", "dy": np.ones(2)}})["value"]["changed"]


def test_what_is_raised_is_told_with_the_learners_line_not_with_numpys(server):
    load(server, "import numpy as np\ndef f(x):\n    y = x\n    return np.linalg.inv(y)\n")
    error = call(server, "f", np.ones((2, 3)))["error"]
    assert (error["type"], error["line"], error["function"], error["shapes"]) == ("LinAlgError", 4, "f", "y (2, 3)")
    assert load(server, "x = 1\n  y = 2\n")["error"] == {
        "type": "IndentationError",
        "message": "unexpected indent",
        "line": 2,
        "function": "",
        "shapes": "",
        "stage": "",
    }
    assert call(server, "not there")["error"]["type"] == "KeyError"
    assert server.answer({"do": "nothing"})["error"]["type"] == "AttributeError"


def test_exits_and_exceptions_that_raise_are_told_as_well(server):
    load(
        server,
        "class Mute(BaseException):\n    def __str__(self): raise SystemExit\n"
        "def f(): raise Mute\ndef g(): raise SystemExit(3)\n",
    )
    assert call(server, "f")["error"]["type"] == "Mute" and call(server, "f")["error"]["message"] == ""
    assert call(server, "g")["error"]["type"] == "SystemExit"
    load(server, "class Odd(Exception):\n    stage = property(lambda self: 1 / 0)\ndef f(): raise Odd\n")
    assert call(server, "f")["error"]["type"] == "Odd"


def test_what_cannot_be_packed_is_an_error_not_the_end(server):
    load(
        server,
        "class Y(dict):\n    def items(self): raise SystemExit\ndef f(): return Y(a=1)\ndef g(): return 10**5000\n",
    )
    for function, kind in (("f", "SystemExit"), ("g", "ValueError")):
        request = {"do": "call", "with": {"function": function, "inputs": []}}
        assert wire.decode(child.message(server, wire, request))["error"]["type"] == kind


def test_imports_are_refused_in_the_file_and_remembered(server):
    assert load(server, "try:\n    import os\nexcept ImportError:\n    pass\n")["refused"] == ["imports os"]


def test_the_arrays_that_a_line_names_are_told_by_their_shapes():
    names = {"x": np.ones((2, 3)), "n": 3, "W": np.ones(4), "unused": np.ones(9)}
    assert child.shapes_in("y = x @ W + n * x", names) == "x (2, 3), W (4,)"
    assert child.shapes_in("", names) == ""


def test_bytes_come_whole_or_not_at_all():
    reading, writing = os.pipe()
    child.write_all(writing, b"abcdef")
    assert child.read_exactly(reading, 4) == b"abcd"
    os.close(writing)
    assert child.read_exactly(reading, 4) is None
    os.close(reading)


def test_neighbours_are_loaded_with_builtins_of_their_own_and_no_list_names_them():
    beside = child._beside("wire")
    assert "_exercise_wire" not in sys.modules and beside.__dict__["__builtins__"] is not wire.__dict__["__builtins__"]
    assert beside.decode(wire.encode([1, (2.0, None)])) == [1, (2.0, None)]


def test_a_system_without_limits_has_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows
    child.limit(SETTINGS)
    refusing = types.SimpleNamespace(RLIM_INFINITY=-1, RLIMIT_AS=1, getrlimit=lambda kind: (-1, -1))
    refusing.setrlimit = lambda kind, value: (_ for _ in ()).throw(ValueError("not on this system"))  # macOS
    monkeypatch.setitem(sys.modules, "resource", refusing)
    child.limit(SETTINGS)


def test_limits_are_no_higher_than_those_there_are(monkeypatch):
    asked = {}
    known = types.SimpleNamespace(
        RLIM_INFINITY=-1, RLIMIT_AS=1, RLIMIT_CPU=2, getrlimit=lambda kind: (-1, 1000 if kind == 1 else -1)
    )
    known.setrlimit = lambda kind, value: asked.update({kind: value})
    monkeypatch.setitem(sys.modules, "resource", known)
    child.limit(SETTINGS)
    assert asked == {1: (1000, 1000), 2: (10**6, 10**6)}


def test_a_system_without_a_fence_is_told_so(monkeypatch):
    assert child.shut_in(None, SETTINGS) == []
    monkeypatch.setattr(child.sys, "platform", "darwin")
    assert child._fence() is None


def test_python_without_ctypes_has_no_fence(monkeypatch):
    monkeypatch.setattr(child.sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert child._fence() is None


def test_the_signal_that_asks_for_the_line_is_one_that_this_system_has():
    assert hasattr(signal, "SIGUSR1") or sys.platform == "win32"
