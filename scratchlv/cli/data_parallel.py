"""``--data-parallel``: a command in every process that ``mpiexec`` or ``srun`` has started, and one voice."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scratchlv.cli.arguments import set_threads
from scratchlv.cores import usable_cores
from scratchlv.errors import KernelsUnavailable, UserError
from scratchlv.parallel.team import SharedError, joined
from scratchlv.shell import command


def add_options(parser: Any) -> None:
    """Add them to the parser of a command that several processes can share."""
    parser.add_argument(
        "--data-parallel",
        action="store_true",
        help="share the work of all processes that mpiexec or srun has started (docs/scale.md)",
    )


def add_shards(parser: Any) -> None:
    """Add the option of those that train."""
    parser.add_argument(
        "--deterministic-across-P",
        dest="shards",
        type=int,
        default=0,
        metavar="SHARDS",
        help="with --data-parallel: cut every batch into so many, so that every number of processes that divides it computes "
        "the same bits",
    )


def run(arguments: Any, work: Callable[[Any], int | None]) -> int | None:
    """``work(arguments)`` in this process and in all that were started with it; only the first is heard.

    Raises:
        UserError: there is no MPI, no launcher, or it is asked for more threads than there are cores; or the command raised it.
    """
    shards = getattr(arguments, "shards", 0)
    if not arguments.data_parallel:
        if shards:
            raise UserError(f"--deterministic-across-P {shards} goes with --data-parallel; add it")
        return work(arguments)
    if shards < 0:
        raise UserError(f"--deterministic-across-P {shards}: give how many shards a batch is cut into")
    team = _team(arguments, shards)
    status: int | None = 2
    try:
        with joined(team), _heard(team.rank == 0):
            team.first(lambda: _share_cores(team, arguments.threads))
            set_threads(arguments.threads or max(1, usable_cores().n // team.on_this_host))
            if getattr(arguments, "out", None) is not None:
                team.tell_lifeline(str(Path(arguments.out).resolve()), resume(arguments.task, arguments.out, team.size))
            status = work(arguments)
    except SharedError:
        if team.rank == 0:
            raise
    except (UserError, KernelsUnavailable) as error:
        if team.size == 1:
            raise
        team.abort(f"scratchlv: process {team.rank}: {error}")
    except KeyboardInterrupt:
        team.abort("scratchlv: interrupted", 130)
    except Exception:
        if team.size == 1:
            raise
        team.abort(f"scratchlv: process {team.rank}:\n{traceback.format_exc()}", 1)
    finally:
        team.close()
    return status


def _team(arguments: Any, shards: int) -> Any:
    if getattr(arguments, "backend", "cpu") == "cuda":
        from scratchlv.parallel import nccl

        return nccl.start(shards)
    from scratchlv.parallel import mpi

    return mpi.start(shards)


def _share_cores(team: Any, threads: int | None) -> None:
    """
    Raises:
        UserError: the processes on this machine were given more threads than it has cores.
    """
    cores, here = usable_cores(), team.on_this_host
    if threads is not None and threads * here > max(cores.n, here):
        raise UserError(
            f"--threads {threads} in {here} processes on {team.hosts[0]} are more than its {cores.n} cores ({cores.why}): "
            f"give --threads {max(1, cores.n // here)}"
        )
    if here > cores.n:
        print(f"note: {here} processes share {cores.n} cores; they take turns, and are slow", file=sys.stderr)


def resume(task: str, folder: Path, size: int) -> str:
    """The command that goes on with a run of so many processes."""
    words = command("train", task, "--out", folder, "--resume")
    return f"mpiexec -n {size} {words} --data-parallel" if size > 1 else words


@contextlib.contextmanager
def _heard(first: bool) -> Iterator[None]:
    """Inside the ``with`` block nothing that a process prints is seen, but what the ``first`` prints."""
    if first:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
