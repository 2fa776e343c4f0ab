"""A disk that is full, or read-only, from the k-th operation of a run on, or for that one alone: each in turn."""

from __future__ import annotations

import errno
import io
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from scratchlv.cli import main
from scratchlv.errors import UserError
from scratchlv.tasks import run_folder
from scratchlv.training import checkpoint
from tests.fault_kinds import tiny
from tests.fault_kinds.operations import watched
from tests.fault_kinds.report import Report

#: what a full disk refuses; it always lets files go
_FULL = ("open", "write", "fsync", "replace", "mkdir")
_KINDS = ((errno.ENOSPC, _FULL), (errno.EROFS, ("open", "write", "replace", "unlink", "mkdir")))


def run(every: int, seed: int, root: Path) -> Report:
    """A run of a language model, once for each operation (for each ``every``-th), each kind of disk, and each duration."""
    report, folder, whole = Report("disks full or read-only"), root / "disk" / "run", root / "whole-disk"
    counted: list[str] = []
    folder.parent.mkdir()
    with watched(folder.parent, before=lambda kind, path, more: counted.append(kind)):
        tiny.train(folder, "short lm")
    folder.rename(whole)
    for code, kinds in _KINDS:
        for lasting in (True, False):
            for k in range(seed % every, len(counted), every):
                broken = _broken(folder, k, code, kinds, lasting, whole)
                said = f"{errno.errorcode[code]} {'from' if lasting else 'at'} operation {k} of {len(counted)}"
                report.note(
                    f"{errno.errorcode[code]} {'lasting' if lasting else 'once'}", broken and f"{said}: {broken}"
                )
                shutil.rmtree(folder, ignore_errors=True)
    return report


def _broken(folder: Path, at: int, code: int, kinds: tuple[str, ...], lasting: bool, whole: Path) -> str | None:
    count = [0]

    def fail(kind: str, path: str, more: object) -> None:
        count[0] += 1
        if kind in kinds and (count[0] > at if lasting else count[0] == at + 1):
            raise OSError(code, os.strerror(code), path)

    words = ["train", *tiny.words("short lm"), "--out", str(folder)]
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error), tiny.hasty():
        before = _newest(folder)
        with watched(folder.parent, before=fail):
            status = main(words)
    said = error.getvalue()
    last = said.strip().splitlines()[-1] if said.strip() else ""
    if "Traceback" in said or status not in (0, 2) or status == 2 and not last.startswith("scratchlv: "):
        return f"status {status}, said {said[-1000:]!r}"
    found = _newest(folder)
    if isinstance(found, str):
        return f"after it: {found}"
    assert before is None
    with redirect_stdout(out), redirect_stderr(error):
        try:
            tiny.go_on(folder, "short lm")
        except UserError as refused:
            return f"with space again: {refused}"
    return tiny.difference(whole, folder)


def _newest(folder: Path) -> int | str | None:
    """The step of the newest checkpoint; what is wrong with it, if something is; None if there is none."""
    if not run_folder.is_run(folder) or not checkpoint.latest_steps(folder):
        return None
    try:
        return checkpoint.load(folder)[1]["step"]
    except UserError as error:
        return str(error)
