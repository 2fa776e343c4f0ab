"""The type checker sees ``kernels/``, and finds types there: all but the bodies that Numba compiles are annotated."""

import ast
from pathlib import Path

import pytest

from scratchlv import kernels

KERNELS = Path(kernels.__path__[-1])
COMPILED = {"kernel", "njit", "jit", "intrinsic"}
FILES = sorted(KERNELS.glob("*/*.py"))


def decorators(function):
    """The last names of a function's decorators."""
    called = [d.func if isinstance(d, ast.Call) else d for d in function.decorator_list]
    return {d.attr if isinstance(d, ast.Attribute) else d.id for d in called}


def without_types(source):
    """The public functions of a module whose parameters or result have no annotation, compiled ones apart."""
    for function in ast.parse(source).body:
        if (
            not isinstance(function, ast.FunctionDef)
            or function.name.startswith("_")
            or decorators(function) & COMPILED
        ):
            continue
        a = function.args
        parameters = [*a.posonlyargs, *a.args, *a.kwonlyargs, *(p for p in (a.vararg, a.kwarg) if p)]
        if function.returns is None or any(p.annotation is None for p in parameters):
            yield function.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_public_functions_are_annotated(file):
    assert not list(without_types(file.read_text("utf-8")))


def test_a_function_without_types_is_found():
    source = "def f(x, *, y: int = 0) -> int: ...\ndef g(x: int): ...\ndef _h(x): ...\n@kernel()\ndef k(x): ...\n"
    assert list(without_types(source)) == ["f", "g"]


def test_a_link_shows_mypy_the_rooms_as_what_they_are_imported_as():
    link = KERNELS.parent / ".mypy" / "scratchlv" / "kernels"
    if not (KERNELS.parent / "pyproject.toml").is_file():
        pytest.skip("the tests are not in a checkout")
    assert link.resolve() == KERNELS.resolve(), "git needs core.symlinks=true to check out .mypy/scratchlv/kernels"
