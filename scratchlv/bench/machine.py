"""Where figures were measured: the machine, its threads, the libraries, and the state of the sources."""

from __future__ import annotations

import ctypes
import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numba
import numpy as np

from scratchlv import __version__
from scratchlv.bench.ceilings import last_level_cache
from scratchlv.blas import openblas
from scratchlv.kernels.building_blocks import parameters
from scratchlv.kernels.building_blocks.processor import VARIABLE as VECTORS
from scratchlv.kernels.building_blocks.processor import name as processor
from scratchlv.kernels.building_blocks.simd import WIDTH
from scratchlv.kernels.building_blocks.threads import n_threads

SAME = ("processor", "cores", "threads", "vector_width")  # what must agree for two runs to be compared


def describe() -> dict[str, Any]:
    """By name; call it when the threads have started."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": n_threads(),
        "threading_layer": numba.threading_layer(),
        "vector_width": WIDTH,
        VECTORS: os.environ.get(VECTORS),
        "last_level_cache": last_level_cache(),
        "parameters": {
            name: choice.value for name, choice in parameters.choices().items() if choice.source != "derived"
        },
        "blas": blas(),
        "blas_threads": openblas("get_num_threads", ctypes.c_int),
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": importlib.metadata.version("llvmlite"),
        "scratchlv": __version__,
        "commit": commit(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def header(machine: dict[str, Any]) -> list[str]:
    """Lines for people."""
    told = f"OPENBLAS_CORETYPE={machine['OPENBLAS_CORETYPE']}" if machine["OPENBLAS_CORETYPE"] else "of its own choice"
    told += f", {machine['blas_threads']} threads" if machine["blas_threads"] else ""
    held = f" ({VECTORS}={machine[VECTORS]})" if machine.get(VECTORS) else ""
    commit = f", commit {machine['commit']}" if machine["commit"] else ""
    return [
        f"{machine['processor']}, {machine['cores']} cores, {machine['last_level_cache'] >> 20} MiB last-level cache; "
        f"{machine['system']}",
        f"{machine['threads']} threads by {machine['threading_layer']}, vectors of {machine['vector_width']} floats{held}; "
        f"NumPy's BLAS is {machine['blas']} ({told})",
        *[f"not as derived: {name}={number}" for name, number in machine.get("parameters", {}).items()],
        f"Python {machine['python']}, NumPy {machine['numpy']}, Numba {machine['numba']}, llvmlite {machine['llvmlite']}, "
        f"scratchlv {machine['scratchlv']}{commit}, {machine['date']}",
    ]


def blas() -> str:
    """What NumPy multiplies matrices with, and for OpenBLAS the kernels it has chosen: "OpenBLAS, Haswell kernels"."""
    kernels = openblas("get_corename", ctypes.c_char_p)
    if kernels is not None:
        return f"OpenBLAS, {kernels.decode()} kernels"
    config: Any = np.show_config(mode="dicts")
    return config.get("Build Dependencies", {}).get("blas", {}).get("name", "unknown")


def commit() -> str | None:
    """Of the checkout that this package is in, with a mark when files differ from it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
