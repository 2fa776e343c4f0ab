"""Optimisers: each owns its state, and what a checkpoint keeps of it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.ops import global_norm
from scratchlv.training import checkpoint
from scratchlv.training.optimisers import OPTIMISERS, Rate, clipping
from scratchlv.training.trainer import Trainer, TrainSettings

SETTINGS = TrainSettings(steps=12, learning_rate=0.1, warmup=2)
WHERE = Path("run")
WITH_MOMENTUM = [
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("rmsprop", {"momentum": 0.9}),
]


class Bowl:
    """loss = |w|²: a model of one parameter."""

    def __init__(self):
        self.params, self.buffers = {"w": np.arange(1, 6, dtype=np.float32)}, {}

    def forward(self, batch, *, train=True):
        return float((self.params["w"] ** 2).sum() + batch), None

    def backward(self, cache):
        return {"w": 2 * self.params["w"]}


def trainer(optimiser, folder=None, **how):
    settings = dataclasses.replace(SETTINGS, optimiser=optimiser, **how)
    return Trainer(Bowl(), lambda step: 0.0, settings, folder, show_progress=False)


def walk(optimiser, steps, first=0):
    for step in range(first, steps):
        grads = np.random.default_rng(step).standard_normal(5).astype(np.float32)
        optimiser.step(grads, lr=0.1, grad_scale=0.5)


@pytest.mark.parametrize(("name", "how"), [*((name, {}) for name in OPTIMISERS), *WITH_MOMENTUM])
def test_one_that_was_loaded_goes_on_with_the_same_bits(name, how):
    whole, part, resumed = (OPTIMISERS[name](np.ones(5, np.float32), **how) for _ in range(3))
    walk(whole, 9)
    walk(part, 4)
    resumed.params[:] = part.params
    resumed.load_state_tensors(part.state_tensors(), 4, WHERE)
    walk(resumed, 9, first=4)
    assert resumed.params.tobytes() == whole.params.tobytes()


@pytest.mark.parametrize(("name", "how"), [*((name, {}) for name in OPTIMISERS), *WITH_MOMENTUM])
def test_parts_that_are_stepped_by_themselves_are_stepped_as_the_whole(name, how):
    """Each by who owns it, with the learning rates of its parts."""
    rates = [Rate(slice(0, 150), 1.0), Rate(slice(150, 300), 0.1)]
    whole, *owners = (OPTIMISERS[name](np.ones(300, np.float32), rates, **how) for _ in range(3))
    owned = [[slice(0, 64), slice(192, 300)], [slice(64, 192)]]
    for step in range(5):
        grads = np.random.default_rng(step).standard_normal(300).astype(np.float32)
        whole.step(grads, lr=0.1, grad_scale=0.5)
        for owner, parts in zip(owners, owned, strict=True):
            owner.step_parts([(part, grads[part]) for part in parts], lr=0.1, grad_scale=0.5)
    for owner, parts in zip(owners, owned, strict=True):
        for part in parts:
            np.testing.assert_allclose(owner.params[part], whole.params[part], rtol=1e-6)
    assert (owners[0].params[owned[1][0]] == 1).all(), "what another owns is left alone"


def test_the_steps_that_adam_has_taken_count():
    """The test above would see another count: it corrects the bias of the running means."""
    right, wrong = (OPTIMISERS["adam"](np.ones(5, np.float32)) for _ in range(2))
    walk(right, 4)
    state = right.state_tensors()
    for optimiser, steps in ((right, 4), (wrong, 0)):
        optimiser.params[:] = 1
        optimiser.load_state_tensors(state, steps, WHERE)
        walk(optimiser, 5, first=4)
    assert (right.params != wrong.params).all()


def test_a_checkpoint_holds_what_its_optimiser_remembers_and_no_more(tmp_path):
    remembered = {
        ("adam", 0.0): {"adam/m", "adam/v"},
        ("sgd", 0.0): set(),
        ("sgd", 0.9): {"sgd/velocity"},
        ("rmsprop", 0.0): {"rmsprop/v"},
        ("rmsprop", 0.9): {"rmsprop/v", "rmsprop/velocity"},
    }
    assert {name for name, _ in remembered} == OPTIMISERS.keys()
    for (name, momentum), tensors in remembered.items():
        t = trainer(name, momentum=momentum)
        t.run()
        t.folder = tmp_path / f"{name} {momentum}"
        t.save()
        assert checkpoint.load(t.folder)[0].keys() == {"params/w"} | tensors


@pytest.mark.parametrize(("name", "how"), WITH_MOMENTUM)
def test_a_run_with_momentum_that_was_resumed_has_the_same_bits(tmp_path, name, how):
    whole = trainer(name, **how)
    part, resumed = (trainer(name, tmp_path, **how) for _ in range(2))
    whole.run()
    while part.step < 5:
        part.train_step()
    part.save()
    resumed.resume()
    resumed.run()
    assert resumed.model.params["w"].tobytes() == whole.model.params["w"].tobytes()
    assert (whole.model.params["w"] != trainer(name).model.params["w"]).all()


def test_the_settings_reach_the_optimiser():
    """Each changes the steps."""
    ends = []
    for name, how in [("sgd", {}), ("rmsprop", {}), *WITH_MOMENTUM]:
        t = trainer(name, **how)
        t.run()
        ends.append(t.model.params["w"].tobytes())
    assert len(set(ends)) == 5


def test_a_checkpoint_without_the_optimisers_state_is_refused(tmp_path):
    trainer("sgd", tmp_path).save()
    with pytest.raises(UserError, match=r"adam/m is missing"):
        trainer("adam", tmp_path).resume()
    with pytest.raises(UserError, match=r"sgd/velocity is missing"):
        trainer("sgd", tmp_path, momentum=0.9).resume()


def test_a_checkpoint_of_adam_serves_sgd(tmp_path):
    """Earlier versions wrote Adam's state for every optimiser."""
    trainer("adam", tmp_path).run()
    resumed = trainer("sgd", tmp_path)
    resumed.resume()
    assert resumed.step == SETTINGS.steps


def test_one_batch_is_learnt_with_the_optimiser_of_the_run_and_leaves_the_run_as_it_was(monkeypatch):
    steps = []
    monkeypatch.setattr(OPTIMISERS["adam"], "step", lambda *_, **__: pytest.fail("Adam took the step of SGD"))
    monkeypatch.setattr(OPTIMISERS["sgd"], "step", lambda self, grads, **_: steps.append(grads.copy()))
    t = trainer("sgd")
    t.overfit_one_batch(7)
    assert len(steps) == 7
    monkeypatch.undo()
    assert "it can learn" in t.overfit_one_batch()
    assert t.step == 0
    assert t.model.params["w"].tolist() == [1, 2, 3, 4, 5]
    assert t.settings == dataclasses.replace(SETTINGS, optimiser="sgd")


def test_the_factor_that_clips_is_that_of_the_global_norm():
    for gradient, most in ((3.0, 1.0), (3.0, 5.0), (0.0, 1.0), (np.inf, 1.0), (np.nan, 1.0)):
        array = np.float32([gradient])
        norm, factor = global_norm.step((array,), array.copy(), max_norm=most)
        assert clipping(float(norm), most) == pytest.approx(float(factor), nan_ok=True)
