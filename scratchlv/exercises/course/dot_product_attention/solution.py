"""Dot-product attention: a query is compared with keys, by multiplying them.

Why: the additive score needs a tanh for every region; this one is a product
of matrices, which computers do best. Decoders, memory networks and
transformers look this way.

    e_l = keys_l · query / √K        a score for each region l
    α   = softmax(e)                 over the L regions
    z   = Σ_l α_l x_l                the context

Why √K: if the K numbers of key and query have variance 1, their product has
variance K. Without the root, one score towers over the others when K is large,
α is nearly 0 or 1, and the softmax has no slope left to learn from.

Where mask is False there is no region: its α is 0, and the α of the others
sum to 1. Every row of mask has at least one True. Scores may be as large as
1000 (exp(1000) overflows): a softmax does not change if a number is taken away
from all scores of a row, the largest of them for instance.

forward(x, keys, query, mask) -> (z, alpha), cache
    x      (N, L, D)   what is summed
    keys   (N, L, K)   what the query is compared with, one for each x_l
    query  (N, K)
    mask   (N, L)      bool
    z      (N, D)
    alpha  (N, L)

backward(dy, cache) -> dx, dkeys, dquery
    dy     (dz, dalpha), like (z, alpha): both are outputs
    dx is like x, dkeys like keys, dquery like query.

From float32 come float32 results and gradients: mind what √K is made of.

A tiny example, one query, three regions, K = 4 (so √K = 2), D = 1; the third
region is masked:

    keys_1 = (1, 0, 0, 0), keys_2 = (0, 1, 0, 0);  query = (2 ln 3, 0, 0, 0)
    e = ln 3, 0    α = 3/4, 1/4, 0    z = 3/4 · 4 + 1/4 · 8 = 5

    >>> x = np.array([[[4.0], [8], [100]]])
    >>> keys = np.eye(4)[None, :3]
    >>> query = np.array([[2 * np.log(3.0), 0, 0, 0]])
    >>> mask = np.array([[True, True, False]])
    >>> (z, alpha), cache = forward(x, keys, query, mask)
    >>> alpha.round(6).tolist(), z.round(6).tolist()
    ([[0.75, 0.25, 0.0]], [[5.0]])
    >>> dy = np.ones((1, 1)), np.zeros((1, 3))
    >>> dx, dkeys, dquery = backward(dy, cache)
    >>> dquery.round(6).tolist()
    [[-0.375, 0.375, 0.0, 0.0]]

dquery by hand: dα = 4, 8, 100; Σ α dα = 5; de = 3/4 (4 − 5), 1/4 (8 − 5), 0;
and dquery = (de_1 keys_1 + de_2 keys_2) / 2.
"""

import numpy as np


def forward(x, keys, query, mask):
    """x (N, L, D), keys (N, L, K), query (N, K) -> (z (N, D), alpha (N, L)), cache."""
    # <solution>
    scale = 1 / np.sqrt(query.shape[1]).astype(query.dtype)
    e = scale * (keys * query[:, None]).sum(axis=2)  # (N, L)
    e = np.where(mask, e, -np.inf)
    p = np.exp(e - e.max(axis=1, keepdims=True))
    alpha = p / p.sum(axis=1, keepdims=True)
    z = (alpha[:, :, None] * x).sum(axis=1)
    return (z, alpha), (x, keys, query, alpha, scale)
    # </solution>


def backward(dy, cache):
    """dy = (dz (N, D), dalpha (N, L)) -> dx, dkeys, dquery."""
    # <solution>
    dz, dalpha_out = dy
    x, keys, query, alpha, scale = cache
    dx = alpha[:, :, None] * dz[:, None]
    dalpha = (x * dz[:, None]).sum(axis=2) + dalpha_out  # (N, L)
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))
    dkeys = scale * de[:, :, None] * query[:, None]
    dquery = scale * (de[:, :, None] * keys).sum(axis=1)  # every key met the same query
    return dx, dkeys, dquery
    # </solution>
