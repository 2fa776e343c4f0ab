"""Our CUDA kernels against PyTorch, outputs and gradients, the arrays handed over through DLPack.

``pytest tests/cuda --backend cuda`` compares them on a GPU; else the stand-in plays for CuPy, and PyTorch computes on the CPU.
"""

import sys

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import why_not

from . import stand_in

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here; it is not a dependency")
F = torch.nn.functional
TOLERANCE = 1e-4  # of the largest number; both compute in float32
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def exchange(monkeypatch, backend):
    """Both sides can have each other's arrays, and PyTorch does not round its products to TF32."""
    if backend == "cpu":
        if why_not() is not None:
            pytest.skip(str(why_not()))
        stand_in.install(monkeypatch)
        return
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no GPU")
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    import cupy  # noqa: F401 (from now on it is among the modules)


def to_cupy(array):
    return sys.modules["cupy"].asarray(array) if isinstance(array, np.ndarray) else array


def to_torch(array):
    """The same memory where there is a GPU: nothing is copied."""
    on_gpu = hasattr(array, "__dlpack__")
    return torch.from_dlpack(array) if on_gpu else torch.from_numpy(array.get())


def normal(*shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def assert_agrees(name, inputs, oracle, **settings):
    """``oracle`` maps torch tensors, given as ``inputs`` are, to an output or a tuple of outputs."""
    given = [to_cupy(value) for value in inputs]
    variant = getattr(ops, name).variant("cuda")
    y, cache = variant.forward(*given, **settings)
    outputs = y if isinstance(y, tuple) else (y,)
    dy = tuple(to_cupy(normal(*output.shape)) for output in outputs)
    if outputs[0].ndim:
        grads = variant.backward(dy if isinstance(y, tuple) else dy[0], cache)
    else:
        dy, grads = (to_cupy(np.ones((), np.float32)),), variant.backward(1.0, cache)
    tensors = [to_torch(value).clone() for value in given]
    leaves = [tensor.requires_grad_() for tensor in tensors if tensor.is_floating_point()]
    expected = oracle(*tensors)
    results = expected if isinstance(expected, tuple) else (expected,)
    true_grads = torch.autograd.grad(results, leaves, [to_torch(part) for part in dy])
    found = [*outputs, *(grad for grad in grads if grad is not None)]
    for got, true in zip(found, [*results, *true_grads], strict=True):
        apart = (to_torch(got) - true.detach()).abs().max() / true.detach().abs().max().clamp(min=1e-30)
        assert float(apart) <= TOLERANCE


def channels_first(x):
    return x.permute(0, 3, 1, 2)


def channels_last(y):
    return y.permute(0, 2, 3, 1)


@pytest.mark.parametrize("size", [(4, 3, 5, 6), (3, 7, 33, 65)])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_recurrent_layers(kind, size):
    T, N, D, H = size
    gates, states, biases = {"lstm": (4, 2, 4), "gru": (3, 1, 4), "rnn": (1, 1, 1)}[kind]
    inputs = [normal(T, N, D), *(normal(N, H) for _ in range(states))]
    inputs += [normal(D, gates * H, scale=D**-0.5), normal(H, gates * H, scale=H**-0.5), normal(biases * H)]

    def oracle(x, *others):
        *state, Wx, Wh, b = others
        net = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind](D, H).to(x.device)
        of_x, of_h = b[: gates * H], torch.zeros_like(b[: gates * H])
        if kind == "gru":  # the last part is a bias of what comes from h
            of_h = torch.cat([of_h[: 2 * H], b[3 * H :]])
        # cuDNN takes weights as they lie in memory: a transposed view would be copied by it, or worse
        weights = {"weight_ih_l0": Wx.T.contiguous(), "weight_hh_l0": Wh.T.contiguous()}
        weights |= {"bias_ih_l0": of_x, "bias_hh_l0": of_h}
        state = tuple(part[None] for part in state)
        y, last = torch.func.functional_call(net, weights, (x, state if kind == "lstm" else state[0]))
        return (y, last[1][0]) if kind == "lstm" else y

    assert_agrees(kind, inputs, oracle)


@pytest.mark.parametrize(("C", "M", "settings"), [(3, 8, {"padding": 1}), (8, 65, {"stride": 2, "padding": 1})])
def test_conv2d(C, M, settings):
    def oracle(x, W, b):
        return channels_last(F.conv2d(channels_first(x), W.permute(3, 2, 0, 1), b, **settings))

    assert_agrees("conv2d", [normal(2, 9, 10, C), normal(3, 3, C, M, scale=0.3), normal(M)], oracle, **settings)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2)])
@pytest.mark.parametrize("C", [3, 8])
def test_max_pool2d(size, stride, C):
    def oracle(x):
        return channels_last(F.max_pool2d(channels_first(x), size, stride))

    assert_agrees("max_pool2d", [normal(2, 9, 11, C)], oracle, size=size, stride=stride)


def test_batch_norm2d():
    def oracle(x, gamma, beta):
        return channels_last(F.batch_norm(channels_first(x), None, None, gamma, beta, training=True))

    assert_agrees("batch_norm2d", [normal(3, 7, 5, 12), normal(12), normal(12)], oracle)


@pytest.mark.parametrize("V", [5, 1031])
def test_softmax_cross_entropy(V):
    assert_agrees("softmax_cross_entropy", [normal(13, V), rng.integers(0, V, 13)], F.cross_entropy)


def test_embedding():
    assert_agrees("embedding", [rng.integers(0, 7, (4, 30)), normal(7, 20)], F.embedding)
