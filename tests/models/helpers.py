"""What the tests of models share: exact parameters, the check of a whole model, batches of sentences."""

import copy

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import check_model
from scratchlv.tokens import END, START


def in_float64(model, scale=1):
    """The model with its parameters in float64, and so many times as large."""
    model.params = {name: scale * value.astype(np.float64) for name, value in model.params.items()}
    model.buffers = {name: value.astype(np.float64) for name, value in getattr(model, "buffers", {}).items()}
    return model


def sentences(rng, vocabulary, lengths):
    """Tokens (T + 1, N) from <start> to <end>; of sentence n ``lengths[n]`` predictions count, behind them is padding."""
    tokens = np.zeros((max(lengths) + 1, len(lengths)), int)
    tokens[0] = START
    for n, length in enumerate(lengths):
        tokens[1:length, n] = rng.integers(4, vocabulary, length - 1)
        tokens[length, n] = END
    return tokens


def check_gradients(model, batch, before=lambda: None, spoil=dict, **options):
    """The report on every gradient of the whole model, against numerical slopes.

    ``before`` is called before each forward pass, and ``spoil`` is given the gradients.
    """

    def forward(params):
        model.params = params
        before()
        return model.forward(batch)

    def loss_and_grads(params):
        loss, cache = forward(params)
        return loss, spoil(model.backward(cache))

    with scratchlv.use("reference"):
        return check_model(model.params, loss_and_grads, loss=lambda params: forward(params)[0], seed=1, **options)


def wrong(report):
    return {gradient.name for gradient in report.gradients if not gradient.ok}


def check_kernels(make, batch):
    """The kernels' loss and gradients in float32 against the reference's in float64; ``make`` makes the model."""
    exact, fast = in_float64(make()), make()
    with scratchlv.use("reference"):
        loss, cache = exact.forward(batch)
        grads = exact.backward(cache)
    fast_loss, cache = fast.forward(batch)
    assert fast_loss == pytest.approx(loss, abs=2e-6)
    found = fast.backward(cache)
    assert found.keys() == grads.keys()
    for name, grad in found.items():
        assert grad.dtype == np.float32
        np.testing.assert_allclose(grad, grads[name], atol=3e-5 * np.abs(grads[name]).max() + 1e-7, err_msg=name)


def check_same(model, batch, other, tolerance):
    """Two batches have the same loss and the same gradients, of a model that has kept nothing of the other."""
    buffers = copy.deepcopy(model.buffers)
    loss, cache = model.forward(batch)
    model.buffers = buffers
    other_loss, other_cache = model.forward(other)
    assert loss == pytest.approx(other_loss, rel=tolerance)
    grads = model.backward(cache)
    for name, grad in model.backward(other_cache).items():
        np.testing.assert_allclose(grads[name], grad, atol=tolerance, err_msg=name)


def replace_backward(monkeypatch, module, name, change):
    """Plant a bug in one use of an operation: its gradients, as ``module`` gets them, go through ``change``."""
    operation = getattr(module, name)

    class Changed:
        forward, choose = operation.forward, operation.choose

        @staticmethod
        def backward(dy, cache, dx=None):
            grads = operation.backward(dy, cache)
            grads = type(grads)(*change(grads)) if hasattr(grads, "_fields") else change(grads)
            return grads if dx is None else grads._replace(dx=dx + grads.dx)  # what other uses sent is not this bug's

    monkeypatch.setattr(module, name, Changed)
