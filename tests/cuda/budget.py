"""What the chips' own compilers say of every kernel: ``python tests/cuda/budget.py`` prints it, ``--write`` makes it the budget.

nvcc compiles each CUDA C file for the chips below, with all warnings as errors, and reports registers, stack, spills and static
shared memory; no GPU is needed. The budget, ``budget.json``, holds the registers of each kernel on each chip. No kernel may have
a stack or spill, and none may use more registers than its budget: a change that does must say so by writing a new one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scratchlv.cuda.sources import sources
from scratchlv.kernels import building_blocks

CHIPS = ("75", "80", "90", "100")  # compute capabilities: Turing, Ampere, Hopper, Blackwell
BUDGET = Path(__file__).with_name("budget.json")
INCLUDE = Path(building_blocks.__file__).parent


def nvcc() -> str | None:
    """The compiler of the wheels ``pip install scratchlv[nvcc]`` brings, or one that is installed."""
    try:
        import nvidia
    except ImportError:
        return shutil.which("nvcc")
    found = [p for folder in nvidia.__path__ for p in Path(folder).glob("cu*/bin/nvcc")]
    return str(found[0]) if found else shutil.which("nvcc")


def compile_file(path: Path, chip: str) -> dict[str, dict[str, int]]:
    """Registers, stack, spills and static shared memory, in bytes, of each kernel of a file.

    Raises:
        AssertionError: it does not compile without a warning.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [
            nvcc() or "nvcc", "-std=c++17", "-O3", f"-arch=sm_{chip}", "--cubin", "-Werror", "all-warnings",
            "-Xptxas", "-v", f"-I{INCLUDE}", str(path), "-o", os.path.join(folder, "kernels.cubin"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{path.name} for sm_{chip}:\n{done.stderr}"
    return read_report(done.stderr)


def read_report(text: str) -> dict[str, dict[str, int]]:
    """What ptxas -v says, by kernel."""
    kernels: dict[str, dict[str, int]] = {}
    figures: dict[str, int] = {}
    for line in text.splitlines():
        if entry := re.search(r"Compiling entry function '(\w+)'", line):
            figures = kernels[entry[1]] = {}
        if frame := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            figures |= {"stack": int(frame[1]), "spills": int(frame[2]) + int(frame[3])}
        if used := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            figures |= {"registers": int(used[1]), "shared": int(shared[1]) if shared else 0}
    return kernels


def measure() -> dict[str, dict[str, dict[str, int]]]:
    """By file and kernel: the registers on each chip, and the most stack and spills on any."""
    jobs = [(path, chip) for path in sources() for chip in CHIPS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = list(pool.map(lambda job: compile_file(*job), jobs))
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (path, chip), report in zip(jobs, reports, strict=True):
        for kernel, figures in report.items():
            row = found.setdefault(path.name, {}).setdefault(kernel, {"stack": 0, "spills": 0})
            row[f"sm_{chip}"] = figures["registers"]
            row |= {name: max(row[name], figures[name]) for name in ("stack", "spills")}
    return found


if __name__ == "__main__":
    measured = measure()
    rows = {
        f"{file} {kernel}": {name: value for name, value in figures.items() if name.startswith("sm_")}
        for file, kernels in sorted(measured.items())
        for kernel, figures in kernels.items()
    }
    for name, registers in rows.items():
        print(f"{name:60} " + "  ".join(f"{chip} {n:3}" for chip, n in registers.items()))
    if "--write" in sys.argv:
        lines = (f"  {json.dumps(name)}: {json.dumps(registers)}" for name, registers in rows.items())
        BUDGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
