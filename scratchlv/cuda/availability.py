"""Why the GPU cannot be used, in one sentence that says what to do."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from importlib import metadata
from typing import Any

LEAST_CAPABILITY = (7, 5)  # Turing; the kernels are compiled for no older chip
_INSTALL = "pip install 'scratchlv[cuda13]' (or [cuda12], if nvidia-smi names CUDA 12)"


def what_is_wrong() -> str | None:
    """The first thing that keeps CUDA kernels from running here, and its remedy; None if they can run."""
    return next(_problems(), None)


def describe() -> str:
    """The GPU that would be used: its name, chip, memory, and the versions of CuPy and of the driver's CUDA."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    name, memory = properties["name"].decode(), properties["totalGlobalMem"] / 2**30
    capability = f"sm_{properties['major']}{properties['minor']}"
    driver = _version(cupy.cuda.runtime.driverGetVersion())
    return f"{name}, {capability}, {memory:.0f} GiB; CuPy {cupy.__version__}, driver for CUDA {driver}"


def _problems() -> Iterator[str]:
    packages = _cupy_packages()
    if not packages:
        yield f"CuPy is not installed; {_INSTALL}"
        return
    if len(packages) > 1:
        named = " and ".join(packages)
        yield f"{named} are both installed and overwrite each other; pip uninstall {' '.join(packages)}, then {_INSTALL}"
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:
        yield f"CuPy is installed but does not load ({error}); pip uninstall {packages[0]}, then {_INSTALL}"
        return
    yield from _of_the_driver(cupy, packages[0])
    yield from _of_the_chip(cupy)
    yield from _of_the_compiler(cupy)


def _of_the_driver(cupy: Any, package: str) -> Iterator[str]:
    runtime = cupy.cuda.runtime
    driver, wanted = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        yield "there is no NVIDIA driver (or no GPU); install the driver, and see that nvidia-smi lists the GPU"
    elif driver // 1000 < wanted // 1000:
        yield (
            f"the driver knows CUDA up to {_version(driver)}, and {package} is built for CUDA {_version(wanted)}; "
            f"install a newer driver, or CuPy for CUDA {driver // 1000}: pip uninstall {package}, "
            f"then pip install 'scratchlv[cuda{driver // 1000}]'"
        )
    try:
        count = runtime.getDeviceCount()
    except Exception as error:
        count, reason = 0, f" ({error})"
    else:
        reason = ""
    if count == 0 and "CUDA_VISIBLE_DEVICES" in os.environ:
        hidden = os.environ["CUDA_VISIBLE_DEVICES"]
        yield f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU; unset it, or set it to the number of one"
    elif count == 0:
        yield f"no GPU is found{reason}; see whether nvidia-smi lists one"


def _of_the_chip(cupy: Any) -> Iterator[str]:
    device = cupy.cuda.Device()
    capability = int(device.compute_capability[:-1]), int(device.compute_capability[-1])
    if capability < LEAST_CAPABILITY:
        yield (
            f"GPU {device.id} has compute capability {capability[0]}.{capability[1]}, and the kernels need "
            f"{LEAST_CAPABILITY[0]}.{LEAST_CAPABILITY[1]} or later; choose another by CUDA_VISIBLE_DEVICES, or use --backend cpu"
        )


#: a kernel that includes the one header of CUDA's own that ours include; CuPy's wheels do not bring it
_WITH_HEADERS = '#include <cooperative_groups.h>\nextern "C" __global__ void nothing() {}\n'


def _of_the_compiler(cupy: Any) -> Iterator[str]:
    """CuPy loads NVRTC and cuBLAS when they are first needed, and finds CUDA's headers when a kernel asks for them: better
    now than in the middle of a step."""
    for library, probe in (("NVRTC", lambda: cupy.cuda.nvrtc.getVersion()), ("cuBLAS", cupy.cuda.get_cublas_handle)):
        try:
            probe()
        except Exception as error:
            first_line = str(error).splitlines()[0]
            yield f"{library} does not load ({first_line}); {_INSTALL}, which brings it"
            return
    try:
        cupy.RawModule(code=_WITH_HEADERS, options=("-std=c++17",)).compile()
    except Exception as error:
        first_line = str(error).strip().splitlines()[0]
        yield (
            f"CUDA's headers are not found ({first_line}); {_INSTALL}, which brings them, or set CUDA_PATH to a CUDA toolkit"
        )


def _cupy_packages() -> list[str]:
    names = {distribution.metadata["Name"] or "" for distribution in metadata.distributions()}
    return sorted(name for name in names if name == "cupy" or name.startswith(("cupy-cuda", "cupy-rocm")))


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
