"""A file of somebody's own: it is run with what lies beside it, leaves no trace, and its mistakes are one sentence."""

import inspect
import re
import sys

import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import files

PAIR = "def forward(x):\n    return x, None\n\n\ndef backward(dy, cache):\n    return dy\n"


@pytest.fixture
def file(tmp_path):
    def write(text=PAIR, name="layer.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def loaded(path):
    with files.beside(path):
        return files.load(path)


def refusal(path, *names):
    with pytest.raises(UserError) as error:
        files.functions_of(loaded(path), names)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- what is named ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "names"),
    [
        ("a.py", "a.py", ()),
        ("a/b.py:f,b", "a/b.py", ("f", "b")),
        ("a.py: Layer", "a.py", ("Layer",)),
        ("C:\\a.py:f,b", "C:\\a.py", ("f", "b")),
    ],
)
def test_targets(text, path, names):
    assert files.is_target(text)
    target = files.parse_target(text)
    assert (str(target.path), target.names) == (path, names)


def test_operations_are_no_targets():
    assert not any(files.is_target(name) for name in ("lstm", "conv2d", "happy"))


@pytest.mark.parametrize(
    ("text", "message"), [("a.ipynb", "is no Python file: give one"), ("a.py:f,b,c", "names 3 functions: give two")]
)
def test_a_target_that_is_none(text, message):
    assert files.is_target(text)
    with pytest.raises(UserError, match=message):
        files.parse_target(text)


# --- running ---------------------------------------------------------------------------------------------------------


def test_modules_beside_the_file_are_imported_and_forgotten(file, tmp_path):
    file("scale = 3", "helper_of_layer.py")
    path = file("import json\nfrom helper_of_layer import scale\n" + PAIR)
    before, paths = set(sys.modules), list(sys.path)
    found = loaded(path)
    assert found.module.scale == 3
    assert found.files == {path, tmp_path / "helper_of_layer.py"}
    assert "helper_of_layer" not in sys.modules and "layer" not in set(sys.modules) - before
    assert sys.path == paths
    file("scale = 44", "helper_of_layer.py")
    assert loaded(path).module.scale == 44


def test_a_file_of_a_package_may_import_relatively(tmp_path):
    inner = tmp_path / "packed" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("from .layer import forward\n")
    (inner.parent / "numbers_of_mine.py").write_text("scale = 3\n")
    path = inner / "layer.py"
    (inner / "side.py").write_text("")
    path.write_text("from . import side\nfrom ..numbers_of_mine import scale\nimport packed.numbers_of_mine\n" + PAIR)
    found = loaded(path)
    assert found.module.scale == 3
    assert inner.parent / "numbers_of_mine.py" in found.files
    assert not [name for name in sys.modules if name.startswith("packed")]


def test_nothing_is_written_beside_the_file(file, tmp_path):
    file("", "helper_of_layer.py")
    loaded(file("import helper_of_layer\n" + PAIR))
    assert {path.name for path in tmp_path.iterdir()} == {"helper_of_layer.py", "layer.py"}


def test_the_source_is_known_even_if_the_file_has_changed_since(file):
    module = loaded(file()).module
    file("x = 1")
    assert inspect.getsource(module.backward) == "def backward(dy, cache):\n    return dy\n"


def test_a_script_below_main_does_not_run(file):
    loaded(file(PAIR + "if __name__ == '__main__':\n    raise RuntimeError\n"))


def test_dataclasses_find_their_module(file):
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Cache:\n    x: int\n"
    )
    assert loaded(file(text + PAIR)).module.Cache(1).x == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def forward(x:\n    pass\n", r"layer.py is no valid Python: .* \(line \d: `.*`\); mend that line"),
        (
            "import numpy as np\nW = 1 / 0\n",
            r"cannot be imported: ZeroDivisionError: .* \(layer.py, line 2: `W = 1 / 0`\)",
        ),
        (
            "import ctypes\nctypes.CDLL('./gone.so')\n",
            r"OSError: .* \(layer.py, line 2: `ctypes.CDLL\('./gone.so'\)`\)",
        ),
        ("import not_there\n", r"ModuleNotFoundError: No module named 'not_there' \(layer.py, line 1"),
        ("import sys\nsys.exit()\n", 'ends the program while it is imported: put .* below if __name__ == "__main__"'),
    ],
)
def test_a_file_that_cannot_run(file, text, message):
    with pytest.raises(UserError, match=message):
        loaded(file(text))


def test_a_mistake_in_a_module_beside_it_is_shown_there(file):
    file("def f(:\n", "helper_of_layer.py")
    message = refusal(file("import helper_of_layer\n"))
    assert re.search(r"/helper_of_layer.py is no valid Python: .* \(line 1: `def f\(:`\); mend that line$", message)


def test_a_file_that_is_not_there_or_no_text(file, tmp_path):
    with pytest.raises(UserError, match="gone.py: there is no such file; check the path"):
        loaded(tmp_path / "gone.py")
    with pytest.raises(UserError, match="is a folder: give a file in it"):
        loaded(tmp_path)
    path = file()
    path.write_bytes(b"x = '\xff'\n")
    with pytest.raises(UserError, match="is not UTF-8|is not in the encoding"):
        loaded(path)


# --- the two functions -----------------------------------------------------------------------------------------------


def test_forward_and_backward_are_found_or_those_that_are_named(file):
    found = loaded(file(PAIR + "\nother_forward, other_backward = forward, backward\n"))
    assert files.functions_of(found).backward is found.module.backward
    assert files.functions_of(found, ("other_forward", "backward")).forward is found.module.forward


def test_a_layer_is_its_methods(file):
    path = file(
        "class Layer:\n    def forward(self, x):\n        return x, 2\n    def backward(self, dy, cache):\n        return cache\n"
    )
    functions = files.functions_of(loaded(path), ("Layer",))
    assert functions.forward(1) == (1, 2)
    assert functions.backward(0, 5) == 5
    assert type(functions.owner).__name__ == "Layer"


LAYER = "class Layer:\n    def __init__(self{}):\n        {}\n"
LAYER += "    def forward(self, x): ...\n    def backward(self, dy, cache): ...\n"


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("", (), "has no forward: its functions are none; name the two, as in "),
        ("def f(x): ...\n", (), "its functions are f; name the two"),
        ("def a_forward(x): ...\ndef a_backward(dy, c): ...\n", (), r"as in .*layer.py:a_forward,a_backward$"),
        (
            "def a_forward(x): ...\ndef a_backward(dy, c): ...\ndef forward_b(x): ...\ndef backward_b(dy, c): ...\n",
            (),
            r"\(there are 2 such pairs: a_forward, forward_b\)",
        ),
        (LAYER.format("", "pass"), (), "has no forward: name the layer, as in .*layer.py:Layer"),
        (LAYER.format("", "pass"), ("Lair",), "has no Lair: name the layer"),
        (
            LAYER.format(", n", "pass"),
            ("Layer",),
            "cannot be made without arguments .*: make one in the file, such as layer = ",
        ),
        (LAYER.format("", "1 / 0"), ("Layer",), r"Layer\(\) in .* raises ZeroDivisionError: .* line 3"),
        ("forward = 1\n", (), "forward in .* is a int, and should be a function"),
        (PAIR, ("forward",), "is no layer .*: of functions name both, as in .*layer.py:forward,backward"),
        (PAIR, ("forward", "backwards"), "has no backwards: name the two, as in .*layer.py:forward,backward"),
    ],
)
def test_functions_that_are_not_there(file, text, names, message):
    assert re.search(message, refusal(file(text), *names))
