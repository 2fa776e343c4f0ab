"""Programs in several real processes: skipped, with the reason, where there is no MPI."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def launcher():
    """``mpiexec`` of this environment, or else of the path; None if there is none."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def why_not():
    """Why programs cannot be started so; None if they can."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install 'scratchlv[mpi]'"
    return None if launcher() else "there is no mpiexec: pip install mpich"


needs_mpi = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def environment():
    """One thread in each process, and this checkout."""
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}


def start(size, *arguments, **more):
    """Start ``python ARGUMENTS`` in so many processes."""
    command = [launcher(), "-n", str(size), sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def run(size, *arguments, timeout=120):
    """The same, and wait for the end: status, standard output, standard error."""
    process = start(size, *arguments)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def program(folder, text):
    """A file with the ``text`` of a program."""
    file = folder / "program.py"
    file.write_text(text)
    return file
