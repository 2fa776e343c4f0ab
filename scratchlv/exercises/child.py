"""The learner's process: it runs one file, and calls its functions for the grader, who believes it nothing but numbers.

    python -I child.py SETTINGS < requests > replies 2> what the learner prints

SETTINGS is JSON. Each request is a dict with "do"; each reply has either "value" or "error", and what the guard refused. The file
loads its neighbours by their paths, so that the learner's file finds no package to import.
"""

from __future__ import annotations

import builtins
import contextlib
import faulthandler
import importlib.util
import json
import linecache
import os
import re
import signal
import sys
import types
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def _beside(name: str) -> Any:
    """A neighbour, with builtins of its own, which no module list names: what a learner's file changes does not reach it."""
    spec = importlib.util.spec_from_file_location(f"_exercise_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__builtins__"] = dict(vars(builtins))
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules[spec.name]
    return module


def limit(settings: dict) -> None:
    """What the system holds the process to; what it does not know is left out."""
    try:
        import resource
    except ImportError:  # Windows: the grader's clock alone
        return
    limits = {
        "RLIMIT_AS": settings["memory"],
        "RLIMIT_CPU": settings["cpu"],
        "RLIMIT_FSIZE": settings["file"],
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 256,
    }
    if settings["most_processes"]:
        limits["RLIMIT_NPROC"] = settings["most_processes"]
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # macOS knows no limit of memory
            continue


class Server:
    """Answers requests, one after the other."""

    def __init__(self, settings: dict, wire: Any, guard: Any, launching: Any, refused: list[str]) -> None:
        self.settings, self.wire, self.guard, self.refused = settings, wire, guard, refused
        self.launching = launching
        self.path = settings["path"]
        self.functions: dict[str, Any] = {}
        self.cache: Any = None

    def answer(self, request: dict) -> dict:
        """The reply to a request; whatever the learner's code raises is part of it."""
        try:
            reply = {"value": getattr(self, "do_" + request["do"])(**request.get("with", {}))}
        except BaseException as error:  # SystemExit and KeyboardInterrupt are the learner's, too
            reply = {"error": self.told(error)}
        return reply | {"refused": list(self.refused)}

    def told(self, error: BaseException) -> dict:
        """What was raised; its name alone, where the learner's exception raises another one when it is looked at."""
        try:
            return self.error(error)
        except BaseException:
            nothing = dict.fromkeys(("message", "function", "shapes", "stage"), "")
            return nothing | {"type": _name(error), "line": 0}

    def error(self, error: BaseException) -> dict:
        """What was raised, and in which of the learner's lines."""
        line, function, shapes = 0, "", ""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.path:
                line, function = trace.tb_lineno, trace.tb_frame.f_code.co_name
                shapes = shapes_in(linecache.getline(self.path, line), trace.tb_frame.f_locals)
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename == self.path:
            line = error.lineno or 0
        message = error.msg if isinstance(error, SyntaxError) else _text(error)
        stage = str(getattr(error, "stage", ""))  # of a KernelError
        if stage:
            line = getattr(error, "line", 0) or line
        elif type(error).__module__.startswith("numba.core.errors"):
            stage, (message, line) = "compile", self.launching.of_numba(message, self.path)
        found = {"type": _name(error), "message": message[:2000], "line": line, "function": function}
        return found | {"shapes": shapes, "stage": stage}

    # --- requests ---

    def do_load(self, text: str = "") -> list[str]:
        """Run the file, whose text the grader has read; the names of its functions."""
        if self.settings["kind"] == "cuda":
            from scratchlv.exercises import cuda_kernels

            self.functions = cuda_kernels.load(Path(self.path), Path(self.settings["launch"]))
            return list(self.functions)
        linecache.cache[self.path] = (len(text), None, text.splitlines(keepends=True), self.path)
        module = types.ModuleType(Path(self.path).stem)
        module.__file__ = self.path
        if self.settings["guarded_import"]:
            allowed = self.guard.STANDARD | set(self.settings["imports"])
            module.__dict__["__builtins__"] = self.guard.own_builtins(self.refused, allowed)
        sys.modules["exercise_of_a_learner"] = module  # dataclasses look their module up
        module.__dict__["__name__"] = "exercise_of_a_learner"
        exec(compile(text, self.path, "exec", dont_inherit=True), module.__dict__)
        self.functions = {name: value for name, value in vars(module).items() if callable(value)}
        if self.settings["launch"]:
            learner = self.launching.Functions(self.functions)
            self.functions |= self.launching.functions(Path(self.settings["launch"]), learner)
        return list(self.functions)

    def do_call(self, function: str, inputs: list, keep: bool = False) -> dict:
        """Call a function; with ``keep``, it is a forward pass, whose cache stays here."""
        given = [self.made(each) for each in inputs]
        before = self.wire.encode([each for each in given if not callable(each)])
        result = self.functions[function](*given)
        changed = before != self.wire.encode([each for each in given if not callable(each)])
        if keep:
            if not (isinstance(result, tuple | list) and len(result) == 2):
                return {"no_cache": result, "changed": changed}
            result, self.cache = result
        return {"result": result, "changed": changed}

    def do_backward(self, function: str, dy: Any) -> dict:
        before = self.wire.encode(dy)
        result = self.functions[function](dy, self.cache)
        return {"result": result, "changed": before != self.wire.encode(dy)}

    def do_diagnose(self, forward: str, backward: str, inputs: dict, **options: Any) -> dict:
        """What the gradient checker says of the two; of processes that were started for that alone."""
        from scratchlv.gradcheck import check

        given = {name: self.made(each) for name, each in inputs.items()}
        report = check(self.functions[forward], self.functions[backward], given, **options)
        return {"diagnosis": list(report.diagnosis), "problems": list(report.problems), "wrong": not report.ok}

    def made(self, value: Any) -> Any:
        """An input; source becomes the function that it is."""
        if isinstance(value, self.wire.Source):
            import math

            import numpy as np

            return eval(str(value), {"np": np, "math": math})
        return value


def _text(error: BaseException) -> str:
    """What an exception says, if it does: a learner's own may raise another one."""
    with contextlib.suppress(BaseException):
        return f"{error}"
    return ""


def _name(error: BaseException) -> str:
    name = type.__dict__["__name__"].__get__(type(error))
    return f"{name}"[:100]


def shapes_in(line: str, names: dict[str, Any]) -> str:
    """The shapes of the arrays that a line names: ``x (2, 3), W (3, 4)``."""
    found = dict.fromkeys(re.findall(r"[^\W\d]\w*", line))
    arrays = ((name, names[name]) for name in found if type(names.get(name)).__name__ == "ndarray")
    return ", ".join(f"{name} {array.shape}" for name, array in arrays)


def own_channels() -> tuple[int, int]:
    """Requests and replies, where no print of the learner's goes: what was stdout is stderr from here on, and stdin is empty."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def read_exactly(descriptor: int, count: int) -> bytes | None:
    """So many bytes, or None where the other side has gone."""
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main() -> None:
    settings = json.loads(sys.argv[1])
    requests, replies = own_channels()
    wire, guard, launching, fence = _beside("wire"), _beside("guard"), _beside("launching"), _fence()
    if settings["root"]:
        sys.path.insert(0, settings["root"])
    for name in settings["preload"]:
        importlib.import_module(name)
    os.chdir(settings["scratch"])
    trace = open("trace", "w")  # noqa: SIM115  it is open to the end, for the line where a call is stopped
    faulthandler.enable(file=trace)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, file=trace, all_threads=False)
    limit(settings)
    fences = shut_in(fence, settings)
    may = {name: settings[name] for name in ("readable", "writable", "native", "processes")}
    server = Server(settings, wire, guard, launching, guard.install(settings["hidden"], settings["foreign"], **may))
    write_all(replies, wire.encode({"value": fences}))
    while (head := read_exactly(requests, wire.HEAD.size)) is not None:
        body = read_exactly(requests, sum(wire.HEAD.unpack(head)))
        if body is None:
            return
        write_all(replies, message(server, wire, wire.decode(head + body)))


def _fence() -> Any:
    """The fence of Linux; None on another system, or where Python was built without ctypes."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return _beside("fence")
    except ImportError:
        return None


def shut_in(fence: Any, settings: dict) -> list[str]:
    """Which fences the system puts around the process."""
    if fence is None:
        return []
    fence.die_with_parent()
    processes, programs = settings["processes"], settings["programs"]
    hidden = [*settings["hidden"], *([] if processes else ["/proc"])]
    hidden += [os.path.join(each, name) for each in sys.path for name in settings["foreign"]]
    readable = [*settings["readable"], "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"]
    writable = [settings["writable"]] if settings["writable"] else []
    files = fence.fence_files(hidden, readable, writable, programs=programs)
    calls = fence.fence_calls(processes=processes, programs=programs)
    return ["files"] * files + ["calls"] * calls


def message(server: Server, wire: Any, request: dict) -> bytes:
    """The reply, as bytes: what the learner returned may be too much to pack."""
    reply = server.answer(request)
    try:
        return wire.encode(reply)
    except BaseException as error:
        return wire.encode({"error": server.told(error), "refused": reply["refused"]})


if __name__ == "__main__":
    main()
