"""Right operations at inputs that are hard to check: kinks, ties, saturation, tiny and huge numbers, sizes of one."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from . import plant


class Case(NamedTuple):
    """Inputs for an operation: what ``make_inputs`` makes, and what is done to them."""

    operation: str
    name: str
    sizes: dict[str, int]
    change: Callable[[dict], dict] = dict
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.operation}: {self.name}"

    def inputs(self, module) -> dict:
        return self.change(module.make_inputs(**self.sizes, seed=self.seed))


def each(function: Callable[[np.ndarray], np.ndarray], which: Callable[[str], bool] = lambda name: True) -> Callable:
    """A change of every float array whose name fits."""

    def change(inputs: dict) -> dict:
        return {
            name: np.asarray(function(value)) if which(name) and getattr(value, "dtype", None) == np.float64 else value
            for name, value in inputs.items()
        }

    return change


def is_parameter(name: str) -> bool:
    """Weights and biases, by what they are called."""
    return name[0] in "WUbABCE" or name in ("w", "v", "c", "g", "beta", "kernel", "table")


def strided(value: np.ndarray) -> np.ndarray:
    """The same numbers, every other element of a larger array, in Fortran's order."""
    roomy = np.full((2, *value.shape), np.nan, order="F")
    roomy[0] = value
    return roomy[0]


POSITIVE = {"elementwise"}  # of logarithms and roots
OVERFLOWS = {"padded_attention"}  # its softmax takes no maximum off, as learners' do not

CHANGES = {
    "tiny": each(lambda a: a * 1e-3),
    "huge": each(lambda a: a * 1e3),
    "large": each(lambda a: a * 30),
    "zero parameters": each(np.zeros_like, is_parameter),
    "whole numbers": each(np.round),
    "offset": each(lambda a: a + 100, lambda name: not is_parameter(name)),
    "strided": each(strided),
    "float32": each(lambda a: a.astype(np.float32)),
    "half of the elements zero": each(lambda a: np.where(np.arange(a.size).reshape(a.shape) % 2, a, 0)),
    "equal rows": each(
        lambda a: np.broadcast_to(a[:1], a.shape).copy() if a.ndim else a, lambda name: not is_parameter(name)
    ),
}

SPECIAL = [
    ("elementwise", "at 1e-4", {}, each(lambda a: a * 1e-4)),
    ("elementwise", "at 1e-8", {}, each(lambda a: a * 1e-8)),
    ("elementwise", "small and large at once", {}, each(lambda a: a * np.logspace(-4, 4, a.size))),
    ("cosine", "nearly parallel", {}, lambda inputs: {"u": inputs["u"], "v": inputs["u"] + 1e-6 * inputs["v"]}),
    ("cosine", "one short vector", {}, lambda inputs: {"u": inputs["u"] * 1e-4, "v": inputs["v"]}),
    ("batch_norm", "a constant feature", {}, each(lambda a: a * 0 + 2, lambda name: name == "x")),
    ("batch_norm", "an offset of 1e5", {}, each(lambda a: a + 1e5, lambda name: name == "x")),
    ("layer_norm", "constant rows", {}, each(lambda a: a * 0 + 2, lambda name: name == "x")),
    ("layer_norm", "nearly constant rows", {}, each(lambda a: a * 1e-3 + 2, lambda name: name == "x")),
    ("rms_norm", "at zero", {}, each(np.zeros_like, lambda name: name == "x")),
    ("softmax", "two large logits", {}, each(lambda a: np.where(a > 0.5, 300 + a, a))),
    ("softmax", "equal logits", {}, each(np.zeros_like)),
    ("softmax", "one class", {"K": 1}, dict),
    ("log_softmax", "large logits", {}, each(lambda a: a * 200)),
    ("log_softmax", "equal logits", {}, each(np.zeros_like)),
    ("masked_loss", "large logits", {}, each(lambda a: a * 100)),
    (
        "masked_loss",
        "one word each",
        {},
        lambda i: i | {"mask": np.arange(i["mask"].shape[1]) < np.ones((len(i["mask"]), 1))},
    ),
    ("masked_loss", "no padding", {}, lambda i: i | {"mask": np.ones_like(i["mask"])}),
    ("logistic", "probabilities near 0 and 1", {}, each(lambda a: a * 15, lambda name: name == "w")),
    ("sigmoid_layer", "saturated", {}, each(lambda a: a + 40, lambda name: name == "b1")),
    ("tanh_layer", "saturated", {}, each(lambda a: a + 12, lambda name: name == "b")),
    ("lstm", "gates open", {}, each(lambda a: a + 20, lambda name: name == "b")),
    ("lstm", "gates closed", {}, each(lambda a: a - 20, lambda name: name == "b")),
    ("lstm", "a long sequence", {"T": 12, "N": 1}, dict),
    ("rnn", "a long sequence", {"T": 25, "N": 1}, dict),
    ("rnn", "vanishing", {"T": 12}, each(lambda a: a * 0.01, lambda name: name == "Wh")),
    ("rnn", "exploding", {"T": 8}, each(lambda a: a * 4, lambda name: name == "Wh")),
    ("rnn", "one unit", {"H": 1}, dict),
    ("relu_layer", "an exact zero in every sum", {}, each(np.zeros_like, lambda name: name in ("x", "b1"))),
    ("relu_layer", "dead units", {}, each(lambda a: a - 100, lambda name: name == "b1")),
    ("mlp", "dead units", {}, each(lambda a: a - 100, lambda name: name == "b1")),
    (
        "leaky_relu",
        "zeros",
        {},
        each(lambda a: a * (np.arange(a.size).reshape(a.shape) % 3 > 0), lambda name: name == "x"),
    ),
    ("leaky_relu", "a slope of one", {}, each(np.ones_like, lambda name: name == "slope")),
    ("hinge", "margins of exactly zero", {}, lambda i: i | {"W": np.round(i["W"]), "X": np.sign(i["X"])}),
    ("hinge", "nothing inside the margin", {}, lambda i: i | {"X": i["X"] * 0, "W": i["W"]}),
    ("max_pool", "all equal", {}, each(np.ones_like)),
    ("max_pool_reshape", "all equal", {}, each(np.ones_like)),
    ("max_pool_reshape", "after a ReLU", {}, each(lambda a: np.maximum(a, 0))),
    ("max_pool", "ties of 1e-9", {}, each(lambda a: np.round(a) + 1e-9 * a)),
    ("maxout", "equal pieces", {}, lambda i: i | {"W": np.stack([i["W"][0]] * 2), "b": np.stack([i["b"][0]] * 2)}),
    ("max_words", "one word", {"T": 1}, dict),
    ("text_cnn", "nothing above zero", {}, each(lambda a: a - 50, lambda name: name == "b")),
    ("attention", "one key", {"S": 1}, dict),
    ("attention", "equal keys", {}, each(np.zeros_like, lambda name: name == "K")),
    ("attention", "one key wins", {}, each(lambda a: a * 20, lambda name: name in "QK")),
    ("lstm_vectors", "gates open", {}, each(lambda a: a + 20, lambda name: name == "b")),
    ("window_max", "all equal", {}, each(np.ones_like)),
    ("cosine", "at zero", {}, each(np.zeros_like)),
    ("two_layers_in_columns", "probabilities near 0 and 1", {}, each(lambda a: a * 6, lambda name: name == "W2")),
    ("one_network", "saturated", {}, each(lambda a: a + 15, lambda name: name[0] == "b")),
    ("gather", "one step each", {"T": 1}, dict),
    ("dropout", "all kept", {}, lambda i: i | {"keep": np.ones_like(i["keep"])}),
    ("dropout", "none kept", {}, lambda i: i | {"keep": np.zeros_like(i["keep"])}),
    ("embedding", "one word only", {}, lambda i: i | {"words": np.zeros_like(i["words"])}),
    ("lookup", "one row only", {}, lambda i: i | {"index": np.zeros_like(i["index"])}),
    ("mse", "at the minimum", {}, lambda i: i | {"prediction": i["target"].copy()}),
    (
        "linear",
        "features of 1e-4 and 1e4",
        {},
        each(lambda a: a * np.logspace(-4, 4, a.shape[-1]), lambda name: name == "x"),
    ),
    ("linear", "many elements", {"N": 40, "D": 30, "M": 20}, dict),
    ("ridge", "a perfect fit", {}, lambda i: i | {"y": i["X"] @ i["w"] + i["b"]}),
]


def cases() -> Iterator[Case]:
    """All of them, in an order that does not change."""
    for operation in plant.OPERATIONS:
        with plant.imported(operation, plant.source(operation)) as module:
            known = inspect.signature(module.make_inputs).parameters
        for seed in (0, 1, 2):
            yield Case(operation, f"seed {seed}", {}, seed=seed)
        for size in ("N", "T", "m", "M", "S", "H", "D"):
            if size in known and (operation, size) not in {
                ("avg_pool", "H"),
                ("conv_loop", "H"),
                ("upsample_max", "D"),
            }:
                yield Case(operation, f"{size} = 1", {size: 1})
        for name, change in CHANGES.items():
            zeros = name in ("zero parameters", "whole numbers", "half of the elements zero")
            if (operation in POSITIVE and zeros) or (operation in OVERFLOWS and name in ("huge", "large")):
                continue
            yield Case(operation, name, {}, change, seed=zlib.crc32(name.encode()) % 7)
    for operation, name, sizes, change in SPECIAL:
        yield Case(operation, name, sizes, change)
