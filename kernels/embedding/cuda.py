"""Embedding on a GPU: the launches of ``embedding.cu``.

Nothing is read back: a token outside the vocabulary makes its row NaN, where the other variants raise ``ValueError``.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty, on_gpu, place, zeros
from scratchlv.cuda.versions import version
from scratchlv.kernels.embedding.reference import check_tokens

VERSIONS = {
    1: "a number a thread; a block for each row of dW",
    2: "sorted by token",
    3: "sorted, in chunks of one size",
    4: "not sorted where there are few",
}
TILE, CHUNK = 1024, 16  # as in embedding.cu


class Cache(NamedTuple):
    tokens: Array  # (...) int64
    rows: int  # V, the size of the vocabulary


def limits(tokens: Any, W: Any, *, train: bool = True) -> str | None:
    return cannot_serve(W)


def forward(tokens: Array, W: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = W[tokens]``: ``tokens`` (...) of integers, ``W`` (V, E); ``y`` is (..., E)."""
    tokens, W = as_contiguous(_integers(tokens, W), np.int64), as_contiguous(W)
    M, (V, E) = tokens.size, W.shape
    y = empty((*tokens.shape, E), W)
    module = load("embedding.cu")
    if version(VERSIONS) == 1:
        module["gather_1"](blocks(M * E, 256), (256,), tokens, W, y, np.int64(M * E), np.int32(V), np.int32(E))
    elif E:
        across = _threads(E)
        block = across, 256 // across
        module["gather_2"](blocks(M, block[1]), block, tokens, W, y, np.int32(M), np.int32(V), np.int32(E))
    return y, Cache(tokens, V) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dW`` (V, E): a row is the sum over the positions where its token stood; ``dy`` is (..., E)."""
    tokens, V = cache
    dy, M, E, number = as_contiguous(dy), tokens.size, dy.shape[-1], version(VERSIONS)
    module = load("embedding.cu")
    if number == 1:
        dW = empty((V, E), dy)
        module["scatter_1"]((V,), (128,), tokens, dy, dW, np.int32(M), np.int32(E))
        return (dW,)
    dW, sizes = zeros((V, E), dy), (np.int32(M), np.int32(V), np.int32(E))
    if number == 4 and M <= TILE:
        across = _threads(E)
        groups = 512 // across
        module["scatter_4"]((M,), (across, groups), tokens, dy, dW, *sizes, shared=16 * across * (groups - 1))
        return (dW,)
    tokens, positions = _sort(tokens, M, V)
    if number == 2:
        module["scatter_2"]((M,), (128,), tokens, positions, dy, dW, *sizes)
        return (dW,)
    chunks, threads = -(-M // CHUNK), (_threads(E),)
    heads, tails = empty((chunks, E), dy), empty((chunks, E), dy)
    module["scatter_3"]((chunks,), threads, tokens, positions, dy, dW, heads, tails, *sizes)
    module["combine_chunks"]((chunks,), threads, tokens, heads, tails, dW, *sizes)
    return (dW,)


def _integers(tokens: Array, W: Array) -> Array:
    if hasattr(tokens, "dtype") and on_gpu(W):
        if tokens.dtype.kind not in "iu":
            raise ValueError(f"tokens must be integers; they are {tokens.dtype}")
        return place(tokens, W)
    return place(check_tokens(tokens, len(W)), W)


def _sort(tokens: Array, M: int, V: int) -> tuple[Array, Array]:
    """The M tokens in their order, as int32, and where each stood; equal ones keep their order. V stands for what is no row."""
    module = load("embedding.cu")
    ordered, positions = empty(M, tokens, np.int32), empty(M, tokens, np.int32)
    module["sort_tiles"](blocks(M, 8), (256,), tokens, ordered, positions, np.int32(M), np.int32(V))
    if M <= TILE:
        return ordered, positions
    tiles, tile_positions = ordered, positions
    ordered, positions = empty(M, tokens, np.int32), empty(M, tokens, np.int32)
    module["merge_tiles"](blocks(M, 256), (256,), tiles, tile_positions, ordered, positions, np.int32(M))
    return ordered, positions


def _threads(E: int) -> int:
    """A power of two, for four columns each."""
    return min(128, 1 << max(0, -(-E // 4) - 1).bit_length())
