"""What keeps a GPU from being used is told in one sentence, by doctor and by every command with --backend cuda."""

import re
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from scratchlv import device
from scratchlv.cli import main
from scratchlv.cuda import availability
from scratchlv.errors import UserError


def cupy_of(driver=13000, runtime=13000, count=1, capability="90", nvrtc=None, cublas=None, headers=None):
    """A CuPy that says these things; an exception is raised where a number was asked for."""

    def give(value):
        def probe():
            if isinstance(value, Exception):
                raise value
            return value

        return probe

    module = ModuleType("cupy")
    module.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            driverGetVersion=give(driver), runtimeGetVersion=give(runtime), getDeviceCount=give(count)
        ),
        Device=lambda: SimpleNamespace(id=0, compute_capability=capability),
        nvrtc=SimpleNamespace(getVersion=give(nvrtc)),
        get_cublas_handle=give(cublas),
    )
    module.RawModule = lambda code, options: SimpleNamespace(compile=give(headers if "#include <" in code else None))
    module.ndarray = type("ndarray", (), {})
    return module


@pytest.fixture
def machine(monkeypatch):
    """A machine on which these packages are installed, and CuPy says these things."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def of(packages=("cupy-cuda13x",), **says):
        monkeypatch.setattr(availability, "_cupy_packages", lambda: list(packages))
        monkeypatch.setitem(sys.modules, "cupy", cupy_of(**says))

    return of


NO_DRIVER = RuntimeError("cudaErrorInsufficientDriver")


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ({"packages": ()}, r"CuPy is not installed; pip install 'scratchlv\[cuda13\]'"),
        (
            {"packages": ("cupy-cuda12x", "cupy-cuda13x")},
            "cupy-cuda12x and cupy-cuda13x are both installed.*pip uninstall cupy-cuda12x cupy-cuda13x, then pip install",
        ),
        ({"driver": 0, "count": NO_DRIVER}, "there is no NVIDIA driver .*nvidia-smi"),
        (
            {"driver": 12080, "count": NO_DRIVER},
            r"knows CUDA up to 12.8, and cupy-cuda13x is built for CUDA 13.0; .*'scratchlv\[cuda12\]'",
        ),
        ({"count": 0}, "no GPU is found; see whether nvidia-smi lists one"),
        ({"count": RuntimeError("cudaErrorNoDevice")}, r"no GPU is found \(cudaErrorNoDevice\)"),
        ({"capability": "61"}, "GPU 0 has compute capability 6.1, and the kernels need 7.5 or later"),
        ({"nvrtc": ImportError("no libnvrtc\nlooked here\nand there")}, r"NVRTC does not load \(no libnvrtc\); pip"),
        ({"cublas": ImportError("no libcublas")}, r"cuBLAS does not load \(no libcublas\); pip"),
        (
            {"headers": RuntimeError("kern.cu(1): catastrophic error: cannot open source file\n1 error")},
            r"CUDA's headers are not found \(kern.cu\(1\): .*source file\); pip install .* or set CUDA_PATH",
        ),
    ],
)
def test_each_trouble_is_one_sentence(machine, says, sentence, capsys):
    machine(**says)
    problem = availability.what_is_wrong()
    assert problem is not None
    assert "\n" not in problem
    assert main(["evaluate", "run", "--backend", "cuda"]) == 2
    assert re.match(f"scratchlv: --backend cuda: .*{sentence}", capsys.readouterr().err)
    assert device.backend() == "cpu"


def test_a_variable_that_hides_all_gpus_is_named(machine, monkeypatch):
    machine(count=0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES='-1' hides every GPU; unset it" in availability.what_is_wrong()


def test_a_cupy_that_does_not_load_is_named(machine, monkeypatch):
    machine()
    monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy raises ImportError
    assert "CuPy is installed but does not load" in availability.what_is_wrong()


@pytest.mark.parametrize("capability", ["75", "90", "120"])
def test_where_all_is_well_nothing_is_wrong(machine, capability):
    machine(capability=capability)
    assert availability.what_is_wrong() is None


def test_a_driver_of_the_same_major_version_will_do(machine):
    machine(driver=13000, runtime=13020)
    assert availability.what_is_wrong() is None


def test_a_backend_that_is_none_is_refused():
    with pytest.raises(UserError, match="--backend tpu: give cpu or cuda"):
        device.use_backend("tpu")


def scratchlv(*arguments):
    return subprocess.run([sys.executable, "-m", "scratchlv", *arguments], capture_output=True, text=True)


@pytest.mark.skipif(availability.what_is_wrong() is None, reason="there is a GPU here")
@pytest.mark.parametrize("command", [("train", "caption", "--out", "nowhere"), ("demo", "--out", "nowhere")])
def test_a_command_says_it_and_ends_with_status_2(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = scratchlv(*command, "--backend", "cuda")
    assert done.returncode == 2
    assert done.stderr == f"scratchlv: --backend cuda: {availability.what_is_wrong()}\n"
    assert not list(tmp_path.iterdir())
    assert availability.what_is_wrong() in scratchlv("doctor").stdout


def test_a_memory_that_is_full_is_one_sentence(monkeypatch, tmp_path, capsys):
    """CuPy's error is a MemoryError, too; it says how much was asked for."""
    from scratchlv.tasks import training

    def too_much(*arguments, **options):
        raise MemoryError("Out of memory allocating 1,073,741,824 bytes (allocated so far: 83,886,080 bytes).")

    monkeypatch.setattr(training, "train", too_much)
    assert main(["train", "lm", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("scratchlv: out of memory: Out of memory allocating 1,073,741,824 bytes")
    assert "lower --set batch=…" in said
    assert said.count("\n") == 1
