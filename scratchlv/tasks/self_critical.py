"""Self-critical sequence training: a captioner learns by the figure that it is judged by (Rennie et al., CVPR 2017).

Cross-entropy teaches which word people say next, after words of people. What is wanted is a whole caption w, each word of it
said after the model's own, for which the reward r(w) is high: CIDEr-D beside what people said of the picture. Words are chosen,
and no gradient comes back through a choice; but the expected reward is a sum over captions, and has one:

    L = −E[r(w)] = −Σ_w p(w) r(w)
    ∇L = −Σ_w r(w) ∇p(w) = −Σ_w p(w) r(w) ∇log p(w) = −E[r(w) ∇log p(w)]            for ∇p = p ∇log p

So −r(w) ∇log p(w) of one caption drawn from p is right on average (REINFORCE, Williams 1992). So it is with r(w) − b in place
of r(w), whatever b is, if it is not made from w: Σ_w p(w) b ∇log p(w) = b ∇Σ_w p(w) = b ∇1 = 0. The estimate varies least where
b is about what one expects of the picture. Here it is the reward of the greedy caption, which is what the model says in use, its
own critic: what beats it becomes likelier, what does not, less likely. With several captions of a picture, b is the mean reward
of the others (Kool et al. 2019), and no greedy caption is made.

log p(w) is a sum over words, so at each of them

    dlogits_t = (r(w) − b) (ŷ_t − 1[w_t]) / captions

is cross-entropy's, with a weight for each sentence, and the captioner's backward pass does all the rest.

What makes it hold:

- The caption is drawn from the very p that is differentiated: no dropout; batches are normalised as in training; every entry of
  the vocabulary may come, <unk> too, which no reference has, and which in use is never said.
- ``<end>`` is a word, in captions and in references. Without it a caption may break off where the next word is a risk ("a dog
  in a"), for an end costs nothing; a caption that is cut off at the greatest length has none.
- Document frequencies are those of the training references, and rare words are themselves in these, not <unk>.

The gradient is checked against that of the expected reward, by all captions of a small vocabulary, in
``tests/tasks/test_self_critical.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import CaptionBatch
from scratchlv.data.vocabulary import pad
from scratchlv.decode import Generated, explore
from scratchlv.models.captioner import Captioner
from scratchlv.models.decoder import DecoderState
from scratchlv.parallel.shares import WHOLE, Part, Ready, nobody_waits
from scratchlv.tokens import START

#: The rewards (n,) of captions, by the numbers (n,) of the pictures that they are about.
Reward = Callable[[Sequence[Generated], Array], Array]


class PictureBatch(NamedTuple):
    """N pictures, their numbers, by which captions are rewarded, and what the captions are drawn from.

    Processes that share a batch draw each from a seed of its own: what is learned is the same on average, and in no digit.
    """

    pictures: Array
    numbers: Array  # (N,)
    seed: tuple[int, ...]
    part: Part = WHOLE


class SelfCritical:
    """A captioner as the trainer sees it: the same ``params``, and a loss that is minus the mean reward of what it said."""

    def __init__(self, model: Captioner, reward: Reward, samples: int = 1, longest: int = 40) -> None:
        self.model, self.reward, self.samples, self.longest = model, reward, samples, longest
        self.params, self.buffers = model.params, model.buffers

    def forward(self, batch: PictureBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Minus the mean reward of captions drawn for the pictures, and the cache that ``backward`` takes."""
        beside = self.samples == 1
        greedy, drawn = explore(
            self, batch.pictures, seed=batch.seed, samples=self.samples, beside=beside, max_length=self.longest
        )
        numbers = np.tile(batch.numbers, self.samples + beside)
        rewards = self.reward([*greedy, *drawn], numbers).reshape(self.samples + beside, -1)  # (k, N)
        baseline, rewards = (rewards[0], rewards[1:]) if beside else (mean_of_others(rewards), rewards)
        captions = weighted(batch.pictures, drawn, batch.part.share * (rewards - baseline).ravel())
        _, cache = self.model.forward(captions, train=train)
        return -rewards.mean() * batch.part.share, cache

    def backward(self, cache: Any, ready: Ready = nobody_waits) -> dict[str, Array]:
        """An estimate of the gradient of minus the expected reward, by the names of the parameters."""
        return self.model.backward(cache, ready)

    def start(self, pictures: Array) -> DecoderState:
        """The state before the first word, from what the forward pass will see."""
        return self.model.start(pictures, train=True)

    def step(self, state: DecoderState, tokens: Array) -> tuple[Array, DecoderState]:
        return self.model.step(state, tokens)


def mean_of_others(rewards: Array) -> Array:
    """Of rewards (k, N), k captions of each picture: for each the mean of the other k − 1."""
    return (rewards.sum(axis=0) - rewards) / (len(rewards) - 1)


def weighted(pictures: Array, drawn: Sequence[Generated], weights: Array) -> CaptionBatch:
    """The captions as a batch whose loss is the mean over them of weight · (−log p), a sum over words each.

    ``drawn`` are as many captions of each picture as there are, all pictures' first ones first; ``weights`` is as long. The
    loss of a batch is a mean over words, W of them: so weights are times W / captions.
    """
    tokens, lengths = pad([[START, *g.tokens] for g in drawn])  # (T + 1, k N), (k N,)
    lengths = lengths - 1
    repeated = np.concatenate([pictures] * (len(drawn) // len(pictures)))
    return CaptionBatch(repeated, tokens, lengths, word_weights=weights * (lengths.sum() / len(drawn)))
