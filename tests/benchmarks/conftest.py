"""What the tests of ``benchmarks/`` share: its modules, which stand in no package."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
OWN = {path.stem for path in BENCHMARKS.iterdir() if path.suffix == ".py" or path.is_dir()}


@pytest.fixture
def benchmarks(monkeypatch):
    """``benchmarks(name)`` imports a module afresh; none of them stays."""

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
            del sys.modules[name]

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    forget()
    yield importlib.import_module
    forget()
