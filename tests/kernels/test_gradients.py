"""What ``backward`` returns: the gradient of every input in the order of ``forward``'s inputs, by name where there are many."""

import inspect

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import why_not

ROOMS = [name for name in ops.OPERATIONS if hasattr(getattr(ops, name).variant("reference"), "forward")]
VARIANTS = [(name, variant) for name in ROOMS for variant in getattr(ops, name).room.VARIANTS]


def gradients(name, variant):
    """Of the room's first case in float32, and the names that they ought to have."""
    if variant == "cuda" and why_not() is not None:
        pytest.skip(why_not())
    operation, rng = getattr(ops, name), np.random.default_rng(0)
    inputs = next(iter(operation.room.cases(rng).values()))
    inputs = {
        k: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == float else v for k, v in inputs.items()
    }
    module = operation.variant(variant)
    y, cache = module.forward(**inputs)
    grads = module.backward(y, cache)
    parameters = inspect.signature(operation.variant("reference").forward).parameters.values()
    named = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    return inputs, grads, [key for key in named if np.asarray(inputs.get(key)).dtype == np.float32]


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_three_gradients_or_more_have_the_names_of_the_inputs(name, variant):
    inputs, grads, named = gradients(name, variant)
    given = [grad for grad in grads if grad is not None]  # an input that is left out has none
    assert [grad.shape for grad in given] == [inputs[key].shape for key in named]
    if len(named) < 3:
        assert type(grads) is tuple
    else:
        assert type(grads) is getattr(ops, name).variant("reference").Gradients
        fields = [field for field, grad in zip(grads._fields, grads, strict=True) if grad is not None]
        assert fields == [f"d{key}" for key in named]
