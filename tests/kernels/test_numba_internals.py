"""What we use of Numba without a promise is listed in one place, is there, and has a bound in ``pyproject.toml``."""

import ast
import re
import tomllib
from pathlib import Path

import numba
from numba.core.codegen import CPUCodeLibrary
from numba.core.dispatcher import Dispatcher

from scratchlv.kernels.building_blocks.numba_internals import INTERNALS, changes

ROOT = Path(__file__).resolve().parents[2]
FILES = [file for part in ("kernels", "scratchlv", "benchmarks") for file in sorted((ROOT / part).rglob("*.py"))]
LISTED = {name: use for use, names in INTERNALS.items() for name in names}
PROMISED = {
    "": {"numba"},
    "numba": {"carray", "cuda", "float32", "njit", "prange", "types", "uint64"},
    "numba.extending": {"intrinsic"},
}


def test_the_installed_numba_has_all_of_it():
    assert list(changes()) == []


def test_what_has_changed_is_named(monkeypatch):
    monkeypatch.delattr(CPUCodeLibrary, "_optimize_functions")
    monkeypatch.setattr(Dispatcher, "compile", lambda self, sig, how, *rest: None)
    monkeypatch.setitem(
        INTERNALS, "sing", {"numba.core.voice.Voice": None, "numba.core.dispatcher.Dispatcher.song": None}
    )
    version = numba.__version__
    assert sorted(changes()) == [
        f"Numba {version} has no numba.core.codegen.JITCodeLibrary._optimize_functions: "
        "we need it to compile no more of a kernel than is run",
        f"Numba {version} has no numba.core.dispatcher.Dispatcher.song: we need it to sing",
        f"Numba {version} has no numba.core.voice.Voice: we need it to sing",
        f"Numba {version} has numba.core.dispatcher.Dispatcher.compile take (self, sig, how, *rest), not (self, sig): "
        "we need it to see when a kernel is called, compiled, or loaded",
    ]


def imports(tree):
    """The names that a file imports of Numba, each after its module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.rpartition(".")[::2] for alias in node.names)


def is_listed(name):
    return any(f"{each}.".startswith(f"{name}.") for each in LISTED)


def test_what_the_house_imports_of_numba_is_promised_or_listed():
    """Of ``numba.extending`` only intrinsics: what is registered there by no name, the fingerprint of a kernel cannot see."""
    unlisted = [
        f"{file.relative_to(ROOT)}: {module}.{name}"
        for file in FILES
        if "numba" in (code := file.read_text("utf-8"))
        for module, name in imports(ast.parse(code))
        if f"{module}.".startswith("numba.")
        and name not in PROMISED.get(module, ())
        and not is_listed(f"{module}.{name}")
    ]
    assert unlisted == []


def test_every_private_name_that_we_use_of_an_object_of_numba_is_listed():
    listed = {name.rpartition(".")[2] for name in LISTED}
    for file in (ROOT / "kernels" / "building_blocks").glob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        private = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and re.match("_[a-z]", n.attr)}
        ours = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        ours |= {
            n.attr
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute)
            and isinstance(n.ctx, ast.Store)
            and isinstance(n.value, ast.Name)
            and n.value.id == "self"
        }
        assert private - ours <= listed | PYTHONS, file


PYTHONS = {"_lru_cache_wrapper", "_tuplegetter"}  # of functools and collections


def test_nothing_is_listed_that_is_not_used():
    code = "\n".join(file.read_text("utf-8") for file in FILES if file.name != "numba_internals.py")
    unused = [name for name in LISTED if not re.search(rf"\b{name.rpartition('.')[2]}\b", code)]
    assert unused == []


def test_numba_has_an_upper_bound_and_the_installed_one_is_below():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    (numba_,) = [each for each in dependencies if each.startswith("numba")]
    least, bound = re.fullmatch(r"numba>=(\d+\.\d+),<(\d+\.\d+)", numba_).groups()
    here = tuple(map(int, numba.__version__.split(".")[:2]))
    assert tuple(map(int, least.split("."))) <= here < tuple(map(int, bound.split(".")))
