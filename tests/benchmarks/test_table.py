"""``benchmarks/table.py``: every case has its sides, and cases know nothing of baselines."""

import ast
from types import SimpleNamespace

import pytest

from .conftest import BENCHMARKS


@pytest.fixture
def table(benchmarks):
    return benchmarks("table")


def test_the_sides_of_each_case(table, benchmarks):
    case = benchmarks("case")
    cases = table.all_cases()
    for name in ("lstm-lm", "lstm-lm-200", "rnn-lm", "stacked-attention", "small-conv", "demo-step", "adam"):
        assert cases[name].name == name
    for each in cases.values():
        kinds = [side.kind for side in each.sides]
        assert kinds.count(case.OURS) == kinds.count(case.NUMPY) == 1
        assert case.TORCH in kinds
        assert len({side.name for side in each.sides}) == len(kinds)  # the worker finds its side by its name


def test_no_case_is_left_out(table):
    written = [case.name for module in table.MODULES for case in module.CASES]
    assert sorted(written) == sorted(table.BASELINES)
    assert {module.__name__ for module in table.MODULES} == {f"cases.{name}" for name in modules("cases")}


def test_every_baseline_that_is_named_is_there(monkeypatch, table):
    """By their text: they import PyTorch."""
    named = []
    monkeypatch.setattr(table, "importlib", SimpleNamespace(import_module=lambda module: Recorder(module, named)))
    for case in table.all_cases().values():
        for side in case.baselines:
            side.build()
    functions = {
        f"baselines.{name}": functions_of(BENCHMARKS / "baselines" / f"{name}.py") for name in modules("baselines")
    }
    assert named
    for module, function, given in named:
        most, least = functions[module][function]
        assert least <= given <= most


class Recorder:
    """A module that notes which of its functions is called, and with how many arguments."""

    def __init__(self, module, named):
        self.module, self.named = module, named

    def __getattr__(self, function):
        return lambda *arguments: self.named.append((self.module, function, len(arguments)))


def functions_of(path):
    """The most and the fewest arguments of each function of a file."""
    found = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    return {f.name: (len(f.args.args), len(f.args.args) - len(f.args.defaults)) for f in found}


def modules(package):
    return {path.stem for path in (BENCHMARKS / package).glob("*.py") if path.stem != "__init__"}


def imported(path):
    """The modules that a file names, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_cases_know_nothing_of_baselines():
    paths = [BENCHMARKS / "case.py", *(BENCHMARKS / "cases").glob("*.py")]
    above = {"baselines", "table", "cpu", "gpu", "gpu_parts", "worker", "torch"}
    assert len(paths) > 5
    assert {path.name: above & set(imported(path)) for path in paths} == {path.name: set() for path in paths}


def test_baselines_know_nothing_of_the_table():
    above = {"table", "cpu", "gpu", "gpu_parts", "worker"}
    for path in (BENCHMARKS / "baselines").glob("*.py"):
        assert not above & set(imported(path)), path.name
