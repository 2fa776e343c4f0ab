"""Image captioning, four ways (Vinyals et al. 2015; Xu et al. 2015, *Show, Attend and Tell*).

    naive       the image feature v is the decoder's first state, and never seen again
    shortcut    v is joined at every step
    uniform     z = Σ x_l / L at every step: the lecture's "no attention"
    attention   e_l = f_att(x_l, h_{t-1}), α = softmax(e), z = Σ α_l x_l at every step

The decoder is one and the same (:mod:`scratchlv.models.decoder`); they differ in how it looks. The picture is L regions
x_1 … x_L (:mod:`scratchlv.vision.regions`), or one vector v made of them (:mod:`scratchlv.vision.image_feature`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import CaptionBatch
from scratchlv.device import place
from scratchlv.models import decoder
from scratchlv.models.decoder import DecoderShape, DecoderState
from scratchlv.vision import conv_extractor, image_feature, regions

LOOK = {"naive": "state", "shortcut": "shortcut", "uniform": "uniform", "attention": "additive"}


@dataclass(frozen=True)
class CaptionerShape:
    """The widths of a captioner. ``feature_channels`` is None when it has its own conv extractor."""

    vocabulary: int
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    channels: tuple[int, int, int] = (32, 64, 64)
    feature_channels: int | None = None
    dropout: float = 0.0
    model: str = "attention"

    @property
    def decoder(self) -> DecoderShape:
        look = LOOK[self.model]
        source = self.hidden if look in decoder.VECTOR else regions.width(self.channels, self.feature_channels)
        return DecoderShape(
            look, self.vocabulary, source, self.embedding, self.hidden, self.attention, dropout=self.dropout
        )


class Captioner:
    """A captioner: ``params``, ``buffers``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, shape: CaptionerShape, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        self.shape = shape
        self.params: dict[str, Array] = decoder.init(rng, shape.decoder)
        eyes, self.buffers = regions.init(rng, shape.channels, shape.feature_channels)
        self.params.update(eyes)
        if shape.decoder.look in decoder.VECTOR:
            L = None if shape.feature_channels is not None else conv_extractor.GRID**2
            D = regions.width(shape.channels, shape.feature_channels)
            feature, statistics = image_feature.init(rng, L, D, shape.hidden)
            self.params.update(feature)
            self.buffers.update(statistics)

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: CaptionBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per word, in nats, and the cache that ``backward`` takes."""
        batch = place(batch, self.params["embedding.W"])
        x, seen = self._look(batch.pictures, train)
        loss, said = decoder.forward(
            self.params,
            self.shape.decoder,
            x,
            batch.tokens,
            batch.lengths,
            dropout_seed=batch.dropout_seed,
            x_is_data=self.shape.feature_channels is not None and "image.W" not in self.params,
            train=train,
        )
        return loss, (seen, said)

    def backward(self, cache: Any) -> dict[str, Array]:
        """Gradients of the mean loss, by the names of the parameters."""
        seen, said = cache
        dx, grads = decoder.backward(self.params, self.shape.decoder, said)
        grads.update(self._look_backward(dx, seen))
        return grads

    # --- saying it -----------------------------------------------------------------------------------------------

    def start(self, pictures: Array) -> DecoderState:
        """The state before the first word."""
        x, _ = self._look(place(pictures, self.params["embedding.W"]), train=False)
        return decoder.start(self.params, self.shape.decoder, x)

    def step(self, state: DecoderState, tokens: Array) -> tuple[Array, DecoderState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        return decoder.step(self.shape.decoder, state, tokens)

    # --- the picture ---------------------------------------------------------------------------------------------

    def _look(self, pictures: Array, train: bool) -> tuple[Array, Any]:
        """What the decoder is given of the pictures: regions (N, L, D), or the image feature (N, H)."""
        dtype = self.params["embedding.W"].dtype.type
        x, eyes = regions.forward(self.params, self.buffers, pictures, self.shape.feature_channels, dtype, train=train)
        if "image.W" not in self.params:
            return x, (None, eyes)
        v, feature = image_feature.forward(self.params, self.buffers, x, train=train)
        return v, (feature, eyes)

    def _look_backward(self, dx: Array | None, cache: Any) -> dict[str, Array]:
        feature, eyes = cache
        grads: dict[str, Array] = {}
        if feature is not None:
            dx, grads = image_feature.backward(dx, feature)
        grads.update(regions.backward(dx, eyes))
        return grads
