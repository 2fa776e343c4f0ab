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

from scratchlv.arrays import Array, contiguous
from scratchlv.batches import PairBatch
from scratchlv.device import place
from scratchlv.initialisers import normal
from scratchlv.models import decoder
from scratchlv.models.decoder import DecoderShape, DecoderState
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

LOOK = {"naive": "state", "additive": "additive", "dot": "dot"}


@dataclass(frozen=True)
class TranslatorShape:
    """The widths of a translator. ``source_vocabulary`` None: one vocabulary, and one embedding, for both sides."""

    vocabulary: int
    source_vocabulary: int | None
    model: str = "additive"
    embedding: int = 128
    hidden: int = 256
    attention: int = 256
    layers: int = 1  # of the encoder
    cell: str = "lstm"
    dropout: float = 0.0

    @property
    def decoder(self) -> DecoderShape:
        source = self.hidden if self.model == "naive" else 2 * self.hidden
        return DecoderShape(
            LOOK[self.model],
            self.vocabulary,
            source,
            self.embedding,
            self.hidden,
            self.attention,
            self.cell,
            self.dropout,
        )


class Translator:
    """A translator: ``params``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, shape: TranslatorShape, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        self.shape = shape
        self.params: dict[str, Array] = decoder.init(rng, shape.decoder)
        if shape.source_vocabulary is not None:
            self.params["source.W"] = normal(rng, shape.source_vocabulary, shape.embedding, scale=0.1)
        init = init_stack if shape.model == "naive" else init_bidirectional
        self.params.update(init(rng, "encoder", shape.cell, shape.embedding, shape.hidden, shape.layers))
        self.buffers: dict[str, Array] = {}

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: PairBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per word of the target, in nats, and the cache that ``backward`` takes."""
        batch = place(batch, self.params["embedding.W"])
        x, mask, read = self._encode(batch.source, batch.source_lengths, batch.dropout_seed, train)
        loss, said = decoder.forward(
            self.params,
            self.shape.decoder,
            x,
            batch.tokens,
            batch.lengths,
            mask=mask,
            dropout_seed=batch.dropout_seed,
            train=train,
        )
        return loss, (read, said)

    def backward(self, cache: Any) -> dict[str, Array]:
        """Gradients of the mean loss, by the names of the parameters."""
        read, said = cache
        dx, grads = decoder.backward(self.params, self.shape.decoder, said)
        dW, encoder_grads = self._encode_backward(dx, read)
        grads.update(encoder_grads)
        if "source.W" in self.params:
            grads["source.W"] = dW
        else:
            grads["embedding.W"] += dW  # used on both sides: two gradients, added
        return grads

    # --- saying it -----------------------------------------------------------------------------------------------

    def start(self, source: tuple[Array, Array]) -> DecoderState:
        """The state before the first word of the translations of ``source``: tokens (S, N) and lengths (N,)."""
        words, lengths = place(source, self.params["embedding.W"])
        x, mask, _ = self._encode(words, lengths, dropout_seed=0, train=False)
        return decoder.start(self.params, self.shape.decoder, x, mask)

    def step(self, state: DecoderState, tokens: Array) -> tuple[Array, DecoderState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        return decoder.step(self.shape.decoder, state, tokens)

    # --- the encoder ---------------------------------------------------------------------------------------------

    def _encode(self, source: Array, lengths: Array, dropout_seed: int, train: bool) -> tuple[Array, Array | None, Any]:
        """What the decoder is given: the last state (N, H); or all states of both directions (N, S, 2H), and their mask."""
        p, shape = self.params, self.shape
        words, looked_up = embedding.forward(source, p.get("source.W", p["embedding.W"]), train=train)  # (S, N, E)
        drop: dict[str, Any] = {"p": shape.dropout, "seed": (dropout_seed, 1), "train": train}
        if shape.model == "naive":
            zero = zero_state(shape.cell, source.shape[1], shape.hidden, words)
            h, _, layers = stack_forward(
                p, "encoder", shape.cell, words, (zero,) * shape.layers, lengths, **drop
            )  # past its length a state stands still: the last row is every sentence's last state
            return h[-1], None, (looked_up, layers, None)
        h, layers = bidirectional_forward(p, "encoder", shape.cell, words, lengths, shape.layers, **drop)
        h, dropped = dropout.forward(h, p=shape.dropout, seed=(dropout_seed, 2), train=train and shape.dropout > 0)
        mask = np.arange(source.shape[0], like=lengths) < lengths[:, None]  # (N, S)
        return contiguous(h.swapaxes(0, 1)), mask, (looked_up, layers, dropped)

    def _encode_backward(self, dx: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """The gradients of the source's embedding, and of the encoder's weights by name."""
        looked_up, layers, dropped = cache
        if self.shape.model == "naive":
            dwords, grads = stack_backward(None, (dx, None), layers)
        else:
            dh = contiguous(dx.swapaxes(0, 1))
            if dropped is not None:
                (dh,) = dropout.backward(dh, dropped)
            dwords, grads = bidirectional_backward(dh, layers)
        (dW,) = embedding.backward(dwords, looked_up)
        return dW, grads
