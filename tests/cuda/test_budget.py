"""Every CUDA C file compiles for every chip, under nvcc and NVRTC, within its budget of registers."""

import json
from pathlib import Path

import pytest

from scratchlv.cuda.launch import sources
from scratchlv.cuda.on_gpu import OPTIONS

from .budget import BUDGET, CHIPS, compile_file, measure, nvcc, read_report

needs_nvcc = pytest.mark.skipif(nvcc() is None, reason="there is no nvcc; pip install 'scratchlv[nvcc]' brings one")
WRITE = "if it must be so, python tests/cuda/budget.py --write says it"


@needs_nvcc
@pytest.mark.slow
def test_no_kernel_has_a_stack_or_spills_and_each_keeps_to_its_registers():
    budget = json.loads(BUDGET.read_text("utf-8"))
    problems, found = [], set()
    for file, kernels in measure().items():
        for kernel, figures in kernels.items():
            found.add(f"{file} {kernel}")
            allowed = budget.get(f"{file} {kernel}", {})
            if figures["stack"] or figures["spills"]:
                problems.append(f"{kernel} has {figures['stack']} bytes of stack and spills {figures['spills']}")
            for chip in (f"sm_{chip}" for chip in CHIPS):
                if figures[chip] > allowed.get(chip, 0):
                    problems.append(f"{kernel} uses {figures[chip]} registers on {chip}, not {allowed.get(chip, 0)}")
    assert not problems, WRITE
    assert found == budget.keys(), WRITE


@needs_nvcc
def test_a_kernel_that_spills_is_found(tmp_path):
    source = tmp_path / "spills.cu"
    source.write_text(  # 64 numbers wait at once, and a thread has 32 registers
        'extern "C" __global__ void __launch_bounds__(1024, 2) spills(float* x) {\n'
        "    float waiting[64];\n"
        "    for (int i = 0; i < 64; ++i) waiting[i] = x[threadIdx.x + 1024 * i];\n"
        "    __syncthreads();\n"
        "    for (int i = 0; i < 64; ++i) x[threadIdx.x + 1024 * i] = waiting[63 - i];\n}\n"
    )
    report = compile_file(source, "90")["spills"]
    assert report["registers"] <= 32
    assert report["spills"] > 0


@needs_nvcc
def test_a_warning_is_an_error(tmp_path):
    source = tmp_path / "warns.cu"
    source.write_text('extern "C" __global__ void warns(float* x) { int never_used = 3; x[0] = 1; }\n')
    with pytest.raises(AssertionError, match="never_used"):
        compile_file(source, "90")


def test_the_report_is_read():
    text = """ptxas info    : Compiling entry function 'twice' for 'sm_90'
ptxas info    : Function properties for twice
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 23 registers, used 1 barriers, 256 bytes smem"""
    assert read_report(text) == {"twice": {"stack": 8, "spills": 16, "registers": 23, "shared": 256}}


@pytest.mark.slow
@pytest.mark.parametrize("source", sources(), ids=lambda path: path.name)
def test_it_compiles_under_nvrtc(source):
    """NVRTC is what CuPy compiles with, on the user's machine; it knows less of C++'s library than nvcc."""
    pytest.importorskip("cupy", reason="CuPy is not installed; pip install 'scratchlv[nvcc]' brings it")
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except (RuntimeError, ImportError) as error:
        pytest.skip(f"NVRTC does not load: {error}")
    program = nvrtc.createProgram(source.read_text("utf-8"), source.name, (), ())
    try:
        nvrtc.compileProgram(program, [*OPTIONS, *cupy_headers(), "--gpu-architecture=sm_90"])
    except nvrtc.NVRTCError as error:
        raise AssertionError(nvrtc.getProgramLog(program)) from error
    assert nvrtc.getCUBIN(program)


def cupy_headers():
    """The folders of headers that CuPy gives to NVRTC: its own, and CUDA's."""
    import cupy

    own = Path(cupy.__file__).parent / "_core/include/cupy/_cccl"
    toolkit = Path(nvcc() or "/usr/local/cuda/bin/nvcc").parents[1] / "include"
    return [f"-I{folder}" for folder in (own / "libcudacxx", own / "cub", own / "thrust", toolkit)]
