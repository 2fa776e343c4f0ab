"""Hard attention (Xu et al. 2015, section 4.1): the model looks at one region, which is drawn, and learns where by REINFORCE.

    s_t ~ Multinoulli(α_t)        z_t = x_{s_t}

What is learned is the lower bound Σ_s p(s | x) log p(y | s, x) ≤ log p(y | x), here as a loss per word, with the entropy of the
weights, which keeps them from settling too early:

    L = 1/W E_s [ Σ_t ℓ_t - λ_e Σ_t H(α_t) ]        ℓ_t = -log ŷ_t[y_t],  H(α) = -Σ_l α_l log α_l

The draws cannot be differentiated; their probabilities can. ∂p(s) = p(s) ∂log p(s), and log p(s) = Σ_t log α_t[s_t], so that

    ∂L = 1/W E_s [ ∂(Σ_t ℓ_t - λ_e H(α_t)) + Σ_t G_t ∂log α_t[s_t] ]
    G_t = Σ_{u ≥ t} (ℓ_u - b) - λ_e Σ_{u > t} H(α_u)

What came before s_t does not depend on it, and a number b that does not either changes no expectation: both are left out, or put
in, because the gradient of a sample varies less so. (The paper weighs every step with the log p of the whole sentence, and its b
is of sentences. Ours is of words: a long sentence is not blamed for its length.) b is the moving average of ℓ,

    b ← 0.9 b + 0.1 mean ℓ        of the words whose regions were drawn; it begins at ln V

and is taken as it was before the step. Two more things are the paper's: the weight λ_r of the second term, which is unbiased at
1 (a run takes 0.1, which is biased, and learns sooner); and that regions are drawn only for a share of the sentences, a half,
while the others see the expectation z_t = Σ_l α_l x_l, through which the gradient flows as in soft attention. When the model
speaks, or is validated, nothing is drawn: z is the expectation.

Shapes: T steps, N sentences, L regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.parallel.team import sum_of_batch

DRAWS = 1 << 24  #: as the room attention_lstm has it
_KEPT = 0.9  # of the baseline, at each step


@dataclass(frozen=True, kw_only=True)
class HardAttention:
    """How regions are drawn, and how that is learned."""

    drawn: float = 0.5  # share of the sentences whose regions are drawn
    reinforce: float = 1.0  # λ_r
    entropy: float = 0.01  # λ_e


def draw(how: HardAttention, seed: int, T: int, N: int, window: tuple[int, int] | None = None) -> Array:
    """(T, N): what draws a region in the room attention_lstm; -1 in the columns of sentences that look everywhere.

    A function of the seed and of the place: longer sentences beside it change none. ``window`` says where the sentences stand in
    a batch that is shared.
    """
    rng = np.random.default_rng([seed, 3])
    first, rows = window or (0, N)
    drawn = rng.random(rows) < how.drawn
    return np.where(drawn, rng.integers(0, DRAWS, (T, rows)), -1)[:, first : first + N]


class Looked(Protocol):
    """What a decoder did while it looked."""

    @property
    def alpha(self) -> Array:
        """(T, N, L)"""

    @property
    def looked(self) -> Array:
        """(T, N, L): α, or one-hot where a region was drawn."""


def forward(
    how: HardAttention,
    run: Looked,
    draws: Array,
    losses: Array,
    counts: Array,
    baseline: Array,
    share: float = 1.0,
) -> tuple[Any, Array]:
    """What is added to the mean of ``losses`` (T, N), -λ_e H, and the gradient by the weights (T, N, L).

    ``counts`` (T, N) says which words count. ``baseline`` (1,) is b, and is moved. ``share`` is that of the words in all of a
    batch that several processes share; b is moved by the losses of all.
    """
    alphas = run.alpha
    words = np.maximum(counts.sum(), 1).astype(alphas.dtype)
    if share != 1:
        words = words / alphas.dtype.type(share) if share else words * alphas.dtype.type(np.inf)
    drawn = counts & (draws >= 0)  # (T, N)
    dalphas, log_alphas, product = (empty(alphas.shape, alphas) for _ in range(3))  # (T, N, L)
    np.maximum(alphas, np.finfo(alphas.dtype).tiny, out=dalphas)  # a weight of 0 has 0 log 0 = 0, and is not drawn
    np.log(dalphas, out=log_alphas)
    np.multiply(alphas, log_alphas, out=product)
    entropies = np.where(counts, -product.sum(axis=2), 0)  # (T, N)

    costs = np.where(counts, losses - baseline, 0) - how.entropy * entropies
    to_go = np.cumsum(costs[::-1], axis=0)[::-1] + how.entropy * entropies  # (T, N): G
    advantages = (np.where(drawn, to_go, 0) * (how.reinforce / words)).astype(alphas.dtype)
    np.divide(run.looked, dalphas, out=dalphas)  # ∂log α[s] = 1 / α[s], at the region drawn
    dalphas *= advantages[:, :, None]
    log_alphas += 1
    log_alphas *= (counts * (how.entropy / words)).astype(alphas.dtype)[:, :, None]
    dalphas += log_alphas  # ∂(-H) = log α + 1

    n, mean = drawn.sum(), np.where(drawn, losses, 0).sum()
    if share != 1:
        n, mean = sum_of_batch(np.stack([n.astype(losses.dtype), mean]))
    mean = mean / np.maximum(n, 1)
    baseline[...] = np.where(n > 0, _KEPT * baseline + (1 - _KEPT) * mean, baseline)
    return -how.entropy * entropies.sum() / words, dalphas


def backward(cache: Array) -> Array:
    """``dalphas`` (T, N, L), as ``forward`` found it: the losses that it is made of are numbers to it."""
    return cache
