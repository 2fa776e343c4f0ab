"""Image captioning with soft attention, as the lecture draws it (after Xu et al. 2015, *Show, Attend and Tell*).

The picture is L regions x_1 … x_L. To say the next word, the decoder looks at them, weighted by where its state
h_{t-1} tells it to look:

    e_l = f_att(x_l, h_{t-1}) = v · tanh(W_x x_l + W_h h_{t-1} + b)
    α   = softmax(e)
    z   = Σ_l α_l x_l
    h_t = LSTM(h_{t-1}, [W_emb y_{t-1}, z])
    ŷ_t = softmax(W_o (W_emb y_{t-1} + W_h' h_t + W_z z) + b_o)        the deep output

In training the word before, y_{t-1}, is the true one (teacher forcing). The loss is the mean over words of -log ŷ_t[y_t].

Shapes: N captions, T steps, L regions of D numbers, A wide attention, H wide state, E wide embedding, V words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.models.initial import lstm_bias, normal, uniform
from scratchlv.ops import additive_attention, dropout, embedding, linear, lstm, softmax_cross_entropy
from scratchlv.vision import conv_extractor

Array = Any


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


class CaptionBatch(NamedTuple):
    """``pictures``: bytes (N, 64, 64, 3) for the conv extractor, or features (N, h, w, C). Time runs down ``tokens``."""

    pictures: Array
    tokens: Array  # (T + 1, N): <start>, the words, <end>, padding
    lengths: Array  # (N,): how many of the T predictions count
    dropout_seed: int = 0


class DecoderState(NamedTuple):
    """What the decoder knows between two words; ``alpha`` is where it looked for the last one."""

    regions: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    h: Array  # (N, H)
    c: Array  # (N, H)
    alpha: Array  # (N, L)


class Captioner:
    """The attention captioner: ``params``, ``buffers``, a forward pass, and the backward pass that mirrors it."""

    def __init__(self, shape: CaptionerShape, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        V, E, H, A = shape.vocabulary, shape.embedding, shape.hidden, shape.attention
        D = (shape.feature_channels or shape.channels[-1]) + 2  # with the two coordinates of the region
        self.shape = shape
        self.params: dict[str, Array] = {
            "embedding.W": normal(rng, V, E, scale=0.1),
            "attention.Wx": uniform(rng, D, A),
            "attention.b": np.zeros(A, np.float32),
            "attention.Wh": uniform(rng, H, A),
            "attention.v": normal(rng, A, scale=A**-0.5),
            "decoder.Wx": uniform(rng, E + D, 4 * H),
            "decoder.Wh": uniform(rng, H, 4 * H),
            "decoder.b": lstm_bias(H),
            "output.Wh": uniform(rng, H, E),
            "output.Wz": uniform(rng, D, E),
            "output.Wo": uniform(rng, E, V),
            "output.b": np.zeros(V, np.float32),
        }
        self.buffers: dict[str, Array] = {}
        if shape.feature_channels is None:
            params, self.buffers = conv_extractor.init(rng, shape.channels)
            self.params.update(params)

    # --- training ------------------------------------------------------------------------------------------------

    def forward(self, batch: CaptionBatch, *, train: bool = True) -> tuple[float, Any]:
        """Mean loss per word, in nats, and the cache that ``backward`` takes."""
        p = self.params
        T, N, H = batch.tokens.shape[0] - 1, batch.tokens.shape[1], self.shape.hidden
        regions, extractor = self._look(batch.pictures, train)  # (N, L, D)
        keys, keys_cache = linear.forward(regions, p["attention.Wx"], p["attention.b"], train=train)  # (N, L, A)
        words, words_cache = embedding.forward(
            batch.tokens[:-1], p["embedding.W"], train=train
        )  # (T, N, E): W_emb y_{t-1}

        weights = (p["decoder.Wx"], p["decoder.Wh"], p["decoder.b"])
        h = c = np.zeros((N, H), keys.dtype)
        hs, zs, steps = [], [], []
        for t in range(T):
            query, query_cache = linear.forward(h, p["attention.Wh"], train=train)  # (N, A)
            (z, _), attention = additive_attention.forward(
                regions, keys, query, p["attention.v"], train=train
            )  # (N, D)
            x = np.concatenate([words[t], z], axis=1)[None]  # (1, N, E + D)
            (hs_t, c), cell = lstm.forward(x, h, c, *weights, train=train)
            h = hs_t[0]
            hs.append(h)
            zs.append(z)
            steps.append((query_cache, attention, cell))

        from_h, from_h_cache = linear.forward(np.stack(hs), p["output.Wh"], train=train)  # (T, N, E)
        from_z, from_z_cache = linear.forward(np.stack(zs), p["output.Wz"], train=train)  # (T, N, E)
        deep, dropped = dropout.forward(
            words + from_h + from_z, p=self.shape.dropout, seed=batch.dropout_seed, train=train
        )
        logits, logits_cache = linear.forward(deep, p["output.Wo"], p["output.b"], train=train)  # (T, N, V)
        mask = np.arange(T)[:, None] < batch.lengths  # (T, N): padding does not count
        loss, loss_cache = softmax_cross_entropy.forward(logits, batch.tokens[1:], mask=mask, train=train)
        cache = (
            extractor,
            keys_cache,
            words_cache,
            steps,
            from_h_cache,
            from_z_cache,
            dropped,
            logits_cache,
            loss_cache,
        )
        return float(loss), cache

    def backward(self, cache: Any) -> dict[str, Array]:
        """Gradients of the mean loss, by the names of the parameters: the lines of ``forward``, from the last to the first."""
        extractor, keys_cache, words_cache, steps, from_h_cache, from_z_cache, dropped, logits_cache, loss_cache = cache
        g: dict[str, Array] = {}
        (dlogits,) = softmax_cross_entropy.backward(1.0, loss_cache)
        ddeep, g["output.Wo"], g["output.b"] = linear.backward(dlogits, logits_cache)
        if dropped is not None:
            (ddeep,) = dropout.backward(ddeep, dropped)
        dzs, g["output.Wz"], _ = linear.backward(ddeep, from_z_cache)  # (T, N, D)
        dhs, g["output.Wh"], _ = linear.backward(ddeep, from_h_cache)  # (T, N, H)
        dwords = ddeep.copy()  # (T, N, E): the embedding was used by the deep output, and by every step below

        E = dwords.shape[2]
        for name in ("attention.Wh", "attention.v", "decoder.Wx", "decoder.Wh", "decoder.b"):
            g[name] = np.zeros_like(self.params[name])
        dregions, dkeys = np.zeros_like(steps[0][1].x), np.zeros_like(steps[0][1].keys)
        dh, dc = np.zeros_like(dhs[0]), None
        for t in reversed(range(len(steps))):
            query_cache, attention, cell = steps[t]
            dh = dh + dhs[t]  # from the deep output, and from the step after
            dx, dh, dc, dWx, dWh, db = lstm.backward((dh[None], dc), cell)
            dwords[t] += dx[0, :, :E]
            dz = dzs[t] + dx[0, :, E:]
            dregions_t, dkeys_t, dquery, dv = additive_attention.backward((dz, None), attention)
            dh_from_query, dWh_attention, _ = linear.backward(dquery, query_cache)
            dh = dh + dh_from_query
            for name, d in zip(
                ("decoder.Wx", "decoder.Wh", "decoder.b", "attention.v", "attention.Wh"),
                (dWx, dWh, db, dv, dWh_attention),
                strict=True,
            ):
                g[name] += d  # the same weights at every step: their gradients add up
            dregions += dregions_t
            dkeys += dkeys_t

        (g["embedding.W"],) = embedding.backward(dwords, words_cache)
        dregions_from_keys, g["attention.Wx"], g["attention.b"] = linear.backward(dkeys, keys_cache)
        dregions += dregions_from_keys
        if extractor is not None:
            dfeatures = _without_coordinates(dregions, extractor.grid)
            g.update(conv_extractor.backward(dfeatures, extractor.blocks))
        return g

    # --- saying it -----------------------------------------------------------------------------------------------

    def start(self, pictures: Array) -> DecoderState:
        """The state before the first word."""
        regions, _ = self._look(pictures, train=False)
        keys, _ = linear.forward(regions, self.params["attention.Wx"], self.params["attention.b"], train=False)
        h = np.zeros((regions.shape[0], self.shape.hidden), regions.dtype)
        return DecoderState(regions, keys, h, h, np.zeros(regions.shape[:2], regions.dtype))

    def step(self, state: DecoderState, tokens: Array) -> tuple[Array, DecoderState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        p = self.params
        words, _ = embedding.forward(tokens, p["embedding.W"], train=False)  # (N, E)
        query, _ = linear.forward(state.h, p["attention.Wh"], train=False)
        (z, alpha), _ = additive_attention.forward(state.regions, state.keys, query, p["attention.v"], train=False)
        x = np.concatenate([words, z], axis=1)[None]
        weights = (p["decoder.Wx"], p["decoder.Wh"], p["decoder.b"])
        (hs, c), _ = lstm.forward(x, state.h, state.c, *weights, train=False)
        from_h, _ = linear.forward(hs[0], p["output.Wh"], train=False)
        from_z, _ = linear.forward(z, p["output.Wz"], train=False)
        logits, _ = linear.forward(words + from_h + from_z, p["output.Wo"], p["output.b"], train=False)
        return _log_softmax(logits), DecoderState(state.regions, state.keys, hs[0], c, alpha)

    # --- the picture ---------------------------------------------------------------------------------------------

    def _look(self, pictures: Array, train: bool) -> tuple[Array, _ExtractorCache | None]:
        """The regions (N, L, D) of pictures or of their features."""
        dtype = self.params["attention.Wx"].dtype.type
        if self.shape.feature_channels is not None:
            return _with_coordinates(_unit_size(pictures.astype(dtype))), None
        x = conv_extractor.preprocess(pictures, dtype)
        features, blocks = conv_extractor.forward(self.params, self.buffers, x, train=train)
        return _with_coordinates(features), _ExtractorCache(blocks, features.shape[1:3])


class _ExtractorCache(NamedTuple):
    blocks: list
    grid: tuple[int, int]


def _unit_size(features: Array) -> Array:
    """Features (N, h, w, C), each picture's scaled to a mean square of 1: other networks' may be of any size."""
    mean_square = np.square(features).mean(axis=(1, 2, 3), keepdims=True)
    return features / np.sqrt(mean_square + features.dtype.type(1e-12))


def _with_coordinates(features: Array) -> Array:
    """Features (N, h, w, C) as regions (N, h w, C + 2), each with its place: across and down, from -1 to 1."""
    N, h, w, C = features.shape
    regions = np.empty_like(features, shape=(N, h, w, C + 2))
    regions[..., :C] = features
    regions[..., C] = np.linspace(-1, 1, w) if w > 1 else 0
    regions[..., C + 1] = (np.linspace(-1, 1, h) if h > 1 else np.zeros(1))[:, None]
    return regions.reshape(N, h * w, C + 2)


def _without_coordinates(dregions: Array, grid: tuple[int, int]) -> Array:
    """The gradient of the features; places have none."""
    return np.ascontiguousarray(dregions[..., :-2]).reshape(dregions.shape[0], *grid, -1)


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
