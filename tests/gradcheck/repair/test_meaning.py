"""Which cause a mend speaks for: it is read in the sentence of a whole check."""

import importlib.util

import numpy as np
import pytest

from scratchlv.gradcheck import check

from ...slow import one_of

LAYER = """
import numpy as np

def forward(x, W, U, s):
    h = np.tanh(x @ W)
    g = 1 / (1 + np.exp(-(x @ U)))
    q = h @ g.T
    y = q @ (h * g) * s
    return y, (x, W, U, s, h, g, q)

def backward(dy, cache):
    x, W, U, s, h, g, q = cache
    dout = dy * s
    ds = (dy * (q @ (h * g))).sum(0)
    dq = dout @ (h * g).T
    dhg = q.T @ dout
    dh = dhg * g
    dg = dhg * h
    dh = dh + dq @ g
    dg = dg + dq.T @ h
    da = dh * (1 - h**2)
    db = dg * g * (1 - g)
    return da @ W.T + db @ U.T, x.T @ da, x.T @ db, ds
"""


def first_sentence(tmp_path, old, new):
    assert LAYER.count(old) == 1
    path = tmp_path / "layer.py"
    path.write_text(LAYER.replace(old, new))
    spec = importlib.util.spec_from_file_location("layer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    g = np.random.default_rng(0).standard_normal
    inputs = {"x": g((4, 3)), "W": g((3, 5)), "U": g((3, 5)), "s": g(5)}
    return check(module.forward, module.backward, inputs).diagnosis[0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    one_of(
        2,
        [
            ("dq.T @ h", "dq @ h", "a matrix used for its transpose: dq for dq.T"),
            ("dh = dhg * g", "dh = dhg * h", "a product with the wrong array"),
            ("(1 - g)", "(1 - h)", "a wrong local derivative of σ"),
            (".sum(0)", "[-1]", "a missing sum over the batch"),
            ("dg = dhg * h", "dg = dhg * dhg", "a wrong variable: dhg used for h"),
        ],
    ),
)
def test_a_mend_speaks_for_its_cause(tmp_path, old, new, words):
    assert words in first_sentence(tmp_path, old, new)


def test_no_derivative_is_named_of_a_function_that_is_not_there(tmp_path):
    sentence = first_sentence(tmp_path, "ds = (dy *", "ds = (dy * (1 - s**2) *")
    assert "tanh" not in sentence and "σ" not in sentence


def test_a_gate_by_the_name_of_a_gradient_is_none(tmp_path):
    """``g`` is what some call the output gradient; here it is a gate."""
    sentence = first_sentence(tmp_path, "dh = dhg * g", "dh = dhg + 0 * g")
    assert "upstream" not in sentence
