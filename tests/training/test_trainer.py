"""The trainer: it learns, it stops when it must, and a run that was killed ends with the same bits."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.training import checkpoint
from scratchlv.training.log import read_log
from scratchlv.training.optimisers import Decay, FlatParameters, learning_rate
from scratchlv.training.trainer import Interrupted, Trainer, TrainSettings


class Line:
    """y = w x + b by least squares: the smallest thing that a trainer can train."""

    def __init__(self):
        self.params = {"w": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)}
        self.buffers = {"seen": np.zeros(1, np.float32)}

    def forward(self, batch, *, train=True):
        x, y = batch
        error = self.params["w"] * x + self.params["b"] - y
        if train:
            self.buffers["seen"] = self.buffers["seen"] + len(x)
        return float((error**2).mean()), (x, error)

    def backward(self, cache):
        x, error = cache
        return {"w": np.array([(2 * error * x).mean()]), "b": np.array([(2 * error).mean()])}


def batch_at(step):
    x = np.random.default_rng(step).standard_normal(16).astype(np.float32)
    return x, 3 * x - 1


SETTINGS = TrainSettings(steps=300, learning_rate=0.1, warmup=10)


def trainer(folder=None, settings=SETTINGS, **more):
    return Trainer(Line(), batch_at, settings, folder, show_progress=False, **more)


def test_it_learns():
    t = trainer()
    assert t.run() < 1e-4
    assert t.model.params["w"] == pytest.approx(3, abs=0.02)
    assert t.model.params["b"] == pytest.approx(-1, abs=0.02)


def test_stopped_and_resumed_it_ends_with_the_same_bits(tmp_path):
    whole = trainer(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    whole.run()
    (tmp_path / "parts").mkdir()
    first = trainer(tmp_path / "parts")
    for _ in range(137):
        first.train_step()
    first.save()
    first.train_step()  # lost work
    second = trainer(tmp_path / "parts")
    second.resume()
    assert second.step == 137
    second.run()
    for name, value in whole.model.params.items():
        assert value.tobytes() == second.model.params[name].tobytes()
    assert second.model.buffers["seen"] == whole.model.buffers["seen"]


def test_the_log_drops_what_came_after_the_checkpoint(tmp_path):
    t = trainer(tmp_path)
    for _ in range(20):
        t.train_step()
    t.save()
    for step in (10, 20, 30):
        t._log(step=step, loss=1.0)
    with open(tmp_path / "log.jsonl", "a", encoding="utf-8") as log:
        log.write('{"step": 40, "lo')  # killed while writing
    t.resume()
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [10, 20]


def test_killed_before_the_first_checkpoint_each_step_stands_in_the_log_once(tmp_path):
    t = trainer(tmp_path)
    for step in (10, 20):
        t._log(step=step, loss=9.0)
    second = trainer(tmp_path, dataclasses.replace(SETTINGS, steps=30))
    second.resume()
    second.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30]


@pytest.mark.parametrize("state", [{"step": 5}, {"step": 5, "seconds": "x", "best_loss": None}])
def test_a_checkpoint_of_something_else_is_no_traceback(tmp_path, state):
    t = trainer(tmp_path)
    t.step = 5
    t.save()
    tensors, _ = checkpoint.load(tmp_path)
    checkpoint.save(tmp_path, tensors, state)
    with pytest.raises(UserError, match="the checkpoint of step 5 .* is not that of a training"):
        trainer(tmp_path).resume()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_refused_and_the_checkpoint_stays(tmp_path, bad):
    t = trainer(tmp_path)
    for _ in range(5):
        t.train_step()
    t.save()
    t.batch_at = lambda step: (np.full(3, bad, np.float32), np.zeros(3, np.float32))
    with pytest.raises(UserError, match=r"step 6.*untouched.*learning_rate"):
        t.run()
    _, state = checkpoint.load(tmp_path)
    assert state["step"] == 5


def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    def interrupt_at_40(step):
        if step == 40:
            os.kill(os.getpid(), signal.SIGINT)
        return batch_at(step)

    before = signal.getsignal(signal.SIGINT)
    t = trainer(tmp_path)
    t.batch_at = interrupt_at_40
    with pytest.raises(Interrupted):
        t.run()
    _, state = checkpoint.load(tmp_path)
    assert 40 < state["step"] <= 42
    assert signal.getsignal(signal.SIGINT) is before


def test_the_best_validation_is_kept(tmp_path):
    losses = iter([3.0, 1.0, 2.0])
    settings = TrainSettings(steps=30, validate_every=10)
    trainer(tmp_path, settings, validate=lambda: {"loss": next(losses)}).run()
    _, state = checkpoint.load(tmp_path / "best")
    assert state["step"] == 20
    assert [line["validation"]["loss"] for line in read_log(tmp_path / "log.jsonl") if "validation" in line] == [
        3,
        1,
        2,
    ]


def test_training_ends_early_when_the_loss_has_not_fallen_for_long(tmp_path):
    losses = iter((3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 0.5))
    settings = dataclasses.replace(SETTINGS, validate_every=10, patience=2)
    stopped = trainer(tmp_path, settings, validate=lambda: {"loss": next(losses)})
    stopped.run()
    assert stopped.step == 60  # 1.0 was the lowest, and neither 1.0 nor 1.5 is lower
    again = trainer(tmp_path, settings, validate=lambda: {"loss": next(losses)})
    again.resume()
    again.run()
    assert again.step == 60
    assert next(losses) == 0.5


def test_checks_before_training():
    t = trainer()
    assert "far off" in t.check_initial_loss(2)
    report = trainer().overfit_one_batch()
    assert "it can learn" in report


def test_a_model_with_a_wrong_gradient_cannot_overfit():
    t = trainer()
    right = t.model.backward
    t.model.backward = lambda cache: {name: -grad for name, grad in right(cache).items()}
    assert "it did not" in t.overfit_one_batch(50)


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "rmsprop"])
def test_a_clipped_step_is_a_step_with_the_clipped_gradient(optimiser):
    """The same parameters as with a gradient that was shortened by hand."""
    settings = TrainSettings(steps=3, learning_rate=0.1, warmup=1, clip=0.01, optimiser=optimiser)
    clipped, by_hand = trainer(settings=settings), trainer(settings=dataclasses.replace(settings, clip=1e9))
    right = by_hand.model.backward

    def shortened(cache):
        grads = right(cache)
        norm = math.sqrt(sum(float(grad[0]) ** 2 for grad in grads.values()))
        assert norm > 0.01
        return {name: grad * (0.01 / norm) for name, grad in grads.items()}

    by_hand.model.backward = shortened
    clipped.run(), by_hand.run()
    np.testing.assert_allclose(clipped.flat.values, by_hand.flat.values, rtol=1e-5)


def test_sgd_learns_too():
    t = trainer(settings=dataclasses.replace(SETTINGS, optimiser="sgd", clip=1e9))
    assert t.run() < 1e-4


def test_a_missing_gradient_is_an_error():
    t = trainer()
    t.model.backward = lambda cache: {"w": np.zeros(1)}
    with pytest.raises(ValueError, match="b"):
        t.train_step()


def test_flat_parameters_are_the_parameters():
    params = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}
    flat = FlatParameters(params)
    flat.values[0] = 7
    assert params["a"][0, 0] == 7
    assert params["a"].base is not None
    grads, norm, factor = flat.collect({"a": np.full((2, 3), 2.0), "b": np.float32([3, -4])}, 3.5)
    assert [part.tolist() for part in flat.views(grads).values()] == [[[2] * 3] * 2, [3, -4]]
    assert (norm, factor) == (7, 0.5)


def test_every_parameter_begins_at_a_multiple_of_256_bytes_and_nothing_lies_between():
    sizes = {"bias of 13": 13, "one": 1, "none": 0, "whole": 64, "large": 5003}
    params = {name: np.full(size, 1 + k, np.float32) for k, (name, size) in enumerate(sizes.items())}
    flat = FlatParameters(params)
    start = flat.values.ctypes.data
    assert [(params[name].ctypes.data - start) % 256 for name in sizes if sizes[name]] == [0, 0, 0, 0]
    assert all((params[name] == 1 + k).all() for k, name in enumerate(sizes))
    flat.grads[:] = np.nan
    grads, norm, _ = flat.collect({name: np.ones(size, np.float32) for name, size in sizes.items()}, 1.0)
    assert np.count_nonzero(grads) == sum(sizes.values())
    assert norm == pytest.approx(sum(sizes.values()) ** 0.5)
    packed = flat.packed(flat.values)
    np.testing.assert_array_equal(packed, np.concatenate([np.ravel(params[name]) for name in sizes]))
    np.testing.assert_array_equal(flat.unpacked(packed), flat.values)
    assert flat.unpacked(packed[1:]).shape == packed[1:].shape


@pytest.mark.parametrize("size", [1, 31, 8191, 8192, 8193, 100_003])
def test_the_norm_is_that_of_all_gradients_together(size):
    grads = {name: np.random.default_rng(k).standard_normal(size).astype(np.float32) for k, name in enumerate("ab")}
    flat = FlatParameters({name: np.zeros_like(grad) for name, grad in grads.items()})
    collected, norm, _ = flat.collect(grads, 1.0)
    np.testing.assert_array_equal(flat.packed(collected), np.concatenate([*grads.values()]))
    assert norm == pytest.approx(np.linalg.norm(collected.astype(np.float64)), rel=1e-6)


def test_a_gradient_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"gradient of a has the shape \(3, 2\), not \(2, 3\)"):
        FlatParameters({"a": np.zeros((2, 3), np.float32)}).collect({"a": np.zeros((3, 2), np.float32)}, 1.0)


def test_the_schedule_of_zaremba_and_others():
    """1 for four epochs, then half of it after each: in the fifth 0.5, in the sixth 0.25."""
    decay = Decay(0.5, first=400, every=100)
    rates = [learning_rate(s, 1300, 20.0, 0, decay) for s in range(1300)]
    assert [rates[s] for s in (0, 399, 400, 499, 500, 1299)] == [20, 20, 10, 10, 5, 20 * 0.5**9]
    assert learning_rate(4, 1300, 20.0, 10, decay) == 10  # a warm-up comes before it


def test_the_schedule():
    rates = [learning_rate(s, 1000, 1.0, 100) for s in range(1000)]
    assert rates[0] == 0.01
    assert max(rates) == rates[99] == 1.0
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)
    assert all(a >= b for a, b in zip(rates[100:], rates[101:], strict=False))


KILLED = """
import sys
from pathlib import Path
from scratchlv.tasks import captioning
from scratchlv.tasks.training import train
tiny = ["n_train=40", "n_val=10", "steps=40", "batch=8", "warmup=5"]
config = captioning.config("caption", "scenes", "attention", "quick", 0, tiny)
train(Path(sys.argv[1]), None if sys.argv[2] == "resume" else config, show_progress=False,
      say=lambda line: print(line, flush=True))
"""
# the same with a clock that runs so fast that it saves every other step
HASTY = KILLED.replace(
    "train(Path",
    "import itertools, types, scratchlv.training.trainer as t\nticks = itertools.count(0, 20)\n"
    "t.time = types.SimpleNamespace(monotonic=lambda: float(next(ticks)))\ntrain(Path",
)


def test_a_captioner_killed_without_warning_ends_with_the_same_bits(tmp_path):
    """SIGKILL at a moment that nobody chose; whatever checkpoint is there is good to resume from."""

    def start(code, folder, how):
        return subprocess.Popen([sys.executable, "-c", code, str(folder), how], stdout=subprocess.PIPE, text=True)

    undisturbed = start(KILLED, tmp_path / "whole", "new")
    assert undisturbed.wait(300) == 0
    victim = start(HASTY, tmp_path / "killed", "new")
    wait_until = time.monotonic() + 300
    while time.monotonic() < wait_until and not any((tmp_path / "killed").glob("checkpoint-00001*.json")):
        time.sleep(0.005)
    victim.kill()
    victim.wait()
    _, state = checkpoint.load(tmp_path / "killed")
    assert 0 < state["step"] < 40, "it was killed too late to prove anything"
    assert start(KILLED, tmp_path / "killed", "resume").wait(300) == 0
    (whole, _), (resumed, state) = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "killed")
    assert state["step"] == 40
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert value.tobytes() == resumed[name].tobytes(), name


def test_the_log_is_json_lines(tmp_path):
    trainer(tmp_path).run()
    lines = [json.loads(line) for line in Path(tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"step", "loss", "norm", "learning_rate", "seconds"} <= lines[-1].keys()
    assert lines[-1]["step"] == 300
