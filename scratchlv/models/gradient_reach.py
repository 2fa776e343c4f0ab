"""Gradient reach: how much of what a word has to say gets back to the picture, ‖∂ log p(y_t) / ∂ x‖ for each word y_t.

It is the lecture's dependency distance, measured. Between the picture and word t lie, in the naive captioner, t steps of the
cell; with a shortcut, or with attention, one. What is learned about the picture is learned through this gradient.

x are the regions' features (:mod:`scratchlv.vision.regions`), the same for every kind of captioner: the convolutional network's
last layer. They are taken at a mean square of 1 for each picture, so that networks of different scale compare. The gradient
is of the model as it is used: no dropout, no smoothed labels, soft attention, batch normalisation by its running statistics.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import place, to_host
from scratchlv.models import decoder
from scratchlv.models.captioner import Captioner
from scratchlv.vision import image_feature, regions

#: what is of training alone
_IN_USE: dict[str, Any] = {"dropout": 0.0, "label_smoothing": 0.0, "doubly_stochastic": 0.0, "hard": None}


def gradient_reach(model: Captioner, pictures: Array, tokens: Array, lengths: Array) -> Array:
    """‖∂ log p(y_t | y_1 … y_{t-1}, picture) / ∂ x‖ (T, N), NaN past the length; exact, by a backward pass for each t.

    ``tokens`` (T + 1, N) are as :func:`scratchlv.models.decoder.forward` takes them. The words after t have no part in word t:
    the pass for word t ends with it.
    """
    like = model.params["embedding.W"]
    x, _ = regions.forward(
        model.params,
        model.buffers,
        place(pictures, like),
        model.config.feature_channels,
        like.dtype.type,
        frequencies=model.config.waves,
        finetuned=model.config.finetuned,
        train=False,
    )  # (N, L, D)
    features = x[..., : model.config.features]  # where a region is is no feature
    scale = np.sqrt(
        (features * features).mean(axis=(1, 2))
    )  # (N,): at a mean square of 1 the gradient is so much larger
    T, N = tokens.shape[0] - 1, len(lengths)
    reach = np.full((T, N), np.nan)
    for t in range(T):
        counts = lengths > t
        if counts.any():
            dx = _gradient(model, x, tokens[: t + 2], np.minimum(lengths, t + 1), counts)
            norms = np.sqrt((dx * dx).sum(axis=(1, 2))) * scale
            reach[t, counts] = to_host(norms)[counts]
    return reach


def _gradient(model: Captioner, x: Array, tokens: Array, lengths: Array, counts: Array) -> Array:
    """∂ log p(last word) / ∂ features (N, L, C), of the sentences whose last word ``counts`` (N,)."""
    config = replace(model.config.decoder, **_IN_USE)
    weights = np.zeros((len(tokens) - 1, len(counts)), x.dtype)
    weights[-1] = counts * -float(lengths.sum())  # the loss is a mean over words, of -log p
    given = x
    if "image.W" in model.params:
        given, _ = image_feature.forward(model.params, model.buffers, x, train=False)
    words, lengths, weights = (place(each, x) for each in (tokens, lengths, weights))
    _, cache = decoder.forward(model.params, config, given, words, lengths, word_weights=weights)
    dx: Array
    dx, _ = decoder.backward(model.params, config, cache)
    if "image.W" in model.params:
        dx = image_feature.picture_gradient(model.params, model.buffers, x, dx)
    return dx[..., : model.config.features]
