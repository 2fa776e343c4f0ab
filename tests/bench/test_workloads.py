"""Workloads: every room has one, and its costs are those of its arrays."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.bench import rows, workloads

ROOMS = [name for name in ops.OPERATIONS if name in workloads.ROOMS]


def test_every_operation_has_a_workload():
    assert set(ops.OPERATIONS) <= set(workloads.ROOMS)


def arrays(value):
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays(item)]
    return [np.asarray(value)] if np.ndim(value) else []


OTHERS = [(name, other) for name in ROOMS for other in range(len(workloads.ROOMS[name].others))]


@pytest.mark.parametrize(("name", "other"), [(name, None) for name in ROOMS] + OTHERS)
def test_bytes_are_those_of_inputs_and_outputs(name, other):
    """Counted on the arrays themselves; biases, first states and the places of a maximum may be left out."""
    room, operation = workloads.ROOMS[name], getattr(ops, name)
    rng = np.random.default_rng(0)
    workload = room.make(rng, room.sizes[0]) if other is None else room.others[other](rng)
    inputs = arrays(tuple(workload.inputs.values()))
    assert all(value.dtype == np.float32 for value in inputs if value.dtype.kind == "f")
    if "step" in workload.costs:
        updated = [value for key, value in workload.inputs.items() if key in ("params", "m", "v")]  # read and written
        counted = sum(array.nbytes for array in [*inputs, *updated])
        assert workload.costs["step"].bytes == counted
        return
    y, cache = operation.variant("reference").forward(**workload.inputs)
    counted = sum(array.nbytes for array in [*inputs, *arrays(y)])
    if name == "embedding":  # of the table only the rows that are looked up
        counted += y.nbytes - workload.inputs["W"].nbytes
    if "forward" in workload.costs:
        assert workload.costs["forward"].bytes == pytest.approx(counted, rel=0.08)
        grads = operation.variant("reference").backward(rows._output_gradient(y), cache)
        least = sum(array.nbytes for array in arrays([g for g in grads if g is not None]))
        assert workload.costs["backward"].bytes > 0.99 * least


@pytest.mark.parametrize(
    ("name", "multiply_adds"), [("matmul", 64**3), ("linear", 640 * 512 * 64), ("conv2d", 8 * 56 * 56 * 9 * 16 * 16)]
)
def test_operations_are_twice_the_multiply_adds_and_twice_that_again_backward(name, multiply_adds):
    room = workloads.ROOMS[name]
    costs = room.make(np.random.default_rng(0), room.sizes[0]).costs
    assert costs["forward"].operations == pytest.approx(2 * multiply_adds, rel=0.01)
    assert costs["backward"].operations == pytest.approx(4 * multiply_adds, rel=0.01)
