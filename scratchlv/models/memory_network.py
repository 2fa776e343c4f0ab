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

The answers have words of their own; or they are the first of all words, and W are their rows of C_K, without a bias
(``tied_answers``), as where adjacent hops are tied in the paper. Two things are besides:

    linear start      at first p = u_{k-1} · m_i, without the softmax (:mod:`scratchlv.models.linear_attention`)
    empty memories    all memories are asked, those that hold nothing as zeros, m_i = c_i = 0: a hop that finds nothing can
                      look there (:mod:`scratchlv.models.shared_attention`). This is not in the paper, but in what its
                      authors published, whose memories are always 50

Shapes: P pictures, N questions, S memories, J words of a sentence, T of a question, d wide memories.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add, as_contiguous, empty, take_rows
from scratchlv.batches import NOT_THERE, QuestionBatch, StoryBatch
from scratchlv.device import on_gpu, place, to_host
from scratchlv.initialisers import normal, uniform
from scratchlv.models import answer_loss, linear_attention, of_questions, shared_attention
from scratchlv.models.question_answerer import placed
from scratchlv.ops import dot_product_attention, embedding, linear
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.tokens import PAD, SPECIALS
from scratchlv.vision import regions
from scratchlv.vision.finetuning import Finetuned

TYINGS = ("adjacent", "layer-wise")


@dataclass(frozen=True, kw_only=True)
class MemoryNetworkConfig:
    """The widths of a memory network; ``memories`` is the most that a batch may hold of them: regions, or sentences.

    Over sentences (``pictures`` False) it takes a :class:`StoryBatch`, over pictures a :class:`QuestionBatch`;
    ``feature_channels`` is None when it has its own conv extractor, and of a backbone that is ``finetuned`` they are what comes
    out; ``attention_loss`` is the weight, in training, of the loss that supervises the attention.

    Of stories: with ``empty_memories`` what a story leaves empty is asked as well; with ``tied_answers`` the answers are the
    first words of the vocabulary, and W is C_K; the position encoding l is multiplied by ``encoding``; ``copies`` are so many
    networks side by side (see :mod:`scratchlv.models.side_by_side`). All parameters begin normal with the standard deviation
    ``init_scale``; None: by their kind.

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
    empty_memories: bool = False
    tied_answers: bool = False
    encoding: float = 1.0
    init_scale: float | None = None
    copies: int = 1
    channels: tuple[int, int, int] = (32, 64, 64)
    feature_channels: int | None = None
    finetuned: Finetuned | None = None
    attention_loss: float = 0.0

    def __post_init__(self) -> None:
        if self.tying not in TYINGS:
            raise ValueError(f"no tying {self.tying!r}; there are {', '.join(TYINGS)}")
        if self.hops < 1:
            raise ValueError(f"hops must be 1 or more, not {self.hops}")
        few = self.answers + len(SPECIALS) > self.vocabulary
        if self.tied_answers and (self.pictures or self.tying != "adjacent" or few):
            raise ValueError(
                "tied answers are words of the vocabulary, of stories, where hops are tied as adjacent ones"
            )

    def memory_names(self, hop: int) -> tuple[str, str]:
        """Which keys and which values hop 0, 1 … uses."""
        return (f"memory{hop}", f"memory{hop + 1}") if self.tying == "adjacent" else ("keys", "values")

    @property
    def question_words(self) -> str:
        """The name of B."""
        return "question.W" if self.pictures or self.tying == "layer-wise" else "memory0.W"

    @property
    def answer_words(self) -> str:
        """The name of C_K, which tied answers are, too."""
        return f"{self.memory_names(self.hops - 1)[1]}.W"


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
        self.linear = False  # without the softmax; not kept in checkpoints
        self.config = config
        self.params: dict[str, Array] = {}
        if not config.tied_answers:
            self.params["answer.W"] = uniform(rng, d, config.answers)
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
        if config.init_scale is not None:
            self.params = {
                name: normal(rng, *array.shape, scale=config.init_scale) for name, array in self.params.items()
            }
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
        like = self._like
        return place(batch, like) if isinstance(batch, StoryBatch) else placed(batch, like)

    @property
    def _like(self) -> Array:
        return next(iter(self.params.values()))

    # --- the hops --------------------------------------------------------------------------------------------------

    def _logits(self, batch: QuestionBatch | StoryBatch, train: bool) -> tuple[Array, Array, LogitsCache]:
        p, config = self.params, self.config
        asked = batch.tokens.T
        l = position_encoding(asked, config.width, self._like.dtype, config.encoding)  # (N, T, d)
        u, question = bag_of_words(asked, p[config.question_words], l, train=train)  # (N, d)
        memories, mask, memory_cache = self._memories(batch, train)
        alphas, hops = [], []
        for hop in range(config.hops):
            key, value = config.memory_names(hop)
            if self.linear:
                (o, alpha), attention = linear_attention.forward(memories[value], memories[key], u, mask)
            elif config.empty_memories:
                assert mask is not None
                (o, alpha), attention = shared_attention.forward(
                    memories[value], memories[key], u, mask, config.memories, train=train
                )
            else:
                (o, alpha), attention = dot_product_attention.forward(
                    memories[value], memories[key], u, mask=mask, train=train
                )
            mapped = None
            if config.tying == "layer-wise":
                u, mapped = by_copy(u, p["hop.H"], None, config.copies, train=train)
            u = u + o
            alphas.append(alpha)
            hops.append(HopCache(key, value, attention, mapped))
        logits, answer = self._answers(u, train)  # (N, answers)
        return logits, np.stack(alphas, axis=1), LogitsCache(question, memories, memory_cache, hops, answer)

    def _logits_backward(
        self, dlogits: Array, dalphas: Array | None, cache: LogitsCache, ready: Ready
    ) -> dict[str, Array]:
        config = self.config
        du, g = self._answers_backward(dlogits, cache.answer)
        dtied = g.pop(config.answer_words, None)  # what the answers' words send to the last values
        ready(g)
        dmemories: dict[str, Any] = dict.fromkeys(cache.memories)
        if config.tying == "layer-wise":
            g["hop.H"] = np.zeros_like(self.params["hop.H"])
        for k, (key, value, attention, mapped) in reversed(list(enumerate(cache.hops))):
            attend = (
                linear_attention
                if self.linear
                else shared_attention
                if config.empty_memories
                else dot_product_attention
            )
            grads = attend.backward((du, None if dalphas is None else dalphas[:, k]), attention)
            dmemories[value] = add(dmemories[value], grads.dx)  # what is remembered serves as values here, and as keys
            dmemories[key] = add(dmemories[key], grads.dkeys)  # there: both add up
            if mapped is not None:
                du, dH, _ = by_copy_backward(du, mapped)
                g["hop.H"] += dH
            du = du + grads.dquery
        g |= self._memories_backward(dmemories, cache.encoded, ready)
        if dtied is not None:
            g[config.answer_words] += dtied
        dwords = bag_of_words_backward(du, cache.question)
        g[config.question_words] = add(g.get(config.question_words), dwords)
        return g

    def _answers(self, u: Array, train: bool) -> tuple[Array, Any]:
        """The logits (N, answers) from ``u`` (N, d)."""
        p, R = self.params, self.config.copies
        if not self.config.tied_answers:
            return by_copy(u, p["answer.W"], p["answer.b"], R, train=train)
        words = self._of_answers(p[self.config.answer_words])  # (R, answers, d)
        W = as_contiguous(words.swapaxes(1, 2)).reshape(-1, words.shape[1])
        return by_copy(u, W, None, R, train=train)

    def _of_answers(self, words: Array) -> Array:
        """Those of all ``words`` (R V, d) that are answers, a view (R, answers, d)."""
        config = self.config
        first = len(SPECIALS)
        return words.reshape(config.copies, -1, config.width)[:, first : first + config.answers]

    def _answers_backward(self, dlogits: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """``du`` and the gradients of W and b; of tied answers that of the words."""
        du, dW, db = by_copy_backward(dlogits, cache)
        if not self.config.tied_answers:
            return du, {"answer.W": dW, "answer.b": db}
        name, d = self.config.answer_words, self.config.width
        dwords = np.zeros_like(self.params[name])
        self._of_answers(dwords)[...] = dW.reshape(-1, d, dW.shape[1]).swapaxes(1, 2)
        return du, {name: dwords}

    # --- what is remembered ------------------------------------------------------------------------------------------

    def _memories(self, batch: QuestionBatch | StoryBatch, train: bool) -> tuple[dict[str, Array], Array | None, Any]:
        """The memories (N, S, d) by name, and which of them are there (N, S), None for all."""
        names = [name.removesuffix(".T") for name in self.params if name.endswith(".T")]
        if isinstance(batch, StoryBatch):
            told, cache = self._told(names, batch, train)
            return dict(zip(names, told, strict=True)), batch.told != NOT_THERE, cache
        memories, cache = self._seen(names, batch, train)
        return memories, None, cache

    def _memories_backward(self, dmemories: dict[str, Array], cache: Any, ready: Ready) -> dict[str, Array]:
        return (
            self._seen_backward(dmemories, cache, ready)
            if self.config.pictures
            else self._told_backward(dmemories, cache)
        )

    def _told(self, names: list[str], batch: StoryBatch, train: bool) -> tuple[Array, Any]:
        """What ``names`` make of the sentences, (names, N, S, d): all at once, as if their vocabularies were one."""
        p, config = self.params, self.config
        S, d, of = batch.told.shape[1], config.width, np.arange(len(names))[:, None, None]
        each = [p[f"{name}.W"] for name in names]
        W = np.concatenate(each, out=empty((sum(map(len, each)), d), each[0]))
        T = np.stack([p[f"{name}.T"] for name in names]).reshape(len(names), config.copies, 1, -1, d)
        l = position_encoding(batch.sentences, d, self._like.dtype, config.encoding)  # (U, J, d)
        words = batch.sentences + place(of * (len(W) // len(names)), batch.sentences)  # (names, U, J)
        bags, bag_cache = bag_of_words(words, W, l, train=train)  # (names, U, d)
        sentences = batch.told + place(of * len(batch.sentences), batch.told)  # (names, N, S)
        memories, gather_cache = embedding.forward(sentences, bags.reshape(-1, d), train=train)  # (names, N, S, d)
        of_copies = memories.reshape(len(names), config.copies, -1, S, d)
        of_copies += T[:, :, :, :S]
        return memories, (bag_cache, gather_cache)

    def _told_backward(self, dmemories: dict[str, Array], cache: Any) -> dict[str, Array]:
        bag_cache, gather_cache = cache
        d, R = self.config.width, self.config.copies
        each = list(dmemories.values())
        dmemory = np.stack(each, out=empty((len(each), *each[0].shape), each[0]))  # (names, N, S, d)
        names, _, S, _ = dmemory.shape
        dT = empty((names, R, self.config.memories, d), dmemory)
        dT[:, :, S:] = 0
        dT[:, :, :S] = dmemory.reshape(names, R, -1, S, d).sum(axis=2)
        (dbags,) = embedding.backward(dmemory, gather_cache)
        dW = bag_of_words_backward(dbags.reshape(names, -1, d), bag_cache)
        return {
            f"{name}.{kind}": d_of.reshape(-1, d)
            for kind, grads in (("T", dT), ("W", dW.reshape(names, -1, d)))
            for name, d_of in zip(dmemories, grads, strict=True)
        }

    def _seen(self, names: list[str], batch: QuestionBatch, train: bool) -> tuple[dict[str, Array], Any]:
        """What each of ``names`` makes of the regions of the questions' pictures, (N, L, d)."""
        p, config = self.params, self.config
        channels, finetuned, dtype = config.feature_channels, config.finetuned, self._like.dtype.type
        x, encoder_cache = regions.forward(
            p, self.buffers, batch.pictures, channels, dtype, finetuned=finetuned, train=train
        )  # (P, L, D)
        memories, caches = {}, {}
        for name in names:
            memory, linear_cache = linear.forward(
                x, p[f"{name}.W"], need_dx=regions.learns(channels, finetuned), train=train
            )  # (P, L, d)
            memory += p[f"{name}.T"]
            memories[name], gather_cache = of_questions.forward(memory, batch.picture_of, train=train)
            caches[name] = (linear_cache, gather_cache)
        return memories, (encoder_cache, caches)

    def _seen_backward(self, dmemories: dict[str, Array], cache: Any, ready: Ready) -> dict[str, Array]:
        encoder_cache, caches = cache
        g: dict[str, Array] = {}
        dx = None
        for name, dmemory in dmemories.items():
            linear_cache, gather_cache = caches[name]
            g[f"{name}.T"] = dmemory.sum(axis=0)
            dx_here, g[f"{name}.W"], _ = linear.backward(of_questions.backward(dmemory, gather_cache), linear_cache)
            dx = add(dx, dx_here)
        return g | regions.backward(dx, encoder_cache, ready)


# --- copies side by side ---------------------------------------------------------------------------------------------


def by_copy(x: Array, W: Array, b: Array | None, copies: int, *, train: bool) -> tuple[Array, Any]:
    """``x W + b`` of each copy: x (R N, d), W (R d, M), b (R M,) -> (R N, M)."""
    xs, Ws = np.split(x, copies), np.split(W, copies)
    bs = [None] * copies if b is None else np.split(b, copies)
    ys, caches = zip(*(linear.forward(*each, train=train) for each in zip(xs, Ws, bs, strict=True)), strict=True)
    return np.concatenate(ys), caches


def by_copy_backward(dy: Array, caches: Any) -> tuple[Array, Array, Array | None]:
    """``dx, dW, db``, the last None without b."""
    each = [linear.backward(dy_of, cache) for dy_of, cache in zip(np.split(dy, len(caches)), caches, strict=True)]
    dx, dW, db = zip(*each, strict=True)
    return np.concatenate(dx), np.concatenate(dW), None if db[0] is None else np.concatenate(db)


# --- a bag of words that remembers some of their order ---------------------------------------------------------------


def bag_of_words(tokens: Array, W: Array, l: Array, *, train: bool = True) -> tuple[Array, Any]:
    """``Σ_j l_j ∘ W[w_j]`` (…, d) of the words ``tokens`` (…, J), padding behind; zero where there are none."""
    words, cache = embedding.forward(tokens, W, train=train)  # (…, J, d)
    return np.einsum("...jd,...jd->...d", words, l), (l, cache)


def bag_of_words_backward(dy: Array, cache: Any) -> Array:
    l, words_cache = cache
    dwords = empty((*dy.shape[:-1], *l.shape[-2:]), dy)
    (dW,) = embedding.backward(np.multiply(dy[..., None, :], l, out=dwords), words_cache)
    return dW


_MANY = 64  # words of a sentence


def position_encoding(tokens: Array, d: int, dtype: Any = np.float64, scale: float = 1.0) -> Array:
    """``scale · l`` (…, J, d) for the words ``tokens`` (…, J); zero where they are padding."""
    words = (tokens != PAD).sum(axis=-1)  # (…): of each, without padding
    longest = tokens.shape[-1]
    if longest > _MANY and not on_gpu(words):  # a table of all lengths would be large: of those that there are
        lengths, which = np.unique(words, return_inverse=True)
        l = _of_lengths(lengths, longest, d, scale).astype(dtype)
    else:
        l, which = _of_all_lengths(longest, d, np.dtype(dtype), scale), words
    return take_rows(place(l, words), which.reshape(words.shape))


@functools.lru_cache(maxsize=16)
def _of_all_lengths(longest: int, d: int, dtype: np.dtype, scale: float) -> np.ndarray:
    """``scale · l`` of sentences of 0, 1, … ``longest`` words: batch after batch has the same."""
    return _of_lengths(np.arange(longest + 1), longest, d, scale).astype(dtype)


def _of_lengths(lengths: np.ndarray, longest: int, d: int, scale: float) -> np.ndarray:
    """``scale · l`` (lengths, longest, d)."""
    J = lengths[:, None, None]
    j = np.arange(1, longest + 1)[:, None]  # (longest, 1)
    k = np.arange(1, d + 1)  # (d,)
    share = j / np.maximum(J, 1)
    return np.where(j <= J, (1 - share) - k / d * (1 - 2 * share), 0.0) * scale
