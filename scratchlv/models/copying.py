"""Words that are copied from the source: the pointer-generator of See, Liu and Manning (2017), *Get To The Point*.

At step t the decoder either says a word of its vocabulary, with probability g_t, or points at a word of the source, as its
attention does:

    g_t = σ(w_h h_t + w_z z_t + w_y W_emb y_{t-1} + b)
    P_t(w) = g_t softmax(logits_t)[w] + (1 - g_t) Σ_{l: source_l = w} α_tl

Words are numbers of an extended vocabulary: 0 to V - 1 are those of the vocabulary, and V, V + 1, … those of one source that it
lacks. Such a word can only be copied, and is read as ``<unk>`` by what comes after it; a word that is neither known nor in the
source is ``<unk>``, and can only be generated.

The loss of a word is -log P_t(y_t). With p = softmax(logits_t)[y_t], a = Σ α_tl over the places of y_t, and
r = g p / P, the share of the probability that was generated (ρ = 1 - r the share that was copied):

    d logits = r (softmax(logits) - [y])        d α_l = - ρ / a  at the places of y_t        d g̃ = g - r,   g = σ(g̃)

The last line is that of a logistic regression whose label is r. Where p = 0 (a word that the vocabulary lacks), r = 0.

The coverage loss Σ_l min(α_tl, c_tl) / steps, with c_t = Σ_{τ<t} α_τ, keeps attention from looking at the same place again:
it is what such decoders repeat themselves for.

Theirs differs in one thing: there c_t is given to the attention as well, here it is only a loss.

Shapes: T steps, N sentences, L words of the source, V words of the vocabulary, H wide state, D wide context, E wide embedding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.initialisers import normal
from scratchlv.ops import sigmoid, softmax_cross_entropy
from scratchlv.tokens import PAD, UNK

_LEAST = 1e-30  # of a probability whose logarithm is taken: below it float32 has no digits left


# --- the gate ----------------------------------------------------------------------------------------------------------


class GateCache(NamedTuple):
    h: Array
    z: Array
    words: Array


def init_gate(rng: np.random.Generator, H: int, D: int, E: int) -> dict[str, Array]:
    """The parameters of the gate, by name."""
    widths = {"copy.wh": H, "copy.wz": D, "copy.wy": E}
    vectors = {name: normal(rng, width, scale=width**-0.5) for name, width in widths.items()}
    return {**vectors, "copy.b": np.zeros(1, np.float32)}


def gate(p: dict[str, Array], h: Array, z: Array, words: Array) -> tuple[Array, GateCache]:
    """g̃ (…), before the σ, of states (…, H), contexts (…, D) and the words before (…, E)."""
    return h @ p["copy.wh"] + z @ p["copy.wz"] + words @ p["copy.wy"] + p["copy.b"], GateCache(h, z, words)


def gate_backward(
    dgate: Array, p: dict[str, Array], cache: GateCache, dh: Array, dz: Array, dwords: Array
) -> dict[str, Array]:
    """Add what ``dgate`` (T, N) asks of the states, the contexts and the words to their gradients; those of the parameters."""
    g = {"copy.b": dgate.sum()[None]}
    for name, x, dx in zip(("copy.wh", "copy.wz", "copy.wy"), cache, (dh, dz, dwords), strict=True):
        g[name] = dgate.reshape(-1) @ x.reshape(-1, x.shape[-1])
        dx += np.multiply(dgate[:, :, None], p[name], out=empty(dx.shape, dx))
    return g


# --- the loss ----------------------------------------------------------------------------------------------------------


class Cache(NamedTuple):
    kernel: Any  # of the cross-entropy of the vocabulary
    generated: Array  # (T, N): r
    gate: Array  # (T, N): g
    at_target: Array  # (T, N, L) bool: where the source has the target
    attended: Array  # (T, N): a
    weights: Array  # (T, N): of each word in the loss


def forward(
    logits: Array,
    gate: Array,
    alphas: Array,
    source: Array,
    targets: Array,
    counts: Array,
    *,
    share: float = 1.0,
    train: bool = True,
) -> tuple[Any, Cache]:
    """The mean of -log P over the words that count.

    Args:
        logits: (T, N, V); their memory is used up.
        gate: (T, N): g̃, before the σ.
        alphas: (T, N, L).
        source: (N, L) numbers of the extended vocabulary; below 0 where there is no word.
        targets: (T, N), of the extended vocabulary.
        counts: (T, N) bool.
        share: that of these words in all of a batch that several processes share: the loss is so much of their mean.
    """
    V = logits.shape[-1]
    known = targets < V
    losses, kernel = softmax_cross_entropy.forward(
        logits, np.where(known, targets, 0), mask=counts, reduction="none", train=train, overwrite=True
    )  # (T, N): -log p, 0 where nothing counts
    g, _ = sigmoid.forward(gate, train=False)
    not_g, _ = sigmoid.forward(-gate, train=False)  # 1 - g, to the last digit where g is nearly 1
    p = np.where(known, np.exp(-losses), 0)
    at_target = source[None] == targets[:, :, None]  # (T, N, L)
    attended = np.where(at_target, alphas, 0).sum(axis=2)
    generated, copied = g * p, not_g * attended
    total = np.maximum(generated + copied, _LEAST)
    weights = (share * counts / np.maximum(counts.sum(), 1)).astype(gate.dtype)
    loss = -(weights * np.log(total)).sum()
    return loss, Cache(kernel, generated / total, g, at_target, attended, weights)


def backward(cache: Cache) -> tuple[Array, Array, Array]:
    """``dlogits`` (T, N, V), ``dgate`` (T, N) and ``dalphas`` (T, N, L)."""
    kernel, r, g, at_target, attended, weights = cache
    (dlogits,) = softmax_cross_entropy.backward(weights * r, kernel)
    copied = weights * (1 - r) / np.maximum(attended, _LEAST)  # (T, N)
    return dlogits, weights * (g - r), np.where(at_target, -copied[:, :, None], 0)


# --- saying it ---------------------------------------------------------------------------------------------------------


def known(tokens: Array, vocabulary: int) -> Array:
    """``tokens`` of the extended vocabulary as the decoder reads them: ``<unk>`` for those that only the source has."""
    return np.where(tokens < vocabulary, tokens, UNK)


def mix(log_probs: Array, gate: Array, alpha: Array, source: Array) -> Array:
    """log P (N, V + X) of ``log_probs`` (N, V), g̃ (N,), α (N, L) and ``source`` (N, L); X words are in the sources alone.

    A word that another source has, and this one lacks, has log P = -inf.
    """
    N, V = log_probs.shape
    source, there = np.where(source < 0, PAD, source), source >= 0
    width = max(V, int(source.max()) + 1) if source.size else V
    mixed = empty((N, width), log_probs)
    mixed[:, :V] = log_probs - np.logaddexp(0, -gate)[:, None]  # log g = -log(1 + e^-g̃)
    mixed[:, V:] = -np.inf
    alpha = np.where(there, alpha, 0)
    same = source[:, :, None] == source[:, None]  # (N, L, L): a word that stands in several places
    attended = np.where(same, alpha[:, None], 0).sum(axis=2)  # (N, L)
    with np.errstate(divide="ignore"):
        copied = np.log(attended) - np.logaddexp(0, gate)[:, None]  # log (1 - g) a
    places = np.arange(N, like=source)[:, None], source
    mixed[places] = np.logaddexp(mixed[places], copied)
    return mixed


# --- coverage ----------------------------------------------------------------------------------------------------------


class CoverageCache(NamedTuple):
    again: Array  # (T, N, L) bool: the place had more attention before than now
    weights: Array  # (T, N)


def coverage_loss(alphas: Array, counts: Array, weight: float) -> tuple[Any, CoverageCache]:
    """``weight`` times the mean over words of Σ_l min(α_tl, c_tl)."""
    before = np.cumsum(alphas, axis=0) - alphas  # (T, N, L): c_t
    weights = (weight * counts / np.maximum(counts.sum(), 1)).astype(alphas.dtype)
    loss = (weights[:, :, None] * np.minimum(alphas, before)).sum()
    return loss, CoverageCache(alphas < before, weights)


def coverage_loss_backward(cache: CoverageCache) -> Array:
    """``dalphas`` (T, N, L): where min is α_t it is α_t's, and else that of all steps before."""
    again, weights = cache
    own = np.where(again, weights[:, :, None], 0)
    of_before = weights[:, :, None] - own  # into c_t
    later = np.cumsum(of_before[::-1], axis=0)[::-1] - of_before  # what steps after t ask of α_t
    return own + later
