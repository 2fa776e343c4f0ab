"""A learner's CUDA C file: what launch.py gets back, and the sentence for whatever can go wrong."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.exercises import cuda_kernels
from scratchlv.exercises.cuda_kernels import KernelError

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
LAUNCH = """
def twice(kernels, x):
    y = kernels.empty(x.size)
    kernels.twice(-(-x.size // 8), 8, x, y, x.size, 2.0)
    return y


def superfluous(kernels, x):
    return kernels.superfluous(twice, x)


def _hidden(kernels):
    pass
"""
HEAD = '/* Twice. */\nextern "C" __global__ void twice(const float *x, float *y, int n, float by) {\n'
INDEX = "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("scratchlv.cuda.emulator._folders", lambda: [tmp_path])


@pytest.fixture
def load(tmp_path):
    """A kernel with this body, by its launcher's functions."""

    def load(body, head=HEAD):
        (tmp_path / "07_twice.cu").write_text(head + INDEX + body + "}\n", "utf-8")
        (tmp_path / "launch.py").write_text(LAUNCH, "utf-8")
        return cuda_kernels.load(tmp_path / "07_twice.cu", tmp_path / "launch.py")

    return load


def x(n=13):
    return np.arange(1, n + 1, dtype=np.float32)


def refused(load, body, n=13, head=HEAD):
    with pytest.raises(KernelError) as caught:
        load(body, head)["twice"](x(n))
    return caught.value


def test_a_right_kernel_gives_its_result(load):
    functions, given = load("    if (i < n) y[i] = by * x[i];\n"), x()
    assert set(functions) == {"twice", "superfluous"}
    np.testing.assert_array_equal(functions["twice"](given), 2 * x())
    np.testing.assert_array_equal(given, x())


@pytest.mark.parametrize("body", ["    if (i < n) y[i] = by * x[j];\n", "    y[i] = by * x[i]\n"])
def test_what_does_not_compile_is_told_with_the_learners_line(load, body):
    with pytest.raises(
        KernelError, match="line 4 does not compile: .*(j.*not declared|expected .;)|line 5 does not"
    ) as caught:
        load(body)
    assert caught.value.line in (4, 5)
    assert caught.value.stage == "compile"
    assert "\n" not in caught.value.sentence


@pytest.mark.parametrize(
    ("body", "line", "word"),
    [
        ('#include "solution.cu"\n', 4, "#include is not for an exercise"),
        ("#inc\\\nlude <fstream>\n", 4, "#include"),
        ("%:include <fstream>\n", 4, "#include"),
        ('    asm("nop");\n', 4, "asm cannot stand here"),
        ("    extern __shared__ float part[];\n", 4, "give a __shared__ array its size"),
    ],
)
def test_what_no_exercise_needs_is_refused(load, body, line, word):
    with pytest.raises(KernelError, match=word) as caught:
        load(body)
    assert caught.value.line == line


def test_words_in_comments_are_not_looked_at(load):
    load("    // #include <asm>\n    /* extern int */ if (i < n) y[i] = by * x[i];\n")


def test_a_kernel_that_is_not_there_is_named(load):
    error = refused(load, "    if (i < n) y[i] = by * x[i];\n", head=HEAD.replace("twice(", "thrice("))
    assert "there is no kernel twice in the file (it has thrice)" in error.sentence


def test_other_parameters_are_refused(load):
    error = refused(load, "    if (i < n) y[i] = by * x[i];\n", head=HEAD.replace("float *y", "double *y"))
    assert "y is an array of float32; the kernel reads double" in error.sentence


def test_writing_past_the_end_is_told_with_the_places(load):
    error = refused(load, "    y[i] = by * x[i];\n")
    assert "twice writes past the end of y: y[13] to y[15] (it has 13 numbers, the last is [12])" in error.sentence
    assert error.stage == "bounds"


def test_what_is_copied_from_past_one_end_to_past_another_is_seen(load):
    assert refused(load, "    y[i] = x[i];\n").stage == "bounds"
    assert refused(load, "    if (i < n) y[i] = x[i]; else y[i] = y[i] * 2.0f;\n").stage == "bounds"


def test_writing_before_the_beginning_is_told(load):
    error = refused(load, "    if (i < n) y[i] = by * x[i];\n    if (i == 0) y[-2] = 1.0f;\n")
    assert "twice writes before the beginning of y: y[-2]" in error.sentence


def test_what_is_read_past_the_end_is_nan(load):
    y = load("    if (i < n) y[i] = by * x[i + 1];\n")["twice"](x())
    np.testing.assert_array_equal(y, [*(2 * x()[1:]), np.nan])


def test_what_no_thread_writes_is_told(load):
    assert "no number of y was given a value" in refused(load, "").sentence
    assert "y[12] was never given a value" in refused(load, "    if (i < n - 1) y[i] = by * x[i];\n").sentence
    assert "y[0] to y[3] were never given" in refused(load, "    if (i > 3 && i < n) y[i] = by * x[i];\n").sentence


def test_a_result_that_depends_on_the_order_shows_what_each_order_gives(load):
    body = "    if (i < n) y[i] = by * x[i];\n    if (i < n) y[0] = i;\n"
    error = refused(load, body)
    assert error.stage == "order"
    assert "y[0] is 12 forward, 0 in reverse" in error.sentence


def test_a_barrier_that_some_do_not_reach_is_told_with_its_line(load):
    error = refused(load, "    if (i < n) { y[i] = by * x[i]; }\n    if (threadIdx.x < 3) __syncthreads();\n")
    assert "deadlock" in error.sentence and "in line 5" in error.sentence
    assert "all threads of a block must come to each barrier" in error.sentence
    assert error.line == 5


def test_a_barrier_that_could_be_left_out_is_found(load):
    needed = (
        "    __shared__ float part[8];\n    int t = threadIdx.x;\n    part[t] = i < n ? x[i] : 0.0f;\n    __syncthreads();\n"
        "    if (i < n) y[i] = by * part[7 - t] * 0.0f + by * part[t];\n"
    )
    functions = load(needed)
    np.testing.assert_array_equal(functions["twice"](x(16)), 2 * x(16))
    assert functions["superfluous"](x(16)) == []
    functions = load(needed + "    __syncthreads();\n")
    assert functions["superfluous"](x(16)) == [9]


def test_without_a_compiler_one_is_told(load, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("scratchlv.cuda.emulator._compiler", lambda: None)
    with pytest.raises(KernelError, match=r"there is no g\+\+"):
        load("    if (i < n) y[i] = by * x[i];\n")
