"""The CuPy that stands on NumPy has nothing that the real one has not: else code that runs there would fail on a GPU."""

import importlib
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from . import stand_in


def names(fake):
    """What the stand-in's module, class or namespace has of its own."""
    return [name for name in vars(fake) if not name.startswith("_") or name.startswith("__i")]


def missing(fake, real, path):
    """The names, with their path, that are not in the real one."""
    for name in names(fake):
        below, there = getattr(fake, name), f"{path}.{name}"
        if not hasattr(real, name):
            yield there
        elif isinstance(below, type | SimpleNamespace | ModuleType) and below is not np.ndarray:
            yield from missing(below, getattr(real, name), there)


def test_it_has_no_name_that_cupy_has_not():
    pytest.importorskip("cupy", reason="CuPy is not installed; pip install 'scratchlv[nvcc]' brings it")
    modules = {name: fake for name, fake in stand_in.module().items() if name.startswith("cupy.") or name == "cupy"}
    found = [name for path, fake in modules.items() for name in missing(fake, importlib.import_module(path), path)]
    assert not found


def test_a_name_that_is_not_there_is_found():
    fake, real = SimpleNamespace(a=1, b=SimpleNamespace(c=2)), SimpleNamespace(a=1, b=SimpleNamespace(d=2))
    assert list(missing(fake, real, "x")) == ["x.b.c"]
    assert list(missing(fake, SimpleNamespace(a=1), "x")) == ["x.b"]
