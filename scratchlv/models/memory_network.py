"""End-to-end memory networks (Sukhbaatar et al. 2015), over the regions of a picture or over the sentences of a story.

What is remembered, s_1 … s_S, is turned into keys m and values c; the question q asks the keys, K times:

    m_i = A s_i + T_A(i)        c_i = C s_i + T_C(i)        u_0 = B q
    p   = softmax(u_{k-1} · m_i)
    u_k = u_{k-1} + Σ_i p_i c_i
    ŷ   = softmax(W u_K + b)

T are learned rows, one for each place in the memory: of a story i counts back from the question (temporal encoding), of a
picture it is the place of the region. A sentence, as the question, is a bag of words that remembers some of their order
(position encoding): Σ_j l_j ∘ A w_j with

    l_kj = (1 - j/J) - (k/d) (1 - 2j/J)        word j of J, number k of d

Every hop could have its own A and C; two ways of sharing them have fewer to learn:

    adjacent      the values of a hop are the keys of the next, A_{k+1} = C_k; over sentences also B = A_1
    layer-wise    all hops share A and C, and u is mapped in between: u_k = H u_{k-1} + Σ_i p_i c_i

The answers have words of their own, so that W is not tied to C_K as it is in the paper.

Shapes: P pictures, N questions, S memories, J words of a sentence, T of a question, d wide memories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add, empty, take_rows
from scratchlv.batches import QuestionBatch, StoryBatch
from scratchlv.device import place, to_host
from scratchlv.initialisers import normal, uniform
from scratchlv.models import answer_loss
from scratchlv.models.question_answerer import of_questions, of_questions_backward, placed
from scratchlv.ops import dot_product_attention, embedding, linear
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.tokens import PAD
from scratchlv.vision import regions
from scratchlv.vision.finetuning import Finetuned

TYINGS = ("adjacent", "layer-wise")


@dataclass(frozen=True, kw_only=True)
class MemoryNetworkConfig:
    """The widths of a memory network; ``memories`` is the most that a batch may hold of them: regions, or sentences.

    Over sentences (``pictures`` False) it takes a :class:`StoryBatch`, over pictures a :class:`QuestionBatch`;
    ``feature_channels`` is None when it has its own conv extractor, and of a backbone that is ``finetuned`` they are what comes
    out; ``attention_loss`` is the weight, in training, of the loss that supervises the attention.

    Raises:
        ValueError: there is no such tying, or no hop.
    """

    vocabulary: int
    answers: int
    memories: int
    pictures: bool = True
    hops: int = 3
    width: int = 128
    tying: str = "adjacent"
    channels: tuple[int, int, int] = (32, 64, 64)
    feature_channels: int | None = None
    finetuned: Finetuned | None = None
    attention_loss: float = 0.0

    def __post_init__(self) -> None:
        if self.tying not in TYINGS:
            raise ValueError(f"no tying {self.tying!r}; there are {', '.join(TYINGS)}")
        if self.hops < 1:
            raise ValueError(f"hops must be 1 or more, not {self.hops}")

    def memory_names(self, hop: int) -> tuple[str, str]:
        """Which keys and which values hop 0, 1 … uses."""
        return (f"memory{hop}", f"memory{hop + 1}") if self.tying == "adjacent" else ("keys", "values")

    @property
    def question_words(self) -> str:
        """The name of B."""
        return "question.W" if self.pictures or self.tying == "layer-wise" else "memory0.W"


class HopCache(NamedTuple):
    """What the backward pass of one hop takes."""

    key: str  # the names of the memories
    value: str
    attention: Any
    mapped: Any  # u through H, where the tying is layer-wise


class LogitsCache(NamedTuple):
    """What the backward pass from the logits takes."""

    question: Any
    memories: dict[str, Array]
    encoded: Any  # how the memories were made
    hops: list[HopCache]
    answer: Any


class MemoryNetwork:
    """``params``, ``buffers``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, config: MemoryNetworkConfig, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        d, S = config.width, config.memories
        self.config = config
        self.params: dict[str, Array] = {"answer.W": uniform(rng, d, config.answers)}
        self.params["answer.b"] = np.zeros(config.answers, np.float32)
        for name in dict.fromkeys(name for hop in range(config.hops) for name in config.memory_names(hop)):
            if config.pictures:
                D = regions.width(config.channels, config.feature_channels)
                self.params[f"{name}.W"] = uniform(rng, D, d)
            else:
                self.params[f"{name}.W"] = normal(rng, config.vocabulary, d, scale=0.3)
            self.params[f"{name}.T"] = normal(rng, S, d, scale=0.3)
        if config.question_words == "question.W":
            self.params["question.W"] = normal(rng, config.vocabulary, d, scale=0.3)
        if config.tying == "layer-wise":
            self.params["hop.H"] = uniform(rng, d, d)
        self.buffers: dict[str, Array] = {}
        if config.pictures:
            params, self.buffers = regions.init(rng, config.channels, config.feature_channels, config.finetuned)
            self.params |= params

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: QuestionBatch | StoryBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per question, in nats, and the cache that ``backward`` takes.

        In training, the loss of the attention is added by its weight where ``batch.attention_target`` is given.
        """
        batch = self._placed(batch)
        logits, alphas, cache = self._logits(batch, train)
        loss, loss_cache = answer_loss.forward(logits, alphas, batch, self.config.attention_loss, train=train)
        return loss, (cache, loss_cache)

    def backward(self, cache: Any, ready: Ready = nobody_waits) -> dict[str, Array]:
        """Gradients of the mean loss, by the names of the parameters: the lines of ``forward``, from the last to the first.

        ``ready`` is told of those of the answer, and of a conv net's, when they are final; the others are small.
        """
        cache, loss_cache = cache
        dlogits, dalphas = answer_loss.backward(loss_cache)
        return self._logits_backward(dlogits, dalphas, cache, ready)

    def answer(self, batch: QuestionBatch | StoryBatch) -> tuple[Array, Array]:
        """The probabilities (N, answers), and the attention of each hop, (N, hops, S)."""
        logits, alphas, _ = self._logits(self._placed(batch), train=False)
        return to_host((answer_loss.probabilities(logits), alphas))

    def _placed(self, batch: QuestionBatch | StoryBatch) -> QuestionBatch | StoryBatch:
        like = self.params["answer.W"]
        return place(batch, like) if isinstance(batch, StoryBatch) else placed(batch, like)

    # --- the hops --------------------------------------------------------------------------------------------------

    def _logits(self, batch: QuestionBatch | StoryBatch, train: bool) -> tuple[Array, Array, LogitsCache]:
        p, config = self.params, self.config
        u, question = bag_of_words(batch.tokens.T, p[config.question_words], train=train)  # (N, d)
        memories, mask, memory_cache = self._memories(batch, train)
        alphas, hops = [], []
        for hop in range(config.hops):
            key, value = config.memory_names(hop)
            (o, alpha), attention = dot_product_attention.forward(
                memories[value], memories[key], u, mask=mask, train=train
            )
            mapped = None
            if config.tying == "layer-wise":
                u, mapped = linear.forward(u, p["hop.H"], train=train)
            u = u + o
            alphas.append(alpha)
            hops.append(HopCache(key, value, attention, mapped))
        logits, answer = linear.forward(u, p["answer.W"], p["answer.b"], train=train)  # (N, answers)
        return logits, np.stack(alphas, axis=1), LogitsCache(question, memories, memory_cache, hops, answer)

    def _logits_backward(
        self, dlogits: Array, dalphas: Array | None, cache: LogitsCache, ready: Ready
    ) -> dict[str, Array]:
        config = self.config
        g: dict[str, Array] = {}
        du, g["answer.W"], g["answer.b"] = linear.backward(dlogits, cache.answer)
        ready(g)
        dmemories: dict[str, Any] = dict.fromkeys(cache.memories)
        if config.tying == "layer-wise":
            g["hop.H"] = np.zeros_like(self.params["hop.H"])
        for k, (key, value, attention, mapped) in reversed(list(enumerate(cache.hops))):
            grads = dot_product_attention.backward((du, None if dalphas is None else dalphas[:, k]), attention)
            dmemories[value] = add(dmemories[value], grads.dx)  # what is remembered serves as values here, and as keys
            dmemories[key] = add(dmemories[key], grads.dkeys)  # there: both add up
            if mapped is not None:
                du, dH, _ = linear.backward(du, mapped)
                g["hop.H"] += dH
            du = du + grads.dquery
        g |= self._memories_backward(dmemories, cache.encoded, ready)
        dwords = bag_of_words_backward(du, cache.question)
        g[config.question_words] = add(g.get(config.question_words), dwords)
        return g

    # --- what is remembered ------------------------------------------------------------------------------------------

    def _memories(self, batch: QuestionBatch | StoryBatch, train: bool) -> tuple[dict[str, Array], Array | None, Any]:
        """The memories (N, S, d) by name, and which of them are there (N, S), None for all."""
        p, config = self.params, self.config
        names = [name.removesuffix(".T") for name in p if name.endswith(".T")]
        memories, caches = {}, {}
        if isinstance(batch, StoryBatch):
            S = batch.sentences.shape[1]
            for name in names:
                bags, caches[name] = bag_of_words(batch.sentences, p[f"{name}.W"], train=train)  # (N, S, d)
                bags += p[f"{name}.T"][:S]
                memories[name] = bags
            return memories, batch.sentences[:, :, 0] != PAD, (None, caches)
        channels, finetuned, dtype = config.feature_channels, config.finetuned, p["answer.W"].dtype.type
        x, encoder_cache = regions.forward(
            p, self.buffers, batch.pictures, channels, dtype, finetuned=finetuned, train=train
        )  # (P, L, D)
        for name in names:
            memory, linear_cache = linear.forward(
                x, p[f"{name}.W"], need_dx=regions.learns(channels, finetuned), train=train
            )  # (P, L, d)
            memory += p[f"{name}.T"]
            memories[name], gather_cache = of_questions(memory, batch.picture_of, train=train)
            caches[name] = (linear_cache, gather_cache)
        return memories, None, (encoder_cache, caches)

    def _memories_backward(self, dmemories: dict[str, Array], cache: Any, ready: Ready) -> dict[str, Array]:
        encoder_cache, caches = cache
        g: dict[str, Array] = {}
        dx = None
        for name, dmemory in dmemories.items():
            S = dmemory.shape[1]
            g[f"{name}.T"] = np.zeros_like(self.params[f"{name}.T"])
            g[f"{name}.T"][:S] = dmemory.sum(axis=0)
            if self.config.pictures:
                linear_cache, gather_cache = caches[name]
                dx_here, g[f"{name}.W"], _ = linear.backward(of_questions_backward(dmemory, gather_cache), linear_cache)
                dx = add(dx, dx_here)
            else:
                g[f"{name}.W"] = bag_of_words_backward(dmemory, caches[name])
        return g | (regions.backward(dx, encoder_cache, ready) if self.config.pictures else {})


# --- a bag of words that remembers some of their order ---------------------------------------------------------------


def bag_of_words(tokens: Array, W: Array, *, train: bool = True) -> tuple[Array, Any]:
    """``Σ_j l_j ∘ W[w_j]`` (…, d) of the words ``tokens`` (…, J), padding behind; zero where there are none."""
    words, cache = embedding.forward(tokens, W, train=train)  # (…, J, d)
    l = position_encoding(tokens, W.shape[1], W.dtype)
    words *= l
    return words.sum(axis=-2, out=empty((*words.shape[:-2], words.shape[-1]), words)), (l, cache)


def bag_of_words_backward(dy: Array, cache: Any) -> Array:
    l, words_cache = cache
    (dW,) = embedding.backward(np.multiply(dy[..., None, :], l, out=empty(l.shape, dy)), words_cache)
    return dW


def position_encoding(tokens: Array, d: int, dtype: Any = np.float64) -> Array:
    """``l`` (…, J, d) for the words ``tokens`` (…, J); zero where they are padding."""
    words = (tokens != PAD).sum(axis=-1)  # (…): of each, without padding
    longest = tokens.shape[-1]
    J = np.arange(longest + 1)[:, None, None]
    j = np.arange(1, longest + 1)[:, None]  # (longest, 1)
    k = np.arange(1, d + 1)  # (d,)
    share = j / np.maximum(J, 1)
    of_length = np.where(j <= J, (1 - share) - k / d * (1 - 2 * share), 0.0)  # (longest + 1, longest, d)
    return take_rows(place(of_length.astype(dtype), words), words)
