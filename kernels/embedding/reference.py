"""Embedding, the specification: y = W[tokens]."""

from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Cache(NamedTuple):
    tokens: Array  # (...) int
    rows: int  # V, the size of the vocabulary


def forward(tokens: Array, W: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = W[tokens]``: ``tokens`` (...) of integers in [0, V), ``W`` (V, E); ``y`` is (..., E).

    Raises:
        ValueError: a token is not in [0, V); the message names it.
    """
    tokens = check_tokens(tokens, len(W))
    y = W[tokens]  # (..., E)
    return y, Cache(tokens, len(W)) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dW`` (V, E): a row is the sum over the places where its token stood; ``dy`` is (..., E)."""
    tokens, rows = cache
    dW = np.zeros_like(dy, shape=(rows, dy.shape[-1]))
    np.add.at(dW, tokens, dy)  # dW[tokens] += dy would count a repeated token once
    return (dW,)


def check_tokens(tokens: Array, V: int) -> Array:
    """The tokens as an integer array; a token outside [0, V) is an error, never a wrapped index."""
    if not hasattr(tokens, "dtype"):
        tokens = np.asarray(tokens)
    if tokens.dtype.kind not in "iu":
        raise ValueError(f"tokens must be integers; they are {tokens.dtype}")
    if tokens.size:
        for token in (int(tokens.min()), int(tokens.max())):
            if not 0 <= token < V:
                raise ValueError(f"token {token} is outside the vocabulary: there are V = {V} rows, 0 to {V - 1}")
    return tokens
