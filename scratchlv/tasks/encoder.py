"""A pretrained encoder: the conv extractor of a captioner of Scenes, lent to another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import place, to_host
from scratchlv.errors import UserError
from scratchlv.models.captioner import Captioner
from scratchlv.parallel.team import team
from scratchlv.tasks import captioning, run_folder, training
from scratchlv.tasks.training import Say
from scratchlv.training import checkpoint
from scratchlv.vision import conv_extractor


def train(folder: Path, seed: int, overrides: list[str], show_progress: bool, say: Say) -> None:
    """Train a captioner of Scenes into ``folder``, or take it up again where it was interrupted; nothing if it is done."""
    if not team().broadcast(run_folder.is_run(folder)):
        say(f"first the encoder: that of a captioner of scenes, into {folder}")
        config = captioning.config("caption", "scenes", "attention", "quick", seed, overrides)
        training.train(folder, config, show_progress=show_progress, say=say)
        return
    config, _ = run_folder.read(folder, "caption")
    if team().broadcast(max(checkpoint.latest_steps(folder), default=0)) < config.settings.steps:
        training.train(folder, show_progress=show_progress, say=say)


def load(folder: Path) -> Captioner:
    """The captioner whose encoder is lent.

    Raises:
        UserError: it is no run of a captioner, or one that was trained on features of photographs.
    """
    run = training.load(folder, "caption")
    if run.model.config.feature_channels is not None:
        raise UserError(f"{folder} has no conv extractor of its own; give a captioner that was trained on scenes")
    return run.model


def encode(captioner: Captioner, pictures: Array, dtype: Any = np.float32, size: int = 200) -> Array:
    """The features (n, 8, 8, C) of ``pictures``, bytes (n, 64, 64, 3)."""
    features = np.empty((len(pictures), conv_extractor.GRID, conv_extractor.GRID, captioner.config.channels[-1]), dtype)
    for at in range(0, len(pictures), size):
        x = conv_extractor.preprocess(place(pictures[at : at + size], captioner.params["conv1.W"]))
        encoded, _ = conv_extractor.forward(captioner.params, captioner.buffers, x, train=False)
        features[at : at + size] = to_host(encoded)
    return features
