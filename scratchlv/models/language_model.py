"""Language modelling with a recurrent network (Mikolov et al. 2010; Zaremba et al. 2014).

    x_t = D(W_emb y_t)                    embedding: the one-hot vector of the word, times a matrix
    h_t = cell(h_{t-1}, x_t)              n layers, one on top of another
    ŷ_{t+1} = softmax(W_o D(h_t) + b_o)   D is dropout, on what goes up and never on what goes on in time

The text is one long stream, read T words at a time: the state at the end of one batch is the state at the start of the next,
but no gradient flows back across (truncated back-propagation through time). The carried state lies in ``buffers``, so that
an interrupted training goes on with it.

Shapes: N streams side by side, T steps, E wide embedding, H wide state, V words (or characters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import StreamBatch
from scratchlv.device import place
from scratchlv.initialisers import normal, uniform
from scratchlv.models.inference import decoding_params
from scratchlv.models.recurrent import State, init_stack, stack_backward, stack_forward, zero_state
from scratchlv.models.scheduled_sampling import words_before
from scratchlv.ops import dropout, embedding, linear, log_softmax, softmax_cross_entropy


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
    own_words: str = "sample"  # of scheduled sampling


class LanguageModelState(NamedTuple):
    """What was read so far, and the parameters as they serve many steps."""

    layers: State
    params: dict[str, Array]


class Cache(NamedTuple):
    """What ``backward`` takes."""

    words: Any
    layers: Any
    dropped: Any
    output: Any
    loss: Any


class LanguageModel:
    """A language model: ``params``, ``buffers`` (the carried state), a forward pass, and the backward pass that mirrors it."""

    def __init__(self, config: LanguageModelConfig, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        V, E, H = config.vocabulary, config.embedding, config.hidden
        self.config = config
        self.params: dict[str, Array] = {
            "embedding.W": normal(rng, V, E, scale=0.1),
            **init_stack(rng, "recurrent", config.cell, E, H, config.layers),
            "output.W": uniform(rng, H, V),
            "output.b": np.zeros(V, np.float32),
        }
        self.buffers: dict[str, Array] = {}
        self.packed: dict[str, Array] = {}  # see models.inference
        self._carry(self.zero_state(config.streams))

    def zero_state(self, N: int) -> State:
        """The state of N streams that have not begun."""
        like = self.params["embedding.W"]
        return tuple(zero_state(self.config.cell, N, self.config.hidden, like) for _ in range(self.config.layers))

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: StreamBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per word, in nats, and the cache that ``backward`` takes. In training, the state is carried on."""
        N = batch.tokens.shape[1]
        state = self.zero_state(N) if batch.first or not train else self._carried()
        own = batch.scheduled_sampling if train else 0.0
        loss, state, cache = self.read(batch.tokens, state, batch.dropout_seed, own, train=train)
        if train:
            self._carry(state)
        return loss, cache

    def read(
        self,
        tokens: Array,
        state: State,
        dropout_seed: int = 0,
        scheduled_sampling: float = 0.0,
        *,
        train: bool = False,
    ) -> tuple[Any, State, Cache]:
        """Mean loss of predicting ``tokens[1:]`` from ``tokens[:-1]`` (T + 1, N) and ``state``; the state after it; a cache.

        With the probability ``scheduled_sampling`` a word that is read, but for the first, is the model's own.
        """
        p, drop = self.params, self.config.dropout
        tokens = place(tokens, p["embedding.W"])
        before = tokens[:-1]
        if scheduled_sampling > 0:
            begun = LanguageModelState(state, decoding_params(p, {}))
            before = words_before(
                begun, self.step, tokens, None, scheduled_sampling, self.config.own_words, dropout_seed
            )
        x, words = embedding.forward(before, p["embedding.W"], train=train)  # (T, N, E)
        h, state, layers = stack_forward(
            p, "recurrent", self.config.cell, x, state, p=drop, seed=(dropout_seed,), train=train
        )  # (T, N, H)
        h, dropped = dropout.forward(h, p=drop, seed=(dropout_seed, self.config.layers), train=train and drop > 0)
        logits, output = linear.forward(h, p["output.W"], p["output.b"], train=train)  # (T, N, V)
        smoothing = self.config.label_smoothing if train else 0.0
        loss, loss_cache = softmax_cross_entropy.forward(
            logits, tokens[1:], label_smoothing=smoothing, train=train, overwrite=True
        )
        return loss, state, Cache(words, layers, dropped, output, loss_cache)

    def backward(self, cache: Cache) -> dict[str, Array]:
        """Gradients by the names of the parameters; the state that the batch began with gets none: there it is cut."""
        g: dict[str, Array] = {}
        (dlogits,) = softmax_cross_entropy.backward(1.0, cache.loss)
        dh, g["output.W"], g["output.b"] = linear.backward(dlogits, cache.output)
        if cache.dropped is not None:
            (dh,) = dropout.backward(dh, cache.dropped)
        dx, grads = stack_backward(dh, None, cache.layers)
        g.update(grads)
        (g["embedding.W"],) = embedding.backward(dx, cache.words)
        return g

    # --- saying it -----------------------------------------------------------------------------------------------

    def start(self, n: int) -> LanguageModelState:
        """The state of ``n`` texts before their first word."""
        return LanguageModelState(self.zero_state(n), decoding_params(self.params, self.packed))

    def step(self, state: LanguageModelState, tokens: Array) -> tuple[Array, LanguageModelState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        p = state.params
        x, _ = embedding.forward(tokens[None], p["embedding.W"], train=False)
        h, layers, _ = stack_forward(p, "recurrent", self.config.cell, x, state.layers, train=False)
        logits, _ = linear.forward(h[0], p["output.W"], p["output.b"], train=False)
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
