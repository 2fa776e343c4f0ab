"""What a side of a benchmark is told by environment variables: which vectors and kernels it may use, on how many threads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
from comparing import say

#: glibc keeps what is freed, as our pool does: new pages cost much
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
THREADS = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
#: every library held to vectors of so many floats, ours and the peers
ISAS = {
    "avx2": {
        "SCRATCHLV_VECTORS": "8",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "sse": {
        "SCRATCHLV_VECTORS": "4",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}
_BEYOND = {"avx2": ("X86_V4", "AVX512"), "sse": ("X86_V3", "X86_V4", "AVX", "FMA", "F16C")}  # as NumPy calls them
_RECORDED = (
    *("OPENBLAS_", "MKL_", "OMP_", "NUMBA_", "GOMP_", "MALLOC_", "LD_PRELOAD", "SCRATCHLV_"),
    *("ATEN_", "ONEDNN_", "NPY_"),
)
#: scratchlv sets it where it is imported, here too: it has OpenMP's threads wait for less, and that is for ours to have alone
_OURS = "GOMP_SPINCOUNT"
_PLACES = ("SCRATCHLV_CACHE", "NUMBA_CACHE_DIR")  # where files are says nothing of speed


def held_to(isa: str | None) -> dict[str, str]:
    """The variables that hold every library to an instruction set; None: whatever the processor has."""
    if isa is None:
        return {}
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})  # type: ignore[union-attr]
    beyond = [name for name in simd.get("found", ()) if name.startswith(_BEYOND[isa])]
    return ISAS[isa] | ({"NPY_DISABLE_CPU_FEATURES": " ".join(beyond)} if beyond else {})


def on_threads(threads: int) -> dict[str, str]:
    """The variables that give every library so many threads."""
    return dict.fromkeys(THREADS, str(threads))


def variables(isa: str | None = None, threads: int | None = None) -> dict[str, str]:
    """The environment of a side, held to an instruction set and a number of threads where they are given."""
    found = {name: value for name, value in os.environ.items() if name != _OURS}
    return found | held_to(isa) | (on_threads(threads) if threads else {})


def freed(variables: dict[str, str]) -> dict[str, str]:
    """Without what keeps OpenBLAS from choosing its kernels itself."""
    return {name: value for name, value in variables.items() if not name.startswith("OPENBLAS_")}


def tuned_mkl(library: Path | None) -> dict[str, str]:
    """MKL at its best; ``library`` is :func:`avx512_library`'s."""
    return {} if library is None else {"LD_PRELOAD": str(library), **KEEP_MEMORY}


def avx512_library(folder: Path) -> Path | None:
    """MKL takes AVX2 kernels on processors that are not Intel's, unless this function says otherwise."""
    source, library = folder / "intel.c", folder / "intel.so"
    source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        say("no gcc: PyTorch is timed as installed only")
        return None
    return library


def recorded(variables: dict[str, str]) -> dict[str, str]:
    """Those that decide which kernels run, and on how many threads, for the file of a run."""
    found = {name: value for name, value in variables.items() if name.startswith(_RECORDED) and name not in _PLACES}
    return found | ({"LD_PRELOAD": "mkl_serv_intel_cpu_true"} if "LD_PRELOAD" in found else {})


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
