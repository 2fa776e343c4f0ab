"""What can run here, what cannot, and why, in words."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import warnings
from collections.abc import Iterator

from scratchlv import __version__


def examine() -> Iterator[str]:
    """Lines of text for the user; never raises for what is missing."""
    yield f"scratchlv {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield from _processor()
    yield _threads()
    for package in ("numpy", "numba", "pillow", "rich", "safetensors"):
        yield _package(package)
    yield ""
    yield from _operations()
    yield _kernel_cache()
    yield ""
    yield from _parameters()
    yield ""
    yield _gpu()
    yield _pretrained()


def _package(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is missing: pip install {name}"


def _processor() -> Iterator[str]:
    try:
        from scratchlv.kernels.building_blocks import processor
    except ImportError as error:
        yield f"processor: {os.cpu_count()} cores; Numba does not load ({error}): only the reference variants can run"
        return
    held = f" ({processor.VARIABLE}={os.environ[processor.VARIABLE]})" if os.environ.get(processor.VARIABLE) else ""
    yield f"processor: {processor.name()}, {os.cpu_count()} cores"
    yield f"kernels use vectors of {processor.WIDTH} floats, {processor.REGISTERS} registers{held}"
    yield f"caches: {processor.caches().told}"


def _parameters() -> Iterator[str]:
    try:
        from scratchlv.kernels.building_blocks.parameters import PARAMETERS, VARIABLE, choices, tuned
    except ImportError:
        return
    yield f"sizes that kernels are cut by ({VARIABLE} overrides them, scratchlv tune measures some):"
    with warnings.catch_warnings(action="ignore"):  # the same sentence follows
        found = choices()
    for name, (number, source) in found.items():
        yield f"  {name:26} {number:>10}  {source:8}  {PARAMETERS[name].meaning}"
    problem = tuned()[1]
    if problem:
        yield problem


def _threads() -> str:
    try:
        from scratchlv.kernels.building_blocks import default_threads
    except ImportError:
        return ""
    return (
        f"threads: {default_threads.n} ({default_threads.why}); --threads N or NUMBA_NUM_THREADS=N sets another number"
    )


def _operations() -> Iterator[str]:
    from scratchlv import ops

    yield "operations, and the variant that runs for float32 NumPy arrays:"
    for name in ops.OPERATIONS:
        operation: ops.Operation = getattr(ops, name)
        yield f"  {name:22} {_first_that_loads(operation)}"


def _first_that_loads(operation) -> str:
    for variant in ("numba_cpu", "reference"):
        try:
            operation.variant(variant)
        except (ImportError, ValueError) as error:
            reason = str(error)
            continue
        return variant if variant == "numba_cpu" else f"reference ({reason})"
    return f"cannot run: {reason}"


def _kernel_cache() -> str:
    try:
        from scratchlv.kernels.building_blocks.kernel_cache import kept
    except ImportError:
        return "compiled kernels: none, since Numba does not load"
    *read_only, (folder, compiled) = kept().items()
    others = "".join(f"{number} in {place}, which is read-only; " for place, number in read_only)
    state = f"{compiled} kept in" if compiled else "none yet; the first run compiles them, once, into"
    if read_only and not compiled:
        state = "what is missing there is compiled, once, into"
    return f"compiled kernels: {others}{state} {folder} (set SCRATCHLV_CACHE to keep them elsewhere)"


def _gpu() -> str:
    from scratchlv.cuda import emulator
    from scratchlv.cuda.availability import describe, what_is_wrong

    problem = what_is_wrong()
    if problem is None:
        return f"GPU: {describe()}; --backend cuda uses it"
    without = emulator.why_not() or "g++ compiles them for the CPU, to check them and to learn from them"
    return f"GPU: {problem}\nCUDA kernels without a GPU: {without}"


def _pretrained() -> str:
    from scratchlv.errors import UserError
    from scratchlv.vision.backbones import pretrained_file

    try:
        return f"EfficientNet-Lite0: ImageNet weights found ({pretrained_file()})"
    except UserError as error:
        return f"EfficientNet-Lite0: {error}"
