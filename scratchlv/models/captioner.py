"""Image captioning, five ways (Vinyals et al. 2015; Xu et al. 2015, *Show, Attend and Tell*).

    naive       the image feature v is the decoder's first state, and never seen again
    shortcut    v is joined at every step
    uniform     z = Σ x_l / L at every step: the lecture's "no attention"
    attention   e_l = f_att(x_l, h_{t-1}), α = softmax(e), z = Σ α_l x_l at every step; or of h_t, with query="current"
    hard-attention    in training z = x_s, s drawn from α, of a share of the sentences (:mod:`scratchlv.models.hard_attention`)

The decoder is one and the same (:mod:`scratchlv.models.decoder`); they differ in how it looks. The picture is L regions
x_1 … x_L (:mod:`scratchlv.vision.regions`), or one vector v made of them (:mod:`scratchlv.vision.image_feature`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import CaptionBatch
from scratchlv.device import place
from scratchlv.models import decoder
from scratchlv.models.context import QUERIES
from scratchlv.models.decoder import DecoderConfig, DecoderState
from scratchlv.models.hard_attention import HardAttention
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import conv_extractor, image_feature, regions
from scratchlv.vision.finetuning import Finetuned

CONTEXT = {
    "naive": "state",
    "shortcut": "shortcut",
    "uniform": "uniform",
    "attention": "additive",
    "hard-attention": "additive",
}


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """The widths of a captioner.

    ``feature_channels`` is None when it has its own conv extractor; of a backbone that is ``finetuned`` they are what comes out.
    """

    vocabulary: int
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    channels: tuple[int, int, int] = (32, 64, 64)
    feature_channels: int | None = None
    finetuned: Finetuned | None = None
    dropout: float = 0.0  # of the deep output
    input_dropout: float = 0.0  # of the word before
    model: str = "attention"
    label_smoothing: float = 0.0  # of the loss in training
    query: str = QUERIES[0]  # these three are of a captioner that attends: whose state asks,
    sharpening: float = 1.0  # how much sharper it looks when it says something,
    frequencies: int = 0  # and the waves of a region's place
    gate: bool = False  # these are Xu et al.'s: see models.context
    init_state: str = "zero"
    doubly_stochastic: float = 0.0
    hard: HardAttention = HardAttention()  # of model "hard-attention"
    own_words: str = "sample"  # of scheduled sampling

    @property
    def region(self) -> int:
        """D, the numbers of a region."""
        return regions.width(self.channels, self.feature_channels, self.waves)

    @property
    def features(self) -> int:
        """C, those of them that come from the picture: the others say where the region is."""
        return self.region - regions.of_place(self.waves)

    @property
    def waves(self) -> int:
        """The frequencies of a region's place: a mean of all regions would have the same of every picture."""
        return self.frequencies if CONTEXT[self.model] in decoder.ATTENDING else 0

    @property
    def decoder(self) -> DecoderConfig:
        context = CONTEXT[self.model]
        source = self.hidden if context in decoder.VECTOR else self.region
        return DecoderConfig(
            context=context,
            vocabulary=self.vocabulary,
            source=source,
            embedding=self.embedding,
            hidden=self.hidden,
            attention=self.attention,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            label_smoothing=self.label_smoothing,
            query=self.query,
            sharpening=self.sharpening,
            gate=self.gate,
            init_state=self.init_state,
            doubly_stochastic=self.doubly_stochastic,
            hard=self.hard if self.model == "hard-attention" else None,
            own_words=self.own_words,
        )


class Captioner:
    """A captioner: ``params``, ``buffers``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, config: CaptionerConfig, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        self.config = config
        self.params: dict[str, Array] = decoder.init(rng, config.decoder)
        encoder_params, self.buffers = regions.init(rng, config.channels, config.feature_channels, config.finetuned)
        self.params.update(encoder_params)
        self.buffers.update(decoder.init_buffers(config.decoder))
        self.packed: dict[str, Array] = {}  # see models.inference
        if config.decoder.context in decoder.VECTOR:
            L = None if config.feature_channels is not None else conv_extractor.GRID**2
            feature_params, statistics = image_feature.init(rng, L, config.region, config.hidden)
            self.params.update(feature_params)
            self.buffers.update(statistics)

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: CaptionBatch, *, train: bool = True) -> tuple[Any, Any]:
        """Mean loss per word, in nats, and the cache that ``backward`` takes."""
        batch = place(batch, self.params["embedding.W"])
        x, encoder_cache = self._encode(batch.pictures, train)
        loss, decoder_cache = decoder.forward(
            self.params,
            self.config.decoder,
            x,
            batch.tokens,
            batch.lengths,
            word_weights=batch.word_weights,
            scheduled_sampling=batch.scheduled_sampling,
            baseline=self.buffers.get(decoder.BASELINE),
            dropout_seed=batch.dropout_seed,
            part=batch.part,
            need_dx=regions.learns(self.config.feature_channels, self.config.finetuned) or "image.W" in self.params,
            train=train,
        )
        return loss, (encoder_cache, decoder_cache)

    def backward(self, cache: Any, ready: Ready = nobody_waits) -> dict[str, Array]:
        """Gradients of the mean loss, by the names of the parameters; ``ready`` is told of them when they are final."""
        encoder_cache, decoder_cache = cache
        dx, grads = decoder.backward(self.params, self.config.decoder, decoder_cache, ready)
        ready(grads)
        grads.update(self._encode_backward(dx, encoder_cache, ready))
        return grads

    def repeats(self, batch: CaptionBatch) -> bool:
        """Whether a training step of ``batch`` does what one of another batch of its shapes does, but for the arrays' numbers.

        So it is over features that are not finetuned, for a model that draws nothing and normalises over no batch.
        """
        config = self.config
        draws = config.dropout or config.input_dropout or config.decoder.hard is not None or batch.scheduled_sampling
        learns = regions.learns(config.feature_channels, config.finetuned) or "image.W" in self.params
        return not (draws or learns)

    def rows_read(self, batch: CaptionBatch) -> dict[str, Any]:
        """The rows of a matrix that alone have a gradient, by its name: the words'."""
        known = batch.part.words is not None and not batch.scheduled_sampling
        return {"embedding.W": batch.part.words} if known else {}

    # --- saying it -----------------------------------------------------------------------------------------------

    def start(self, pictures: Array, *, train: bool = False) -> DecoderState:
        """The state before the first word.

        With ``train`` as the forward pass has it that learns: what is normalised is so over the batch, and attention is as
        sharp as it was trained. So the gradient of a reward is that of the words that were drawn.
        """
        buffers = dict(self.buffers)  # statistics of this batch are taken in by that pass
        x, _ = self._encode(place(pictures, self.params["embedding.W"]), train)
        self.buffers.update(buffers)
        return self.start_from(x, sharpen=not train)

    def look(self, pictures: Array) -> Array:
        """What the decoder is given of pictures: regions (N, L, D), or the image feature (N, H)."""
        x, _ = self._encode(place(pictures, self.params["embedding.W"]), train=False)
        return x

    def start_from(self, x: Array, *, sharpen: bool = True) -> DecoderState:
        """The state before the first word, of what :meth:`look` gave, or of what was made of it."""
        config = self.config.decoder if sharpen else replace(self.config.decoder, sharpening=1.0)
        return decoder.start(self.params, config, x, packed=self.packed)

    def step(self, state: DecoderState, tokens: Array) -> tuple[Array, DecoderState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        return decoder.step(self.config.decoder, state, tokens)

    # --- the picture ---------------------------------------------------------------------------------------------

    def _encode(self, pictures: Array, train: bool) -> tuple[Array, Any]:
        """What the decoder is given of the pictures: regions (N, L, D), or the image feature (N, H)."""
        dtype = self.params["embedding.W"].dtype.type
        config = self.config
        x, regions_cache = regions.forward(
            self.params,
            self.buffers,
            pictures,
            config.feature_channels,
            dtype,
            frequencies=config.waves,
            finetuned=config.finetuned,
            train=train,
        )
        if "image.W" not in self.params:
            return x, (None, regions_cache)
        v, feature_cache = image_feature.forward(self.params, self.buffers, x, train=train)
        return v, (feature_cache, regions_cache)

    def _encode_backward(self, dx: Array | None, cache: Any, ready: Ready) -> dict[str, Array]:
        feature_cache, regions_cache = cache
        grads: dict[str, Array] = {}
        if feature_cache is not None:
            dx, grads = image_feature.backward(dx, feature_cache)
            ready(grads)
        grads.update(regions.backward(dx, regions_cache, ready))
        return grads
