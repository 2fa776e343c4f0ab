"""Several trainings of which the best is kept: by their training losses, and to the bit also when they were interrupted."""

import numpy as np
import pytest

from scratchlv.tasks import story_answering, training
from scratchlv.training import checkpoint
from scratchlv.training.trainer import Interrupted, Trainer
from tests.parallel.threads import run_together

from .test_story_answering import babi

SMALL = [
    "steps=12",
    "batch=4",
    "width=8",
    "restarts=3",
    "linear_steps=10",
    "learning_rate=0.3",
    "decay_from=6",
    "decay_every=6",
]


def config(folder, *more):
    return story_answering.config("babi", f"babi:{folder}:1", "memory", "quick", 0, [*SMALL, *more])


def train(folder, asked=None):
    said = []
    training.train(folder, asked, show_progress=False, say=said.append)
    return said


def test_the_one_that_fits_best_is_kept(tmp_path):
    asked = config(babi(tmp_path / "data"))
    said = train(tmp_path / "run", asked)
    (line,) = (line for line in said if line.startswith("training losses of 3"))
    losses = [float(loss) for loss in line.split(": ")[1].split(";")[0].split(", ")]
    run = training.load(tmp_path / "run", "babi")
    data = story_answering.dataset(run.config, run.fitted, "train")
    assert data.mean_loss(run.model) == pytest.approx(min(losses), abs=1e-4)
    assert line.endswith(f"number {losses.index(min(losses)) + 1} is kept")
    assert len(set(losses)) == 3
    assert max(checkpoint.latest_steps(tmp_path / "run")) == 12
    assert not run.model.linear


def test_interrupted_and_resumed_it_ends_with_the_same_bits(tmp_path, monkeypatch):
    asked = config(babi(tmp_path / "data"))
    train(tmp_path / "whole", asked)
    steps, stop_at = Trainer.train_step, iter((4, 7, 25))  # in the linear start, twice, and after it
    count, stop = 0, next(stop_at)

    def stopping(self):
        nonlocal count
        rate = steps(self)
        count += 1
        if count == stop:
            self.save()
            raise Interrupted
        return rate

    monkeypatch.setattr(Trainer, "train_step", stopping)
    first: object = asked
    while True:
        try:
            train(tmp_path / "broken", first)
            break
        except Interrupted:
            first, stop = None, next(stop_at, -1)
    assert count == 12 + 10 or count > 12
    one, other = (training.load(tmp_path / name, "babi").model.params for name in ("whole", "broken"))
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_the_other_tying(tmp_path):
    train(tmp_path / "run", config(babi(tmp_path / "data"), "tying=layer-wise"))
    assert "answer.W" in training.load(tmp_path / "run", "babi").model.params


def test_without_a_linear_start_and_with_one_network(tmp_path):
    data = babi(tmp_path / "data")
    said = train(tmp_path / "linear", config(data, "restarts=1"))
    assert any(line.startswith("the softmax is put back after 10 steps") for line in said)
    said = train(tmp_path / "plain", config(data, "restarts=1", "linear_steps=0"))
    assert not any("softmax" in line or "training losses" in line for line in said)


@pytest.mark.parametrize("P", [2, 3])
def test_processes_share_the_batches_of_all_networks(tmp_path, P):
    """The linear start ends at the same step, the same network is kept, and it has the same parameters."""
    asked = config(babi(tmp_path / "data"), "clip=0.05")
    expected = train(tmp_path / "alone", asked)
    said = run_together(P, lambda _: train(tmp_path / "together", asked))[0]
    words = ("the softmax is put back", "training losses")
    assert [line for line in said if line.startswith(words)] == [line for line in expected if line.startswith(words)]
    alone, together = (checkpoint.load(tmp_path / which) for which in ("alone", "together"))
    assert alone[1]["step"] == together[1]["step"] == 12
    for name, array in alone[0].items():
        np.testing.assert_allclose(together[0][name], array, rtol=1e-3, atol=1e-5, err_msg=name)
