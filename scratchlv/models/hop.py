"""One hop: a look at the regions of a picture, as a question asks (Yang et al. 2016; additive attention of Bahdanau et al. 2015).

    e_l = v · tanh(W_x x_l + b + W_u u)          α = softmax(e)          z = Σ_l α_l x_l

Keys are made of the regions of a picture, once for all questions about it. Its backward pass is in two parts, since who makes
several hops may add up what all send to the regions they looked at before what goes back through the keys.

Shapes: P pictures, N questions, L regions, x (P, L, H), x_of (N, L, H), u (N, H), A wide attention.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.initialisers import normal, uniform
from scratchlv.models import of_questions
from scratchlv.ops import additive_attention, linear


class Cache(NamedTuple):
    """What the backward pass takes."""

    name: str
    keys: Any
    gathered_keys: Any
    query: Any
    attention: Any


def init(rng: np.random.Generator, name: str, H: int, A: int) -> dict[str, Array]:
    """The weights of the hop ``name``."""
    return {
        f"{name}.Wx": uniform(rng, H, A),
        f"{name}.b": np.zeros(A, np.float32),
        f"{name}.Wu": uniform(rng, H, A),
        f"{name}.v": normal(rng, A, scale=A**-0.5),
    }


def forward(
    params: dict, name: str, x: Array, x_of: Array, u: Array, picture_of: Array, *, train: bool = True
) -> tuple[tuple[Array, Array], Cache]:
    """``z`` (N, H) and ``alpha`` (N, L)."""
    keys, keys_cache = linear.forward(x, params[f"{name}.Wx"], params[f"{name}.b"], train=train)  # (P, L, A)
    keys, gathered = of_questions.forward(keys, picture_of, train=train)  # (N, L, A)
    query, query_cache = linear.forward(u, params[f"{name}.Wu"], train=train)  # (N, A)
    looked, attention = additive_attention.forward(x_of, keys, query, params[f"{name}.v"], train=train)
    return looked, Cache(name, keys_cache, gathered, query_cache, attention)


def backward(
    dz: Array | None, dalpha: Array | None, cache: Cache, dx_of: Array | None
) -> tuple[Array, Array, Array, dict[str, Array]]:
    """``dx_of``, to which the new one is added, ``dkeys`` (N, L, A) for :func:`keys_backward`, ``du``, gradients of weights."""
    grads = additive_attention.backward((dz, dalpha), cache.attention, dx=dx_of)
    du, dWu, _ = linear.backward(grads.dquery, cache.query)
    return grads.dx, grads.dkeys, du, {f"{cache.name}.v": grads.dv, f"{cache.name}.Wu": dWu}


def keys_backward(dkeys: Array, cache: Cache, dx: Array | None) -> tuple[Array, dict[str, Array]]:
    """``dx`` (P, L, H), to which the new one is added, and the gradients of weights."""
    dx, dWx, db = linear.backward(of_questions.backward(dkeys, cache.gathered_keys), cache.keys, dx=dx)
    return dx, {f"{cache.name}.Wx": dWx, f"{cache.name}.b": db}
