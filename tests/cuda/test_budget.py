"""Every CUDA C file compiles for every chip, under nvcc and NVRTC, within its budget of registers."""

import pytest

from scratchlv.cuda.launch import sources

from .budget import (
    CHIPS,
    compile_as_cupy,
    compile_strictly,
    measure,
    nvcc,
    problems,
    read_budget,
    read_report,
    why_not_nvrtc,
)

needs_nvrtc = pytest.mark.skipif(why_not_nvrtc() is not None, reason=str(why_not_nvrtc()))
needs_nvcc = pytest.mark.skipif(nvcc() is None, reason="there is no nvcc; pip install 'scratchlv[nvcc]' brings one")
WRITE = "if it must be so, python tests/cuda/budget.py --write says it"


@needs_nvrtc
@pytest.mark.slow
def test_no_kernel_has_a_stack_or_spills_and_each_keeps_to_its_budget():
    budget, measured = read_budget(), measure()
    over, found = problems(measured), set()
    for file, kernels in measured.items():
        for kernel, figures in kernels.items():
            found.add(f"{file} {kernel}")
            allowed = budget.get(f"{file} {kernel}", {})
            if figures["shared"] != allowed.get("shared"):
                over.append(
                    f"{kernel} declares {figures['shared']} bytes of shared memory, not {allowed.get('shared')}"
                )
            for chip in (f"sm_{chip}" for chip in CHIPS):
                if figures[chip] > allowed.get(chip, 0):
                    over.append(f"{kernel} uses {figures[chip]} registers on {chip}, not {allowed.get(chip, 0)}")
    assert not over, WRITE
    assert found == budget.keys(), WRITE


@needs_nvrtc
def test_a_kernel_that_spills_is_found(tmp_path):
    source = tmp_path / "spills.cu"
    source.write_text(  # 64 numbers wait at once, and a thread has 32 registers
        'extern "C" __global__ void __launch_bounds__(1024, 2) spills(float* x) {\n'
        "    float waiting[64];\n"
        "    for (int i = 0; i < 64; ++i) waiting[i] = x[threadIdx.x + 1024 * i];\n"
        "    __syncthreads();\n"
        "    for (int i = 0; i < 64; ++i) x[threadIdx.x + 1024 * i] = waiting[63 - i];\n}\n"
    )
    report = compile_as_cupy(source, "90")["spills"]
    assert report["registers"] <= 32
    assert report["spills"] > 0
    assert problems({"spills.cu": {"spills": report}})


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("source", sources(), ids=lambda path: path.name)
def test_nvcc_has_nothing_to_say_of_it(source):
    compile_strictly(source, "90")


@needs_nvcc
def test_a_warning_is_an_error(tmp_path):
    source = tmp_path / "warns.cu"
    source.write_text('extern "C" __global__ void warns(float* x) { int never_used = 3; x[0] = 1; }\n')
    with pytest.raises(AssertionError, match="never_used"):
        compile_strictly(source, "90")


def test_the_report_is_read():
    text = """ptxas info    : Compiling entry function 'twice' for 'sm_90'
ptxas info    : Function properties for twice
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 23 registers, used 1 barriers, 256 bytes smem"""
    assert read_report(text) == {"twice": {"stack": 8, "spills": 16, "registers": 23, "shared": 256}}
