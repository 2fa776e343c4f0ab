"""The inputs of somebody's own functions: from their file, from an .npz, or drawn from the shapes that they declare."""

from __future__ import annotations

import ast
import inspect
import io
import textwrap
import tokenize
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.errors import UserError
from scratchlv.gradcheck import shapes
from scratchlv.gradcheck.calls import where_and_what
from scratchlv.gradcheck.files import Functions, Loaded
from scratchlv.gradcheck.inputs import signature_of

_KINDS = inspect.Parameter


@dataclass(frozen=True)
class Given:
    """Inputs, and how others are made; ``source`` says where they are from."""

    inputs: dict[str, Any]
    source: str
    remake: Callable[..., dict[str, Any]] | None = None
    sizes: dict[str, int] | None = None


def inputs_for(functions: Functions, loaded: Loaded, npz: Path | None = None, seed: int = 0) -> Given:
    """From ``npz`` if it is given, else from ``inputs`` in the file (``NAME_inputs`` for ``NAME_forward``), else from shapes.

    Raises:
        UserError: there are none, or they cannot be had.
    """
    if npz is not None:
        return Given(read_npz(npz), str(npz))
    own = getattr(functions.forward, "__name__", "forward").replace("forward", "inputs")
    for name in dict.fromkeys((own, "inputs")):
        value = getattr(loaded.module, name, None)
        if value is not None:
            return _from_file(name, value, loaded.path)
    return _from_shapes(functions.forward, loaded.path, seed)


# --- an .npz ---------------------------------------------------------------------------------------------------------


def read_npz(path: Path) -> dict[str, Any]:
    """Its arrays by name; what has no axes is a number. Nothing in it is run.

    Raises:
        UserError: there is no such file, it is no .npz, or it holds Python objects.
    """
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"--inputs {path}: there is no such file; check the path") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"--inputs {path} is no .npz: write it with np.savez({path.name!r}, x=x, W=W)") from None
    if isinstance(file, np.ndarray):
        raise UserError(f"--inputs {path} is one array, and names no parameter: write np.savez('inputs.npz', x=x)")
    with file:
        return {name: _member(file, name, path) for name in file.files}


def _member(file: Any, name: str, path: Path) -> Any:
    try:
        array = file[name]
    except ValueError:
        raise UserError(
            f"--inputs {path}: {name} holds Python objects, which are not read: save it as an array of numbers"
        ) from None
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise UserError(f"--inputs {path}: {name} is damaged ({error}): write the file again") from None
    return array if array.ndim else array.item()


# --- the file's own --------------------------------------------------------------------------------------------------


def _from_file(name: str, value: Any, path: Path) -> Given:
    """``inputs`` as a dict, or as a function whose keywords are sizes."""
    if isinstance(value, dict):
        return Given(value, f"{name} in {path}")
    if not callable(value):
        raise UserError(
            f"{name} in {path} is a {type(value).__name__}, and should be a dict by the names of forward's parameters, or a "
            "function that returns one"
        )
    signature = signature_of(value)
    parameters = signature.parameters.values() if signature else ()
    without = [
        p.name
        for p in parameters
        if p.default is _KINDS.empty and p.kind not in (_KINDS.VAR_KEYWORD, _KINDS.VAR_POSITIONAL)
    ]
    if without:
        raise UserError(
            f"{name} in {path} takes {', '.join(without)} without a default: give it one, such as {without[0]}=3"
        )
    sizes = {p.name: p.default for p in parameters if type(p.default) is int}

    def remake(**changed: int) -> dict[str, Any]:
        return value(**{size: n for size, n in changed.items() if size in sizes})

    return Given(_called(name, value, path), f"{name}() in {path}", remake if sizes else None, sizes or None)


def _called(name: str, function: Callable[[], Any], path: Path) -> dict[str, Any]:
    try:
        returned = function()
    except Exception as error:
        raise UserError(f"{name}() in {path} raises {where_and_what(error)}; mend that line") from error
    if not isinstance(returned, dict):
        raise UserError(
            f"{name}() in {path} returns a {type(returned).__name__}, and should return a dict by the names of forward's "
            'parameters, such as {"x": x, "W": W}'
        )
    return returned


# --- shapes ----------------------------------------------------------------------------------------------------------


def _from_shapes(forward: Callable, path: Path, seed: int) -> Given:
    declared = declared_by(forward)
    signature = signature_of(forward)
    missing = [
        name
        for name, each in (signature.parameters.items() if signature else ())
        if name not in declared
        and each.default is _KINDS.empty
        and each.kind not in (_KINDS.VAR_KEYWORD, _KINDS.VAR_POSITIONAL)
    ]
    if missing or not declared:
        name = (missing or ["x"])[0]
        said = f"says no shape of {', '.join(missing)}" if missing and declared else "says no shapes of its inputs"
        raise UserError(
            f"{getattr(forward, '__name__', 'forward')} in {path} {said}: write a comment # {name}: (N, D) on its line, or a "
            "function inputs() that returns a dict of arrays, or give --inputs FILE.npz"
        )
    recipe = shapes.recipe(declared.values(), seed)
    try:
        return Given(recipe(), f"shapes of {path}", recipe, recipe.sizes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def declared_by(forward: Callable) -> dict[str, shapes.Declared]:
    """The shapes of a function's parameters, in their order: from annotations, comments in its head, and its docstring."""
    signature = signature_of(forward)
    names = [*signature.parameters] if signature else []
    function = inspect.unwrap(forward)
    found: dict[str, shapes.Declared] = {}
    for name in names:
        annotation = signature.parameters[name].annotation if signature else None
        if isinstance(annotation, str) and (declared := shapes.alone(name, annotation.strip("\"'"))):
            found.setdefault(name, declared)
    lines, comments = _head(function)
    for line, comment in comments:
        on_this_line = [name for name in names if lines.get(name) == line]
        if len(on_this_line) == 1 and (declared := shapes.alone(on_this_line[0], comment)):
            found.setdefault(on_this_line[0], declared)
    for text in ("\n".join(comment for _, comment in comments), inspect.getdoc(function) or ""):
        found = shapes.find(text, names) | found
    return {name: found[name] for name in names if name in found}


def _head(function: Callable) -> tuple[dict[str, int], list[tuple[int, str]]]:
    """On which line each parameter stands, and the comments above, in and right below a function's head, by line."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        node = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError, StopIteration):
        return {}, []
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    first = node.body[0]
    last = (first.end_lineno or first.lineno) if ast.get_docstring(node) else first.lineno - 1
    last = max(last, node.lineno)
    comments = [
        (token.start[0], token.string.lstrip("# "))
        for token in tokens
        if token.type == tokenize.COMMENT and token.start[0] <= last
    ]
    return {each.arg: each.lineno for each in arguments}, _above(function) + comments


def _above(function: Callable) -> list[tuple[int, str]]:
    """The comments right above a function."""
    above = inspect.getcomments(function) or ""
    return [(0, line.lstrip("# ")) for line in above.splitlines()]
