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

Shapes: P pictures, N questions, T words, L regions of D numbers, H wide state, A wide attention, E wide embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, as_contiguous
from scratchlv.batches import QuestionBatch
from scratchlv.device import place, to_host
from scratchlv.initialisers import normal, uniform
from scratchlv.models import answer_loss
from scratchlv.models.recurrent import init_layer, layer_backward, layer_forward, zero_state
from scratchlv.ops import additive_attention, dropout, embedding, linear, relu, tanh
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import conv_extractor, image_feature, regions
from scratchlv.vision.finetuning import Finetuned

MODELS = ("naive", "attention", "blind")


@dataclass(frozen=True, kw_only=True)
class QuestionAnswererConfig:
    """The widths of a question answerer.

    ``feature_channels`` is None when it has its own conv extractor; of a backbone that is ``finetuned`` they are what comes out.
    ``regions`` is the number of regions that the image feature of features is fully connected to; None takes their mean.
    ``attention_loss`` is the weight, in training, of the loss that teaches where to look.

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
    regions: int | None = None
    attention_loss: float = 0.0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"no model {self.model!r}; there are {', '.join(MODELS)}")
        if self.hops < 1:
            raise ValueError(f"hops must be 1 or more, not {self.hops}")


class HopCache(NamedTuple):
    """What the backward pass of one hop takes."""

    name: str
    keys: Any
    gathered_keys: Any
    query: Any
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
    question: Any
    encoder: Any
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
            "answer.W1": uniform(rng, 2 * H if config.model == "naive" else H, H),
            "answer.b1": np.zeros(H, np.float32),
            "answer.W2": uniform(rng, H, config.answers),
            "answer.b2": np.zeros(config.answers, np.float32),
        }
        self.buffers: dict[str, Array] = {}
        if config.model == "blind":
            return
        D = regions.width(config.channels, config.feature_channels)
        if config.model == "naive":
            L = conv_extractor.GRID**2 if config.feature_channels is None else config.regions
            feature, statistics = image_feature.init(rng, L, D, H)
            self.params |= feature
            self.buffers |= statistics
        else:
            self.params |= {"regions.W": uniform(rng, D, H), "regions.b": np.zeros(H, np.float32)}
            # two coordinates among many features would hardly be heard, and every relation hangs on them
            self.params["regions.W"][-2:] = rng.uniform(-2, 2, (2, H))
            for hop in _hop_names(config.hops):
                self.params |= {
                    f"{hop}.Wx": uniform(rng, H, A),
                    f"{hop}.b": np.zeros(A, np.float32),
                    f"{hop}.Wu": uniform(rng, H, A),
                    f"{hop}.v": normal(rng, A, scale=A**-0.5),
                }
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
        loss, loss_cache = answer_loss.forward(logits, alphas, batch, self.config.attention_loss, train=train)
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
        words, words_cache = embedding.forward(batch.tokens, p["embedding.W"], train=train)  # (T, N, E)
        zero = zero_state("lstm", words.shape[1], config.hidden, words)
        _, (u, _), question = layer_forward(p, "question", "lstm", words, zero, batch.lengths, train=train)  # u (N, H)
        alphas = encoder_cache = attention_cache = None
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
            attend = self._whole_picture if config.model == "naive" else self._hops
            u, alphas, attention_cache = attend(x, u, batch.picture_of, train)
        a, hidden = linear.forward(u, p["answer.W1"], p["answer.b1"], train=train)  # (N, H)
        a, relu_cache = relu.forward(a, train=train)
        drop: dict[str, Any] = {"seed": batch.dropout_seed, "window": batch.part.window, "train": train}
        a, dropped = dropout.forward(a, p=config.dropout, **drop)
        logits, answer = linear.forward(a, p["answer.W2"], p["answer.b2"], train=train)  # (N, answers)
        cache = LogitsCache(words_cache, question, encoder_cache, attention_cache, hidden, relu_cache, dropped, answer)
        return logits, alphas, cache

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
        if self.config.model != "blind":
            if self.config.model == "naive":
                dx, du, grads = self._whole_picture_backward(du, cache.attention)
            else:
                dx, du, grads = self._hops_backward(du, dalphas, cache.attention)
            ready(grads)
            g |= grads | regions.backward(dx, cache.encoder, ready)
        dwords, _, grads = layer_backward(None, (du, np.zeros_like(du)), cache.question)
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

    def _hops(self, x: Array, u: Array, picture_of: Array, train: bool) -> tuple[Array, Array, HopsCache | None]:
        """``u_K`` (N, H) and the attention of each hop (N, K, L)."""
        p = self.params
        learns = regions.learns(self.config.feature_channels, self.config.finetuned)
        x, region_cache = linear.forward(x, p["regions.W"], p["regions.b"], need_dx=learns, train=train)
        x, tanh_cache = tanh.forward(x, train=train)  # (P, L, H)
        x_of, gather_cache = of_questions(x, picture_of, train=train)  # (N, L, H)
        alphas, hops = [], []
        for hop in _hop_names(self.config.hops):
            keys, keys_cache = linear.forward(x, p[f"{hop}.Wx"], p[f"{hop}.b"], train=train)  # (P, L, A)
            keys_of, keys_gather_cache = of_questions(keys, picture_of, train=train)  # (N, L, A)
            query, query_cache = linear.forward(u, p[f"{hop}.Wu"], train=train)  # (N, A)
            (z, alpha), attention = additive_attention.forward(x_of, keys_of, query, p[f"{hop}.v"], train=train)
            u = u + z
            alphas.append(alpha)
            hops.append(HopCache(hop, keys_cache, keys_gather_cache, query_cache, attention))
        return u, np.stack(alphas, axis=1), HopsCache(region_cache, tanh_cache, gather_cache, hops) if train else None

    def _hops_backward(
        self, du: Array, dalphas: Array | None, cache: HopsCache
    ) -> tuple[Array | None, Array, dict[str, Array]]:
        g: dict[str, Array] = {}
        dx, dkeys_of = None, {}  # x is looked at in every hop, and makes its keys
        for k, hop in reversed(list(enumerate(cache.hops))):
            dalpha = None if dalphas is None else dalphas[:, k]
            grads = additive_attention.backward((du, dalpha), hop.attention, dx=dx)
            dx, dkeys_of[hop.name], g[f"{hop.name}.v"] = grads.dx, grads.dkeys, grads.dv
            du_from_query, g[f"{hop.name}.Wu"], _ = linear.backward(grads.dquery, hop.query)
            du = du + du_from_query  # u went on as it was, and asked
        dx = of_questions_backward(dx, cache.gathered)
        for hop in cache.hops:
            dkeys = of_questions_backward(dkeys_of.pop(hop.name), hop.gathered_keys)
            dx, g[f"{hop.name}.Wx"], g[f"{hop.name}.b"] = linear.backward(dkeys, hop.keys, dx=dx)
        (dx,) = tanh.backward(dx, cache.tanh)
        dx, g["regions.W"], g["regions.b"] = linear.backward(dx, cache.regions)
        return dx, du, g


def _hop_names(hops: int) -> list[str]:
    return [f"hop{k}" for k in range(1, hops + 1)]


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
