"""Softmax and cross-entropy: the mean of −log softmax(logits)[target] over the places that count."""

from collections.abc import Callable

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, V: int, scale: float = 1.0, keep: float | None = None) -> dict:
        targets = rng.integers(0, V, shape)
        mask = None if keep is None else rng.random(shape) < keep
        if mask is not None:
            targets = np.where(mask, targets, -1)  # padding, not to be read
        return {"logits": scale * rng.standard_normal((*shape, V)), "targets": targets, "mask": mask}

    weights = case(4, 3, V=5)
    weights["mask"] = np.round(rng.random((4, 3)), 1)
    return {
        "sequence with padding": case(4, 3, V=5, keep=0.7),
        "no mask": case(7, V=3),
        "weights": weights,
        "logits of 1e4": case(3, V=5, scale=1e4),
        "all masked": case(2, 3, V=4, keep=0.0),
        "one class": case(3, V=1),
        "larger than a block": case(13, 11, V=1031, keep=0.8),
        "empty batch": case(0, V=5),
        **_with_settings(rng, case),
    }


def _with_settings(rng: np.random.Generator, case: Callable[..., dict]) -> dict[str, dict]:
    """Reductions, class weights, targets that are ignored, smoothed labels."""

    def ignored(inputs: dict) -> dict:
        targets = np.where(rng.random(inputs["targets"].shape) < 0.3, -100, inputs["targets"])
        return inputs | {"targets": targets, "ignore_index": -100}

    def weighted(inputs: dict) -> dict:
        return inputs | {"class_weights": rng.uniform(0.2, 2, inputs["logits"].shape[-1])}

    weights = case(5, 2, V=3)
    weights["mask"] = np.round(rng.random((5, 2)), 1)
    return {
        "losses of places": weights | {"reduction": "none"},
        "the sum": ignored(case(7, V=4, keep=0.8)) | {"reduction": "sum"},
        "class weights": weighted(ignored(case(4, 3, V=5, keep=0.8))),
        "smoothed labels": case(5, V=7) | {"label_smoothing": 0.2},
        "smoothed labels, a score far above the others": case(3, V=5, scale=200) | {"label_smoothing": 0.1},
        "smoothed labels, class weights, losses of places": weighted(ignored(case(4, 3, V=5, keep=0.8)))
        | {"label_smoothing": 0.3, "reduction": "none"},
        "smoothed labels, class weights, larger than a block": weighted(ignored(case(5, 7, V=1031)))
        | {"label_smoothing": 0.1},
        "all ignored": case(2, 3, V=4) | {"targets": np.full((2, 3), -1), "ignore_index": -1, "label_smoothing": 0.1},
        "no class has a weight": case(3, V=4) | {"class_weights": np.zeros(4), "label_smoothing": 0.1},
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""
    inputs = {"logits": 200 * rng.standard_normal((5, 301)), "targets": rng.integers(0, 301, 5), "overwrite": True}
    return {
        "the gradient takes the place of the logits": inputs,
        "rows of whole fours": {"logits": rng.standard_normal((3, 1540)), "targets": np.array([0, 1539, 700])},
        "the same with smoothed labels": inputs | {"label_smoothing": 0.1, "class_weights": rng.random(301)},
    }
