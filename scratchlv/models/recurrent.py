"""Recurrent layers put together: one on top of another, and one in each direction.

    stack           h^k = cell_k(D(h^{k-1})),  h^0 = x           D is dropout: Zaremba et al. 2014 drop what goes up,
                                                                 never what goes from one step to the next; Gal and
                                                                 Ghahramani 2016 drop the same units at every step
    bidirectional   h_t = [forward cell at t, backward cell at t]        (Schuster and Paliwal 1997)

``cell`` is "lstm", "gru" or "rnn". The state of a layer is a tuple, ``(h, c)`` of an LSTM, else ``(h,)``, each (N, H); the state
of a stack is the tuple of its layers' states. A layer's parameters are ``NAME.Wx``, ``NAME.Wh`` and ``NAME.b``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add, as_contiguous, empty, take_rows
from scratchlv.initialisers import lstm_bias, uniform
from scratchlv.ops import dropout, gru, lstm, rnn
from scratchlv.parallel.shares import Ready, nobody_waits

LayerState = tuple[Array, ...]
State = tuple[LayerState, ...]
CELLS = ("lstm", "gru", "rnn")


# --- one layer ---------------------------------------------------------------------------------------------------


def init_layer(rng: np.random.Generator, name: str, cell: str, inputs: int, hidden: int) -> dict[str, Array]:
    """The parameters of one layer, which are as many as its cell has gates; a vanilla RNN has none."""
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[cell]
    biases = 4 if cell == "gru" else gates
    bias = lstm_bias(hidden) if cell == "lstm" else np.zeros(biases * hidden, np.float32)
    Wx, Wh = uniform(rng, inputs, gates * hidden), uniform(rng, hidden, gates * hidden)
    return {f"{name}.Wx": Wx, f"{name}.Wh": Wh, f"{name}.b": bias}


def zero_state(cell: str, N: int, hidden: int, like: Array) -> LayerState:
    """The state of a layer that has seen nothing, of the dtype of ``like`` and where it is."""
    return tuple(np.zeros_like(like, shape=(N, hidden)) for _ in range(2 if cell == "lstm" else 1))


class LayerCache(NamedTuple):
    name: str
    cell: str
    kernel: Any


def layer_forward(
    params: dict,
    name: str,
    cell: str,
    x: Array,
    state: LayerState,
    lengths: Array | None = None,
    *,
    train: bool = True,
) -> tuple[Array, LayerState, LayerCache | None]:
    """Run over ``x`` (T, N, D), T ≥ 1: all ``h`` (T, N, H), the last state, and the cache."""
    weights = (params[f"{name}.Wx"], params[f"{name}.Wh"], params[f"{name}.b"])
    if cell == "lstm":
        (h, c), cache = lstm.forward(x, *state, *weights, lengths, train=train)
        last: LayerState = (h[-1], c)
    else:
        h, cache = (gru if cell == "gru" else rnn).forward(x, *state, *weights, lengths, train=train)
        last = (h[-1],)
    return h, last, LayerCache(name, cell, cache) if train else None


def layer_backward(
    dh: Array | None, dlast: LayerState | None, cache: LayerCache
) -> tuple[Array, LayerState, dict[str, Array]]:
    """``dx``, the gradient of the initial state, and the weights' by name; ``dlast`` is the last state's."""
    if dlast is not None:  # the last h is also the last row of h
        h = cache.kernel.h  # (T + 1, N, H)
        dh_out, dh = dh, empty(h[1:].shape, h)
        dh[...] = 0 if dh_out is None else dh_out
        dh[-1] += dlast[0]
    if cache.cell == "lstm":
        grads = lstm.backward((dh, dlast[1] if dlast is not None else None), cache.kernel)
        dstate: LayerState = (grads.dh0, grads.dc0)
    else:
        grads = (gru if cache.cell == "gru" else rnn).backward(dh, cache.kernel)
        dstate = (grads.dh0,)
    weights = {f"{cache.name}.Wx": grads.dWx, f"{cache.name}.Wh": grads.dWh, f"{cache.name}.b": grads.db}
    return grads.dx, dstate, weights


# --- dropout -------------------------------------------------------------------------------------------------------


class DropoutCache(NamedTuple):
    kernel: Any  # where each step has a mask of its own
    mask: Array | None  # (N, D), 0 or 1 / (1 - p): the same at every step


def dropout_forward(
    x: Array,
    p: float,
    seed: tuple[int, ...],
    *,
    variational: bool = False,
    window: tuple[int, int] | None = None,
    train: bool = True,
) -> tuple[Array, DropoutCache | None]:
    """``x`` (T, N, D), each number dropped with probability ``p``; if ``variational``, a unit of a sequence at every step.

    ``window`` says where the sequences stand in the batch that several processes share (:mod:`scratchlv.parallel.shares`).
    """
    if not train or p == 0:
        return x, None
    if not variational:
        x, kernel = dropout.forward(x, p=p, seed=seed, window=window)
        return x, DropoutCache(kernel, None)
    mask, _ = dropout.forward(np.ones_like(x, shape=x.shape[1:]), p=p, seed=seed, window=window)
    return x * mask, DropoutCache(None, mask)


def dropout_backward(dy: Array, cache: DropoutCache | None) -> Array:
    if cache is None:
        return dy
    if cache.mask is not None:
        return dy * cache.mask
    (dx,) = dropout.backward(dy, cache.kernel)
    return dx


# --- a stack -----------------------------------------------------------------------------------------------------


def init_stack(rng: np.random.Generator, name: str, cell: str, inputs: int, widths: Sequence[int]) -> dict[str, Array]:
    """Layers ``NAME.0``, ``NAME.1`` …, of these widths, each on top of the one before."""
    params: dict[str, Array] = {}
    for k, (below, width) in enumerate(itertools.pairwise((inputs, *widths))):
        params.update(init_layer(rng, f"{name}.{k}", cell, below, width))
    return params


def stack_forward(
    params: dict,
    name: str,
    cell: str,
    x: Array,
    state: State,
    lengths: Array | None = None,
    *,
    p: float = 0.0,
    seed: tuple[int, ...] = (),
    variational: bool = False,
    window: tuple[int, int] | None = None,
    train: bool = True,
) -> tuple[Array, State, list | None]:
    """The top layer's ``h`` (T, N, H), the last state of every layer, and the cache; ``p`` is the probability to drop."""
    caches, last = [], []
    for k, layer_state in enumerate(state):
        x, dropped = dropout_forward(x, p, (*seed, k), variational=variational, window=window, train=train)
        x, layer_last, cache = layer_forward(params, f"{name}.{k}", cell, x, layer_state, lengths, train=train)
        caches.append((dropped, cache))
        last.append(layer_last)
    return x, tuple(last), caches if train else None


def stack_backward(
    dh: Array | None, dlast: LayerState | None, caches: list, ready: Ready = nobody_waits
) -> tuple[Array, dict[str, Array]]:
    """``dx`` and the weights' gradients; ``dlast`` is that of the top layer's last state, the only one that is used."""
    grads: dict[str, Array] = {}
    dx = dh
    for dropped, cache in reversed(caches):
        dx, _, layer_grads = layer_backward(dx, dlast, cache)
        grads.update(layer_grads)
        ready(grads)
        dlast = None
        dx = dropout_backward(dx, dropped)
    return dx, grads


# --- in both directions ------------------------------------------------------------------------------------------


class BidirectionalCache(NamedTuple):
    """Of one layer."""

    dropped: Any
    forward: LayerCache | None
    backward: LayerCache | None
    order: Array  # (T, N), which reverses it


def init_bidirectional(
    rng: np.random.Generator, name: str, cell: str, inputs: int, widths: Sequence[int]
) -> dict[str, Array]:
    """Layers ``NAME.k.forward`` and ``NAME.k.backward``, of these widths; from the second on, both read both directions below."""
    params: dict[str, Array] = {}
    for k, (below, width) in enumerate(itertools.pairwise((inputs, *widths))):
        for direction in ("forward", "backward"):
            params.update(init_layer(rng, f"{name}.{k}.{direction}", cell, below if k == 0 else 2 * below, width))
    return params


def bidirectional_forward(
    params: dict,
    name: str,
    cell: str,
    x: Array,
    lengths: Array,
    layers: int,
    *,
    p: float = 0.0,
    seed: tuple[int, ...] = (),
    window: tuple[int, int] | None = None,
    train: bool = True,
) -> tuple[Array, list | None]:
    """Both directions' ``h`` (T, N, 2H) of the top layer, from states of zero."""
    N, hidden = x.shape[1], params[f"{name}.0.forward.Wh"].shape[0]
    order = reversal(x.shape[0], lengths)
    zero = zero_state(cell, N, hidden, x)
    caches = []
    for k in range(layers):
        x, dropped = dropout.forward(x, p=p, seed=(*seed, k), window=window, train=train and p > 0)
        there, _, there_cache = layer_forward(params, f"{name}.{k}.forward", cell, x, zero, lengths, train=train)
        back, _, back_cache = layer_forward(
            params, f"{name}.{k}.backward", cell, reverse(x, order), zero, lengths, train=train
        )
        x = np.concatenate([there, reverse(back, order)], axis=2, out=empty((*there.shape[:2], 2 * hidden), there))
        caches.append(BidirectionalCache(dropped, there_cache, back_cache, order))
    return x, caches if train else None


def bidirectional_backward(dh: Array, caches: list, ready: Ready = nobody_waits) -> tuple[Array, dict[str, Array]]:
    """``dx`` (T, N, D) and the weights' gradients from ``dh`` (T, N, 2H)."""
    grads: dict[str, Array] = {}
    for cache in reversed(caches):
        H = dh.shape[2] // 2
        dh_back = reverse(as_contiguous(dh[:, :, H:]), cache.order)
        dx_back, _, back_grads = layer_backward(dh_back, None, cache.backward)
        dx, _, there_grads = layer_backward(as_contiguous(dh[:, :, :H]), None, cache.forward)
        grads.update(back_grads)
        grads.update(there_grads)
        ready(grads)
        dh = add(dx, reverse(dx_back, cache.order))  # x went both ways: two gradients, added
        if cache.dropped is not None:
            (dh,) = dropout.backward(dh, cache.dropped)
    return dh, grads


def reversal(T: int, lengths: Array) -> Array:
    """For each place (T, N), the time that a sequence read backwards has there; padding stays where it is."""
    t = np.arange(T, like=lengths)[:, None]
    return np.where(t < lengths, lengths - 1 - t, t)


def reverse(x: Array, order: Array) -> Array:
    """``x`` (T, N, D) with every sequence backwards: reading it so twice gives it back."""
    T, N, D = x.shape
    return take_rows(x.reshape(T * N, D), order * N + np.arange(N, like=order))
