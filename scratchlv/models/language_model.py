"""Language modelling with a recurrent network (Mikolov et al. 2010; Zaremba et al. 2014).

    x_t = D(W_emb y_t)                    embedding: the one-hot vector of the word, times a matrix
    h_t = cell(h_{t-1}, x_t)              n layers, one on top of another
    ŷ_{t+1} = softmax(W_o D(h_t) + b_o)   D is dropout, on what goes up and never on what goes on in time

What regularises it (Merity et al. 2018, AWD-LSTM, and what that was made of) is all optional:

    tied            W_o = W_embᵀ: a word that means the same is as likely (Inan et al. 2017, Press and Wolf 2017); the top
                    layer is then as wide as the embedding
    variational     D drops the same units of a stream at every step (Gal and Ghahramani 2016)
    embedding       a word that is dropped is dropped wherever it stands in the batch: its row of W_emb is 0
    weight drop     some of the recurrent weights W_h are 0 for a whole batch (Wan et al. 2013, DropConnect)

The text is one long stream, read T words at a time: the state at the end of one batch is the state at the start of the next,
but no gradient flows back across (truncated back-propagation through time). The carried state lies in ``buffers``, so that
an interrupted training goes on with it.

Shapes: N streams side by side, T steps, E wide embedding, H wide states, V words (or characters).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import StreamBatch
from scratchlv.device import place
from scratchlv.initialisers import normal, uniform
from scratchlv.models.inference import decoding_params
from scratchlv.models.recurrent import (
    State,
    dropout_backward,
    dropout_forward,
    init_stack,
    stack_backward,
    stack_forward,
    zero_state,
)
from scratchlv.models.scheduled_sampling import words_before
from scratchlv.ops import dropout, embedding, linear, log_softmax, pack, softmax_cross_entropy
from scratchlv.parallel.shares import WHOLE, Part, Ready, nobody_waits

_OF_WORDS, _OF_WEIGHTS = 1000, 1001  # dropouts that are not of a layer, by the number in their seeds


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig:
    """The widths of a language model; ``streams`` is how many are trained side by side."""

    vocabulary: int
    embedding: int = 128
    hidden: int = 256
    layers: int = 1
    cell: str = "lstm"
    dropout: float = 0.0
    streams: int = 20
    label_smoothing: float = 0.0  # of the loss in training
    tied: bool = False
    variational: bool = False
    embedding_dropout: float = 0.0
    weight_drop: float = 0.0
    init_scale: float = 0.0  # all matrices begin uniform in ± this, and biases as 0; 0: as suits each
    own_words: str = "sample"  # of scheduled sampling

    @property
    def widths(self) -> tuple[int, ...]:
        """H of each layer; the top one's meets the embedding where that is the output's as well."""
        return (*[self.hidden] * (self.layers - 1), self.embedding if self.tied else self.hidden)


class LanguageModelState(NamedTuple):
    """What was read so far, and the parameters as they serve many steps."""

    layers: State
    params: dict[str, Array]


class Cache(NamedTuple):
    """What ``backward`` takes."""

    words: Any
    kept_words: Array | None  # (T, N, 1)
    layers: Any
    kept_weights: dict[str, Array]  # what is left of W_h, by layer: 0 or 1 / (1 - p)
    dropped: Any
    output: Any
    loss: Any
    share: float  # of the loss, of a batch that is shared


class LanguageModel:
    """A language model: ``params``, ``buffers`` (the carried state), a forward pass, and the backward pass that mirrors it."""

    def __init__(self, config: LanguageModelConfig, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        V, E, H = config.vocabulary, config.embedding, config.hidden
        self.config = config
        self.params: dict[str, Array] = {
            "embedding.W": normal(rng, V, E, scale=0.1),
            **init_stack(rng, "recurrent", config.cell, E, config.widths),
            **({} if config.tied else {"output.W": uniform(rng, H, V)}),
            "output.b": np.zeros(V, np.float32),
        }
        if config.init_scale:
            for W in self.params.values():
                W[...] = 0 if W.ndim == 1 else rng.uniform(-config.init_scale, config.init_scale, W.shape)
        self.buffers: dict[str, Array] = {}
        self.packed: dict[str, Array] = {}  # see models.inference
        self._carry(self.zero_state(config.streams))
        self.row_buffers = tuple(self.buffers)  #: those that have a row for each stream

    def zero_state(self, N: int) -> State:
        """The state of N streams that have not begun."""
        like = self.params["embedding.W"]
        return tuple(zero_state(self.config.cell, N, width, like) for width in self.config.widths)

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: StreamBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per word, in nats, and the cache that ``backward`` takes. In training, the state is carried on."""
        N = batch.tokens.shape[1]
        state = self.zero_state(N) if batch.first or not train else self._carried()
        own = batch.scheduled_sampling if train else 0.0
        loss, state, cache = self.read(batch.tokens, state, batch.dropout_seed, own, batch.part, train=train)
        if train:
            self._carry(state)
        return loss, cache

    def read(
        self,
        tokens: Array,
        state: State,
        dropout_seed: int = 0,
        scheduled_sampling: float = 0.0,
        part: Part = WHOLE,
        *,
        train: bool = False,
    ) -> tuple[Any, State, Cache]:
        """Mean loss of predicting ``tokens[1:]`` from ``tokens[:-1]`` (T + 1, N) and ``state``; the state after it; a cache.

        With the probability ``scheduled_sampling`` a word that is read, but for the first, is the model's own. Of a ``part`` of a
        batch the loss is its share of the batch's.
        """
        config = self.config
        tokens = place(tokens, self.params["embedding.W"])
        before = tokens[:-1]
        if scheduled_sampling > 0:
            begun = LanguageModelState(state, decoding_params(self.params, {}))
            before = words_before(
                begun, self.step, tokens, None, scheduled_sampling, config.own_words, dropout_seed, part.window
            )
        logits, _, state, cache = self._foresee(before, state, dropout_seed, part, train)
        smoothing = config.label_smoothing if train else 0.0
        loss, loss_cache = softmax_cross_entropy.forward(
            logits, tokens[1:], label_smoothing=smoothing, train=train, overwrite=True
        )
        return loss * part.share, state, cache._replace(loss=loss_cache)

    def losses(self, tokens: Array, state: State) -> tuple[Array, Array, State]:
        """The loss of each of ``tokens[1:]`` (T, N), the states h (T, N, H) that foresaw them, and the state after the last."""
        tokens = place(tokens, self.params["embedding.W"])
        logits, h, state, _ = self._foresee(tokens[:-1], state, 0, WHOLE, train=False)
        losses, _ = softmax_cross_entropy.forward(logits, tokens[1:], reduction="none", train=False, overwrite=True)
        return losses, h, state

    def _foresee(
        self, before: Array, state: State, dropout_seed: int, part: Part, train: bool
    ) -> tuple[Array, Array, State, Cache]:
        """Logits (T, N, V) of what follows ``before`` (T, N), the states h (T, N, H), the last one; a cache but for the loss."""
        p, config = self.params, self.config
        drop: dict[str, Any] = {"variational": config.variational, "window": part.window, "train": train}
        x, words = embedding.forward(before, p["embedding.W"], train=train)  # (T, N, E)
        kept_words = None
        if train and config.embedding_dropout:
            kept_words = self._kept_words(before, dropout_seed)
            x = x * kept_words
        kept_weights = self._kept_weights(dropout_seed) if train else {}
        weights = p | {name: p[name] * kept for name, kept in kept_weights.items()}
        h, state, layers = stack_forward(
            weights, "recurrent", config.cell, x, state, p=config.dropout, seed=(dropout_seed,), **drop
        )  # (T, N, H)
        h, dropped = dropout_forward(h, config.dropout, (dropout_seed, config.layers), **drop)
        logits, output = linear.forward(h, output_weights(p), p["output.b"], train=train)  # (T, N, V)
        cache = Cache(words, kept_words, layers, kept_weights, dropped, output, None, part.share)
        return logits, h, state, cache

    def backward(self, cache: Cache, ready: Ready = nobody_waits) -> dict[str, Array]:
        """Gradients by the names of the parameters; the state that the batch began with gets none: there it is cut.

        ``ready`` is told of gradients when they are final.
        """
        g: dict[str, Array] = {}
        (dlogits,) = softmax_cross_entropy.backward(cache.share, cache.loss)
        dh, dW, g["output.b"] = linear.backward(dlogits, cache.output)
        if not self.config.tied:
            g["output.W"] = dW
        ready(g)
        dh = dropout_backward(dh, cache.dropped)
        dx, grads = stack_backward(dh, None, cache.layers, nobody_waits if cache.kept_weights else ready)
        g.update(grads)
        for name, kept in cache.kept_weights.items():
            g[name] = g[name] * kept
        ready(g)
        if cache.kept_words is not None:
            dx = dx * cache.kept_words
        (g["embedding.W"],) = embedding.backward(dx, cache.words)
        if self.config.tied:
            g["embedding.W"] += dW.T  # used at both ends: two gradients, added
        return g

    def _kept_words(self, tokens: Array, dropout_seed: int) -> Array:
        """What the embedding of each of the ``tokens`` (T, N) is multiplied by, (T, N, 1): 0 where its word is dropped."""
        ones = np.ones_like(self.params["embedding.W"], shape=(self.config.vocabulary,))
        kept, _ = dropout.forward(ones, p=self.config.embedding_dropout, seed=(dropout_seed, _OF_WORDS))
        return kept[tokens][:, :, None]

    def _kept_weights(self, dropout_seed: int) -> dict[str, Array]:
        """What the recurrent weights of each layer are multiplied by."""
        if not self.config.weight_drop:
            return {}
        names = [f"recurrent.{k}.Wh" for k in range(self.config.layers)]
        drop = partial(dropout.forward, p=self.config.weight_drop)
        return {
            name: drop(np.ones_like(self.params[name]), seed=(dropout_seed, _OF_WEIGHTS, k))[0]
            for k, name in enumerate(names)
        }

    def rows_read(self, batch: StreamBatch) -> dict[str, Any]:
        """The rows of a matrix that alone have a gradient, by its name: the words', where it only reads."""
        known = batch.part.words is not None and not self.config.tied and not batch.scheduled_sampling
        return {"embedding.W": batch.part.words} if known else {}

    # --- saying it -----------------------------------------------------------------------------------------------

    def start(self, n: int) -> LanguageModelState:
        """The state of ``n`` texts before their first word."""
        params = decoding_params(self.params, self.packed)
        if self.config.tied:
            params["output.W"] = pack(output_weights(self.params))
        return LanguageModelState(self.zero_state(n), params)

    def step(self, state: LanguageModelState, tokens: Array) -> tuple[Array, LanguageModelState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        p = state.params
        x, _ = embedding.forward(tokens[None], p["embedding.W"], train=False)
        h, layers, _ = stack_forward(p, "recurrent", self.config.cell, x, state.layers, train=False)
        logits, _ = linear.forward(h[0], output_weights(p), p["output.b"], train=False)
        log_probs, _ = log_softmax.forward(logits, train=False)
        return log_probs, LanguageModelState(layers, p)

    # --- the carried state ---------------------------------------------------------------------------------------

    def _carry(self, state: State) -> None:
        for k, layer in enumerate(state):
            for name, array in zip("hc", layer, strict=False):
                self.buffers[f"state.{k}.{name}"] = array

    def _carried(self) -> State:
        names = "hc" if self.config.cell == "lstm" else "h"
        return tuple(tuple(self.buffers[f"state.{k}.{name}"] for name in names) for k in range(self.config.layers))


def output_weights(params: dict[str, Array]) -> Array:
    """W_o (H, V); where it is tied, that of the embedding, transposed."""
    return params["output.W"] if "output.W" in params else params["embedding.W"].T
