"""PyTorch's and JAX's functions as pairs of ours; where they are not installed, it is said."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import check, wrap

from .operations import normal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: python -m pip install torch==2.13.0")


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed: python -m pip install jax")


def names(report):
    return [gradient.name for gradient in report.gradients]


@pytest.mark.parametrize(
    ("name", "make"), [("torch", lambda: wrap.from_torch(abs, {})), ("jax", lambda: wrap.from_jax(abs))]
)
def test_without_them_it_is_said_how_to_get_them(monkeypatch, name, make):
    def missing(module):
        raise ImportError(module)

    monkeypatch.setattr(wrap.importlib, "import_module", missing)
    with pytest.raises(UserError, match=f"from_{name} needs {name}, which is not installed: pip install {name}"):
        make()


def test_importing_it_imports_neither():
    code = "import sys, scratchlv.gradcheck.wrap; print({'torch', 'jax'} & set(sys.modules))"
    path = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=path)
    assert done.stdout == "set()\n", done.stderr


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def test_a_module_has_its_weights_among_the_inputs(torch):
    module = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    forward, backward, inputs = wrap.from_torch(module, {"input": normal(3, 5).astype(np.float32)})
    assert [*inputs] == ["input", "0_weight", "0_bias", "2_weight", "2_bias"]
    assert {value.dtype for value in inputs.values()} == {np.dtype(np.float64)}
    report = check(forward, backward, inputs)
    assert report.ok, report
    assert names(report) == [f"d{name}" for name in inputs]
    assert all(
        torch.equal(value, before[name]) and value.dtype == torch.float32 for name, value in module.state_dict().items()
    )


def test_several_outputs_and_inputs_in_order(torch):
    cell = torch.nn.LSTMCell(5, 2)
    forward, backward, inputs = wrap.from_torch(cell, [torch.randn(3, 5)])
    assert [*inputs][0] == "input"
    report = check(forward, backward, inputs)
    assert report.ok, report
    (h, c), _ = forward(**inputs)
    assert h.shape == c.shape == (3, 2) and h.dtype == np.float64


def test_integers_stay_and_buffers_are_not_changed(torch):
    norm = torch.nn.BatchNorm1d(5)
    report = check(*wrap.from_torch(norm, {"input": normal(7, 5)}))
    assert report.ok, report
    assert norm.num_batches_tracked == 0
    embedding = torch.nn.Embedding(6, 2)
    report = check(*wrap.from_torch(embedding, {"input": np.array([[0, 3, 3], [1, 5, 0]])}))
    assert report.ok and names(report) == ["dweight"]


def test_functions_by_name_and_by_order(torch):
    labels = np.array([0, 2, 1])
    report = check(*wrap.from_torch(torch.nn.functional.cross_entropy, {"input": normal(3, 4), "target": labels}))
    assert report.ok and names(report) == ["dinput"]
    report = check(*wrap.from_torch(torch.mul, [normal(3), normal(2, 3)]))
    assert report.ok and names(report) == ["dx0", "dx1"]


def test_a_wrong_backward_of_an_autograd_function_is_found(torch):
    class Cube(torch.autograd.Function):
        factor = 3

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return Cube.factor * x**2 * dy

    assert check(*wrap.from_torch(Cube.apply, {"x": normal(2, 3)})).ok
    Cube.factor = 2
    report = check(*wrap.from_torch(Cube.apply, {"x": normal(2, 3)}))
    assert report.verdict == "WRONG" and "dx is 0.6667 times what it should be" in str(report)


def test_an_input_that_is_not_used_has_a_gradient_of_zero(torch):
    forward, backward, inputs = wrap.from_torch(lambda x, z: 2 * x, {"x": normal(3), "z": normal(2)})
    y, cache = forward(**inputs)
    assert not backward(np.ones(3), cache)["z"].any()


def test_randomness_is_found(torch):
    report = check(*wrap.from_torch(torch.nn.Dropout(0.5), {"input": normal(20)}))
    assert "randomness is not frozen" in str(report)


def test_names_that_clash(torch):
    class Clash(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.x = torch.nn.Parameter(torch.ones(2))

        def forward(self, x):
            return self.x * x

    with pytest.raises(UserError, match="x would be the name of two inputs"):
        wrap.from_torch(Clash(), {"x": normal(2)})


# --- JAX -------------------------------------------------------------------------------------------------------------


def test_a_function_of_jax(jax):
    def f(x, W, *, scale=1.0):
        return {"y": jax.numpy.tanh(x @ W), "norm": scale * (W**2).sum()}

    report = check(*wrap.from_jax(f), {"x": normal(3, 5), "W": normal(5, 2)})
    assert report.ok, report
    assert names(report) == ["dx", "dW"]
    assert not jax.config.jax_enable_x64 and jax.numpy.ones(2).dtype == np.float32


def test_integers_and_positional_only_parameters(jax):
    def f(x, /, rows):
        return x[rows]

    assert check(*wrap.from_jax(f), {"x": normal(5, 2), "rows": np.array([0, 3, 3])}).ok
    assert check(*wrap.from_jax(jax.numpy.tanh), {"x": normal(3)}).ok


def test_a_wrong_custom_vjp_is_found(jax):
    def pair(factor):
        @jax.custom_vjp
        def cube(x):
            return x**3

        cube.defvjp(lambda x: (x**3, x), lambda x, dy: (factor * x**2 * dy,))
        return wrap.from_jax(cube)

    assert check(*pair(3), {"x": normal(4)}).ok
    assert check(*pair(2), {"x": normal(4)}).verdict == "WRONG"
