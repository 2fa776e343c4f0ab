"""ONNX's node tests: every one that our operations can express is equal. Needs onnx, else skipped."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="ONNX's node tests are the peer here; onnx is not a dependency")

from . import onnx_nodes

#: As many are equal at least: an adapter that refuses everything would pass, too.
EQUAL = {"LSTM": 5, "GRU": 6, "RNN": 6, "Conv": 6, "MaxPool": 11, "AveragePool": 13, "GlobalAveragePool": 2}
EQUAL |= {"BatchNormalization": 4, "Softmax": 7, "LogSoftmax": 7, "Sigmoid": 2, "Tanh": 2, "Relu": 1}
EQUAL |= {"SoftmaxCrossEntropyLoss": 34, "Gemm": 10, "MatMul": 3, "Gather": 3, "Attention": 43}


@pytest.mark.parametrize("variant", ["reference", None], ids=["reference", "chosen by the arrays"])
@pytest.mark.parametrize("operator", onnx_nodes.ADAPTERS)
def test_what_can_be_expressed_is_equal(operator, variant):
    found = [onnx_nodes.compare(case, variant) for case in onnx_nodes.cases() if case.operator == operator]
    assert not [r for r in found if r.error is not None and not r.equal]
    assert all(r.why_not for r in found if r.error is None)
    assert sum(r.equal for r in found) >= EQUAL.get(operator, 0)


def test_a_wrong_value_is_not_equal():
    case = next(case for case in onnx_nodes.cases() if case.name == "test_tanh")
    assert onnx_nodes.compare(case).equal
    (name,) = case.outputs
    for wrong in (
        case.outputs[name] + np.float32(1e-3),
        case.outputs[name][:1],
        np.full_like(case.outputs[name], np.nan),
    ):
        assert not onnx_nodes.compare(case._replace(outputs={name: wrong})).equal
