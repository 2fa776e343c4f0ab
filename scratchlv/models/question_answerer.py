"""Visual question answering: a picture and a question in, one of many answers out.

The question is read by an LSTM, whose last state is u_0; what it is then asked of differs:

    blind       u = u_0                                         nothing: the question alone
    naive       u = [v, u_0]                                    v, one vector for the whole picture
    attention   u = u_K, after K hops over the L regions        stacked attention (Yang et al. 2016)

                x_l   = tanh(W_I region_l + b_I)
                e_l   = v_k · tanh(W_x^k x_l + b^k + W_u^k u_{k-1})
                u_k   = u_{k-1} + Σ_l softmax(e)_l x_l

    ŷ = softmax(W_2 relu(W_1 u + b_1) + b_2)

The first hop finds what the question speaks of, the next looks from there: u_1 knows where that was. The loss is the mean
over questions of -log ŷ[answer].

That is stacked attention. With ``query="words"`` each hop asks with words of its own, h_t the states of the LSTM at them, as the
control of a MAC cell does (Hudson & Manning 2018, "Compositional attention networks", section 3.2.1):

    q_k   = (W_q + W_q^k) u_0 + b_q + b_q^k,  W_q^1 = 0          c_k = Σ_t softmax(h_t · q_k) h_t
    e_l   = v_k · tanh(W_x^k x_l + b^k + W_u^k c_k + W_z^k z_{k-1})          z_k = Σ_l softmax(e)_l x_l,  z_0 = 0
    u     = [u_0, z_K]

so that hop k may ask of "the red circle" and hop k + 1 of "the star right of", from where hop k was; what the hops before the
last have seen stands in no answer's way. With ``shared_hops`` all look with the weights of one, and only what they ask with
differs: to find what a phrase describes is learned once. W_q^k begin as zeros, so that a model that has learned to answer in
one hop (``hops`` of a batch) makes each of several alike at first: a curriculum from one hop to two.

Shapes: P pictures, N questions, T words, L regions of D numbers, H wide state, A wide attention, E wide embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add, as_contiguous
from scratchlv.batches import QuestionBatch
from scratchlv.device import place, to_host
from scratchlv.initialisers import normal, uniform
from scratchlv.models import answer_loss
from scratchlv.models.recurrent import (
    dropout_backward,
    dropout_forward,
    init_layer,
    layer_backward,
    layer_forward,
    zero_state,
)
from scratchlv.ops import additive_attention, dot_product_attention, dropout, embedding, linear, relu, tanh
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import conv_extractor, image_feature, regions
from scratchlv.vision.finetuning import Finetuned

MODELS = ("naive", "attention", "blind")
_OF_WORDS, _OF_QUESTIONS, _OF_CHANNELS = 1, 2, 3  # what dropout is drawn for, besides what the answer is read from
QUERIES = ("question", "words")  #: what a hop asks with: all that has been found so far, or words of its own


@dataclass(frozen=True, kw_only=True)
class QuestionAnswererConfig:
    """The widths of a question answerer.

    ``feature_channels`` is None when it has its own conv extractor; of a backbone that is ``finetuned`` they are what comes out.
    ``regions`` is the number of regions that the image feature of features is fully connected to; None takes their mean.
    ``attention_loss`` is the weight, in training, of the loss that teaches where to look.

    What is dropped in training: ``dropout`` of what the answer is read from, ``input_dropout`` of the words' vectors,
    ``question_dropout`` of u_0, and ``feature_dropout`` of the channels of the features, the same ones for a whole batch.

    Raises:
        ValueError: there is no such model, or no hop.
    """

    vocabulary: int
    answers: int
    model: str = "attention"
    hops: int = 1
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    channels: tuple[int, int, int] = (32, 64, 64)
    feature_channels: int | None = None
    finetuned: Finetuned | None = None
    dropout: float = 0.0
    input_dropout: float = 0.0
    question_dropout: float = 0.0
    feature_dropout: float = 0.0
    label_smoothing: float = 0.0
    regions: int | None = None
    attention_loss: float = 0.0
    query: str = QUERIES[0]
    shared_hops: bool = False
    frequencies: int = 0

    def __post_init__(self) -> None:
        if self.query not in QUERIES:
            raise ValueError(f"no query {self.query!r}; there are {', '.join(QUERIES)}")
        if self.shared_hops and self.query != "words":
            raise ValueError(
                "shared hops would ask the same again and again; give each words of its own, query='words'"
            )
        if self.model not in MODELS:
            raise ValueError(f"no model {self.model!r}; there are {', '.join(MODELS)}")
        if self.hops < 1:
            raise ValueError(f"hops must be 1 or more, not {self.hops}")

    @property
    def words(self) -> bool:
        """Whether the hops ask with words of their own."""
        return self.model == "attention" and self.query == "words"

    @property
    def waves(self) -> int:
        """The frequencies of a region's place: one vector of a whole picture has no use for them."""
        return self.frequencies if self.model == "attention" else 0

    def hop_names(self) -> list[str]:
        """Whose weights each hop looks with."""
        return [f"hop{1 if self.shared_hops else k}" for k in range(1, self.hops + 1)]


class HopCache(NamedTuple):
    """What the backward pass of one hop takes."""

    name: str
    keys: Any
    gathered_keys: Any
    query: Any
    attention: Any
    words: Any = None  # what it read of the question
    before: Any = None  # what it took over of the hop before


class WordsCache(NamedTuple):
    """What the backward pass of the words that a hop asks with takes."""

    query: list[Any]  # of what is asked of all hops, and of this one
    attention: Any


class HopsCache(NamedTuple):
    """What the backward pass of all hops takes."""

    regions: Any
    tanh: Any
    gathered: Any
    hops: list[HopCache]


class LogitsCache(NamedTuple):
    """What the backward pass from the logits takes; None where there is no such thing."""

    words: Any
    dropped_words: Any
    question: Any
    dropped_question: Any
    encoder: Any
    kept_channels: Array | None
    attention: Any
    hidden: Any
    relu: Any
    dropped: Any
    answer: Any


class QuestionAnswerer:
    """The three models: ``params``, ``buffers``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, config: QuestionAnswererConfig, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        E, H, A = config.embedding, config.hidden, config.attention
        self.config = config
        self.params: dict[str, Array] = {
            "embedding.W": normal(rng, config.vocabulary, E, scale=1.0),
            **init_layer(rng, "question", "lstm", E, H),
            "answer.W1": uniform(rng, 2 * H if config.model == "naive" or config.words else H, H),
            "answer.b1": np.zeros(H, np.float32),
            "answer.W2": uniform(rng, H, config.answers),
            "answer.b2": np.zeros(config.answers, np.float32),
        }
        self.buffers: dict[str, Array] = {}
        if config.model == "blind":
            return
        D = regions.width(config.channels, config.feature_channels, config.waves)
        if config.model == "naive":
            L = conv_extractor.GRID**2 if config.feature_channels is None else config.regions
            feature, statistics = image_feature.init(rng, L, D, H)
            self.params |= feature
            self.buffers |= statistics
        else:
            self.params |= {"regions.W": uniform(rng, D, H), "regions.b": np.zeros(H, np.float32)}
            # a few numbers of places among many features would hardly be heard, and every relation hangs on them
            of_place = regions.of_place(config.waves)
            self.params["regions.W"][-of_place:] = rng.uniform(-2, 2, (of_place, H)) * (2 / of_place) ** 0.5
            for hop in dict.fromkeys(config.hop_names()):
                self.params |= {
                    f"{hop}.Wx": uniform(rng, H, A),
                    f"{hop}.b": np.zeros(A, np.float32),
                    f"{hop}.Wu": uniform(rng, H, A),
                    f"{hop}.v": normal(rng, A, scale=A**-0.5),
                }
            if config.words:
                for k in range(1, config.hops + 1):
                    W = uniform(rng, H, H) if k == 1 else np.zeros((H, H), np.float32)
                    self.params |= {f"words{k}.W": W, f"words{k}.b": np.zeros(H, np.float32)}
                for hop in dict.fromkeys(config.hop_names()[1:]):
                    self.params[f"{hop}.Wz"] = uniform(rng, H, A)
        encoder_params, statistics = regions.init(rng, config.channels, config.feature_channels, config.finetuned)
        self.params |= encoder_params
        self.buffers |= statistics

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: QuestionBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per question, in nats, and the cache that ``backward`` takes.

        In training, the loss of the attention is added by its weight where ``batch.attention_target`` is given.
        """
        batch = placed(batch, self.params["embedding.W"])
        logits, alphas, cache = self._logits(batch, train)
        loss, loss_cache = answer_loss.forward(
            logits,
            alphas,
            batch,
            self.config.attention_loss,
            label_smoothing=self.config.label_smoothing,
            train=train,
        )
        return loss, (cache, loss_cache)

    def backward(self, cache: Any, ready: Ready = nobody_waits) -> dict[str, Array]:
        """Gradients of the mean loss, by the names of the parameters: the lines of ``forward``, from the last to the first.

        ``ready`` is told of them when they are final.
        """
        cache, loss_cache = cache
        dlogits, dalphas = answer_loss.backward(loss_cache)
        return self._logits_backward(dlogits, dalphas, cache, ready)

    def answer(self, batch: QuestionBatch) -> tuple[Array, Array | None]:
        """The probabilities (N, answers), and the attention of each hop, (N, hops, L); None for a model that does not attend."""
        logits, alphas, _ = self._logits(placed(batch, self.params["embedding.W"]), train=False)
        return to_host((answer_loss.probabilities(logits), alphas))

    # --- the question, the picture, the answer ---------------------------------------------------------------------

    def _logits(self, batch: QuestionBatch, train: bool) -> tuple[Array, Array | None, LogitsCache]:
        p, config = self.params, self.config
        seed, window = batch.dropout_seed, batch.part.window
        words, words_cache = embedding.forward(batch.tokens, p["embedding.W"], train=train)  # (T, N, E)
        words, dropped_words = dropout_forward(
            words, config.input_dropout, (seed, _OF_WORDS), window=window, train=train
        )
        zero = zero_state("lstm", words.shape[1], config.hidden, words)
        h, (u, _), question = layer_forward(
            p, "question", "lstm", words, zero, batch.lengths, train=train
        )  # (T, N, H), (N, H)
        u, dropped_question = dropout_forward(
            u, config.question_dropout, (seed, _OF_QUESTIONS), window=window, train=train
        )
        alphas = encoder_cache = kept = attention_cache = None
        if config.model != "blind":
            x, encoder_cache = regions.forward(
                p,
                self.buffers,
                batch.pictures,
                config.feature_channels,
                words.dtype.type,
                frequencies=config.waves,
                finetuned=config.finetuned,
                train=train,
            )  # (P, L, D)
            if train and config.feature_dropout:
                kept = self._kept_channels(x, seed)
                x = x * kept
            if config.model == "naive":
                u, alphas, attention_cache = self._whole_picture(x, u, batch.picture_of, train)
            else:
                u, alphas, attention_cache = self._hops(x, u, h, batch, train)
        a, hidden = linear.forward(u, p["answer.W1"], p["answer.b1"], train=train)  # (N, H)
        a, relu_cache = relu.forward(a, train=train)
        a, dropped = dropout.forward(a, p=config.dropout, seed=seed, window=window, train=train)
        logits, answer = linear.forward(a, p["answer.W2"], p["answer.b2"], train=train)  # (N, answers)
        cache = LogitsCache(
            words_cache,
            dropped_words,
            question,
            dropped_question,
            encoder_cache,
            kept,
            attention_cache,
            hidden,
            relu_cache,
            dropped,
            answer,
        )
        return logits, alphas, cache

    def _kept_channels(self, x: Array, seed: int) -> Array:
        """What each of the D numbers of all regions is multiplied by, (D,): 0 or 1 / (1 - p); where it is is never dropped."""
        C = self.config.feature_channels or self.config.channels[-1]
        kept = np.ones_like(x, shape=x.shape[2:])
        channels = kept[:C]
        channels[...], _ = dropout.forward(channels, p=self.config.feature_dropout, seed=(seed, _OF_CHANNELS))
        return kept

    def _logits_backward(
        self, dlogits: Array, dalphas: Array | None, cache: LogitsCache, ready: Ready
    ) -> dict[str, Array]:
        g: dict[str, Array] = {}
        da, g["answer.W2"], g["answer.b2"] = linear.backward(dlogits, cache.answer)
        if cache.dropped is not None:
            (da,) = dropout.backward(da, cache.dropped)
        (da,) = relu.backward(da, cache.relu)
        du, g["answer.W1"], g["answer.b1"] = linear.backward(da, cache.hidden)
        ready(g)
        dh = None
        if self.config.model != "blind":
            if self.config.model == "naive":
                dx, du, grads = self._whole_picture_backward(du, cache.attention)
            else:
                dx, du, dh, grads = self._hops_backward(du, dalphas, cache.attention)
            ready(grads)
            if dx is not None and cache.kept_channels is not None:
                dx = dx * cache.kept_channels
            g |= grads | regions.backward(dx, cache.encoder, ready)
        du = dropout_backward(du, cache.dropped_question)
        dwords, _, grads = layer_backward(dh, (du, np.zeros_like(du)), cache.question)
        dwords = dropout_backward(dwords, cache.dropped_words)
        (g["embedding.W"],) = embedding.backward(dwords, cache.words)
        return g | grads

    # --- naive -----------------------------------------------------------------------------------------------------

    def _whole_picture(self, x: Array, u: Array, picture_of: Array, train: bool) -> tuple[Array, None, Any]:
        """``[v, u]`` (N, 2H): the feature of each question's picture, and the question."""
        v, image = image_feature.forward(self.params, self.buffers, x, train=train)  # (P, H)
        v_of, gather_cache = embedding.forward(picture_of, v, train=train)  # (N, H)
        return np.concatenate([v_of, u], axis=1), None, (image, gather_cache)

    def _whole_picture_backward(self, du: Array, cache: Any) -> tuple[Array, Array, dict[str, Array]]:
        image, gather_cache = cache
        H = self.config.hidden
        (dv,) = embedding.backward(as_contiguous(du[:, :H]), gather_cache)
        dx, grads = image_feature.backward(dv, image)
        return dx, du[:, H:], grads

    # --- attention -------------------------------------------------------------------------------------------------

    def _hops(
        self, x: Array, u: Array, h: Array, batch: QuestionBatch, train: bool
    ) -> tuple[Array, Array, HopsCache | None]:
        """What is answered from, ``u_K`` (N, H) or ``[u_0, z_K]`` (N, 2H), and the attention of each hop (N, K, L)."""
        p, config = self.params, self.config
        learns = regions.learns(config.feature_channels, config.finetuned)
        x, region_cache = linear.forward(x, p["regions.W"], p["regions.b"], need_dx=learns, train=train)
        x, tanh_cache = tanh.forward(x, train=train)  # (P, L, H)
        x_of, gather_cache = of_questions(x, batch.picture_of, train=train)  # (N, L, H)
        read = as_contiguous(h.swapaxes(0, 1)) if config.words else None  # (N, T, H)
        z, alphas, hops = None, [], []
        keys_of: dict[str, Any] = {}
        for k, hop in enumerate(config.hop_names()[: batch.hops], 1):
            if hop not in keys_of:
                keys, keys_cache = linear.forward(x, p[f"{hop}.Wx"], p[f"{hop}.b"], train=train)  # (P, L, A)
                keys_of[hop] = (*of_questions(keys, batch.picture_of, train=train), keys_cache)  # (N, L, A)
            asks, words_cache, before = u, None, None
            if read is not None:
                asks, words_cache = self._words(k, u, read, batch.lengths, train)  # (N, H)
            query, query_cache = linear.forward(asks, p[f"{hop}.Wu"], train=train)  # (N, A)
            if read is not None and z is not None:
                from_before, before = linear.forward(z, p[f"{hop}.Wz"], train=train)
                query = query + from_before
            keys, keys_gather_cache, keys_cache = keys_of[hop]
            (z, alpha), attention = additive_attention.forward(x_of, keys, query, p[f"{hop}.v"], train=train)
            u = u if config.words else u + z
            alphas.append(alpha)
            hops.append(HopCache(hop, keys_cache, keys_gather_cache, query_cache, attention, words_cache, before))
        found = np.concatenate([u, z], axis=1) if config.words else u
        return (
            found,
            np.stack(alphas, axis=1),
            HopsCache(region_cache, tanh_cache, gather_cache, hops) if train else None,
        )

    def _hops_backward(
        self, du: Array, dalphas: Array | None, cache: HopsCache
    ) -> tuple[Array | None, Array, Array | None, dict[str, Array]]:
        g: dict[str, Array] = {}
        dkeys_of: dict[str, Array] = {}
        dx, dz, dread = None, None, None  # x is looked at in every hop, and makes its keys
        if self.config.words:
            H = self.config.hidden
            du, dz = du[:, :H], as_contiguous(du[:, H:])
        for k, hop in reversed(list(enumerate(cache.hops))):
            dalpha = None if dalphas is None else dalphas[:, k]
            grads = additive_attention.backward((du if dz is None else dz, dalpha), hop.attention, dx=dx)
            dx = grads.dx
            dkeys_of[hop.name] = add(dkeys_of.get(hop.name), grads.dkeys)
            g[f"{hop.name}.v"] = add(g.get(f"{hop.name}.v"), grads.dv)
            if hop.before is not None:
                dz, dWz, _ = linear.backward(grads.dquery, hop.before)
                g[f"{hop.name}.Wz"] = add(g.get(f"{hop.name}.Wz"), dWz)
            dasks, dWu, _ = linear.backward(grads.dquery, hop.query)
            g[f"{hop.name}.Wu"] = add(g.get(f"{hop.name}.Wu"), dWu)
            if hop.words is None:
                du = du + dasks  # u went on as it was, and asked
            else:
                du_here, dread_here, words = self._words_backward(k + 1, dasks, hop.words)
                du, dread = du + du_here, add(dread, dread_here)
                g |= {name: add(g.get(name), grad) for name, grad in words.items()}
        dx = of_questions_backward(dx, cache.gathered)
        for name, hop in {hop.name: hop for hop in cache.hops}.items():
            dkeys = of_questions_backward(dkeys_of.pop(name), hop.gathered_keys)
            dx, g[f"{name}.Wx"], g[f"{name}.b"] = linear.backward(dkeys, hop.keys, dx=dx)
        (dx,) = tanh.backward(dx, cache.tanh)
        dx, g["regions.W"], g["regions.b"] = linear.backward(dx, cache.regions)
        for name in self.params:  # hops that were not made learn nothing
            if name.startswith(("hop", "words")) and name not in g:
                g[name] = np.zeros_like(self.params[name])
        return dx, du, None if dread is None else as_contiguous(dread.swapaxes(0, 1)), g

    def _words(self, k: int, u: Array, read: Array, lengths: Array, train: bool) -> tuple[Array, WordsCache]:
        """``c_k`` (N, H): of the words ``read`` (N, T, H) those that hop ``k`` asks with."""
        p, names = self.params, self._queries(k)
        queries = [linear.forward(u, p[f"{name}.W"], p[f"{name}.b"], train=train) for name in names]
        query = queries[0][0] if k == 1 else queries[0][0] + queries[1][0]
        mask = place(np.arange(read.shape[1]), read) < lengths[:, None]  # (N, T)
        (asks, _), attention = dot_product_attention.forward(read, read, query, mask=mask, train=train)
        return asks, WordsCache([cache for _, cache in queries], attention)

    def _words_backward(self, k: int, dasks: Array, cache: WordsCache) -> tuple[Array, Array, dict[str, Array]]:
        grads = dot_product_attention.backward((dasks, None), cache.attention)
        du, g = None, {}
        for name, query in zip(self._queries(k), cache.query, strict=True):
            du_here, g[f"{name}.W"], g[f"{name}.b"] = linear.backward(grads.dquery, query)
            du = add(du, du_here)
        return du, grads.dx + grads.dkeys, g

    def _queries(self, k: int) -> list[str]:
        return ["words1"] if k == 1 else ["words1", f"words{k}"]


def placed(batch: QuestionBatch, like: Array) -> QuestionBatch:
    """The batch where ``like`` is; ``picture_of`` stays on the host, which can then see whether there is anything to copy."""
    return place(batch._replace(picture_of=None), like)._replace(picture_of=batch.picture_of)


def of_questions(x: Array, picture_of: Array, *, train: bool) -> tuple[Array, Any]:
    """``x[picture_of]``, (P, L, D) -> (N, L, D): an embedding, whose gradient adds up what the questions of a picture send."""
    P, L, D = x.shape
    if np.array_equal(picture_of, np.arange(P)):  # one question about each: nothing to copy
        return x, None
    y, cache = embedding.forward(picture_of, x.reshape(P, L * D), train=train)
    return y.reshape(-1, L, D), cache


def of_questions_backward(dy: Array, cache: Any) -> Array:
    """(N, L, D) -> (P, L, D)."""
    if cache is None:
        return dy
    N, L, D = dy.shape
    (dx,) = embedding.backward(dy.reshape(N, L * D), cache)
    return dx.reshape(-1, L, D)
