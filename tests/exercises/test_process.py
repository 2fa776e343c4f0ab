"""The learner's process: its limits, what is said where it ends, and that nothing of it is left."""

import os
import signal
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from scratchlv.exercises import process, wire
from scratchlv.exercises.process import Limits, Process, Raised, Trouble

LIMITS = Limits(seconds=20.0, memory=1.0)  # where nothing is meant to take long
OTHERS = "import random, typing\nos, sys = random._os, typing.sys\n"  # what is reachable from what may be imported


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a learner's file; in the end no process and no temporary file of it is left."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def write(text):
        path = tmp_path / "learner.py"
        path.write_text(textwrap.dedent(text), "utf-8")
        return path

    yield write
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not of_folder(tmp_path / "temporary")


def of_folder(folder):
    """The processes whose temporary files are in there."""
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={folder}".encode() in each.read_bytes() and int(each.parent.name) != os.getpid():
                found.append(int(each.parent.name))
        except OSError:
            continue
    return found


def asked(path, *calls, **settings):
    """What a file's functions reply, the file being loaded first."""
    with Process(path, limits=settings.pop("limits", LIMITS), **settings) as running:
        running.ask("load", text=path.read_text("utf-8"))
        return [running.ask("call", function=name, inputs=list(inputs)) for name, *inputs in calls]


def trouble(path, *calls, **settings):
    with pytest.raises(Trouble) as caught:
        asked(path, *calls, **settings)
    return caught.value


# --- right files ------------------------------------------------------------------------------------------------------


def test_a_file_gets_arrays_and_functions_and_gives_arrays_back(file):
    path = file(
        """\
        import numpy as np
        def twice(x): return 2 * x
        def apply(f, x): return f(x), {"a": [x, None, "text"]}
        def spoils(x): x += 1
        """
    )
    x = np.array([[1.0, 2.0]])
    twice, applied, spoilt = asked(
        path, ("twice", x), ("apply", wire.Source("lambda x: np.exp(x)"), x), ("spoils", x.copy())
    )
    assert twice["result"].tolist() == [[2.0, 4.0]] and not twice["changed"]
    assert applied["result"][0].tolist() == np.exp(x).tolist() and applied["result"][1]["a"][1:] == [None, "text"]
    assert spoilt["changed"]


def test_what_it_prints_is_kept_and_no_reply(file):
    path = file("print('at import')\ndef f(): print('x' * 10**5); return 1")
    with Process(path, limits=LIMITS) as running:
        running.ask("load", text=path.read_text())
        assert running.ask("call", function="f", inputs=[])["result"] == 1
    assert running.printed.startswith("at import\nxxx") and len(running.printed) == process._KEPT


def test_an_exception_is_told_with_its_line_and_shapes(file):
    path = file("import numpy as np\ndef f(x, w):\n    return helper(x, w)\n\ndef helper(x, w):\n    return x @ w\n")
    with pytest.raises(Raised) as caught:
        asked(path, ("f", np.ones((2, 3)), np.ones((2, 3))))
    assert (caught.value.line, caught.value.function) == (6, "helper")
    assert (
        str(caught.value)
        == "ValueError: the inner sizes of a matrix product differ, 2 and 3; in this line, x (2, 3), w (2, 3)"
    )


def test_an_exception_that_cannot_be_told_is_told_by_its_name_in_one_line(file):
    path = file(
        """\
        class Mute(Exception):
            def __str__(self): raise SystemExit
        Loud = type("Lo\\x1b[2Jud", (Exception,), {})
        def mute(): raise Mute
        def loud(): raise Loud("\\x1b[2J\\n" * 9999)
        """
    )
    with Process(path, limits=LIMITS) as running:
        running.ask("load", text=path.read_text())
        with pytest.raises(Raised, match="^Mute$"):
            running.ask("call", function="mute", inputs=[])
        with pytest.raises(Raised) as caught:
            running.ask("call", function="loud", inputs=[])
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


# --- time -------------------------------------------------------------------------------------------------------------

LOOPS = {
    "while": "while True:\n        pass",
    "catching all": "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    "in C": "sum(iter(int, 1))",
    "in one operation": "return np.ones((9000, 9000)) @ np.ones((9000, 9000))",
    "asleep": "time.sleep(99)",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_without_an_end_is_stopped_and_its_line_told(file, loop):
    path = file(f"import time\nimport numpy as np\ndef f():\n    {LOOPS[loop]}\n")
    found = trouble(path, ("f",), limits=Limits(0.3, 2.0))
    assert found.sentence == "it had not ended after 0.3 s: a loop without an end?" and found.kind == "time"
    assert found.line in range(4, 8)


def test_a_loop_at_import_or_in_what_is_returned_is_stopped(file):
    assert trouble(file("x = 1\nwhile True: pass\n"), limits=Limits(0.3, 1.0)).line == 2
    path = file("class Y(dict):\n    def items(self):\n        while True: pass\ndef f(): return Y(a=1)\n")
    assert trouble(path, ("f",), limits=Limits(0.3, 1.0)).line == 3


@pytest.mark.slow
def test_signals_that_are_swallowed_and_threads_that_go_on_are_killed(file):
    path = file(
        OTHERS
        + "signal, threading = map(__builtins__['__import__'].__closure__[-1].cell_contents, ('signal', 'threading'))\n"
        "for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):\n    signal.signal(each, lambda *them: None)\n"
        "def f():\n    threading.Thread(target=f).start()\n    while True: pass\n"
    )
    began = time.perf_counter()
    assert trouble(path, ("f",), limits=Limits(0.3, 1.0)).kind == "time"
    assert time.perf_counter() - began < 30  # it ends


@pytest.mark.slow
def test_all_calls_together_have_their_time(file):
    path = file("import time\ndef f(): time.sleep(99)\n")
    with Process(path, limits=LIMITS) as running:
        running.ask("load", text=path.read_text())
        assert running._left < process.TOGETHER * LIMITS.seconds
        running._left = 0.3
        for _ in range(2):
            with pytest.raises(
                Trouble, match="^all calls together had not ended after 200 s: it waits, or computes too"
            ):
                running.ask("call", function="f", inputs=[])


def test_a_process_that_is_over_says_why_at_once(file):
    path = file("def f():\n    while True: pass\n")
    with Process(path, limits=Limits(0.3, 1.0)) as running:
        running.ask("load", text=path.read_text())
        for _ in range(3):
            with pytest.raises(Trouble, match="not ended after 0.3 s"):
                running.ask("call", function="f", inputs=[])


# --- memory, output, the end ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("much", ["np.ones(10**10)", "'x' * 10**10", "[0] * 10**10"])
def test_ten_gigabytes_are_refused(file, much):
    found = trouble(file(f"import numpy as np\ndef f():\n    return len({much})\n"), ("f",))
    assert (found.sentence, found.line) == ("it asks for more memory than the 1 GB that a check has", 3)


@pytest.mark.parametrize("printing", ["for i in range(10**6): print(i)", "print('x' * 10**6, end='')"])
def test_a_megabyte_of_output_ends_the_check(file, printing):
    found = trouble(file(f"def f():\n    {printing}\n"), ("f",))
    assert (found.sentence, found.kind, found.line) == ("it prints more than 256 KB: print less", "output", 2)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        ("os._exit(7)", r"it ends the process \(exit status 7\): leave that out"),
        ("sys.exit()", r"it ends the program \(exit\): leave that out"),
        ("raise KeyboardInterrupt", r"it ends the program \(exit\): leave that out"),
        ("os.closerange(0, 99)", r"it ends the process \(exit status 1\): leave that out"),
        pytest.param(
            "sys.modules['numpy'].lib.stride_tricks.as_strided(sys.modules['numpy'].zeros(1), (10**9,), (4096,)).sum()",
            r"the process died of a wrong address \(segmentation fault\)",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals"),
        ),
    ],
)
def test_the_end_of_the_process_is_told(file, act, sentence):
    with pytest.raises(Trouble, match=f"^{sentence}$"):
        asked(file(f"{OTHERS}def f():\n    {act}\n"), ("f",))


def test_an_endless_recursion_is_an_exception(file):
    with pytest.raises(Raised, match="RecursionError"):
        asked(file("def f(): return f()"), ("f",))


def test_a_crash_is_told_with_its_line(file):
    found = trouble(file(f"{OTHERS}def g():\n    os.abort()\ndef f():\n    g()\n"), ("f",))
    assert (found.sentence, found.line) == ("the process died of SIGABRT", 4)


# --- what it is refused -----------------------------------------------------------------------------------------------


def test_what_is_refused_is_told_though_the_file_catches_it(file):
    path = file(OTHERS + "def f():\n    try: os.fork()\n    except BaseException: pass\n    return 1\n")
    found = trouble(path, ("f",))
    assert (
        found.sentence == "the file starts another process (os.fork), which it may not while it is checked"
        and found.kind == "refused"
    )


def test_the_course_and_the_package_are_hidden(file, tmp_path):
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "solution.py").write_text("secret")
    for path in (tmp_path / "course" / "solution.py", process.HERE / "wire.py"):
        found = trouble(file(f"def f(): return open({str(path)!r}).read()"), ("f",), hidden=(tmp_path / "course",))
        assert found.sentence == "the file reads the solution, or the grader, which it may not while it is checked"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Landlock and seccomp are Linux's")
def test_on_linux_the_system_itself_refuses_native_code(file, tmp_path):
    path = file(
        """\
        import numpy as np
        native = np.ctypeslib.ctypes
        address = native._memmove_addr
        def fork(distance): return native.CFUNCTYPE(native.c_int)(address + distance)()
        """
    )
    import ctypes

    fork = ctypes.cast(ctypes.CDLL(None).fork, ctypes.c_void_p).value - ctypes._memmove_addr
    with Process(path, limits=LIMITS) as running:
        if "calls" not in running.fences:
            pytest.skip("this system has no seccomp")
        running.ask("load", text=path.read_text())
        assert running.ask("call", function="fork", inputs=[fork])["result"] == -1


@pytest.mark.slow
def test_children_of_a_process_that_may_have_some_end_with_it(file):
    """The search for a line forks; nothing that it starts outlives it."""
    path = file(OTHERS + "import time\ndef f():\n    for _ in range(3):\n        os.fork()\n    time.sleep(99)\n")
    found = trouble(path, ("f",), limits=Limits(0.5, 1.0), diagnosing=True, repairing=True)
    assert found.kind == "time"  # and the fixture finds no process


# --- forged replies ---------------------------------------------------------------------------------------------------

FORGES = f"""{OTHERS}
def send(text, numbers=b""):
    text = text.encode()
    data = len(text).to_bytes(8, "little") + len(numbers).to_bytes(8, "little") + text + numbers
    for descriptor in range(3, 9):
        try:
            while data:
                data = data[os.write(descriptor, data):]
        except OSError:
            pass
def f(*them):
    send(*them)
    return 1
def flood():
    while True: send("null", b"")
def raw(data):
    for descriptor in range(3, 9):
        try: os.write(descriptor, data.encode("latin-1"))
        except OSError: pass
"""
A_MISTAKE = (
    '{"dict":[[{"text":"error"},{"dict":[[{"text":"type"},{"text":"E\\u001b[2J"}],[{"text":"message"},{"text":"m"}],'
)
A_MISTAKE += '[{"text":"function"},{"text":""}],[{"text":"shapes"},{"text":""}],[{"text":"stage"},{"text":""}],'
A_MISTAKE += '[{"text":"line"},LINE]]}]]}'
STRANGE = {
    "no dict": "[]",
    "no JSON": "{",
    "deep": "[" * 100_000,
    "an error that is none": '{"dict":[[{"text":"error"},5]]}',
    "refused that is no list": '{"dict":[[{"text":"refused"},5]]}',
    "an array without numbers": '{"array":["<f8",[3]]}',
    "an object": '{"array":["|O",[1]]}',
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRANGE)
def test_a_forged_reply_that_is_none_is_told(file, name):
    assert trouble(file(FORGES), ("f", STRANGE[name])).sentence == "the file wrote to where only the grader writes"


@pytest.mark.slow
def test_a_forged_reply_too_many_is_told_and_a_flood_fills_no_memory(file):
    assert trouble(file(FORGES), ("flood",)).sentence == "the file wrote to where only the grader writes"


def test_replies_that_nobody_asked_for_are_not_kept_for_later(file):
    value = '{"dict":[[{"text":"value"},{"dict":[[{"text":"result"},1],[{"text":"changed"},false]]}]]}'
    path = file(FORGES + f"def many():\n    for _ in range(200): send('{value}')\n")
    with Process(path, limits=LIMITS) as running:
        running.ask("load", text=path.read_text())
        running.ask("call", function="many", inputs=[])
        for _ in range(500):  # until the second of them has been read
            time.sleep(0.02)
            if running._due < 0:
                break
        with pytest.raises(Trouble, match="the file wrote to where only the grader writes"):
            running.ask("call", function="many", inputs=[])
        assert running._replies.qsize() <= 2


def test_a_reply_that_is_too_long_is_not_read(file):
    huge = (2**40).to_bytes(8, "little").decode("latin-1")
    assert trouble(file(FORGES), ("raw", huge + "\0" * 8)).sentence == "it returns more than 64 MB"
    assert trouble(file("def f(): return 'x' * 5_000_000"), ("f",)).sentence == (
        "it returns more than 4 MB of lists or text"
    )


@pytest.mark.parametrize(("line", "told"), [("7", 7), ("-7", 0), ("1e400", 0), ("true", 0), ('{"text":"7"}', 0)])
def test_a_forged_exception_is_plain_text_and_a_line_that_can_be(line, told):
    message = wire.decode(_message(A_MISTAKE.replace("LINE", line)))
    found = Process(Path("learner.py"))._raised(message["error"])
    assert isinstance(found, Raised) and (found.type, found.line) == ("E [2J", told)


def _message(text):
    return wire.HEAD.pack(len(text), 0) + text.encode()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_trace_that_is_no_file_is_not_waited_for(tmp_path):
    stopped = Process(tmp_path / "learner.py")
    stopped.scratch = str(tmp_path)
    assert stopped._trace() == ""
    os.mkfifo(tmp_path / "trace")
    assert stopped._trace() == ""
    held = os.open(tmp_path / "trace", os.O_RDWR)  # somebody may write to it yet
    assert stopped._trace() == ""
    os.close(held)
    os.remove(tmp_path / "trace")
    os.symlink("/dev/zero", tmp_path / "trace")
    assert stopped._trace() == ""


# --- other systems ----------------------------------------------------------------------------------------------------


def test_without_groups_and_signals_of_unix_it_ends_as_well_and_names_no_line(file, monkeypatch):
    monkeypatch.delattr(os, "killpg")
    monkeypatch.delattr(signal, "SIGUSR1")
    found = trouble(file("def f():\n    while True: pass\n"), ("f",), limits=Limits(0.3, 1.0))
    assert (found.kind, found.line) == ("time", 0)


def test_all_that_run_can_be_ended_from_another_thread(file):
    path = file("import time\ndef f(): time.sleep(99)\n")
    threading.Timer(1.5, process.end_all).start()
    found = trouble(path, ("f",), limits=Limits(60.0, 1.0))
    assert found.kind == "ended"


def test_an_unknown_signal_is_told_by_its_number():
    assert process._signal(signal.SIGKILL) == "lack of memory, or was killed" and process._signal(99) == "signal 99"
