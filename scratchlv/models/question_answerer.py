"""Visual question answering: a picture and a question in, one of many answers out.

The question is read by an LSTM, whose last state is u_0; what it is then asked of differs:

    blind       u = u_0                                         nothing: the question alone
    naive       u = [v, u_0]                                    v, one vector for the whole picture
    attention   u = u_K, after K hops over the L regions        stacked attention (Yang et al. 2016)
    glimpses    u = y, of G chains of K hops                    see :mod:`.glimpses`

                x_l   = tanh(W_I region_l + b_I)
                e_l   = v_k · tanh(W_x^k x_l + b^k + W_u^k u_{k-1})
                u_k   = u_{k-1} + Σ_l softmax(e)_l x_l

    ŷ = softmax(W_2 relu(W_1 u + b_1) + b_2)

With ``pairs`` vectors of pairs of words are added to u_0: see :mod:`.word_pairs`.

The first hop finds what the question speaks of, the next looks from there: u_1 knows where that was. The loss is the mean
over questions of -log ŷ[answer].

Shapes: P pictures, N questions, T words, L regions of D numbers, H wide state, A wide attention, E wide embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add, as_contiguous, empty
from scratchlv.batches import QuestionBatch
from scratchlv.device import place, to_host
from scratchlv.initialisers import normal, uniform
from scratchlv.models import answer_loss, glimpses, hop, of_questions, word_pairs
from scratchlv.models.recurrent import (
    dropout_backward,
    dropout_forward,
    init_layer,
    layer_backward,
    layer_forward,
    reversal,
    reverse,
    zero_state,
)
from scratchlv.ops import dropout, embedding, linear, relu, tanh
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import conv_extractor, image_feature, regions
from scratchlv.vision.finetuning import Finetuned

MODELS = ("naive", "attention", "glimpses", "blind")
_OF_WORDS, _OF_QUESTIONS, _OF_CHANNELS, _OF_BACKWARDS = (
    1,
    2,
    3,
    4,
)  # what dropout is drawn for, besides what the answer is read from


@dataclass(frozen=True, kw_only=True)
class QuestionAnswererConfig:
    """The widths of a question answerer.

    ``feature_channels`` is None when it has its own conv extractor; of a backbone that is ``finetuned`` they are what comes out.
    ``regions`` is the number of regions that the image feature of features is fully connected to; None takes their mean.
    ``grid`` are the rows and columns of the regions, which glimpses move over.
    ``attention_loss`` is the weight, in training, of the loss that teaches where to look. ``pairs`` are the pairs of words, by
    number, that have a vector of their own.

    What is dropped in training: ``dropout`` of what the answer is read from, ``input_dropout`` of the words' vectors,
    ``question_dropout`` of u_0, and ``feature_dropout`` of the channels of the features, the same ones for a whole batch.

    Raises:
        ValueError: there is no such model, no hop, no glimpse, or no grid to move over.
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
    grid: tuple[int, int] | None = None
    glimpses: int = 1
    attention_loss: float = 0.0
    pairs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"no model {self.model!r}; there are {', '.join(MODELS)}")
        if self.hops < 1:
            raise ValueError(f"hops must be 1 or more, not {self.hops}")
        if self.glimpses < 1:
            raise ValueError(f"glimpses must be 1 or more, not {self.glimpses}")
        if self.model == "glimpses" and self.grid is None:
            raise ValueError("glimpses move over a grid of regions: give its rows and columns")

    @property
    def backwards(self) -> bool:
        """Whether questions are read backwards as well."""
        return self.model == "glimpses" and glimpses.readings(self.glimpses) > 1

    @property
    def answered_from(self) -> int:
        """The width of u."""
        if self.model == "glimpses":
            return glimpses.width(self.glimpses, self.hidden)
        return 2 * self.hidden if self.model == "naive" else self.hidden


class HopsCache(NamedTuple):
    """What the backward pass of all hops takes."""

    regions: Any
    gathered: Any
    hops: list[hop.Cache]


class LogitsCache(NamedTuple):
    """What the backward pass from the logits takes; None where there is no such thing."""

    words: Any
    dropped_words: Any
    question: Any
    pairs: Any
    dropped_question: Any
    order: Array | None  # in which it was read backwards
    backwards: Any
    dropped_backwards: Any
    encoder: Any
    kept_channels: Array | None
    attention: Any
    hidden: Any
    relu: Any
    dropped: Any
    answer: Any


class QuestionAnswerer:
    """The models: ``params``, ``buffers``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, config: QuestionAnswererConfig, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        E, H, A = config.embedding, config.hidden, config.attention
        self.config = config
        self.params: dict[str, Array] = {
            "embedding.W": normal(rng, config.vocabulary, E, scale=1.0),
            **init_layer(rng, "question", "lstm", E, H),
            "answer.W1": uniform(rng, config.answered_from, H),
            "answer.b1": np.zeros(H, np.float32),
            "answer.W2": uniform(rng, H, config.answers),
            "answer.b2": np.zeros(config.answers, np.float32),
        }
        self.buffers: dict[str, Array] = {}
        if config.pairs:
            self.params |= word_pairs.init(rng, len(config.pairs), H)
        if config.model == "blind":
            return
        if config.backwards:
            self.params |= init_layer(rng, "backwards", "lstm", E, H)
        D = regions.width(config.channels, config.feature_channels)
        if config.model == "naive":
            L = conv_extractor.GRID**2 if config.feature_channels is None else config.regions
            feature, statistics = image_feature.init(rng, L, D, H)
            self.params |= feature
            self.buffers |= statistics
        else:
            self.params |= {"regions.W": uniform(rng, D, H), "regions.b": np.zeros(H, np.float32)}
            # a few numbers of places among many features would hardly be heard, and every relation hangs on them
            of_place = regions.of_place()
            self.params["regions.W"][-of_place:] = rng.uniform(-2, 2, (of_place, H)) * (2 / of_place) ** 0.5
            if config.model == "glimpses":
                assert config.grid is not None
                self.params |= glimpses.init(rng, config.glimpses, config.hops, H, A, config.grid)
            else:
                for k in range(1, config.hops + 1):
                    self.params |= hop.init(rng, f"hop{k}", H, A)
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
        if self.config.model == "glimpses":
            alphas = None  # nobody teaches them where to look
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
        _, (u, _), question = layer_forward(p, "question", "lstm", words, zero, batch.lengths, train=train)  # (N, H)
        pairs = None
        if config.pairs:
            of_pairs, pairs = word_pairs.forward(p, batch.tokens, config.pairs, config.vocabulary, train=train)
            u = u + of_pairs
        drop: dict[str, Any] = {"window": window, "train": train}
        u, dropped_question = dropout_forward(u, config.question_dropout, (seed, _OF_QUESTIONS), **drop)
        back = order = backwards = dropped_backwards = None
        if config.backwards:
            order = reversal(len(words), batch.lengths)
            _, (back, _), backwards = layer_forward(
                p, "backwards", "lstm", reverse(words, order), zero, batch.lengths, train=train
            )
            back, dropped_backwards = dropout_forward(back, config.question_dropout, (seed, _OF_BACKWARDS), **drop)
        alphas = encoder_cache = kept = attention_cache = None
        if config.model != "blind":
            x, encoder_cache = regions.forward(
                p,
                self.buffers,
                batch.pictures,
                config.feature_channels,
                words.dtype.type,
                finetuned=config.finetuned,
                train=train,
            )  # (P, L, D)
            if train and config.feature_dropout:
                kept = self._kept_channels(x, seed)
                x = np.multiply(x, kept, out=empty(x.shape, x))
            if config.model == "naive":
                u, alphas, attention_cache = self._whole_picture(x, u, batch.picture_of, train)
            elif config.model == "glimpses":
                readings = [u] if back is None else [u, back]
                u, alphas, attention_cache = self._glimpses(x, readings, batch, train)
            else:
                u, alphas, attention_cache = self._hops(x, u, batch, train)
        a, hidden = linear.forward(u, p["answer.W1"], p["answer.b1"], train=train)  # (N, H)
        a, relu_cache = relu.forward(a, train=train)
        a, dropped = dropout.forward(a, p=config.dropout, seed=seed, window=window, train=train)
        logits, answer = linear.forward(a, p["answer.W2"], p["answer.b2"], train=train)  # (N, answers)
        cache = LogitsCache(
            words_cache,
            dropped_words,
            question,
            pairs,
            dropped_question,
            order,
            backwards,
            dropped_backwards,
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
        dback = None
        if self.config.model != "blind":
            if self.config.model == "naive":
                dx, du, grads = self._whole_picture_backward(du, cache.attention)
            elif self.config.model == "glimpses":
                dx, (du, *dback), grads = self._glimpses_backward(du, cache.attention)
            else:
                dx, du, grads = self._hops_backward(du, dalphas, cache.attention)
            ready(grads)
            if dx is not None and cache.kept_channels is not None:
                dx *= cache.kept_channels
            g |= grads | regions.backward(dx, cache.encoder, ready)
        du = dropout_backward(du, cache.dropped_question)
        if cache.pairs is not None:
            g |= word_pairs.backward(du, cache.pairs)
        dwords, _, grads = layer_backward(None, (du, np.zeros_like(du)), cache.question)
        if dback:
            back = dropout_backward(dback[0], cache.dropped_backwards)
            back_words, _, of_back = layer_backward(None, (back, np.zeros_like(back)), cache.backwards)
            dwords, grads = add(dwords, reverse(back_words, cache.order)), grads | of_back
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

    def _regions(self, x: Array, train: bool) -> tuple[Array, tuple[Any, Any]]:
        """x_l (P, L, H), which is looked at and which keys are made of."""
        p, config = self.params, self.config
        learns = regions.learns(config.feature_channels, config.finetuned)
        x, projected = linear.forward(x, p["regions.W"], p["regions.b"], need_dx=learns, train=train)
        x, squashed = tanh.forward(x, train=train)
        return x, (projected, squashed)

    def _regions_backward(self, dx: Array, cache: tuple[Any, Any]) -> tuple[Array | None, dict[str, Array]]:
        projected, squashed = cache
        (dx,) = tanh.backward(dx, squashed)
        dx, dW, db = linear.backward(dx, projected)
        return dx, {"regions.W": dW, "regions.b": db}

    def _hops(self, x: Array, u: Array, batch: QuestionBatch, train: bool) -> tuple[Array, Array, HopsCache | None]:
        """``u_K`` (N, H), and the attention of each hop (N, K, L)."""
        x, region_cache = self._regions(x, train)  # (P, L, H)
        x_of, gather_cache = of_questions.forward(x, batch.picture_of, train=train)  # (N, L, H)
        alphas, hops = [], []
        for k in range(1, self.config.hops + 1):
            (z, alpha), cache = hop.forward(self.params, f"hop{k}", x, x_of, u, batch.picture_of, train=train)
            u = u + z
            alphas.append(alpha)
            hops.append(cache)
        return u, np.stack(alphas, axis=1), HopsCache(region_cache, gather_cache, hops) if train else None

    def _hops_backward(
        self, du: Array, dalphas: Array | None, cache: HopsCache
    ) -> tuple[Array | None, Array, dict[str, Array]]:
        g: dict[str, Array] = {}
        dkeys_of, dx = {}, None  # x is looked at in every hop, and makes its keys
        for k, of_hop in reversed(list(enumerate(cache.hops))):
            dalpha = None if dalphas is None else dalphas[:, k]
            dx, dkeys_of[of_hop.name], du_here, grads = hop.backward(du, dalpha, of_hop, dx)
            du = du + du_here  # u went on as it was, and asked
            g |= grads
        dx = of_questions.backward(dx, cache.gathered)
        for of_hop in cache.hops:
            dx, grads = hop.keys_backward(dkeys_of.pop(of_hop.name), of_hop, dx)
            g |= grads
        dx, grads = self._regions_backward(dx, cache.regions)
        return dx, du, g | grads

    def _glimpses(self, x: Array, readings: list[Array], batch: QuestionBatch, train: bool) -> tuple[Array, Array, Any]:
        """What is answered from, ``y``, and the attention of each hop of each glimpse (N, G K, L)."""
        config = self.config
        assert config.grid is not None
        x, region_cache = self._regions(x, train)
        y, alphas, cache = glimpses.forward(
            self.params,
            x,
            readings,
            batch.picture_of,
            config.grid,
            config.glimpses,
            batch.hops or config.hops,
            train=train,
        )
        return y, alphas, (region_cache, cache) if train else None

    def _glimpses_backward(self, dy: Array, cache: Any) -> tuple[Array | None, list[Array], dict[str, Array]]:
        region_cache, cache = cache
        dx, du, g = glimpses.backward(dy, cache)
        for name, value in self.params.items():  # hops that were not made learn nothing
            if name.startswith("glimpse") and name not in g:
                g[name] = np.zeros_like(value)
        dx, grads = self._regions_backward(dx, region_cache)
        return dx, du, g | grads


def placed(batch: QuestionBatch, like: Array) -> QuestionBatch:
    """The batch where ``like`` is; ``picture_of`` stays on the host, which can then see whether there is anything to copy."""
    return place(batch._replace(picture_of=None), like)._replace(picture_of=batch.picture_of)
