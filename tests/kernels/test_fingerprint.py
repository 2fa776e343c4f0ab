"""The fingerprint of a kernel changes with its code, and with nothing else."""

import ast
import dis
import inspect
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import config

from scratchlv.kernels.building_blocks import compiling, fingerprint, kernel_cache
from scratchlv.kernels.building_blocks.fast_math import exp
from scratchlv.kernels.building_blocks.fingerprint import Unknown, surroundings
from scratchlv.kernels.building_blocks.simd import scale, total_of_pairs
from scratchlv.kernels.building_blocks.threads import share
from scratchlv.kernels.lstm import numba_cpu as lstm
from scratchlv.kernels.matmul.micro_kernels import rows_kernel

ROOT = Path(__file__).resolve().parents[2]

CODE = '''
"""A file with a kernel, and all that a kernel may be made of."""
import functools
from typing import NamedTuple
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic
from scratchlv.kernels.building_blocks.compiling import kernel

TABLE = np.array([1.5, 2.5], np.float32)
SIZES = {"small": (2, 3), "large": [4, 5]}
FLAGS = {"nsz", "arcp"}
I64 = ir.IntType(64)
FIVE = ir.Constant(I64, 5)

class Base:
    def start(self, builder):
        """Where it starts."""
        return builder.add(FIVE, I64(6))

class Emitter(Base):
    STEP = 7
    def __init__(self, builder):
        self.builder = builder
    @property
    def step(self):
        return I64(self.STEP + 19)
    @staticmethod
    def twice(x):
        return 2 * x

class Pair(NamedTuple):
    """Two."""
    first: int
    second: int

PAIR = Pair(8, 9)

class Shift:
    by = 20
    @classmethod
    def more(cls, x):
        return x + 21
    @functools.cached_property
    def much(self):
        return 22
    def by_hand(self, x):
        return x + 23

SHIFT = Shift()
by_hand = SHIFT.by_hand
at_least = functools.partial(max, 24)
@functools.cache
def cached(x):
    return x + 10

def steps(builder, most=11, *, least=25):
    """A function that an intrinsic calls."""
    e = Emitter(builder)
    total = e.start(builder)
    for each in [part for part in range(most) if part != 12]:
        total = builder.add(total, e.step)
    most = by_hand(SHIFT.more(at_least(SHIFT.much + SHIFT.by)))
    return builder.add(total, I64(cached(PAIR.first) + e.twice(13) + SIZES["small"][0]))

def make(height):
    @intrinsic
    def emitted(typing_context, x):
        """An intrinsic."""
        def emit(context, builder, signature, arguments):
            return builder.mul(builder.add(arguments[0], I64(height)), steps(builder))
        return types.int64(types.int64), emit
    return emitted

emitted = make(14)

@njit(inline="always")
def part(x):
    """A kernel that others call."""
    return x + 15

@kernel(fastmath=FLAGS, parallel=True)
def whole(x):
    """The kernel."""
    total = emitted(x) + part(x) + 16
    for i in prange(17):
        total += TABLE[i % 2] > 18
    return total

OTHER = 0

def other(x):
    return x + OTHER
'''


def of(code, name="whole"):
    module = types.ModuleType("kernels_of_a_test")
    exec(compile(code, "a_file.py", "exec"), vars(module))
    return fingerprint.fingerprint(getattr(module, name))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("TABLE =", "# a comment\n\n\nTABLE ="),
        ("    total = e.start(builder)\n", "    # where it starts\n    total = e.start(builder)  # here\n"),
        ('"""The kernel."""', '"""The kernel, told at length.\n\n    And more."""'),
        ('    """The kernel."""\n', ""),
        ('"""A kernel that others call."""', '"""Another docstring."""'),
        ('        """An intrinsic."""\n', ""),
        ('"""A function that an intrinsic calls."""', '"""2"""'),
        ('        """Where it starts."""\n', ""),
        ('    """Two."""\n', ""),
        ("class Base:\n", 'class Base:\n    """A class."""\n'),
        ("def twice(x):\n", 'def twice(x):\n        """Doubles."""\n'),
        ("builder, signature, arguments):", "builder, signature, arguments):  # LLVM"),
        ("OTHER = 0", "OTHER = 1"),
        ("return x + OTHER", "return x - OTHER"),
        ("def other(x):", "def another(x):"),
        (
            "def steps(builder, most=11, *, least=25):",
            "def steps(builder: object, most: int = 11, *, least=25) -> int:",
        ),
    ],
)
def test_comments_docstrings_and_what_is_not_reached_do_not_count(before, after):
    assert CODE.count(before) == 1
    assert of(CODE.replace(before, after)) == of(CODE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("np.float32", "np.float64"),
        ('"arcp"', '"contract"'),
        ("parallel=True", "parallel=False"),
        ("fastmath=FLAGS, ", ""),
        ('inline="always"', 'inline="never"'),
        ("class Emitter(Base)", "class Emitter"),
        ("    @property\n", ""),
        ("    @staticmethod\n", ""),
        ("@functools.cache\n", ""),
        ("PAIR.first", "PAIR.second"),
        ("e.twice(", "e.step("),
        ("builder.mul(", "builder.sdiv("),
        ("types.int64(types.int64)", "types.int32(types.int64)"),
        ("emitted = make(14)", "emitted = make(14.0)"),
        ("emitted(x) + part(x)", "part(x) + emitted(x)"),
        ("x + 15", "np.int64(x + 15)"),
        ("def whole(x):", "def whole(x, y=1):"),
    ],
)
def test_whatever_a_kernel_is_made_of_counts(before, after):
    assert CODE.count(before) == 1
    assert of(CODE.replace(before, after)) != of(CODE)


def edits():
    """The code above with one number raised, or one operation exchanged, in each place before ``OTHER``."""
    end = CODE[: CODE.index("OTHER")].count("\n")
    turn = {ast.Add: ast.Sub, ast.Mult: ast.Add, ast.Mod: ast.Mult, ast.Gt: ast.Lt, ast.NotEq: ast.Eq}
    for i in range(sum(1 for _ in ast.walk(ast.parse(CODE)))):
        tree = ast.parse(CODE)
        node = list(ast.walk(tree))[i]
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            node.value += 100
        elif isinstance(node, ast.BinOp | ast.AugAssign):
            node.op = turn[type(node.op)]()
        elif isinstance(node, ast.Compare):
            node.ops = [turn[type(node.ops[0])]()]
        else:
            continue
        if node.lineno < end:
            yield f"{node.lineno}: {ast.unparse(node)}", ast.unparse(tree)


def test_every_number_and_every_operation_counts():
    found = {place: of(code) for place, code in edits()}
    assert len(found) > 30
    assert [place for place, each in found.items() if each == of(CODE)] == []


def test_of_a_module_of_ours_what_is_used_counts(monkeypatch):
    code = "from scratchlv.kernels.building_blocks import simd\ndef whole(x): return simd.WIDTH + simd.address(x)\n"
    before = of(code)
    monkeypatch.setattr("scratchlv.kernels.building_blocks.simd.REGISTERS", 5)
    assert of(code) == before
    monkeypatch.setattr("scratchlv.kernels.building_blocks.simd.WIDTH", 5)
    assert of(code) != before


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import threading\nlock = threading.Lock()\ndef whole(x):\n    return lock", "_thread.lock"),
        ("def whole(x):\n    return getattr(x, 'y')", "getattr finds in whole"),
        ("def whole(x):\n    return [eval('y') for _ in x]", "eval finds in whole"),
        ("def whole(x):\n    from scratchlv import ops\n    return ops", "import of scratchlv in whole"),
        ("import scratchlv.kernels as k\ndef whole(x):\n    return k.building_blocks.simd.WIDTH", "module scratchlv"),
        ("import numpy as np\nx = np.array([print])\ndef whole():\n    return x", "array of Python objects"),
        ("from numba import njit\ndef f(x): ...\n@njit\ndef whole(x):\n    return f(x)", "registered for f"),
        ("import numba\nt = numba.types.Dispatcher(numba.njit(lambda x: x))\ndef whole(): return t", " at 0x"),
        ("import numpy as np\nf = np.frompyfunc(print, 1, 1)\ndef whole(x): return f(x)", "not of NumPy"),
    ],
)
def test_where_we_cannot_tell_we_say_so(code, why):
    with pytest.raises(Unknown, match=why):
        of(code)


def test_functions_that_call_each_other_come_to_an_end():
    code = "def whole(x):\n    return other(x)\ndef other(x):\n    return whole(x) + {}\n"
    assert of(code.format(1)) == of(code.format(1)) != of(code.format(2))


def test_what_looks_alike_differs():
    numbers = [1, 1.0, True, "1", b"1", None, 0.0, -0.0, np.int8(1), np.int64(1)]
    arrays = [np.ones(1), np.ones(2), np.zeros(1), np.ones(1, np.float32), np.ones((2, 1)), np.ones((1, 2))]
    nested = [(1,), [1], {1}, frozenset({1}), {1: 1}, (1, 2, 3), (1, (2, 3)), ((1, 2), 3), ((1, 2, 3),), slice(1)]
    functions = [{1: 2}.get, {1: 3}.get, "a".join, "b".join, str.join, bytes.join, len, min, np.add, np.subtract]
    values = numbers + arrays + nested + functions
    assert len({fingerprint.fingerprint(value) for value in values}) == len(values)


def test_which_function_stands_where_counts():
    code = "def f(x): return x\ndef g(x): return 2 * x\na, b, c = {}\ndef whole(x): return a(x) + b(x) + c(x)\n"
    assert len({of(code.format(names)) for names in ("f, g, f", "f, g, g", "f, f, g", "g, f, g", "g, g, g")}) == 5


def test_settings_of_numba_that_change_code_count(monkeypatch):
    before = surroundings()
    monkeypatch.setattr(config, "OPT", 0)
    assert surroundings() != before
    monkeypatch.undo()
    assert surroundings() == before
    monkeypatch.setattr("numba.__version__", "0.0")
    assert surroundings() != before


def functions_within(code):
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from functions_within(inner)


def test_names_are_read_from_bytecode_as_python_reads_them():
    many = "".join(f"    a = n{i} + b.n{i}\n" for i in range(300))
    class_within = "def g():\n    class C:\n        x = y\n    return [z for z in (lambda: w)()]\n"
    files = [compiling.__file__, fingerprint.__file__, lstm.__file__]
    sources = [f"def f():\n{many}", class_within, CODE, *(Path(file).read_text(encoding="utf-8") for file in files)]
    for code in (each for source in sources for each in functions_within(compile(source, "a_file.py", "exec"))):
        read = fingerprint._loaded(code, code.co_code[::2], code.co_code[1::2])
        looks_up = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
        assert list(read) == [each.argval for each in dis.get_instructions(code) if each.opname in looks_up]


ALL = """
import sys
from numba.core.dispatcher import Dispatcher
import scratchlv.bench.ceilings
from scratchlv import ops
from scratchlv.kernels.building_blocks import compiling
from scratchlv.kernels.building_blocks.fingerprint import fingerprint
for name in ops.OPERATIONS:
    getattr(ops, name).variant("numba_cpu")
import scratchlv.kernels.matmul.versions
found = {}
for module in [module for name, module in sys.modules.items() if name.startswith("scratchlv")]:
    for value in vars(module).values():
        if isinstance(value, Dispatcher | compiling.Callback):
            found[value.py_func.__module__, value.py_func.__qualname__] = value
for name, value in sorted(found.items()):
    print(*name, fingerprint(getattr(value, "py_func", value), value if isinstance(value, Dispatcher) else None))
print(compiling._MADE_BY)
"""


def all_of_them(root, seed):
    """Every kernel of the house, and its fingerprint."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", ALL], env=environment, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_every_kernel_of_the_house_has_one_that_only_its_code_changes(tmp_path):
    """In a copy of the house, elsewhere, without comments and docstrings, and with an edit that a few kernels have to do with."""
    for part in ("scratchlv", "kernels"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").write_text("")
    for file in tmp_path.glob("kernels/*/*.py"):
        file.write_text("#\n\n" + ast.unparse(without_docstrings(ast.parse(file.read_text("utf-8")))))
    fast_math = tmp_path / "kernels/building_blocks/fast_math.py"
    code = fast_math.read_text("utf-8")
    assert code.count("scale - _ONE") == 1, "expm1, which only attention_lstm's kernels use"
    fast_math.write_text(code.replace("scale - _ONE", "scale - _HALF"))
    here, there = all_of_them(ROOT, 1), all_of_them(tmp_path, 2)
    assert len(here) == len(there) > 80
    changed = {line.split()[0].split(".")[2] for line in set(here) ^ set(there)}
    assert changed == {"attention_lstm", "building_blocks"}


def without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
    return tree


def test_all_that_runs_while_a_kernel_is_compiled_is_in_its_fingerprint(monkeypatch, tmp_path):
    """Numba is watched: which of our functions it compiles, and which emit LLVM for it."""

    @compiling.kernel()
    def inner(x):
        return x + 1

    @compiling.kernel()
    def made_of_many(x, y):
        first, last = share(x, 1, 2)
        scale(x, np.float32(2), y, last - first, True)
        rows_kernel(x, 1, 2, y, x, y)
        return total_of_pairs(inner(x), 3) + exp(np.float32(y))

    house, not_code = f"{ROOT / 'kernels'}{os.sep}", [*map(inspect.getfile, (compiling, fingerprint, kernel_cache))]
    ran, reached, read = set(), set(), fingerprint._read

    def watch(frame, event, _):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(house) and file not in not_code:
            ran.add(frame.f_code)

    begin = compiling._Compiler._begin
    monkeypatch.setattr(compiling._Compiler, "_begin", lambda self, f: (ran.add(f.__code__), begin(self, f))[1])
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))  # nothing is kept there yet
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        made_of_many.compile((numba.int64, numba.int64))
    finally:
        sys.setprofile(before)
    assert {"inner", "loop", "emit", "segment"} <= {code.co_name for code in ran}
    monkeypatch.setattr(fingerprint, "_read", lambda code: (reached.update(functions_within(code)), read(code))[1])
    fingerprint.fingerprint(made_of_many)
    assert {code.co_qualname for code in ran - reached} == set()
