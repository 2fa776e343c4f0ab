"""Watching: a run for every save, of the file or of what it imports; mistakes are shown and wait."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scratchlv.gradcheck import watch

ROOT = Path(__file__).resolve().parents[2]
LAYER = "from helper import scale\n\ndef forward(x):  # x: (N, D)\n    return scale * x, None\n\n"
LAYER += "def backward(dy, cache):\n    return 2 * dy\n"
PATIENCE = 60  # seconds until a test gives up


@pytest.fixture
def watching(tmp_path):
    """The command that watches layer.py: a function that waits for words in what it prints after those seen before."""
    (tmp_path / "helper.py").write_text("scale = 2\n")
    (tmp_path / "layer.py").write_text(LAYER)
    process = subprocess.Popen(
        [sys.executable, "-m", "scratchlv", "gradcheck", "layer.py", "--watch"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a job in the background ignores it, and hands that on
    )
    seen = []

    def collect():
        for line in process.stdout:
            seen.append(line)

    threading.Thread(target=collect, daemon=True).start()
    position = 0

    def until(words):
        nonlocal position
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = "".join(seen)[position:]
            if words in text and text.endswith("Ctrl-C ends\n"):
                position += len(text)
                return text
            time.sleep(0.05)
        pytest.fail(f"{words!r} did not come; there was {''.join(seen)!r}")
        return ""

    until.process, until.folder = process, tmp_path
    yield until
    process.kill()
    process.wait()


def test_every_save_is_a_run_and_ctrl_c_ends_it(watching):
    first = watching("layer.py: right")
    assert first.count("\n---") == 1
    (watching.folder / "layer.py").write_text(LAYER.replace("2 * dy", "3 * dy"))
    watching("layer.py: WRONG")
    (watching.folder / "layer.py").write_text("def forward(x:\n")
    said = watching("is no valid Python")
    assert "Traceback" not in said and said.count("\n---") == 1
    (watching.folder / "layer.py").write_text(LAYER)
    watching("layer.py: right")
    (watching.folder / "helper.py").write_text("scale = 5\n")  # a module that it imports, of the same size
    watching("layer.py: WRONG")
    (watching.folder / "helper.py").write_text("scale = (\n")
    watching("helper.py is no valid Python")
    (watching.folder / "helper.py").write_text("scale = 2\n")
    watching("layer.py: right")
    assert sorted(path.name for path in watching.folder.iterdir()) == ["helper.py", "layer.py"]
    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(PATIENCE) == 130
    assert watching.process.stderr.read() == "scratchlv: interrupted\n"


class Stop(Exception):
    pass


def runs(actions, monkeypatch, files):
    """How often a watch runs when between two looks at the files ``actions`` are done, one after another."""
    steps = iter(actions)
    counted = []

    def sleep(seconds):
        action = next(steps, None)
        if action is None:
            raise Stop
        action()

    monkeypatch.setattr(watch.time, "sleep", sleep)
    with pytest.raises(Stop):
        watch.watch(lambda: counted.append(1) or set(files), lambda: set(files), "x", io.StringIO())
    return len(counted)


def nothing():
    pass


def test_a_save_in_several_goes_is_one_run(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("1")
    goes = [lambda n=n: path.write_text("1" * n) for n in (2, 3, 4)]
    assert runs([nothing, *goes, nothing, nothing], monkeypatch, [path]) == 2


def test_a_file_that_is_gone_is_waited_for(tmp_path, monkeypatch):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("1")
    other.write_text("1")
    assert runs([path.unlink, nothing, nothing], monkeypatch, [path, other]) == 1
    path.write_text("1")
    assert runs([path.unlink, nothing, lambda: path.write_text("22"), nothing], monkeypatch, [path, other]) == 2
    assert runs([path.unlink, lambda: other.write_text("22"), nothing], monkeypatch, [path, other]) == 2


def test_a_save_during_a_run_is_another_run(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("1")
    saves = iter([lambda: path.write_text("22")])
    counted = []

    def once():
        counted.append(1)
        next(saves, nothing)()
        return {path}

    sleeps = iter([nothing])  # the one that waits for the end of the save

    def sleep(seconds):
        if next(sleeps, None) is None:
            raise Stop

    monkeypatch.setattr(watch.time, "sleep", sleep)
    with pytest.raises(Stop):
        watch.watch(once, lambda: {path}, "x", io.StringIO())
    assert len(counted) == 2


def test_the_heading_has_the_time_and_the_name(monkeypatch):
    monkeypatch.setattr(watch.time, "strftime", lambda form: "12:34:56")
    assert watch.heading("layer.py").startswith("\n--- 12:34:56 layer.py ---")
