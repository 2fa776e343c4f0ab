"""Where arrays are, on a machine without a GPU; tests/cuda/test_models.py has one, or plays it."""

from typing import NamedTuple

import numpy as np
import pytest

from scratchlv import device
from scratchlv.errors import UserError


class Pair(NamedTuple):
    tokens: np.ndarray
    seed: int


def test_on_the_cpu_everything_stays_as_it_is():
    array, batch = np.zeros(3), Pair(np.zeros(2), 5)
    assert not device.on_gpu(array)
    assert device.place(batch, array) is batch
    assert device.to_host(array) is array
    there = device.to_host((batch, None))
    assert isinstance(there[0], Pair)
    assert there[0].tokens is batch.tokens


def test_a_backend_that_there_is_not_is_refused_and_changes_nothing():
    before = device.backend()
    with pytest.raises(UserError, match="--backend tpu: give cpu or cuda"):
        device.use_backend("tpu")
    assert device.backend() == before
