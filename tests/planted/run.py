"""Plant the bugs of ``bugs.toml``, one by one, in a copy of the tree, and see whether the tests catch them.

    python tests/planted/run.py --check                  each snippet stands in its file exactly once; nothing is planted
    python tests/planted/run.py --only lstm trainer      bugs whose name or file has one of these words in it
    python tests/planted/run.py --all --json found.json

It is no part of the test suite. Of each bug it says "caught", and by which test; "SURVIVED"; or "HANGS", where the tests were
still at it after the limit: a hang is no report, so it counts like a bug that survived. Exit status: 0 all were caught, 1 one
was not, 2 a snippet does not apply or the tests fail without any bug.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BUGS = Path(__file__).with_name("bugs.toml")
_LIMIT = 1200  # seconds for the tests of one bug: a changed kernel is compiled first
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


class Bug(NamedTuple):
    """One entry of ``bugs.toml``."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]  # arguments of pytest: a run each

    def count(self, root: Path) -> int:
        """How often the snippet stands in its file."""
        path = root / self.file
        return path.read_text(encoding="utf-8").count(self.old) if path.is_file() else 0


class Result(NamedTuple):
    """What became of a bug; ``by`` is the test that failed, or how the run ended."""

    verdict: str
    by: str = ""
    seconds: float = 0.0


def read() -> list[Bug]:
    """All bugs, in the order of the file.

    Raises:
        ValueError: two have one name, or one changes nothing.
    """
    bugs = [Bug(**entry, tests=tuple(tests)) for entry in _entries() for tests in [entry.pop("tests")]]
    names = [bug.name for bug in bugs]
    wrong = [bug.name for bug in bugs if names.count(bug.name) > 1 or bug.old == bug.new]
    if wrong:
        raise ValueError(f"bugs.toml: {wrong[0]!r} is there twice, or changes nothing")
    return bugs


def _entries() -> list[dict]:
    return tomllib.loads(BUGS.read_text(encoding="utf-8"))["bug"]


# --- a copy of the tree ----------------------------------------------------------------------------------------------


class Copy:
    """A copy of the tree to plant bugs in, with a kernel cache of its own.

    Compiled code is kept by the place and the time of its sources, so the copy stays where it is, and files keep their times:
    what was compiled without a bug serves the next run. A planted kernel has another key in the cache, and disturbs nobody.
    """

    def __init__(self, folder: Path) -> None:
        self.tree, self.cache = folder / "tree", folder / "cache"
        self.cache.mkdir(parents=True, exist_ok=True)
        self._synchronise()
        self.environment = {**os.environ, "PYTHONPATH": str(self.tree), "SCRATCHLV_CACHE": str(self.cache)}
        self.environment.pop("NUMBA_CACHE_DIR", None)  # its key is a file alone, and kernels are made of several

    def _synchronise(self) -> None:
        """The tracked files, and those that git does not ignore; what else is there (an old file) goes."""
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        )
        wanted = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
        for path in [path for path in self.tree.rglob("*") if path.is_file()]:
            if path.relative_to(self.tree).as_posix() not in wanted and path.suffix != ".pyc":
                path.unlink()
        for name in wanted:
            source, target = ROOT / name, self.tree / name
            if not target.exists() or _state(source) != _state(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    @contextlib.contextmanager
    def planted(self, bug: Bug) -> Iterator[None]:
        """Inside the ``with`` block the bug is there."""
        path = self.tree / bug.file
        before = path.read_text(encoding="utf-8")
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        path.write_text(before.replace(bug.old, bug.new), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")
            os.utime(path, ns=times)

    def run(self, tests: str, limit: float) -> Result:
        """Run pytest: "passed"; "caught", by the first test that fails, or by how the run ends; or "HANGS"."""
        command = [sys.executable, "-m", "pytest", "-x", "-rfE", "-p", "no:cacheprovider", *shlex.split(tests)]
        began = time.monotonic()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                command,
                cwd=self.tree,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(limit)
            except BaseException as error:  # the limit, or Ctrl-C: nothing of it lives on
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                return Result("HANGS", tests, time.monotonic() - began)
            output.seek(0)
            said = output.read()
        seconds = time.monotonic() - began
        if status == 0:
            return Result("passed", "", seconds)
        if status < 0:
            return Result("caught", f"{tests}: the run dies of {signal.Signals(-status).name}", seconds)
        failed = _FAILED.search(said)
        by = failed[1] if failed else f"{tests}: status {status}, {said.strip()[-80:]!r}"
        return Result("caught", by + (" (--all)" if failed and "--all" in tests else ""), seconds)


def _state(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


# --- all of it -------------------------------------------------------------------------------------------------------


def without_bugs(copy: Copy, bugs: list[Bug], limit: float) -> list[str]:
    """What is wrong with the tests of these bugs when there is none; it also compiles what they need."""
    wrong = []
    for tests in dict.fromkeys(tests for bug in bugs for tests in bug.tests):
        result = copy.run(tests, limit)
        print(f"without a bug  {result.verdict:9} {result.seconds:6.1f} s  {tests}", flush=True)
        if result.verdict != "passed":
            wrong.append(f"without any bug, {tests}: {result.verdict} {result.by}")
    return wrong


def try_out(copy: Copy, bug: Bug, limit: float) -> Result:
    """Plant a bug, and run its tests up to the first that catches it."""
    seconds = 0.0
    with copy.planted(bug):
        for tests in bug.tests:
            result = copy.run(tests, limit)
            seconds += result.seconds
            if result.verdict != "passed":
                return result._replace(seconds=seconds)
    return Result("SURVIVED", "", seconds)


def does_not_apply(bugs: list[Bug]) -> list[str]:
    """A sentence for each bug whose snippet, or whose test, is not there."""
    wrong = []
    for bug in bugs:
        if bug.count(ROOT) != 1:
            wrong.append(f"{bug.name}: does not apply: its snippet stands {bug.count(ROOT)} times in {bug.file}")
        for tests in bug.tests:
            missing = [word for word in shlex.split(tests) if word.endswith(".py") and not (ROOT / word).is_file()]
            wrong += [f"{bug.name}: there is no {name}" for name in missing]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--check", action="store_true", help="only see whether every bug applies")
    which.add_argument("--only", nargs="+", metavar="WORD", help="bugs whose name or file has one of these words in it")
    which.add_argument("--all", action="store_true", help="all bugs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what became of each bug there")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="bugs at a time, each in a copy of its own")
    parser.add_argument(
        "--limit", type=float, default=_LIMIT, help="seconds after which tests hang (default: %(default)s)"
    )
    folder = Path(tempfile.gettempdir()) / "scratchlv-planted"
    parser.add_argument("--scratch", type=Path, default=folder, help="folder of the copies (default: %(default)s)")
    arguments = parser.parse_args()
    bugs = read()
    if arguments.only:
        bugs = [bug for bug in bugs if any(word in bug.name or word in bug.file for word in arguments.only)]
    wrong = does_not_apply(bugs) or ([] if bugs else ["no bug has such a word in its name or file"])
    if wrong or arguments.check:
        print("\n".join(wrong or [f"all {len(bugs)} bugs apply"]))
        return 2 if wrong else 0
    return _run(bugs, arguments)


def _run(bugs: list[Bug], arguments: argparse.Namespace) -> int:
    copies: queue.Queue[Copy] = queue.Queue()
    for number in range(arguments.jobs):
        copies.put(Copy(arguments.scratch.resolve() / str(number)))
    first = copies.get()
    wrong = without_bugs(first, bugs, arguments.limit)
    copies.put(first)
    if wrong:
        print("\n".join(wrong))
        return 2
    found: dict[str, Result] = {}

    def one(bug: Bug) -> None:
        copy = copies.get()
        try:
            found[bug.name] = result = try_out(copy, bug, arguments.limit)
        finally:
            copies.put(copy)
        print(f"{result.verdict:9} {result.seconds:6.1f} s  {bug.name}  [{result.by}]", flush=True)
        if arguments.json:
            document = {b.name: {"file": b.file, **found[b.name]._asdict()} for b in bugs if b.name in found}
            arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(one, bugs))
    missed = [name for name, result in found.items() if result.verdict in ("SURVIVED", "HANGS")]
    print(f"{len(found) - len(missed)} of {len(found)} bugs are caught")
    for name in missed:
        print(f"{found[name].verdict}: {name} {found[name].by}".rstrip())
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
