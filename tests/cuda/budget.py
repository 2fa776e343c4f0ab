"""What the chips' own compilers say of every kernel: ``python tests/cuda/budget.py`` prints it, ``--write`` makes it the budget.

NVRTC compiles each CUDA C file for the chips below, with the options that CuPy gives it on a user's machine, and reports
registers, stack, spills and static shared memory; no GPU is needed. The budget, ``budget.json``, holds the registers of each
kernel on each chip, and the bytes of shared memory that it declares. No kernel may have a stack or spill, and none may use more
registers than its budget: a change that does must say so by writing a new one. nvcc compiles the files too, with all warnings
as errors.
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

from scratchlv.cuda.on_gpu import compile_options
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


def why_not_nvrtc() -> str | None:
    """Why NVRTC cannot be asked, or None."""
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except ImportError:
        return "CuPy is not installed; pip install 'scratchlv[nvcc]' brings it"
    except RuntimeError as error:
        return f"NVRTC does not load: {error}"
    return None


def compile_as_cupy(path: Path, chip: str) -> dict[str, dict[str, int]]:
    """Registers, stack, spills and static shared memory, in bytes, of each kernel of a file, compiled as CuPy compiles it.

    Raises:
        AssertionError: it does not compile.
    """
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(path.read_text("utf-8"), path.name, (), ())
    added_by_cupy = ["-ftz=true", "--device-as-default-execution-space"]
    options = [*compile_options(path), *cupy_headers(), f"--gpu-architecture=sm_{chip}", *added_by_cupy]
    try:
        nvrtc.compileProgram(program, [*options, "--ptxas-options", "-v"])
    except nvrtc.NVRTCError:
        raise AssertionError(f"{path.name} for sm_{chip}:\n{nvrtc.getProgramLog(program)}") from None
    return read_report(nvrtc.getProgramLog(program))


def cupy_headers() -> list[str]:
    """The folders of headers that CuPy gives to NVRTC: its own, and CUDA's."""
    import cupy

    own = Path(cupy.__file__).parent / "_core/include/cupy/_cccl"
    toolkit = Path(nvcc() or "/usr/local/cuda/bin/nvcc").parents[1] / "include"
    return [f"-I{folder}" for folder in (own / "libcudacxx", own / "cub", own / "thrust", toolkit)]


def compile_strictly(path: Path, chip: str) -> None:
    """
    Raises:
        AssertionError: nvcc has something to say of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [
            nvcc() or "nvcc", "-std=c++17", "-O3", f"-arch=sm_{chip}", "--cubin", "-Werror", "all-warnings",
            f"-I{INCLUDE}", str(path), "-o", os.path.join(folder, "kernels.cubin"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{path.name} for sm_{chip}:\n{done.stderr}"


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
    """By file and kernel: the registers on each chip, and the most shared memory, stack and spills on any."""
    jobs = [(path, chip) for path in sources() for chip in CHIPS]
    refused = why_not_nvrtc()  # it is loaded here, before threads want it: what they load by halves does not compile
    assert refused is None, refused
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = list(pool.map(lambda job: compile_as_cupy(*job), jobs))
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (path, chip), report in zip(jobs, reports, strict=True):
        for kernel, figures in report.items():
            row = found.setdefault(path.name, {}).setdefault(kernel, {"shared": 0, "stack": 0, "spills": 0})
            row[f"sm_{chip}"] = figures["registers"]
            row |= {name: max(row[name], figures[name]) for name in ("shared", "stack", "spills")}
    return found


def problems(measured: dict[str, dict[str, dict[str, int]]]) -> list[str]:
    """What no kernel may have: a stack, or spills."""
    return [
        f"{kernel} has {figures['stack']} bytes of stack and spills {figures['spills']}"
        for kernels in measured.values()
        for kernel, figures in kernels.items()
        if figures["stack"] or figures["spills"]
    ]


def read_budget() -> dict[str, dict[str, int]]:
    """What is committed: by file and kernel, the registers on each chip, and the bytes of shared memory."""
    return json.loads(BUDGET.read_text("utf-8"))


if __name__ == "__main__":
    measured = measure()
    rows = {
        f"{file} {kernel}": {name: value for name, value in figures.items() if name not in ("stack", "spills")}
        for file, kernels in sorted(measured.items())
        for kernel, figures in kernels.items()
    }
    for name, figures in rows.items():
        print(f"{name:60} " + "  ".join(f"{what} {n:5}" for what, n in figures.items()))
    if refused := problems(measured):
        sys.exit("\n".join(refused))
    if "--write" in sys.argv:
        lines = (f"  {json.dumps(name)}: {json.dumps(figures)}" for name, figures in rows.items())
        BUDGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
