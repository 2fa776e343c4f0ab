"""How exactly products are computed."""

import pytest

from scratchlv.cuda.precision import PRECISIONS, precision, use_precision


def test_a_precision_holds_inside_its_block_also_when_that_fails():
    assert precision() == PRECISIONS[0] == "float32"
    with use_precision("tf32"):
        with use_precision("bf16"):
            assert precision() == "bf16"
        assert precision() == "tf32"
        with pytest.raises(RuntimeError), use_precision("bf16"):
            raise RuntimeError
        assert precision() == "tf32"
    assert precision() == "float32"


def test_one_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="float32, tf32, bf16, not 'fp8'"), use_precision("fp8"):
        pass
