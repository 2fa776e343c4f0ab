"""``scratchlv gradcheck FILE.py``: the gradients of one's own functions, once or whenever the file is saved."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from scratchlv.errors import UserError
from scratchlv.gradcheck.check import check
from scratchlv.gradcheck.file_inputs import Given, inputs_for
from scratchlv.gradcheck.files import Functions, Target, beside, functions_of, load, neighbours, parse_target
from scratchlv.gradcheck.inputs import Inputs, Refused
from scratchlv.gradcheck.layers import with_weights
from scratchlv.gradcheck.report import NOT_CHECKED, WRONG, Report
from scratchlv.gradcheck.views import show
from scratchlv.gradcheck.watch import watch

RIGHT_STATUS, WRONG_STATUS, NOT_CHECKED_STATUS = 0, 1, 3  # 2 is a mistake that the user can mend


@dataclass(frozen=True)
class Options:
    """What the command line says besides the files."""

    npz: Path | None = None
    seed: int = 0
    fixed: Sequence[str] = ()
    state: Sequence[str] = ()
    as_json: bool = False
    further: dict[str, Any] = field(default_factory=dict)  # of check


def run(files: Sequence[str], options: Options, watching: bool = False, out: TextIO | None = None) -> int:
    """0 if every gradient is right, 1 if one is wrong, 3 if something could not be compared; when watching, see :func:`watch`.

    Raises:
        UserError: a file, or what it says, cannot be used.
    """
    out = out or sys.stdout
    targets = [parse_target(file) for file in files]
    if not watching:
        return _show([check_file(target, options) for target in targets], options, out)
    if len(targets) > 1:
        raise UserError(f"--watch follows one file, and there are {len(targets)}: give one")
    (target,) = targets
    for path in _files(target, options):
        if not path.is_file():
            raise UserError(f"{path}: there is no such file to watch; check the path")
    return watch(lambda: _once(target, options, out), lambda: _files(target, options), str(target), out)


def _once(target: Target, options: Options, out: TextIO) -> set[Path]:
    """One check in a row of many: mistakes are shown, and wait to be mended. The files that it depends on."""
    used: set[Path] = set()
    try:
        _show([check_file(target, options, used)], options, out)
    except UserError as error:
        print(f"scratchlv: {error}", file=out, flush=True)
        used |= set(target.path.resolve().parent.glob("*.py"))  # the mistake may be in any of them
    return used | _files(target, options)


def _files(target: Target, options: Options) -> set[Path]:
    return {target.path.resolve(), *([options.npz.resolve()] if options.npz else [])}


def _show(reports: list[Report], options: Options, out: TextIO) -> int:
    for report in reports:
        show(report, out)
    status = status_of(reports)
    if options.as_json:
        print(json.dumps({"status": status, "reports": [report.to_dict() for report in reports]}), file=out, flush=True)
    return status


def status_of(reports: Sequence[Report]) -> int:
    verdicts = {report.verdict for report in reports}
    if WRONG in verdicts:
        return WRONG_STATUS
    return NOT_CHECKED_STATUS if NOT_CHECKED in verdicts else RIGHT_STATUS


def check_file(target: Target, options: Options, used: set[Path] | None = None) -> Report:
    """The report on the functions that a target names; ``used`` gets the files beside it that it imports.

    Raises:
        UserError: see :func:`run`.
    """
    with beside(target.path):
        try:
            loaded = load(target.path)
            functions = functions_of(loaded, target.names)
            given = inputs_for(functions, loaded, options.npz, options.seed)
            return _checked(functions, given, target, options)
        finally:
            if used is not None:
                used |= neighbours(target.path)


def _checked(functions: Functions, given: Given, target: Target, options: Options) -> Report:
    forward, backward, inputs = functions.forward, functions.backward, given.inputs
    if functions.owner is not None:
        (forward, backward), inputs = with_weights(functions.owner, inputs)
    try:
        Inputs(forward, inputs, options.fixed, options.state)
    except Refused as refused:
        raise UserError(f"{given.source}: {refused}") from None
    except UserError as error:
        raise UserError(f"--{error}") from None  # fixed names …, state names …
    known: dict[str, Any] = {"seed": options.seed, "fixed": options.fixed, "state": options.state} | options.further
    if len(inputs) == len(given.inputs):  # the weights of a layer keep their shapes
        known |= {"remake": given.remake, "sizes": given.sizes}
    return check(forward, backward, inputs, subject=str(target), **known)
