"""The sources of versions, one command away."""

import pytest

from scratchlv import ops
from scratchlv.bench.show import source
from scratchlv.errors import UserError


@pytest.mark.parametrize(
    ("number", "names"),
    [("1", ["def three_loops", "def _three_loops", "def _into"]), ("4", ["def register_tiles", "def _register_tiles"])],
)
def test_a_version_of_the_cpu_and_what_it_calls(number, names):
    text = source("matmul", number)
    assert all(text.count(f"{name}(") == 1 for name in names)
    assert "versions.py, line " in text
    assert "def blocks(" not in text


def test_a_version_of_the_gpu_is_its_kernels():
    text = source("softmax_cross_entropy", "2", "cuda")
    assert "cross_entropy_2(" in text and "cross_entropy_1(" not in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("name", ops.OPERATIONS)
def test_every_variant_has_a_source(name):
    for variant in getattr(ops, name).room.VARIANTS:
        assert f"{name}/" in source(name, variant).splitlines()[0]


@pytest.mark.parametrize(
    ("which", "said"), [("9", "has no such version"), ("fast", "has the variants"), ("-1", "has the variants")]
)
def test_what_is_not_there_is_told_with_what_is(which, said):
    with pytest.raises(UserError, match=said):
        source("matmul", which)
