"""Files with kernels of somebody's own."""

import pytest

from scratchlv.bench.own.judging import judge
from scratchlv.bench.own.loading import entered
from scratchlv.cuda import emulator, load
from scratchlv.cuda.sources import sources
from scratchlv.errors import UserError

from .examples import RIGHT

needs_compiler = pytest.mark.skipif(emulator.why_not() is not None, reason=f"{emulator.why_not()}")


def refused(path, operation="tanh", number=None):
    with pytest.raises(UserError) as told, entered(path, operation, number):
        pass
    return str(told.value)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("mine.py", None, "there is no such file"),
        ("mine.cu", None, "there is no such file"),
        ("mine.txt", "", "give a Python file (.py) or one of CUDA C (.cu)"),
        ("mine.py", "def forward(:", "is no valid Python"),
        ("mine.py", "import nothing_of_that_name", "cannot be imported"),
        ("mine.py", "raise SystemExit(0)", "ends the program"),
        ("mine.py", "forward = 3", "has no function forward"),
    ],
)
def test_what_is_no_kernel_is_said_in_a_sentence(name, source, said, tmp_path):
    path = tmp_path / name
    if source is not None:
        path.write_text(source, "utf-8")
    told = refused(path)
    assert said in told and "\n" not in told


def test_what_it_prints_is_kept_apart(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(
        "print('hello')\n" + RIGHT.replace("y = np.tanh(x)", "print('x is', x.shape); y = np.tanh(x)"), "utf-8"
    )
    with entered(path, "tanh") as own:
        assert not any(verdict.wrong for verdict in judge(own))
        assert own.printed() == "hello"
    assert capsys.readouterr().out == ""


def test_a_version_is_of_cuda_c(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(RIGHT, "utf-8")
    assert "--version 1 is of CUDA C files" in refused(path, number=1)


# --- CUDA C ----------------------------------------------------------------------------------------------------------


def own_tanh(tmp_path, old="", new=""):
    """The room's kernels as somebody's file, with a change."""
    (source,) = [path for path in sources() if path.name == "tanh.cu"]
    text = source.read_text("utf-8")
    assert old in text
    path = tmp_path / "mine.cu"
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


@needs_compiler
def test_cuda_c_takes_the_place_of_the_rooms_own_file(tmp_path):
    with entered(own_tanh(tmp_path), "tanh") as own:
        assert not any(verdict.wrong for verdict in judge(own))
    assert load("tanh.cu").path.parent.name == "tanh"  # and afterwards the room has its own again


@needs_compiler
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tanh_forward", "my_forward", "mine.cu has no kernel 'tanh_forward"),
        ("{", "{ nonsense;", "error: "),
    ],
)
def test_cuda_c_that_does_not_fit_is_refused(old, new, said, tmp_path):
    with entered(own_tanh(tmp_path, old, new), "tanh") as own:
        wrong = next(verdict.wrong for verdict in judge(own) if verdict.wrong)
    assert said in wrong


def test_without_a_compiler_it_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(emulator, "_compiler", lambda: None)
    assert "there is no g++" in refused(own_tanh(tmp_path))


def test_a_compiler_that_is_named_and_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(tmp_path / "gone"))
    monkeypatch.setattr(emulator, "_compiler", emulator._compiler.__wrapped__)  # what it found before does not count
    assert f"CXX={tmp_path / 'gone'} is no program" in refused(own_tanh(tmp_path))
