"""Several trained models that say one thing together: each word's probability is the mean of theirs.

    p(y_t | y_1 … y_{t-1}, x) = 1/K Σ_k p_k(y_t | y_1 … y_{t-1}, x)

and so with the answers to a question. Their mistakes differ, and what most of them hold likely is more often right (Vinyals et
al. 2015 average captioners so). Captioners all read the same words, so that one beam serves them; each has a state of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import CaptionBatch, QuestionBatch


class EnsembleState(NamedTuple):
    members: tuple  # the state of each
    alpha: Array | None  # (N, L): where they looked for the last word, in the mean; None unless all look at one grid


class Ensemble:
    """Models of one vocabulary, to be used (:mod:`scratchlv.decode`); they are not trained together."""

    def __init__(self, models: Sequence[Any]) -> None:
        sizes = {model.config.vocabulary for model in models}
        if len(sizes) != 1:
            raise ValueError(f"an ensemble is of one model or more with one vocabulary, not of {sorted(sizes)} words")
        self.models = tuple(models)

    def start(self, inputs: Any) -> EnsembleState:
        """The state before the first word; ``inputs`` is for all of them, or a tuple with each one's own."""
        states = tuple(model.start(own) for model, own in zip(self.models, self._each(inputs), strict=True))
        return EnsembleState(states, _mean_alpha(states))

    def step(self, state: EnsembleState, tokens: Array) -> tuple[Array, EnsembleState]:
        """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them."""
        log_probs, states = zip(
            *(model.step(own, tokens) for model, own in zip(self.models, state.members, strict=True)), strict=True
        )
        return _log_mean_exp(log_probs), EnsembleState(states, _mean_alpha(states))

    def forward(self, batch: CaptionBatch, *, train: bool = False) -> tuple[float, None]:
        """Mean loss per word, in nats, of a batch as a model takes it."""
        if train:
            raise ValueError("the models of an ensemble are trained one by one")
        state, total = self.start(batch.pictures), 0.0
        rows = np.arange(batch.tokens.shape[1])
        for t, (words, following) in enumerate(zip(batch.tokens[:-1], batch.tokens[1:], strict=True)):
            log_probs, state = self.step(state, words)
            total -= float(log_probs[rows, following][t < batch.lengths].sum(dtype=np.float64))
        return total / int(batch.lengths.sum()), None

    def _each(self, inputs: Any) -> tuple:
        return inputs if isinstance(inputs, tuple) else (inputs,) * len(self.models)


class AnswerEnsemble:
    """Question answerers with the same words and answers, to be used; they are not trained together."""

    def __init__(self, models: Sequence[Any]) -> None:
        answers = {model.config.answers for model in models}
        if len(answers) != 1:
            raise ValueError(f"an ensemble is of one model or more with the same answers, not with {sorted(answers)}")
        self.models = tuple(models)

    def answer(self, batch: QuestionBatch) -> tuple[Array, Array | None]:
        """The mean of the probabilities (N, answers); of where they looked (N, hops, L), None unless all look alike often.

        The pictures are for all of them, or a tuple with each one's own.
        """
        views = batch.pictures if isinstance(batch.pictures, tuple) else (batch.pictures,) * len(self.models)
        each = [model.answer(batch._replace(pictures=own)) for model, own in zip(self.models, views, strict=True)]
        probabilities, alphas = zip(*each, strict=True)
        shapes = {None if each is None else each.shape for each in alphas}
        together = None if None in shapes or len(shapes) > 1 else np.mean(alphas, axis=0)
        return np.mean(probabilities, axis=0), together

    def forward(self, batch: QuestionBatch, *, train: bool = False) -> tuple[float, None]:
        """Mean loss per question, in nats, over those whose answer can be given."""
        if train:
            raise ValueError("the models of an ensemble are trained one by one")
        known = np.flatnonzero(batch.answers >= 0)
        probabilities = self.answer(batch)[0][known, batch.answers[known]].astype(np.float64)
        with np.errstate(divide="ignore"):
            return -float(np.log(probabilities).sum()) / max(1, len(known)), None


def _log_mean_exp(log_probs: Sequence[Array]) -> Array:
    """log 1/K Σ_k e^{a_k}, without e^a of a small a becoming 0; of what all hold impossible it is -inf."""
    a = np.stack(log_probs)  # (K, N, V)
    most = a.max(axis=0)
    shift = np.where(most > -np.inf, most, 0)  # NaN, which is no number of a model's, stays one
    with np.errstate(divide="ignore"):
        return shift + np.log(np.exp(a - shift).mean(axis=0))


def _mean_alpha(states: Sequence[Any]) -> Array | None:
    alphas = [state.alpha for state in states]
    if any(alpha is None for alpha in alphas) or len({alpha.shape for alpha in alphas}) > 1:
        return None
    return np.stack(alphas).mean(axis=0)
