"""Which variant runs, and why."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchlv
from scratchlv import ops

RNG = np.random.default_rng(0)
X64, W64 = RNG.standard_normal((3, 5)), RNG.standard_normal((5, 4))
X32, W32 = X64.astype(np.float32), W64.astype(np.float32)


def test_the_arrays_decide():
    assert ops.linear.choose(X32, W32)[0] == "numba_cpu"
    assert ops.linear.choose(X64, W64)[0] == "reference"
    assert type(ops.linear.forward(X32, W32)[1]).__module__ == "scratchlv.kernels.linear.numba_cpu"
    assert type(ops.linear.forward(X64, W64)[1]).__module__ == "scratchlv.kernels.linear.reference"


def test_it_says_which_and_why():
    assert "numba_cpu" in ops.linear.explain(X32, W32)
    said = ops.linear.explain(X64, W64)
    assert "reference" in said
    assert "not numba_cpu" in said
    assert "float64" in said


def test_use_overrides_inside_its_block_only():
    with scratchlv.use("reference"):
        assert ops.linear.choose(X32, W32)[0] == "reference"
        with scratchlv.use(None):
            assert ops.linear.choose(X32, W32)[0] == "numba_cpu"
        assert ops.linear.choose(X32, W32)[0] == "reference"  # the outer block goes on
    assert ops.linear.choose(X32, W32)[0] == "numba_cpu"


def test_a_forced_variant_never_falls_back_silently():
    with scratchlv.use("numba_cpu"), pytest.raises(ValueError, match="linear.*numba_cpu.*float64"):
        ops.linear.forward(X64, W64)
    with pytest.raises(ValueError, match="no variant 'abacus'.*numba_cpu"), scratchlv.use("abacus"):
        pass


def test_backward_runs_where_forward_ran():
    y, cache = ops.linear.forward(X32, W32)
    with scratchlv.use("reference"):
        dx, _, _ = ops.linear.backward(y, cache)
    assert dx.tobytes() == ops.linear.variant("numba_cpu").backward(y, cache)[0].tobytes()


@pytest.mark.parametrize(("operation", "shape"), [(ops.linear, (5, 4)), (ops.conv2d, (3, 3, 16, 32))])
def test_a_packed_weight_stands_for_its_array(operation, shape):
    x, W = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 8, 8, shape[-2]), shape))
    packed = ops.pack(W)
    assert packed is not W
    np.testing.assert_array_equal(operation.forward(x, packed, train=False)[0], operation.forward(x, W)[0])
    assert ops.pack(W.astype(np.float64)).dtype == np.float64
    with scratchlv.use("reference"):
        assert ops.pack(W) is W


def test_without_compiling_the_references_run():
    """``NUMBA_DISABLE_JIT=1`` is how Numba itself is debugged."""
    code = "import numpy as np; from scratchlv.ops import relu; x = np.float32([-1, 2]); print(relu.explain(x)); "
    code += "y, cache = relu.forward(x); print(y, *relu.backward(y, cache))"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    why, values = done.stdout.splitlines()
    assert why.startswith("relu runs in reference (not numba_cpu: NUMBA_DISABLE_JIT is set: ")
    assert values == "[0. 2.] [0. 2.]"


def test_names_that_are_none():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ops.nonsense
    with pytest.raises(ValueError, match="no variant 'nonsense'.*reference"):
        ops.linear.variant("nonsense")


@pytest.mark.parametrize("name", ops.OPERATIONS)
def test_every_room_is_complete(name):
    operation = getattr(ops, name)
    assert operation.room.__doc__
    assert operation.room.VARIANTS[0] == "reference"
    for variant in operation.room.VARIANTS:
        module = operation.variant(variant)
        if hasattr(operation.variant("reference"), "UPDATED"):  # an optimiser, or a part of one
            assert hasattr(module, "step")
        else:
            assert hasattr(module, "forward")
            assert hasattr(module, "backward")
