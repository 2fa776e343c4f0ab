import numpy as np

from scratchlv.gradcheck.naming.tracing import Tracer
from scratchlv.gradcheck.naming.wording import operand, operand_text, result, variable, where


def forward(inputs):
    x, w = inputs["x"], inputs["w"]
    scaled = x * w
    y = np.maximum(0, scaled) + np.tanh(x.dot(w))
    y += x
    return y, None


def test_operations_are_called_as_in_the_source():
    inputs = {"x": np.arange(3.0), "w": np.ones(3)}
    calls = {call.name: call for call in Tracer(forward, inputs, ["x", "w"]).calls}
    line = forward.__code__.co_firstlineno + 2
    assert where(calls["multiply"]) == f"`x * w` in line {line}"
    assert operand(calls["multiply"], 1) == f"`w`, of `x * w` in line {line}"
    assert operand(calls["multiply"], 1, shortly=True) == "`w`"
    assert result(calls["multiply"]) == "`scaled`" and variable(calls["tanh"]) == ""
    assert operand_text(calls["maximum"], 0) == "0" and operand_text(calls["dot"], 0) == "x"
    assert result(calls["tanh"]) == f"the result of `np.tanh(x.dot(w))` in line {line + 1}"


def test_without_a_source_the_operation_has_its_own_name():
    space = {"np": np}
    exec("def forward(inputs):\n    return inputs['x'] * 2, None", space)
    (call,) = Tracer(space["forward"], {"x": np.ones(2)}, ["x"]).calls
    assert where(call) == "the multiply in line 2" and operand(call, 0) == "the first operand of the multiply in line 2"
    assert operand_text(call, 0) == "" and variable(call) == ""
