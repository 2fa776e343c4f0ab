"""What each room is timed on: inputs of a size worth timing, and the least that a result costs.

*Operations* are float32 additions, multiplications, comparisons, divisions and elementary functions, one each, of the
textbook's way to the result: who finds a shorter one (Winograd's, in conv2d) can pass for faster than the machine. *Bytes* are
those that must move, once each: the inputs in, the results out; in the backward pass what the forward pass left for it,
too. Arrays that are made on the way cost time and count for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Cost(NamedTuple):
    """Of one call: float32 operations, and bytes to and from memory."""

    operations: float
    bytes: float


class Workload(NamedTuple):
    """Inputs of ``forward`` (of ``step``, for an optimiser), float32; and the cost of each pass, by its name."""

    inputs: dict[str, Any]
    costs: dict[str, Cost]


class Room(NamedTuple):
    """``make(rng, size)`` makes a workload; ``size`` is what the curves of time are drawn against, the largest is the one
    that the table shows. ``on_gpu(rng)`` makes a larger one, which does not fit into the caches of a GPU; None: the largest is
    large enough. ``others`` make what the table shows below it: another use of the room."""

    make: Callable[[np.random.Generator, int], Workload]
    sizes: tuple[int, ...]
    size_is: str
    on_gpu: Callable[[np.random.Generator], Workload] | None = None
    others: tuple[Callable[[np.random.Generator], Workload], ...] = ()


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return _normal(rng, *shape) / np.float32(math.sqrt(shape[0]))


def _floats(*counts: float) -> float:
    """Bytes of so many float32."""
    return 4.0 * sum(counts)


def _passes(forward: Cost, backward: Cost) -> dict[str, Cost]:
    return {"forward": forward, "backward": backward}


# --- matrices --------------------------------------------------------------------------------------------------------


def _matmul(rng: np.random.Generator, n: int) -> Workload:
    costs = _passes(Cost(2 * n**3, _floats(3 * n * n)), Cost(4 * n**3, _floats(5 * n * n)))
    return Workload({"a": _normal(rng, n, n), "b": _normal(rng, n, n)}, costs)


def _linear(rng: np.random.Generator, out: int, N: int = 32) -> Workload:
    T, D = 20, 512
    rows = T * N
    forward = Cost(rows * out * (2 * D + 1), _floats(rows * D, D * out, out, rows * out))
    backward = Cost(rows * out * (4 * D + 1), _floats(rows * out, 2 * rows * D, 2 * D * out, out))
    inputs = {"x": _normal(rng, T, N, D), "W": _weights(rng, D, out), "b": _normal(rng, out)}
    return Workload(inputs, _passes(forward, backward))


def _embedding(rng: np.random.Generator, E: int, N: int = 256) -> Workload:
    V, tokens = 20_000, rng.integers(0, 20_000, (50, N))
    rows = tokens.size * E
    costs = _passes(Cost(0, tokens.nbytes + _floats(2 * rows)), Cost(rows, tokens.nbytes + _floats(rows, V * E)))
    return Workload({"tokens": tokens, "W": _normal(rng, V, E)}, costs)


# --- sequences -------------------------------------------------------------------------------------------------------


def _recurrence(rng: np.random.Generator, H: int, gates: int, own: int, cell: bool = False, kept: int = 1) -> Workload:
    """20 steps of 32 sequences, as wide as the state.

    For each number of the state there are ``own`` operations beside the products, and ``kept`` numbers for the way back, which
    have a bias each; ``cell`` says whether there is a c.
    """
    T, N = 20, 32
    states, weights = T * N * H, 2 * H * gates * H
    forward = Cost(2 * T * N * weights + own * states, _floats(2 * states, weights))
    backward = Cost(4 * T * N * weights + 2 * own * states, _floats((3 + kept) * states, 2 * weights))
    inputs = {"x": _normal(rng, T, N, H), "h0": _normal(rng, N, H)}
    if cell:
        inputs["c0"] = _normal(rng, N, H)
    inputs |= {"Wx": _weights(rng, H, gates * H), "Wh": _weights(rng, H, gates * H), "b": _normal(rng, kept * H)}
    return Workload(inputs, _passes(forward, backward))


def _rnn(rng: np.random.Generator, H: int) -> Workload:
    return _recurrence(rng, H, gates=1, own=3)


def _lstm(rng: np.random.Generator, H: int) -> Workload:
    return _recurrence(rng, H, gates=4, own=17, cell=True, kept=4)


def _gru(rng: np.random.Generator, H: int) -> Workload:
    return _recurrence(rng, H, gates=3, own=15, kept=4)


def _additive_attention(rng: np.random.Generator, A: int, N: int = 64) -> Workload:
    L, D = 196, 512
    regions, keys, scores = N * L * D, N * L * A, N * L
    forward = Cost(4 * keys + 5 * scores + 2 * regions, _floats(regions, keys, N * A, A, N * D, scores))
    backward = Cost(
        9 * keys + 4 * scores + 3 * regions, _floats(2 * regions, 2 * keys, 2 * N * A, 2 * A, N * D, scores)
    )
    inputs = {"x": _normal(rng, N, L, D), "keys": _normal(rng, N, L, A), "query": _normal(rng, N, A)}
    return Workload(inputs | {"v": _weights(rng, A)}, _passes(forward, backward))


def _dot_product_attention(rng: np.random.Generator, K: int, N: int = 64) -> Workload:
    L, D, Q = 196, 512, 512
    regions, keys, scores, product = N * L * D, N * L * K, N * L, N * Q * K
    forward = Cost(2 * (keys + regions + product) + 5 * scores, _floats(regions, keys, N * Q, Q * K, N * D, scores))
    backward = Cost(
        3 * (keys + regions) + 6 * product + 4 * scores,
        _floats(2 * regions, 2 * keys, 2 * N * Q, 2 * Q * K, N * D, scores),
    )
    inputs = {"x": _normal(rng, N, L, D), "keys": _normal(rng, N, L, K), "query": _normal(rng, N, Q)}
    inputs |= {"W": _weights(rng, Q, K), "scale": K**-0.5}
    return Workload(inputs, _passes(forward, backward))


def _additive_attention_of_queries(rng: np.random.Generator) -> Workload:
    N, T, L, D, A = 16, 20, 196, 512, 512
    regions, keys, queries, scores = N * L * D, N * L * A, N * T * A, N * T * L
    tanhs, products = scores * A, scores * D
    forward = Cost(4 * tanhs + 5 * scores + 2 * products, _floats(regions, keys, queries, A, N * T * D, scores))
    backward = Cost(
        9 * tanhs + 4 * scores + 4 * products, _floats(2 * regions, 2 * keys, 2 * queries, 2 * A, N * T * D, scores)
    )
    inputs = {"x": _normal(rng, N, L, D), "keys": _normal(rng, N, L, A), "query": _normal(rng, N, T, A)}
    return Workload(inputs | {"v": _weights(rng, A)}, _passes(forward, backward))


def _dot_product_attention_of_queries(rng: np.random.Generator) -> Workload:
    N, T, L, D, K = 16, 64, 196, 512, 512
    regions, keys, queries, scores = N * L * D, N * L * K, N * T * K, N * T * L
    products = scores * (D + K)
    forward = Cost(2 * products + 5 * scores, _floats(regions, keys, queries, N * T * D, scores))
    backward = Cost(4 * products + 4 * scores, _floats(2 * regions, 2 * keys, 2 * queries, N * T * D, scores))
    inputs = {"x": _normal(rng, N, L, D), "keys": _normal(rng, N, L, K), "query": _normal(rng, N, T, K)}
    return Workload(inputs | {"scale": K**-0.5}, _passes(forward, backward))


def _attention_lstm(rng: np.random.Generator, H: int, T: int = 10, N: int = 16) -> Workload:
    """The keys are as wide as the state."""
    L, E, D = 196, 256, 512
    regions, keys, scores, weights = N * L * D, N * L * H, N * L, (H + 4 * (E + D) + 4 * H) * H
    made, words = T * (N * H + N * D + scores), T * N * E
    look, step = 4 * keys + 5 * scores + 2 * regions, 2 * N * weights + 17 * N * H
    look_back, step_back = 9 * keys + 4 * scores + 3 * regions, 4 * N * weights + 34 * N * H
    forward = Cost(T * (look + step), _floats(words, regions, keys, weights, made))
    backward = Cost(T * (look_back + step_back), _floats(2 * words, 2 * regions, 2 * keys, 2 * weights, 2 * made))
    inputs = {"words": _normal(rng, T, N, E), "x": _normal(rng, N, L, D), "keys": _normal(rng, N, L, H)}
    inputs |= {"h0": _normal(rng, N, H), "c0": _normal(rng, N, H), "Wq": _weights(rng, H, H), "v": _weights(rng, H)}
    inputs |= {"Wx": _weights(rng, E + D, 4 * H), "Wh": _weights(rng, H, 4 * H), "b": _normal(rng, 4 * H)}
    return Workload(inputs, _passes(forward, backward))


def _softmax_cross_entropy(rng: np.random.Generator, V: int, N: int = 32) -> Workload:
    T = 40
    inputs = {"logits": _normal(rng, T, N, V), "targets": rng.integers(0, V, (T, N))}
    # one sweep can do it all, whichever pass it belongs to: only the two together can be compared
    return Workload(inputs, {"both": Cost(6 * T * N * V, _floats(2 * T * N * V))})


def _log_softmax(rng: np.random.Generator, V: int, N: int = 1280) -> Workload:
    costs = _passes(Cost(5 * N * V, _floats(2 * N * V)), Cost(4 * N * V, _floats(3 * N * V)))
    return Workload({"logits": _normal(rng, N, V)}, costs)


def _softmax(rng: np.random.Generator, V: int, N: int = 1280) -> Workload:
    costs = _passes(Cost(5 * N * V, _floats(2 * N * V)), Cost(4 * N * V, _floats(3 * N * V)))
    return Workload({"logits": _normal(rng, N, V)}, costs)


# --- pictures --------------------------------------------------------------------------------------------------------


def _conv2d(rng: np.random.Generator, C: int, N: int = 8) -> Workload:
    side = 56
    pixels, weights = N * side * side, 9 * C * C
    forward = Cost(pixels * (2 * weights + C), _floats(2 * pixels * C, weights))
    backward = Cost(pixels * (4 * weights + C), _floats(3 * pixels * C, 2 * weights))
    inputs = {"x": _normal(rng, N, side, side, C), "W": _weights(rng, 3, 3, C, C), "b": _normal(rng, C), "padding": 1}
    return Workload(inputs | {"exact": True}, _passes(forward, backward))


def _depthwise_conv2d(rng: np.random.Generator, C: int, N: int = 8) -> Workload:
    side = 112
    values = N * side * side * C
    inputs = {"x": _normal(rng, N, side, side, C), "W": _weights(rng, 3, 3, C), "b": _normal(rng, C), "padding": 1}
    return Workload(inputs, _passes(Cost(19 * values, _floats(2 * values)), Cost(37 * values, _floats(3 * values))))


def _max_pool2d(rng: np.random.Generator, C: int, N: int = 16) -> Workload:
    side = 112
    values = N * side * side * C
    # which of the four it was is a byte, and enough for the backward pass
    costs = _passes(
        Cost(3 / 4 * values, _floats(values, values / 4) + values / 4),
        Cost(0, _floats(values / 4, values) + values / 4),
    )
    return Workload({"x": _normal(rng, N, side, side, C), "size": 2}, costs)


def _avg_pool2d(rng: np.random.Generator, C: int, N: int = 16) -> Workload:
    side = 112
    values = N * side * side * C
    costs = _passes(Cost(values, _floats(1.25 * values)), Cost(values / 4, _floats(1.25 * values)))
    return Workload({"x": _normal(rng, N, side, side, C), "size": 2}, costs)


def _batch_norm2d(rng: np.random.Generator, C: int, N: int = 32) -> Workload:
    side = 56
    values = N * side * side * C
    costs = _passes(Cost(8 * values, _floats(2 * values)), Cost(9 * values, _floats(3 * values)))
    return Workload({"x": _normal(rng, N, side, side, C), "gamma": _normal(rng, C), "beta": _normal(rng, C)}, costs)


def _rms_norm(rng: np.random.Generator, C: int, N: int = 64) -> Workload:
    side = 14
    values = N * side * side * C
    costs = _passes(Cost(3 * values, _floats(2 * values)), Cost(5 * values, _floats(3 * values)))
    return Workload({"x": _normal(rng, N, side, side, C)}, costs)


def _relu(rng: np.random.Generator, n: int) -> Workload:
    return Workload({"x": _normal(rng, n, 1024)}, _passes(*(Cost(1024 * n, _floats(k * 1024 * n)) for k in (2, 3))))


def _tanh(rng: np.random.Generator, n: int) -> Workload:
    costs = _passes(Cost(1024 * n, _floats(2 * 1024 * n)), Cost(3 * 1024 * n, _floats(3 * 1024 * n)))
    return Workload({"x": _normal(rng, n, 1024)}, costs)


def _sigmoid(rng: np.random.Generator, n: int) -> Workload:
    costs = _passes(Cost(4 * 1024 * n, _floats(2 * 1024 * n)), Cost(3 * 1024 * n, _floats(3 * 1024 * n)))
    return Workload({"x": _normal(rng, n, 1024)}, costs)


def _dropout(rng: np.random.Generator, n: int) -> Workload:
    inputs = {"x": _normal(rng, n, 1024), "p": 0.5, "seed": 1}
    return Workload(inputs, _passes(*(Cost(1024 * n, _floats(2 * 1024 * n)) for _ in range(2))))


# --- optimisers ------------------------------------------------------------------------------------------------------


def _global_norm(rng: np.random.Generator, thousands: int) -> Workload:
    n = 1024 * thousands
    inputs = {"grads": tuple(_normal(rng, n // 4) for _ in range(4)), "out": np.empty(n, np.float32), "max_norm": 1.0}
    return Workload(inputs, {"step": Cost(2 * n, _floats(2 * n))})


def _adam(rng: np.random.Generator, thousands: int) -> Workload:
    n = 1024 * thousands
    inputs = {"params": _normal(rng, n), "grads": _normal(rng, n), "m": _normal(rng, n), "v": _normal(rng, n) ** 2}
    return Workload(inputs | {"t": 10, "lr": 1e-3}, {"step": Cost(14 * n, _floats(7 * n))})


def _rmsprop(rng: np.random.Generator, thousands: int) -> Workload:
    n = 1024 * thousands
    inputs = {"params": _normal(rng, n), "grads": _normal(rng, n), "v": _normal(rng, n) ** 2}
    return Workload(inputs | {"lr": 1e-3}, {"step": Cost(9 * n, _floats(5 * n))})


def _sgd(rng: np.random.Generator, thousands: int) -> Workload:
    n = 1024 * thousands
    inputs = {"params": _normal(rng, n), "grads": _normal(rng, n)}
    return Workload(inputs | {"lr": 1e-3}, {"step": Cost(3 * n, _floats(3 * n))})


ROOMS = {
    "matmul": Room(_matmul, (64, 128, 256, 512, 1024), "rows and columns", partial(_matmul, n=4096)),
    "linear": Room(_linear, (64, 256, 1024, 2048), "numbers out of 512", partial(_linear, out=2048, N=512)),
    "embedding": Room(_embedding, (64, 128, 256, 512), "width", partial(_embedding, E=512, N=2048)),
    "rnn": Room(_rnn, (64, 128, 256, 512), "width of the state"),
    "lstm": Room(_lstm, (64, 128, 256, 512), "width of the state"),
    "gru": Room(_gru, (64, 128, 256, 512), "width of the state"),
    "additive_attention": Room(
        _additive_attention,
        (64, 128, 256, 512),
        "width of the keys",
        partial(_additive_attention, A=512, N=256),
        others=(_additive_attention_of_queries,),
    ),
    "dot_product_attention": Room(
        _dot_product_attention,
        (64, 128, 256, 512),
        "width of the keys",
        partial(_dot_product_attention, K=512, N=256),
        others=(_dot_product_attention_of_queries,),
    ),
    "attention_lstm": Room(
        _attention_lstm, (64, 128, 256, 512), "width of state and keys", partial(_attention_lstm, H=512, T=20, N=32)
    ),
    "softmax": Room(_softmax, (500, 2000, 5000, 10_000), "words", partial(_softmax, V=10_000, N=6400)),
    "log_softmax": Room(_log_softmax, (500, 2000, 5000, 10_000), "words", partial(_log_softmax, V=10_000, N=6400)),
    "softmax_cross_entropy": Room(
        _softmax_cross_entropy, (500, 2000, 5000, 10_000), "words", partial(_softmax_cross_entropy, V=10_000, N=160)
    ),
    "conv2d": Room(_conv2d, (16, 32, 64, 128), "channels", partial(_conv2d, C=128, N=32)),
    "depthwise_conv2d": Room(_depthwise_conv2d, (8, 16, 32, 64), "channels", partial(_depthwise_conv2d, C=64, N=32)),
    "max_pool2d": Room(_max_pool2d, (8, 16, 32, 64), "channels", partial(_max_pool2d, C=64, N=64)),
    "avg_pool2d": Room(_avg_pool2d, (8, 16, 32, 64), "channels", partial(_avg_pool2d, C=64, N=64)),
    "batch_norm2d": Room(_batch_norm2d, (8, 16, 32, 64), "channels", partial(_batch_norm2d, C=64, N=128)),
    "rms_norm": Room(_rms_norm, (64, 128, 256, 512), "channels", partial(_rms_norm, C=512, N=256)),
    "relu": Room(_relu, (256, 1024, 4096, 16_384), "rows of 1024", partial(_relu, n=1 << 15)),
    "tanh": Room(_tanh, (256, 1024, 4096, 16_384), "rows of 1024", partial(_tanh, n=1 << 15)),
    "sigmoid": Room(_sigmoid, (256, 1024, 4096, 16_384), "rows of 1024", partial(_sigmoid, n=1 << 15)),
    "dropout": Room(_dropout, (256, 1024, 4096, 16_384), "rows of 1024", partial(_dropout, n=1 << 15)),
    "global_norm": Room(
        _global_norm, (16, 128, 1024, 8192), "thousands of parameters", partial(_global_norm, thousands=1 << 15)
    ),
    "adam": Room(_adam, (16, 128, 1024, 8192), "thousands of parameters", partial(_adam, thousands=1 << 15)),
    "rmsprop": Room(_rmsprop, (16, 128, 1024, 8192), "thousands of parameters", partial(_rmsprop, thousands=1 << 15)),
    "sgd": Room(_sgd, (16, 128, 1024, 8192), "thousands of parameters", partial(_sgd, thousands=1 << 15)),
}
