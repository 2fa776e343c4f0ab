"""The command line. Everything heavy is imported by the command that needs it, so that ``--help`` is quick."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scratchlv.cli import exercise, tools, train, use
from scratchlv.cli.arguments import Parser, set_threads
from scratchlv.errors import KernelsUnavailable, UserError, explain, readable
from scratchlv.output import insist, standard_streams
from scratchlv.shell import path_of


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 a kernel is wrong, 2 the user can mend it, 130 interrupted."""
    status = 2
    try:
        with standard_streams(), _brief_warnings():
            status = _status_of(argv)
    except UserError as error:  # of standard output: who reads that status must know that something is missing
        insist(f"scratchlv: {error}")
        status = status or 2
    return status


@contextlib.contextmanager
def _brief_warnings() -> Iterator[None]:
    """Inside the ``with`` block a warning is one line, without the source it comes from; Pillow's, of pictures, are left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")

        def show(message: Warning | str, category: type[Warning], filename: str, *_: Any) -> None:
            where = f"{filename}: " if issubclass(category, UserWarning) and not filename.endswith(".py") else ""
            print(f"note: {where}{message}", file=sys.stderr)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _status_of(argv: list[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        for name, value in vars(arguments).items():
            setattr(arguments, name, _with_home(value))
        if getattr(arguments, "threads", None) is not None:
            set_threads(arguments.threads)
        return _run(arguments)
    except (UserError, KernelsUnavailable) as error:
        insist(f"scratchlv: {readable(str(error))}")
    except MemoryError as error:
        insist(f"scratchlv: {_out_of_memory(error)}")
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        insist(f"scratchlv: {readable(explain(error))}")
    except KeyboardInterrupt:
        insist("scratchlv: interrupted")
        return 130
    return 2


def _with_home(value: Any) -> Any:
    """What an option says, ``~`` written out where it is a path, or a list of some."""
    if isinstance(value, list):
        return [_with_home(each) for each in value]
    return path_of(str(value)) if isinstance(value, Path) else value


def _run(arguments: argparse.Namespace) -> int:
    """The command, on the backend that it names."""
    if getattr(arguments, "backend", "cpu") == "cpu":
        if getattr(arguments, "precision", "float32") != "float32":
            raise UserError(f"--precision {arguments.precision} goes with --backend cuda; the CPU computes in float32")
        if getattr(arguments, "step_graphs", False):
            raise UserError("--step-graphs goes with --backend cuda; a CPU has no launches to save")
        return arguments.command(arguments) or 0
    kind = getattr(arguments, "weights", None)
    if kind in ("bfloat16", "int8"):  # of commands that use a run; train's --weights are a backbone's
        raise UserError(f"--weights {kind} goes with --backend cpu; on a GPU, --precision bf16 reads half as much")
    from scratchlv.cuda.ahead import compile_ahead
    from scratchlv.cuda.availability import what_is_wrong
    from scratchlv.cuda.precision import use_precision
    from scratchlv.device import use_backend
    from scratchlv.training.step_graph import use_step_graphs

    problem = what_is_wrong()
    if problem is not None:
        raise UserError(f"--backend {arguments.backend}: {problem}")
    use_backend(arguments.backend)
    use_step_graphs(getattr(arguments, "step_graphs", False))
    compile_ahead()
    with use_precision(arguments.precision):
        return arguments.command(arguments) or 0


def _out_of_memory(error: MemoryError) -> str:
    """How much was needed (CuPy's and NumPy's messages say it), and what to lower."""
    said = str(error).rstrip(".") or "no more was to be had"
    return f"out of memory: {said}; lower --set batch=… or the widths of the model, or close what else uses it"


def build_parser() -> Parser:
    parser = Parser(
        prog="scratchlv", description="Language and vision from scratch: every derivative by hand, no autograd."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for part in (train, use, exercise, tools):
        part.add_commands(commands)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from scratchlv import __version__

        print(f"scratchlv {__version__}")
        parser.exit()
