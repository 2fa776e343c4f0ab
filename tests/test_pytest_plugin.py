"""The plugin, in a pytest of its own that finds it as an installed one: by its entry point."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import numpy as np
from scratchlv.gradcheck import check

X = {"x": np.arange(1.0, 4.0)}
SQUARE = lambda x: (x * x, x)
RIGHT = lambda dy, x: 2 * x * dy
WRONG = lambda dy, x: -2 * x * dy


def test_fixture(assert_gradients):
    assert assert_gradients(SQUARE, RIGHT, X).ok


def test_fixture_wrong(assert_gradients):
    assert_gradients(SQUARE, WRONG, X, subject="by the fixture")


def test_call():
    assert check(SQUARE, WRONG, X, subject="by a call")


def test_report():
    report = check(SQUARE, WRONG, X, subject="by its name")
    other = check(SQUARE, WRONG, X, subject="not asked")
    assert report


def test_ok():
    report = check(SQUARE, WRONG, X, subject="by ok")
    assert report.ok, "a message"


def test_verdict():
    assert check(SQUARE, WRONG, X, subject="by the verdict").verdict == "right"


def test_another():
    report = check(SQUARE, WRONG, X, subject="of no concern")
    assert not report
    assert 1 == 2
"""


@pytest.fixture
def run(tmp_path):
    """Runs pytest in a folder where scratchlv looks installed, whatever this environment has."""
    installed = tmp_path / "site" / "scratchlv-0.1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: scratchlv\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text("[pytest11]\nscratchlv = scratchlv.pytest_plugin\n")
    (tmp_path / "tests").mkdir()

    def pytest_of(text, *options):
        (tmp_path / "tests" / "test_it.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *options],
            cwd=tmp_path / "tests",
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)]), "COLUMNS": "150"},
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    return pytest_of


def failures(said):
    """By test, the lines of its failure that begin with E, without the E."""
    found = {}
    for line in said.splitlines():
        if line.startswith("____"):
            found[line.strip("_ ")] = current = []
        elif line.startswith("E"):
            current.append(line[1:].strip())
    return found


@pytest.mark.parametrize("options", [(), pytest.param(("--assert=plain",), marks=pytest.mark.slow)])
def test_failed_asserts_show_the_report(run, options):
    said = run(TESTS, *options)
    assert "6 failed, 1 passed" in said
    shown = failures(said)
    for test, subject in [("fixture_wrong", "the fixture"), ("report", "its name"), ("ok", "ok")]:
        lines = shown[f"test_{test}"]
        assert any(f"by {subject}: WRONG" in line for line in lines), test
        assert any(line.startswith("-> ") for line in lines), test
    if not options:  # plain asserts keep no values
        for test, subject in [("call", "a call"), ("verdict", "the verdict")]:
            assert any(f"by {subject}: WRONG" in line for line in shown[f"test_{test}"])
        assert "assert <Report: WRONG: dx>" in "\n".join(shown["test_call"])
    assert "a message" in shown["test_ok"][0]
    assert "not asked" not in "\n".join(shown["test_report"])
    assert "of no concern" not in "\n".join(shown["test_another"])
    assert "assertions.py" not in said  # the line of the test is shown, not ours


def test_nothing_heavy_is_imported_before_it_is_asked_for(run):
    heavy = ("numpy", "numba", "rich", "scratchlv.gradcheck")
    text = "import sys\ndef test():\n    assert 'scratchlv.pytest_plugin' in sys.modules\n"
    said = run(text + f"    assert not [name for name in {heavy} if name in sys.modules]\n")
    assert "1 passed" in said, said
