"""Whatever is printed can be encoded, and printing never stops the work."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scratchlv import output
from scratchlv.output import spelt

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("dWᵀ → σ² …", "ascii", "dW.T -> sigma^2 ..."),
        ("5 × 7", "latin-1", "5 × 7"),
        ("5 × 7", "ascii", "5 x 7"),
        ("naïve", "cp932", r"na\xefve"),
        ("कुत्ता", "latin-1", r"\u0915\u0941\u0924\u094d\u0924\u093e"),
        ("caf\udce9.png", "utf-8", r"caf\xe9.png"),  # a file name that is not UTF-8
        ("caf\udce9 ½", "utf-8", r"caf\xe9 ½"),
        ("très", None, "très"),
    ],
)
def test_what_an_encoding_lacks_is_spelt(text, encoding, said):
    assert spelt(text, encoding) == said


def test_only_what_cannot_be_encoded_is_spelt():
    with pytest.raises(UnicodeDecodeError):
        b"\xe9".decode(errors=output.SPELT)


CHILD = """
import os, sys
from scratchlv.output import insist, standard_streams, unread
with standard_streams():
    {block}
"""


def child(block, shell='"$@"', **variables):
    """A process that runs ``block`` inside standard_streams, started by a command of the shell."""
    command = ["bash", "-c", shell, "bash", sys.executable, "-c", CHILD.format(block=block.replace("\n", "\n    "))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(command, capture_output=True, env=environment, timeout=60)


def test_control_characters_are_written_out():
    """A picture may be called so; a terminal would obey."""
    block = r"""
name = "a\x1b[2J\x07\x9b31m\r\x7f\tb\x00 é"
print(name)
print(name, file=sys.stderr)
insist(name)
from scratchlv.output import styled
print("\x1b[2K", end="", file=styled(sys.stdout))
"""
    done = child(block)
    said = r"a\x1b[2J\x07\x9b31m\x0d\x7f" + "\tb" + r"\x00" + " é\n"
    assert done.stdout.decode() == said + "\x1b[2K"
    assert done.stderr.decode() == 2 * said


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("encoding", ["ascii", "cp932", "latin-1", "utf-8"])
def test_everything_can_be_printed(encoding, unbuffered):
    text = r"naïve → 犬 caf\udce9"
    done = child(
        f"print('{text}'); print('{text}', file=sys.stderr)", PYTHONIOENCODING=encoding, PYTHONUNBUFFERED=unbuffered
    )
    said = spelt("naïve → 犬 caf\udce9\n", encoding).encode(encoding)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, said)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| true", "2>&1 | true"])
def test_work_goes_on_without_readers(tmp_path, closed):
    block = f"""
import time
time.sleep(0.3)
for i in range(3):
    print("said", flush=True)
    print("said", file=sys.stderr, flush=True)
os.system("echo from a child")
sys.stdin.read() if {"<" in closed} else None
with open({str(tmp_path / "file")!r}, "w") as file:  # gets no descriptor that is a standard one
    file.write(f"{{file.fileno()}} {{unread(sys.stdout)}}")
"""
    done = child(block, f'"$@" {closed}; exit ${{PIPESTATUS[0]}}')
    assert done.returncode == 0
    assert set(done.stderr.split()) <= {b"said"}
    descriptor, unread = (tmp_path / "file").read_text().split()
    assert int(descriptor) > 2
    assert unread == str("|" in closed)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that takes nothing")
def test_output_that_is_cut_off_is_told_at_the_end():
    done = child('print("said")\nprint("done", file=sys.stderr)', '"$@" > /dev/full')
    assert done.returncode == 1
    said = done.stderr.decode()
    assert said.startswith("done\n")
    assert "standard output could not be written" in said
    assert os.strerror(errno.ENOSPC) in said


def test_streams_of_others_stay_as_they_are(monkeypatch):
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stdout", notebook)
    with output.standard_streams():
        assert sys.stdout is notebook
        assert not output.unread(sys.stdout)


def test_afterwards_the_streams_are_those_from_before():
    before = sys.stdin, sys.stdout, sys.stderr
    with pytest.raises(ValueError), output.standard_streams():
        raise ValueError
    assert (sys.stdin, sys.stdout, sys.stderr) == before


def test_what_matters_reaches_the_terminal_when_standard_error_does_not():
    """Ctrl-C ends ``tee`` as well, and nobody would read how to go on."""
    pty = pytest.importorskip("pty", reason="needs terminals like Unix's")
    pid, terminal = pty.fork()
    if not pid:
        block = CHILD.format(block='import time; time.sleep(0.3); insist("lost?"); insist("go on with …")')
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execvp("bash", ["bash", "-c", '"$@" 2>&1 | true', "bash", sys.executable, "-c", block])
    said = b""
    try:
        while part := os.read(terminal, 1000):
            said += part
    except OSError:  # so Linux says that it is closed
        pass
    os.waitpid(pid, 0)
    assert said.decode().split("\r\n")[:2] == ["lost?", "go on with …"]
