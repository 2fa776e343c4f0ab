"""Sequence to sequence: translation, and summarization, which is translation from long to short.

    naive       the encoder reads the source; its last hidden state is all that the decoder gets (Sutskever et al. 2014,
                Cho et al. 2014)
    additive    the encoder reads in both directions, and the decoder looks at all its states through soft attention
    dot         with e = f_att(x, h) additive (Bahdanau et al. 2015) or a bilinear dot product (Luong et al. 2015)

The decoder is the captioner's (:mod:`scratchlv.models.decoder`): the words of the source are its regions.

Shapes: N pairs, S words of the source, T of the target, E wide embeddings, H wide states; V words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.arrays import Array, as_contiguous
from scratchlv.batches import PairBatch
from scratchlv.device import place
from scratchlv.initialisers import normal
from scratchlv.models import decoder
from scratchlv.models.context import QUERIES
from scratchlv.models.decoder import DecoderConfig, DecoderState
from scratchlv.models.recurrent import (
    bidirectional_backward,
    bidirectional_forward,
    init_bidirectional,
    init_stack,
    stack_backward,
    stack_forward,
    zero_state,
)
from scratchlv.ops import dropout, embedding
from scratchlv.parallel.shares import WHOLE, Part, Ready, nobody_waits

CONTEXT = {"naive": "state", "additive": "additive", "dot": "dot"}


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig:
    """The widths of a translator. ``source_vocabulary`` None: one vocabulary, and one embedding, for both sides."""

    vocabulary: int
    source_vocabulary: int | None
    model: str = "additive"
    embedding: int = 128
    hidden: int = 256
    decoder_hidden: int = 0  # the width of the decoder's state; 0: the encoder's, hidden
    attention: int = 256
    layers: int = 1  # of the encoder
    cell: str = "lstm"
    dropout: float = 0.0
    input_dropout: float = 0.0  # of the words that are read, on both sides
    tied: bool = False  # the output's weights are the embedding's
    query: str = QUERIES[0]  # of attention: "current" is input feeding, see models.context
    copy: bool = False  # words may be copied from the source, see models.copying
    coverage: float = 0.0  # the weight of its coverage loss
    label_smoothing: float = 0.0  # of the loss in training
    own_words: str = "sample"  # of scheduled sampling

    @property
    def decoder(self) -> DecoderConfig:
        source = self.hidden if self.model == "naive" else 2 * self.hidden
        return DecoderConfig(
            context=CONTEXT[self.model],
            vocabulary=self.vocabulary,
            source=source,
            embedding=self.embedding,
            hidden=self.decoder_hidden or self.hidden,
            attention=self.attention,
            cell=self.cell,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            tied=self.tied,
            query=self.query,
            copy=self.copy,
            coverage=self.coverage,
            label_smoothing=self.label_smoothing,
            own_words=self.own_words,
        )


class Translator:
    """A translator: ``params``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, config: TranslatorConfig, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        self.config = config
        self.params: dict[str, Array] = decoder.init(rng, config.decoder)
        if config.source_vocabulary is not None:
            self.params["source.W"] = normal(rng, config.source_vocabulary, config.embedding, scale=0.1)
        init = init_stack if config.model == "naive" else init_bidirectional
        self.params.update(init(rng, "encoder", config.cell, config.embedding, [config.hidden] * config.layers))
        self.buffers: dict[str, Array] = {}
        self.packed: dict[str, Array] = {}  # see models.inference

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: PairBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per word of the target, in nats, and the cache that ``backward`` takes."""
        batch = place(batch, self.params["embedding.W"])
        x, mask, encoder_cache = self._encode(batch.source, batch.source_lengths, batch.dropout_seed, train, batch.part)
        loss, decoder_cache = decoder.forward(
            self.params,
            self.config.decoder,
            x,
            batch.tokens,
            batch.lengths,
            mask=mask,
            copied_from=None if batch.copied_from is None else batch.copied_from.T,
            word_weights=batch.word_weights,
            scheduled_sampling=batch.scheduled_sampling,
            dropout_seed=batch.dropout_seed,
            part=batch.part,
            train=train,
        )
        return loss, (encoder_cache, decoder_cache)

    def backward(self, cache: Any, ready: Ready = nobody_waits) -> dict[str, Array]:
        """Gradients of the mean loss, by the names of the parameters; ``ready`` is told of them when they are final."""
        encoder_cache, decoder_cache = cache
        dx, grads = decoder.backward(self.params, self.config.decoder, decoder_cache, ready)
        if "source.W" in self.params:
            ready(grads)
        dW, encoder_grads = self._encode_backward(dx, encoder_cache, ready)
        grads.update(encoder_grads)
        if "source.W" in self.params:
            grads["source.W"] = dW
        else:
            grads["embedding.W"] += dW  # used on both sides: two gradients, added
        return grads

    def rows_read(self, batch: PairBatch) -> dict[str, Any]:
        """The rows of a matrix that alone have a gradient, by its name: the words' of the target."""
        known = batch.part.words is not None and "source.W" in self.params and not self.config.decoder.tied
        known = known and not batch.scheduled_sampling
        return {"embedding.W": batch.part.words} if known else {}

    # --- saying it -----------------------------------------------------------------------------------------------

    def start(self, source: tuple[Array, ...]) -> DecoderState:
        """The state before the first word of the translations of ``source``: tokens (S, N) and lengths (N,).

        Where words are copied, the words of the source by the extended vocabulary (S, N) come third; -1 is padding.
        """
        words, lengths, *copied_from = place(source, self.params["embedding.W"])
        x, mask, _ = self._encode(words, lengths, dropout_seed=0, train=False)
        of_words = copied_from[0].T if self.config.copy else None
        return decoder.start(self.params, self.config.decoder, x, mask, of_words, packed=self.packed)

    def step(self, state: DecoderState, tokens: Array) -> tuple[Array, DecoderState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        return decoder.step(self.config.decoder, state, tokens)

    def copied(self, batch: PairBatch) -> Array:
        """How much of the probability of each word of the target is that of copying it, (T, N), 0 to 1."""
        _, (_, decoder_cache) = self.forward(batch, train=False)
        return 1 - decoder_cache.loss.generated

    # --- the encoder ---------------------------------------------------------------------------------------------

    def _encode(
        self, source: Array, lengths: Array, dropout_seed: int, train: bool, part: Part = WHOLE
    ) -> tuple[Array, Array | None, Any]:
        """What the decoder is given: the last state (N, H); or all states of both directions (N, S, 2H), and their mask."""
        p, config = self.params, self.config
        words, embedding_cache = embedding.forward(
            source, p.get("source.W", p["embedding.W"]), train=train
        )  # (S, N, E)
        dropping = train and config.input_dropout > 0
        words, dropped_words = dropout.forward(
            words, p=config.input_dropout, seed=(dropout_seed, 3), window=part.window, train=dropping
        )
        drop: dict[str, Any] = {"p": config.dropout, "seed": (dropout_seed, 1), "window": part.window, "train": train}
        if config.model == "naive":
            zero = zero_state(config.cell, source.shape[1], config.hidden, words)
            h, _, layers_cache = stack_forward(
                p, "encoder", config.cell, words, (zero,) * config.layers, lengths, **drop
            )  # past its length a state stands still: the last row is every sentence's last state
            return h[-1], None, (embedding_cache, dropped_words, layers_cache, None)
        h, layers_cache = bidirectional_forward(p, "encoder", config.cell, words, lengths, config.layers, **drop)
        drop |= {"seed": (dropout_seed, 2), "train": train and config.dropout > 0}
        h, dropped = dropout.forward(h, **drop)
        mask = np.arange(source.shape[0], like=lengths) < lengths[:, None]  # (N, S)
        return as_contiguous(h.swapaxes(0, 1)), mask, (embedding_cache, dropped_words, layers_cache, dropped)

    def _encode_backward(self, dx: Array, cache: Any, ready: Ready) -> tuple[Array, dict[str, Array]]:
        """The gradients of the source's embedding, and of the encoder's weights by name."""
        embedding_cache, dropped_words, layers_cache, dropped = cache
        if self.config.model == "naive":
            dwords, grads = stack_backward(None, (dx, None), layers_cache, ready)
        else:
            dh = as_contiguous(dx.swapaxes(0, 1))
            if dropped is not None:
                (dh,) = dropout.backward(dh, dropped)
            dwords, grads = bidirectional_backward(dh, layers_cache, ready)
        if dropped_words is not None:
            (dwords,) = dropout.backward(dwords, dropped_words)
        (dW,) = embedding.backward(dwords, embedding_cache)
        return dW, grads
