"""Averaged weights: the mean of the right steps, where they are used, and the same bits after a stop."""

import dataclasses

import numpy as np
import pytest

from scratchlv.training import checkpoint
from scratchlv.training.averaging import Averaging, WeightAverage
from scratchlv.training.optimisers import Decay
from scratchlv.training.trainer import Trainer, TrainSettings, averaged

from .test_trainer import Line

SETTINGS = TrainSettings(
    steps=60,
    learning_rate=0.3,
    warmup=0,
    validate_every=10,
    optimiser="sgd",
    decay=Decay(0.5, 10**6, 1),  # never: SGD goes round the minimum to the end
    averaging=Averaging(first=20),
)


def noisy(step):
    rng = np.random.default_rng(step)
    x = rng.standard_normal(4).astype(np.float32)
    return x, 3 * x - 1 + 2 * rng.standard_normal(4).astype(np.float32)


def trainer(folder=None, settings=SETTINGS, losses=None):
    """Validation is the distance from what generated the data; or the given ``losses``, one after the other."""
    model, given = Line(), iter(losses or ())
    seen = []

    def validate():
        w, b = float(model.params["w"][0]), float(model.params["b"][0])
        seen.append((w, b))
        return {"loss": next(given) if losses else (w - 3) ** 2 + (b + 1) ** 2}

    made = Trainer(model, noisy, settings, folder, validate, show_progress=False)
    made.seen = seen
    return made


def test_it_is_the_mean_of_the_steps_after_the_first():
    t, weights = trainer(), []
    while t.step < 60:
        t.train_step()
        weights.append(t.flat.values.copy())
    np.testing.assert_allclose(t.average.mean, np.mean(weights[20:], axis=0), rtol=1e-5)
    assert t.average.n == 40
    np.testing.assert_array_equal(t.flat.values, weights[-1])  # training goes on with the last ones


def test_the_mean_is_nearer_to_the_truth_and_is_what_validation_and_use_are_given(tmp_path):
    t = trainer(tmp_path)
    t.run()
    tensors, _ = checkpoint.load(tmp_path)
    assert t.seen[-1] == pytest.approx((tensors["average/w"][0], tensors["average/b"][0]))
    last, mean = ((p["w"][0] - 3) ** 2 + (p["b"][0] + 1) ** 2 for p in (t.model.params, t.flat.views(t.average.mean)))
    assert mean < last
    used = averaged(tensors)
    assert used["params/w"] == tensors["average/w"] != tensors["params/w"]
    best, state = checkpoint.load(tmp_path / "best")
    assert state["step"] > 20
    assert (best["params/w"][0], best["params/b"][0]) in t.seen


@pytest.mark.parametrize("stop", [15, 25, 37, 45])
@pytest.mark.parametrize("patience", [0, 1])
def test_stopped_and_resumed_it_ends_with_the_same_bits(tmp_path, stop, patience):
    losses = [5.0, 4.0, 4.5, 4.2, 4.1, 4.0] if patience else None
    averaging = Averaging(first=0 if patience else 20, patience=patience)
    settings = dataclasses.replace(SETTINGS, averaging=averaging)
    whole = trainer(settings=settings, losses=losses)
    whole.run()
    first = trainer(tmp_path, settings, losses)
    while first.step < stop:
        first.train_step()
        if first.step % 10 == 0:
            first.validate_now()
    first.save()
    first.train_step()  # lost work
    second = trainer(tmp_path, settings, losses and losses[stop // 10 :])
    second.resume()
    second.run()
    assert second.average.n == whole.average.n > 0
    assert second.average.mean.tobytes() == whole.average.mean.tobytes()
    assert second.flat.values.tobytes() == whole.flat.values.tobytes()


def test_it_begins_where_validation_brings_nothing_better_for_so_long():
    patient = Averaging(patience=2)
    assert not patient.begins(1, [])
    assert not patient.begins(1, [5.0, 4.0, 4.5])
    assert not patient.begins(1, [5.0, 4.0, 4.5, 4.4])  # better than 5
    assert patient.begins(1, [5.0, 4.0, 4.5, 4.4, 4.1])  # worse than 4
    assert not patient.begins(1, [5.0, 4.0, 4.5, 4.4, 3.9])
    by_step = Averaging(first=7)
    assert not by_step.begins(7, []) and by_step.begins(8, [])


def test_without_a_step_in_it_nothing_stands_in_the_place_of_the_weights():
    values = np.arange(3, dtype=np.float32)
    average = WeightAverage(values, Averaging(first=1))
    with average.in_place():
        np.testing.assert_array_equal(values, [0, 1, 2])
    average.after_step(1, [])  # too early
    assert not average.n
    average.after_step(2, [])
    values += 2
    average.after_step(3, [])
    with average.in_place():
        np.testing.assert_array_equal(values, [1, 2, 3])
    np.testing.assert_array_equal(values, [2, 3, 4])
