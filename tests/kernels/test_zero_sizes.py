"""Every room with each of its sizes at zero: the result of an empty sum, or a sentence that says what is missing."""

import inspect
from types import MappingProxyType

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import why_not

SIZES = {"T": 2, "N": 3, "L": 4, "D": 5, "A": 6, "Q": 7, "E": 3, "H": 4, "M": 5, "K": 3, "V": 4, "C": 3, "h": 6, "w": 5}
ONE_STEP = SIZES | {"T": 1, "N": 1}
SHAPES = {
    "matmul": {"a": "M K", "b": "K N"},
    "linear": {"x": "T N D", "W": "D M", "b": "M"},
    "embedding": {"tokens": "T N", "W": "V E"},
    "rnn": {"x": "T N D", "h0": "N H", "Wx": "D H", "Wh": "H H", "b": "H"},
    "lstm": {"x": "T N D", "h0": "N H", "c0": "N H", "Wx": "D 4*H", "Wh": "H 4*H", "b": "4*H"},
    "gru": {"x": "T N D", "h0": "N H", "Wx": "D 3*H", "Wh": "H 3*H", "b": "4*H"},
    "additive_attention": {"x": "N L D", "keys": "N L A", "query": "N A", "v": "A"},
    "dot_product_attention": {"x": "N L D", "keys": "N L A", "query": "N Q", "W": "Q A"},
    "attention_lstm": {
        **{"words": "T N E", "x": "N L D", "keys": "N L A", "h0": "N H", "c0": "N H", "Wq": "H A", "v": "A"},
        **{"Wx": "E+D 4*H", "Wh": "H 4*H", "b": "4*H"},
    },
    "softmax_cross_entropy": {"logits": "N V", "targets": "N"},
    "softmax": {"logits": "N V"},
    "log_softmax": {"logits": "N V"},
    "conv2d": {"x": "N h w C", "W": "2 3 C M", "b": "M"},
    "depthwise_conv2d": {"x": "N h w C", "W": "2 3 C", "b": "C"},
    "max_pool2d": {"x": "N h w C"},
    "avg_pool2d": {"x": "N h w C", "size": 2},
    "batch_norm2d": {"x": "N h w C", "gamma": "C", "beta": "C"},
    "rms_norm": {"x": "N h w C"},
    "relu": {"x": "N C"},
    "tanh": {"x": "N C"},
    "sigmoid": {"x": "N C"},
    "dropout": {"x": "N C", "p": 0.5, "seed": 1},
}
#: Rooms called otherwise: sizes of other inputs, what else is given, and None for what is not
SETTINGS = {
    "linear, rows": ("linear", {"x": "N D"}),
    "linear, no bias": ("linear", {"b": None}),
    "rnn, sigmoid, lengths": ("rnn", {"nonlinearity": "sigmoid", "lengths": "N"}),
    "lstm, lengths": ("lstm", {"lengths": "N"}),
    "additive_attention, mask": ("additive_attention", {"mask": "N L"}),
    "dot_product_attention, no W, mask": ("dot_product_attention", {"query": "N A", "W": None, "mask": "N L"}),
    "attention_lstm, no v": ("attention_lstm", {"v": None}),
    "attention_lstm, mask": ("attention_lstm", {"mask": "N L"}),
    "attention_lstm, gate, drawn": ("attention_lstm", {"Wg": "H", "bg": "1", "draws": "T N"}),
    "softmax, mask": ("softmax", {"logits": "T N V", "mask": "T N V"}),
    "softmax_cross_entropy, mask": ("softmax_cross_entropy", {"mask": "N"}),
    "conv2d, ReLU, pooled": ("conv2d", {"relu": True, "pool": True}),
    "conv2d, no bias, stride": ("conv2d", {"b": None, "stride": 2}),
    "batch_norm2d, ReLU, pooled": ("batch_norm2d", {"relu": True, "pool": True}),
}
REFUSED = {
    ("embedding", "V"): "outside the vocabulary",
    **{(name, "L"): "nothing to look at" for name in SHAPES if "attention" in name},
    **{(name, "V"): "no class" for name in ("softmax_cross_entropy", "log_softmax", "softmax")},
    **{(name, size): "image|fit" for name in SHAPES if "2d" in name for size in "hw"},
    **{("batch_norm2d", size): "a variance needs two numbers" for size in "Nhw"},
}
ROWS = [
    (name, size, sizes)
    for name, shapes in SHAPES.items()
    for size in SIZES
    if any(isinstance(shape, str) and size in shape for shape in shapes.values())
    for sizes in ((SIZES, ONE_STEP) if "T" in str(shapes) and size not in "TN" else (SIZES,))
]
MORE_ROWS = [
    (setting, size)
    for setting, (name, changes) in SETTINGS.items()
    for size in SIZES
    if any(isinstance(shape, str) and size in shape.split() for shape in (SHAPES[name] | changes).values())
]
cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
rows = pytest.mark.parametrize(
    ("name", "size", "sizes"), ROWS, ids=[f"{name}-{size}{'-one step' * (s is ONE_STEP)}" for name, size, s in ROWS]
)


def inputs(name, sizes, changes=MappingProxyType({})):
    """Of the room, float32; tokens and targets are 0, lengths 1, and nothing is masked."""
    rng = np.random.default_rng(0)

    def value(key, shape):
        if not isinstance(shape, str) or key == "nonlinearity":
            return shape
        shape = tuple(eval(part, {}, sizes) for part in shape.split())
        if key in ("tokens", "targets", "draws"):
            return np.zeros(shape, int)
        if key == "lengths":
            return np.full(shape, min(1, sizes["T"]))
        return np.ones(shape, bool) if key == "mask" else rng.standard_normal(shape).astype(np.float32)

    return {key: value(key, shape) for key, shape in (SHAPES[name] | changes).items()}


def run(module, given):
    """Outputs and gradients."""
    rng = np.random.default_rng(1)
    y, cache = module.forward(**given)
    outputs = y if isinstance(y, tuple) else (y,)
    dtype = outputs[0].dtype
    dy = tuple(np.asarray(rng.standard_normal(np.shape(part)), dtype)[()] for part in outputs)
    return outputs, module.backward(dy if isinstance(y, tuple) else dy[0], cache)


def test_every_room_is_here():
    rooms = {name for name in ops.OPERATIONS if hasattr(getattr(ops, name).variant("reference"), "forward")}
    assert rooms == SHAPES.keys()
    for name, shapes in SHAPES.items():
        assert shapes.keys() <= inspect.signature(getattr(ops, name).variant("reference").forward).parameters.keys()


@pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
@rows
@pytest.mark.filterwarnings("error")
def test_a_size_of_zero_is_served_or_named(name, size, sizes, variant):
    served_or_named(name, size, inputs(name, sizes | {size: 0}), variant)


@pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
@pytest.mark.parametrize(("setting", "size"), MORE_ROWS)
@pytest.mark.filterwarnings("error")
def test_so_it_is_in_other_settings(setting, size, variant):
    name, changes = SETTINGS[setting]
    served_or_named(name, size, inputs(name, SIZES | {size: 0}, changes), variant)


def served_or_named(name, size, given, variant):
    operation = getattr(ops, name)
    module, reference = operation.variant(variant), operation.variant("reference")
    if (name, size) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name, size]):
            module.forward(**given)
        return
    outputs, grads = run(module, given)
    floats = [array for array in given.values() if isinstance(array, np.ndarray) and array.dtype == np.float32]
    grads = [grad for grad in grads if grad is not None]
    assert [grad.shape for grad in grads] == [array.shape for array in floats]
    outputs_64, grads_64 = run(
        reference, {k: v.astype(float) if np.asarray(v).dtype == np.float32 else v for k, v in given.items()}
    )
    grads_64 = [grad for grad in grads_64 if grad is not None]
    for got, expected in zip((*outputs, *grads), (*outputs_64, *grads_64), strict=True):
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(got, expected, atol=1e-5)
