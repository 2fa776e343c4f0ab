"""What a second process compiles while the first goes on."""

import subprocess
import sys

import pytest

RUNS = """
import contextlib, io
from scratchlv.kernels.building_blocks.compiling import rehearsal
from scratchlv.gradcheck import command
from scratchlv.tasks.warmup import rehearse

names = {names}
with rehearsal() as called:
    command.run(names, "numba_cpu", False, io.StringIO())
name = lambda call: (call[0].py_func.__module__, call[0].py_func.__qualname__, call[1])
rehearsed = rehearse("gradcheck", *names)
assert rehearsed
print(*(name(call) for call in called if call not in rehearsed), sep="\\n", end="")
"""


@pytest.mark.slow
def test_a_rehearsal_of_gradcheck_finds_all_kernels_that_it_calls():
    names = ["linear", "embedding", "lstm", "softmax_cross_entropy", "conv2d", "batch_norm2d", "relu", "adam"]
    said = subprocess.run([sys.executable, "-c", RUNS.format(names=names)], capture_output=True, text=True, check=True)
    assert said.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["caption", "vqa"])
def test_a_rehearsal_of_a_model_gets_to_the_end(task):
    """Zeros, which is all that is computed, stop neither training nor use.

    In a process of its own: kernels that this one has compiled or loaded would be run, on zeros and on what is undefined.
    """
    code = f"from scratchlv.tasks.warmup import rehearse; print(len(rehearse({task!r}, 'attention')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert int(done.stdout) > 10
