"""The grader's side of the learner's process: it is started, asked, held to its limits, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from scratchlv.exercises import wire

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
GIGABYTE = 1 << 30
LIMIT_OF_OUTPUT = 256 << 10  # bytes that a check may print
LIMIT_OF_REPLY = 256 << 20  # bytes that a call may return
_MATMUL = r"matmul: Input operand .* \(size (\d+) is different from (\d+)\)"
_KEPT = 8 << 10  # bytes of what is printed that are shown
_START = 30.0  # seconds in which a process must have started; a laptop asleep needs some
#: Packages that would do the exercise.
FOREIGN = (
    "scratchlv",
    "torch",
    "tensorflow",
    "keras",
    "jax",
    "autograd",
    "cupy",
    "tinygrad",
    "mygrad",
    "sklearn",
    "scipy",
)

# By what a learner writes in: what is loaded beforehand, and what may be imported.
IMPORTS = {"numpy": ("numpy",), "numba": ("numpy", "numba"), "numba.cuda": ("numpy", "numba"), "cuda": ()}
_PRELOAD = {
    "numpy": ("numpy", "numpy.linalg", "numpy.random"),
    "numba": ("numpy", "numba"),
    "numba.cuda": ("numpy", "numba", "numba.cuda"),
    "cuda": ("numpy", "scratchlv.exercises.cuda_kernels"),
}
KINDS = tuple(IMPORTS)


@dataclass(frozen=True)
class Limits:
    """What one check may use."""

    seconds: float = 10.0  # of one call
    memory: float = 2.0  # GB
    file: int = 64 << 20  # bytes of a file


class Trouble(Exception):
    """The process did not answer as it should: a sentence about the learner's file, and the line, if it is known."""

    def __init__(self, sentence: str, line: int = 0, kind: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.line, self.kind = sentence, line, kind


@dataclass
class Raised(Exception):
    """The learner's own exception."""

    type: str
    message: str
    line: int = 0
    function: str = ""
    shapes: str = ""  # of the arrays that the line names
    stage: str = ""  # of a kernel that was refused, whose message is a sentence to the learner

    def __str__(self) -> str:
        message = re.sub(_MATMUL, r"the inner sizes of a matrix product differ, \1 and \2", self.message)
        said = f"{self.type}: {message}" if message else self.type
        return f"{said}; in this line, {self.shapes}" if self.shapes else said


@dataclass
class Process:
    """A learner's file in a process of its own. Use it in a ``with``: it ends there, and all that it started."""

    path: Path
    kind: str = "numpy"
    limits: Limits = field(default_factory=Limits)
    launch: Path | None = None  # of CUDA C: the Python that launches the kernels
    hidden: tuple[Path, ...] = ()  # what must not be read: the course
    diagnosing: bool = False  # the gradient checker runs in it
    wrapper: tuple[
        str, ...
    ] = ()  # a command before it, such as bubblewrap's; {scratch} in it is the folder of the process
    refused: list[str] = field(default_factory=list)

    def __enter__(self) -> Process:
        self.scratch = tempfile.mkdtemp(prefix="scratchlv-exercise-")
        self._printed, self._count, self._ended = bytearray(), 0, ""
        self._replies: queue.Queue[Any] = queue.Queue()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if hasattr(self, "_process"):
            self.kill()
            self._process.wait()
            for listener in self._listeners:
                listener.join(1)
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                with contextlib.suppress(OSError):
                    assert stream is not None
                    stream.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def kill(self) -> None:
        """End it, with all processes of its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    # --- starting it ---

    def _start(self) -> None:
        if self.launch is not None:  # beside the solution, which cannot be read from the process
            shutil.copyfile(self.launch, Path(self.scratch) / "launch.py")
        wrapper = [part.replace("{scratch}", self.scratch) for part in self.wrapper]
        command = [
            *wrapper,
            sys.executable,
            "-I",
            "-B",  # no __pycache__ beside what is imported
            "-u",
            "-X",
            "utf8",
            str(HERE / "child.py"),
            json.dumps(self._settings()),
        ]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=self._environment(),
            start_new_session=True,
            cwd=self.scratch,
        )
        self._listeners = [
            threading.Thread(target=self._read_replies, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_output, args=(self._process.stderr,), daemon=True),
        ]
        for listener in self._listeners:
            listener.start()
        self._reply(_START)

    def _settings(self) -> dict[str, Any]:
        trusted = self.diagnosing or self.kind == "cuda"  # scratchlv runs beside the learner's code
        own = (
            ("scratchlv", "cupy") if trusted else ("scipy",) if self.kind.startswith("numba") else ()
        )  # Numba looks for it
        preload = [
            *_PRELOAD[self.kind],
            *(["scratchlv.gradcheck", "scratchlv.gradcheck.conclusions"] if self.diagnosing else []),
        ]
        return {
            "path": str(self.path),
            "kind": self.kind,
            "launch": str(Path(self.scratch) / "launch.py") if self.launch else "",
            "scratch": self.scratch,
            "hidden": [str(each) for each in self.hidden]
            + ([] if trusted else [str(PACKAGE), str(PACKAGE.parent / "kernels")]),
            "foreign": [each for each in FOREIGN if each not in own],
            "native": self.kind != "numpy" or self.diagnosing,
            "processes": self.kind == "cuda" or self.diagnosing,  # g++; trials of a repair
            "guarded_import": self.kind != "cuda" and not self.diagnosing,  # else it has passed that already
            "imports": IMPORTS[self.kind],
            "preload": preload,
            "memory": int(self.limits.memory * GIGABYTE),
            "cpu": int(self.limits.seconds * 10) + 60,  # should the grader be gone
            "file": self.limits.file,
            "most_processes": 4096 if self.kind == "cuda" else 0,
            "root": str(PACKAGE.parent) if trusted else "",
        }

    def _environment(self) -> dict[str, str]:
        kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "CXX", "VIRTUAL_ENV")
        own = {name: os.environ[name] for name in kept if name in os.environ}
        own |= dict.fromkeys(("HOME", "TMPDIR", "TEMP", "NUMBA_CACHE_DIR", "SCRATCHLV_CACHE"), self.scratch)
        own |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        own |= {"NUMBA_NUM_THREADS": "1"} if self.kind.startswith("numba") else {}
        own |= {"NUMBA_ENABLE_CUDASIM": "1"} if self.kind == "numba.cuda" else {}
        return own | {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}

    # --- asking it ---

    def ask(self, do: str, seconds: float | None = None, **arguments: Any) -> Any:
        """The value that it replies with.

        Raises:
            Raised: the learner's code raised.
            Trouble: it took too long, printed too much, ended, or did what it may not.
        """
        data = wire.encode({"do": do, "with": arguments})
        threading.Thread(target=self._send, args=(data,), daemon=True).start()
        reply = self._reply(seconds or self.limits.seconds)
        if not isinstance(reply, dict):
            raise Trouble("the file wrote to where only the grader writes")
        self.refused = [str(each) for each in reply.get("refused") or ()]
        if self.refused:
            line = reply["error"].get("line", 0) if isinstance(reply.get("error"), dict) else 0
            raise Trouble(f"the file {self.refused[0]}, which it may not while it is checked", line, "refused")
        if "error" in reply:
            raise self._raised(reply["error"])
        return reply.get("value")

    def _raised(self, error: Any) -> Exception:
        try:
            texts = {name: str(error[name]) for name in ("type", "message", "function", "shapes", "stage")}
            found = Raised(line=int(error["line"]), **texts)
        except (TypeError, KeyError, ValueError):
            return Trouble("the file wrote to where only the grader writes")
        if found.type == "MemoryError":
            return Trouble(
                f"it asks for more memory than the {self.limits.memory:g} GB that a check has", found.line, "memory"
            )
        if found.type in ("SystemExit", "KeyboardInterrupt"):
            return Trouble("it ends the program (exit): leave that out", found.line, "ended")
        return found

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _reply(self, seconds: float) -> Any:
        try:
            reply = self._replies.get(timeout=seconds)
        except queue.Empty:
            line = self._where()
            self.kill()
            raise Trouble(f"it had not ended after {seconds:g} s: a loop without an end?", line, "time") from None
        if isinstance(reply, Trouble):
            self.kill()
            raise reply
        return reply

    def _where(self) -> int:
        """The learner's line that runs now; 0 if it is not known."""
        trace = Path(self.scratch) / "trace"
        if not hasattr(signal, "SIGUSR1"):
            return 0
        with contextlib.suppress(OSError):
            os.kill(self._process.pid, signal.SIGUSR1)
            for _ in range(20):
                time.sleep(0.02)
                found = re.findall(r'File "(.*)", line (\d+) in', trace.read_text("utf-8", "replace"))
                lines = [int(line) for file, line in found if file == str(self.path)]
                if found:
                    return lines[0] if lines else 0
        return 0

    # --- listening ---

    def _read_replies(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while head := stream.read(wire.HEAD.size):
                if len(head) < wire.HEAD.size or sum(wire.HEAD.unpack(head)) > LIMIT_OF_REPLY:
                    self._replies.put(Trouble(f"it returns more than {LIMIT_OF_REPLY >> 20} MB", kind="memory"))
                    return
                try:
                    self._replies.put(wire.decode(head + stream.read(sum(wire.HEAD.unpack(head)))))
                except wire.Unreadable:
                    self._replies.put(Trouble("the file wrote to where only the grader writes"))
                    return
        self._replies.put(self._gone())

    def _gone(self) -> Trouble:
        """Why there are no more replies."""
        if self._ended:
            return Trouble(self._ended, kind="output")
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return Trouble("it closed what the grader listens to", kind="ended")
        if status >= 0:
            return Trouble(f"it ends the process (exit status {status}): leave that out", kind="ended")
        line = self._crashed_at()
        return Trouble(f"the process died of {_signal(-status)}", line, "ended")

    def _crashed_at(self) -> int:
        with contextlib.suppress(OSError):
            text = (Path(self.scratch) / "trace").read_text("utf-8", "replace")
            lines = re.findall(rf'File "{re.escape(str(self.path))}", line (\d+) in', text)
            return int(lines[0]) if lines else 0
        return 0

    def _read_output(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(stream.fileno(), 1 << 16):
                self._count += len(part)
                self._printed += part[: max(0, _KEPT - len(self._printed))]
                if self._count > LIMIT_OF_OUTPUT:
                    self._ended = f"it prints more than {LIMIT_OF_OUTPUT >> 10} KB: print less"
                    self.kill()
                    return

    @property
    def printed(self) -> str:
        """The first of what the learner's file printed; all of that once the process has ended."""
        return self._printed.decode("utf-8", "replace")


def _signal(number: int) -> str:
    known = {signal.SIGSEGV: "a wrong address (segmentation fault)", signal.SIGKILL: "lack of memory, or was killed"}
    try:
        return known.get(signal.Signals(number), signal.Signals(number).name)
    except ValueError:
        return f"signal {number}"


def bubblewrap() -> tuple[str, ...]:
    """The command that shuts a process in, if it is there and may be used: no network, no writing, no child that outlives it."""
    found = shutil.which("bwrap")
    if found is None:
        return ()
    command: tuple[str, ...] = (
        found,
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--bind",
        "{scratch}",
        "{scratch}",
    )
    command += ("--unshare-all", "--die-with-parent", "--new-session")
    with tempfile.TemporaryDirectory() as scratch:
        tried = [part.replace("{scratch}", scratch) for part in command]
        works = subprocess.run([*tried, sys.executable, "-I", "-c", ""], capture_output=True).returncode == 0
    return command if works else ()
