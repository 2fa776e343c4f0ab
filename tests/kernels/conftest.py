"""What the tests of all rooms share."""

import zlib

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def a_seed_of_its_own(request):
    """A test's ``rng`` begins anew: what it draws must not depend on which tests were run before it."""
    if isinstance(getattr(request.module, "rng", None), np.random.Generator):
        request.module.rng = np.random.default_rng(zlib.crc32(request.node.name.encode()))
