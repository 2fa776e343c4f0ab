"""The grader's side of the learner's process: it is started, asked, held to its limits, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import stat
import struct
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
from scratchlv.exercises.bubblewrap import inner, mounts

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
GIGABYTE = 1 << 30
LIMIT_OF_OUTPUT = 256 << 10  # bytes that a check may print
LIMIT_OF_REPLY = 64 << 20  # bytes that a call may return
LIMIT_OF_TEXT = 4 << 20  # of them, bytes of JSON: single numbers, texts and structure
_LARGEST_TRACE = 64 << 10  # bytes that are read of where it was
_LONGEST = 600  # letters of what the file says of itself
STRANGE = "the file wrote to where only the grader writes"
_MATMUL = r"matmul: Input operand .* \(size (\d+) is different from (\d+)\)"
TOGETHER = 10  # times a call's time, which all calls of a check have
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

    seconds: float = 10.0  # of one call; all calls together have TOGETHER times that
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


_running: dict[int, Process] = {}  # by id


def end_all() -> None:
    """End the processes of all checks that run now, in whatever thread: Ctrl-C."""
    for process in list(_running.values()):
        if hasattr(process, "_process"):
            process.kill()


@dataclass
class Process:
    """A learner's file in a process of its own. Use it in a ``with``: it ends there, and all that it started."""

    path: Path
    kind: str = "numpy"
    limits: Limits = field(default_factory=Limits)
    launch: Path | None = None  # of CUDA C: the Python that launches the kernels
    hidden: tuple[Path, ...] = ()  # what must not be read: the course
    diagnosing: bool = False  # the gradient checker runs in it
    repairing: bool = False  # and looks for the line, in processes of its own
    wrapper: tuple[str, ...] = ()  # bubblewrap's command
    fences: tuple[str, ...] = ()  # what the system itself holds it to: "files", "calls"

    def __enter__(self) -> Process:
        self.scratch = tempfile.mkdtemp(prefix="scratchlv-exercise-")
        self._printed, self._count = bytearray(), 0
        self._over: Trouble | None = None  # why it answers no more
        self._due = 1  # replies: its first says that it is ready
        self._replies: queue.Queue[Any] = queue.Queue()
        self._left = TOGETHER * self.limits.seconds
        _running[id(self)] = self
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
        _running.pop(id(self), None)
        with contextlib.suppress(RecursionError):
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
        settings = self._settings()
        command = [
            *self._shut_in(settings),
            sys.executable,
            "-I",
            "-B",  # what is not compiled yet is not written
            "-u",
            "-X",
            "utf8",
            str(HERE / "child.py"),
            json.dumps(settings),
        ]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
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
        fences = self._reply(_START)
        self.fences = tuple(map(str, fences["value"])) if isinstance(fences, dict) else ()

    def _shut_in(self, settings: dict[str, Any]) -> list[str]:
        if not self.wrapper:
            return []
        files = [
            settings["path"],
            *(str(HERE / f"{name}.py") for name in ("child", "wire", "guard", "launching", "fence")),
        ]
        return [*self.wrapper, *mounts(settings["hidden"], filter(None, files), self.scratch)]

    def _settings(self) -> dict[str, Any]:
        trusted = self.diagnosing or self.kind == "cuda"  # scratchlv runs beside the learner's code
        native = self.diagnosing or self.kind != "numpy"
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
            "readable": [str(each) for each in (self.path, self.launch) if each],
            "writable": self.scratch if native else "",  # compilers have their own files
            "native": native,
            "processes": self.kind == "cuda" or self.repairing,  # g++; trials of a repair
            "programs": self.kind == "cuda",
            "guarded_import": self.kind != "cuda" and not self.diagnosing,  # else it has passed that already
            "imports": IMPORTS[self.kind],
            "preload": preload,
            "memory": int(self.limits.memory * GIGABYTE),
            "cpu": int(self.limits.seconds * TOGETHER) + 60,  # should the grader be gone
            "file": self.limits.file,
            "most_processes": 4096 if self.kind == "cuda" or self.repairing else 0,
            "root": str(PACKAGE.parent) if trusted else "",
        }

    def _environment(self) -> dict[str, str]:
        kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "CXX", "VIRTUAL_ENV")
        own = {name: os.environ[name] for name in kept if name in os.environ}
        own |= dict.fromkeys(("HOME", "TMPDIR", "TEMP", "NUMBA_CACHE_DIR", "SCRATCHLV_CACHE"), self.scratch)
        own |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        own |= {"NUMBA_NUM_THREADS": "1"} if self.kind.startswith("numba") else {}
        own |= {"NUMBA_ENABLE_CUDASIM": "1"} if self.kind == "numba.cuda" else {}
        return own | {"LC_ALL": "C.UTF-8"}

    # --- asking it ---

    def ask(self, do: str, seconds: float | None = None, **arguments: Any) -> Any:
        """The value that it replies with.

        Args:
            seconds: for this request alone; without them, it shares the check's.

        Raises:
            Raised: the learner's code raised.
            Trouble: it took too long, printed too much, ended, or did what it may not.
        """
        if self._over is not None:
            raise self._over
        data = wire.encode({"do": do, "with": arguments})
        self._due += 1
        threading.Thread(target=self._send, args=(data,), daemon=True).start()
        reply = self._timed_reply() if seconds is None else self._reply(seconds)
        refused = reply.get("refused", []) if isinstance(reply, dict) else None
        if not isinstance(reply, dict) or not isinstance(refused, list):
            raise Trouble(STRANGE)
        if refused:
            error = reply.get("error")
            sentence = f"the file {wire.plain(str(refused[0]), _LONGEST)}, which it may not while it is checked"
            raise Trouble(sentence, _line(error.get("line") if isinstance(error, dict) else 0), "refused")
        if "error" in reply:
            raise self._raised(reply["error"])
        return reply.get("value")

    def _raised(self, error: Any) -> Exception:
        try:
            texts = {
                name: wire.plain(str(error[name]), _LONGEST)
                for name in ("type", "message", "function", "shapes", "stage")
            }
            found = Raised(line=_line(error["line"]), **texts)
        except (TypeError, KeyError):
            return Trouble(STRANGE)
        if found.type == "MemoryError":
            return Trouble(
                f"it asks for more memory than the {self.limits.memory:g} GB that a check has", found.line, "memory"
            )
        if found.type in ("SystemExit", "KeyboardInterrupt"):
            return Trouble("it ends the program (exit): leave that out", found.line, "ended")
        return found

    def _send(self, data: bytes) -> None:
        left = memoryview(data)
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            while left:
                left = left[self._process.stdin.write(left) :]

    def _timed_reply(self) -> Any:
        """A reply within a call's time, and within what is left of the check's."""
        began = time.perf_counter()
        try:
            return self._reply(max(0.01, min(self.limits.seconds, self._left)))
        except Trouble as trouble:
            if trouble.kind == "time" and self._left < self.limits.seconds:
                together = f"all calls together had not ended after {TOGETHER * self.limits.seconds:g} s"
                self._over = Trouble(f"{together}: it waits, or computes too much", trouble.line, "time")
                raise self._over from None
            raise
        finally:
            self._left -= time.perf_counter() - began

    def _reply(self, seconds: float) -> Any:
        try:
            reply = self._replies.get(timeout=seconds)
            while self._count > LIMIT_OF_OUTPUT and not isinstance(reply, Trouble):  # which is on its way
                reply = self._replies.get(timeout=seconds)
        except queue.Empty:
            reply = Trouble(f"it had not ended after {seconds:g} s: a loop without an end?", self._where(), "time")
        if isinstance(reply, Trouble):
            self._over = reply
            self.kill()
            raise reply
        return reply

    # --- which line ---

    def _where(self) -> int:
        """The learner's line that runs now; 0 if it is not known."""
        if not hasattr(signal, "SIGUSR1"):
            return 0
        with contextlib.suppress(OSError):
            if self.wrapper:
                os.kill(inner(self._process.pid), signal.SIGUSR1)
            else:
                self._process.send_signal(signal.SIGUSR1)
        for _ in range(20):
            time.sleep(0.02)
            trace = self._trace()
            if "File " in trace:
                return self._own_line(trace)
        return 0

    def _own_line(self, trace: str) -> int:
        """The innermost of the learner's lines."""
        found = re.search(rf'File "{re.escape(str(self.path))}", line (\d+) in', trace)
        return _line(int(found[1])) if found else 0

    def _trace(self) -> str:
        """What the interpreter has written of where it is; nothing if the file has put something else there."""
        how = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with contextlib.suppress(OSError), open(os.open(Path(self.scratch) / "trace", how), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(_LARGEST_TRACE).decode("utf-8", "replace")
        return ""

    # --- listening ---

    def _read_replies(self, stream: IO[bytes]) -> None:
        try:
            while head := _exactly(stream, wire.HEAD.size):
                text, numbers = wire.HEAD.unpack(head)
                self._due -= 1
                if self._due < 0:
                    raise Trouble(STRANGE)
                if text + numbers > LIMIT_OF_REPLY:
                    raise Trouble(f"it returns more than {LIMIT_OF_REPLY >> 20} MB", kind="memory")
                if text > LIMIT_OF_TEXT:
                    raise Trouble(f"it returns more than {LIMIT_OF_TEXT >> 20} MB of lists or text", kind="memory")
                self._replies.put(wire.decode(head + _exactly(stream, text + numbers)))
        except Trouble as trouble:
            self._replies.put(trouble)
        except (wire.Unreadable, struct.error):
            self._replies.put(Trouble(STRANGE))
        except (OSError, ValueError):  # the pipe is closed
            pass
        self._replies.put(self._gone())

    def _gone(self) -> Trouble:
        """Why there are no more replies."""
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return Trouble("it closed what the grader listens to", kind="ended")
        if self.wrapper and status > 128:  # bubblewrap says so of a process that a signal has ended
            status = 128 - status
        if status >= 0:
            return Trouble(f"it ends the process (exit status {status}): leave that out", kind="ended")
        return Trouble(f"the process died of {_signal(-status)}", self._own_line(self._trace()), "ended")

    def _read_output(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(stream.fileno(), 1 << 16):
                self._count += len(part)
                self._printed += part[: max(0, _KEPT - len(self._printed))]
                if self._count > LIMIT_OF_OUTPUT:
                    sentence = f"it prints more than {LIMIT_OF_OUTPUT >> 10} KB: print less"
                    self._replies.put(Trouble(sentence, self._where(), "output"))
                    return

    @property
    def printed(self) -> str:
        """The first of what the learner's file printed; all of that once the process has ended."""
        return self._printed.decode("utf-8", "replace")


def _line(number: Any) -> int:
    return number if type(number) is int and 0 < number < 10**7 else 0


def _exactly(stream: IO[bytes], count: int) -> bytes:
    """So many bytes; fewer where the other side has gone."""
    read = bytearray()
    while len(read) < count and (part := stream.read(min(count - len(read), 1 << 20))):
        read += part
    return bytes(read)


def _signal(number: int) -> str:
    known = {signal.SIGSEGV: "a wrong address (segmentation fault)", signal.SIGKILL: "lack of memory, or was killed"}
    try:
        return known.get(signal.Signals(number), signal.Signals(number).name)
    except ValueError:
        return f"signal {number}"
