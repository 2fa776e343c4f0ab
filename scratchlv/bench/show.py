"""``scratchlv bench OP --show WHICH``: the source of a version, where it stands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from scratchlv import ops
from scratchlv.errors import UserError

_KERNEL = re.compile(r'^extern "C" __global__ void(?:\s+__launch_bounds__\([^)]*\))?\s+(\w+)\s*\(', re.MULTILINE)


def source(operation: str, which: str, variant: str | None = None) -> str:
    """The file of a variant ("reference", "cuda" …), or the functions of a numbered version, of ``variant`` where it has some.

    Raises:
        UserError: there is no such variant or version.
    """
    room = getattr(ops, operation).room
    if which in room.VARIANTS:
        return "\n".join(_whole(path) for path in _files(operation, which))
    if not which.isdecimal():
        raise UserError(
            f"--show {which}: {operation} has the variants {', '.join(room.VARIANTS)}; give one, or the number of a version"
        )
    numbered = dict(_numbered(operation))
    for name in [variant] if variant else room.VARIANTS:
        if int(which) in numbered.get(name, ()):
            return numbered[name][int(which)]
    there = "; ".join(f"{name} has {', '.join(map(str, found))}" for name, found in numbered.items())
    raise UserError(
        f"--show {which}: {operation} has no such version{f' of {variant}' if variant else ''} ({there or 'it has none'})"
    )


def _numbered(operation: str) -> Iterator[tuple[str, dict[int, str]]]:
    """By variant, the sources of its versions."""
    if operation == "matmul":
        from scratchlv.kernels.matmul.versions import VERSIONS

        yield "numba_cpu", {k: _function(each) for k, each in enumerate(VERSIONS.values(), 1)}
    if "cuda" in getattr(ops, operation).room.VARIANTS:
        module = getattr(ops, operation).variant("cuda")
        yield "cuda", {number: _kernels(operation, number) for number in getattr(module, "VERSIONS", ())}


# --- Python ----------------------------------------------------------------------------------------------------------


def _function(function: Any) -> str:
    """A function, and below it what it calls of its own module."""
    module = inspect.getmodule(function)
    assert module is not None
    return "\n\n".join(_text(each) for each in _called(function, module))


def _called(function: Any, module: ModuleType) -> list[Any]:
    """The function, and those of its module that it names, each once."""
    found, waiting = [], [function]
    while waiting:
        each = waiting.pop(0)
        if each in found:
            continue
        found.append(each)
        for name in _python(each).__code__.co_names:
            other = getattr(module, name, None)
            if inspect.isfunction(_python(other)) and _python(other).__module__ == module.__name__:
                waiting.append(other)
    return found


def _python(function: Any) -> Any:
    """The function that a kernel was compiled from."""
    return getattr(function, "py_func", function)


def _text(function: Any) -> str:
    function = _python(function)
    lines, first = inspect.getsourcelines(function)
    return f"# {inspect.getsourcefile(function)}, line {first}\n" + "".join(lines)


# --- files -----------------------------------------------------------------------------------------------------------


def _files(operation: str, variant: str) -> list[Path]:
    """The file of a variant; of "cuda" the kernels, and below them what launches them."""
    module = getattr(ops, operation).variant(variant)
    path = Path(module.__file__)
    return [path.with_name(f"{operation}.cu"), path] if variant == "cuda" else [path]


def _whole(path: Path) -> str:
    mark = "//" if path.suffix == ".cu" else "#"
    return f"{mark} {path}\n{path.read_text('utf-8')}"


def _kernels(operation: str, number: int) -> str:
    """The kernels whose names end in the number of the version; the whole file where none does."""
    path, _ = _files(operation, "cuda")
    text = path.read_text("utf-8")
    found = [
        f"// {path}, line {text.count(chr(10), 0, each.start()) + 1}\n{_with_comment(text, each.start())}"
        for each in _KERNEL.finditer(text)
        if each[1].endswith(f"_{number}")
    ]
    return "\n".join(found) or _whole(path)


def _with_comment(text: str, start: int) -> str:
    """The function that begins here, with the comment above it, to the brace that ends it at the line's beginning."""
    end = text.find("\n}", start) + 3
    above = text[:start].rstrip("\n").splitlines()
    comment: list[str] = []
    while above and above[-1].startswith(("//", "template")):
        comment.insert(0, above.pop())
    return "\n".join([*comment, text[start:end]])
