"""The rooms of ``kernels/`` are found in a checkout, in an editable install and in a wheel."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
IMPORT = (
    "import scratchlv.kernels.lstm.reference as r; from scratchlv.ops import lstm; assert lstm.room; print(r.__file__)"
)

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="the tests are not in a checkout")


def python(*arguments, cwd, path=None, executable=sys.executable):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run([executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: a build leaves folders behind."""
    import shutil

    source = tmp_path_factory.mktemp("source") / "scratchlv"
    kept = shutil.ignore_patterns(
        ".git", "__pycache__", "build", "*.egg-info", "runs", ".*_cache", ".venv", "venv", ".whl"
    )
    shutil.copytree(ROOT, source, ignore=kept)
    out = tmp_path_factory.mktemp("wheel")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source), cwd=out)
    return next(out.glob("*.whl"))


def rooms():
    return sorted(p.name for p in (ROOT / "kernels").iterdir() if (p / "__init__.py").is_file())


def test_every_room_is_listed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    listed = {
        p.removeprefix("scratchlv.kernels.") for p in setuptools["packages"] if p.startswith("scratchlv.kernels.")
    }
    assert listed == set(rooms())
    assert setuptools["package-dir"] == {f"scratchlv.kernels.{room}": f"kernels/{room}" for room in rooms()}
    packages = {str(p.parent.relative_to(ROOT)).replace("/", ".") for p in (ROOT / "scratchlv").rglob("__init__.py")}
    assert packages == {p for p in setuptools["packages"] if p.removeprefix("scratchlv.kernels.") not in listed}


def test_kernels_is_no_package_of_its_own():
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_a_bare_checkout(tmp_path):
    assert Path(python("-c", IMPORT, cwd=tmp_path, path=ROOT)) == ROOT / "kernels/lstm/reference.py"


def test_a_wheel_holds_every_room_with_its_readme(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in rooms():
        for file in (ROOT / "kernels" / room).iterdir():
            if file.suffix in (".py", ".md"):
                assert f"scratchlv/kernels/{room}/{file.name}" in names
    assert not any(name.startswith(("kernels/", "tests/")) for name in names)
    assert "scratchlv/py.typed" in names


def test_a_wheel_brings_its_plugin_to_pytest(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    test = "from scratchlv.ops import relu\n\ndef test_it(assert_gradients):\n    module = relu.variant('reference')\n"
    test += "    assert_gradients(module.forward, module.backward, {'x': __import__('numpy').ones((2, 3))})\n"
    (tmp_path / "test_it.py").write_text(test)
    said = python("-m", "pytest", "-p", "no:cacheprovider", "test_it.py", cwd=tmp_path, path=site)
    assert "1 passed" in said


@pytest.mark.slow
def test_a_wheel_works(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    assert Path(python("-c", IMPORT, cwd=tmp_path, path=site)).is_relative_to(site)


@pytest.mark.slow
def test_an_editable_install(tmp_path):
    """In a venv of its own that borrows this one's packages."""
    python("-m", "venv", "--without-pip", str(tmp_path / "venv"), cwd=tmp_path)
    executable = tmp_path / "venv/bin/python"
    if not executable.exists():
        pytest.skip("the layout of a venv differs on this system")
    site = python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path, executable=executable)
    here = python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    Path(site, "borrowed.pth").write_text(here + "\n", encoding="utf-8")
    install = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet", "--target"]
    target = tmp_path / "target"
    python(*install, str(target), "--editable", str(ROOT), cwd=tmp_path)
    shim = "import site, sys; site.addsitedir(sys.argv[1]);" + IMPORT
    assert (
        Path(python("-c", shim, str(target), cwd=tmp_path, executable=executable)) == ROOT / "kernels/lstm/reference.py"
    )


@pytest.mark.parametrize("module", ["numba", "cupy", "PIL", "numpy"])
def test_the_import_is_light(module, tmp_path):
    assert python("-c", f"import sys, scratchlv; print({module!r} in sys.modules)", cwd=tmp_path, path=ROOT) == "False"


def test_what_is_imported_late_is_there(tmp_path):
    code = "import scratchlv as s; s.set_threads(1)\nwith s.use('reference'): print(s.ops.__name__)"
    assert python("-c", code, cwd=tmp_path, path=ROOT) == "scratchlv.ops"
    assert python("-c", "from scratchlv import use, ops; print(ops.use is use)", cwd=tmp_path, path=ROOT) == "True"
