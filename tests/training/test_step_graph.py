"""Steps as CUDA graphs: where shapes repeat a captured step is replayed, with the same bits; all else is launched as usual.

On a stand-in for CuPy, which notes what is launched while a stream captures; with ``--backend cuda`` on CuPy itself.
"""

import itertools

import numpy as np
import pytest

from scratchlv import device
from scratchlv.batches import CaptionBatch
from scratchlv.cli import main
from scratchlv.cuda.emulator import why_not
from scratchlv.models.captioner import Captioner, CaptionerConfig
from scratchlv.tokens import START
from scratchlv.training import step_graph
from scratchlv.training.step_graph import StepGraphs, use_step_graphs
from scratchlv.training.trainer import Trainer, TrainSettings

from ..cuda import stand_in
from ..models import every_model

SMALL = every_model.Sizes(17, 11, 3, 4, 5, 6, 7, (4, 4, 8), (16, 24), (2, 3, 8), (5, 3))


@pytest.fixture(autouse=True)
def replays(monkeypatch, backend):
    """One entry for each step that was replayed."""
    monkeypatch.setattr(device, "_backend", "cuda")
    monkeypatch.setattr(step_graph, "_asked_for", True)
    if backend == "cpu":
        if why_not() is not None:
            pytest.skip(str(why_not()))
        stand_in.install(monkeypatch)
    found, replay = [], StepGraphs._replay

    def note(self, known, batch):
        found.append(batch)
        return replay(self, known, batch)

    monkeypatch.setattr(StepGraphs, "_replay", note)
    return found


def captions(step, steps=4):
    """Another batch at each step, whose captions have ``steps`` words."""
    rng = np.random.default_rng(step)
    tokens = rng.integers(4, 17, (steps + 1, 3))
    tokens[0] = START
    pictures = rng.random((3, 2, 3, 8), np.float32)
    return CaptionBatch(pictures, tokens, np.array([steps, 2, 1]), dropout_seed=1000 + step)


def captioner(**more):
    sizes = {"vocabulary": 17, "embedding": 5, "hidden": 6, "attention": 7, "feature_channels": 8}
    return Captioner(CaptionerConfig(**sizes, **more))


def trained(batch_at, steps=6, model=None):
    """The parameters after some steps, and the metrics of the last one."""
    trainer = Trainer(model or captioner(), batch_at, TrainSettings(steps=steps, warmup=2), None, show_progress=False)
    last = [trainer.run(), *trainer.sync_metrics()]
    return {name: array.get() for name, array in trainer.model.params.items()}, last


def without_graphs(monkeypatch, *given):
    with monkeypatch.context() as patch:
        patch.setattr(step_graph, "_asked_for", False)
        return trained(*given)


def assert_same(found, expected):
    (params, last), (wanted, wanted_last) = found, expected
    assert last == wanted_last
    for name, array in wanted.items():
        assert params[name].tobytes() == array.tobytes(), name


def test_a_replayed_step_learns_the_same_from_another_batch(monkeypatch, replays):
    found = trained(captions)
    assert len(replays) == 4, "of six steps the first is launched, and the second captured"
    assert_same(found, without_graphs(monkeypatch, captions))
    assert len(replays) == 4


def test_each_set_of_shapes_has_a_graph_of_its_own(monkeypatch, replays):
    def batch_at(step):
        return captions(step, 4 if step % 2 else 3)

    found = trained(batch_at, 8)
    assert len(replays) == 4, "of four steps of each kind two"
    assert_same(found, without_graphs(monkeypatch, batch_at, 8))


def test_shapes_that_do_not_come_again_are_launched_as_usual(replays):
    trained(lambda step: captions(step, step + 1))
    assert not replays


def test_there_are_only_so_many_graphs(monkeypatch, replays):
    monkeypatch.setattr(step_graph, "MOST", 1)
    found = trained(lambda step: captions(step, 4 if step % 2 else 3), 8)
    assert len(replays) == 2, "those of the first kind"
    assert_same(found, without_graphs(monkeypatch, lambda step: captions(step, 4 if step % 2 else 3), 8))


@pytest.mark.parametrize(
    "more", [{"dropout": 0.2}, {"input_dropout": 0.2}, {"model": "hard-attention"}, {"model": "naive"}], ids=str
)
def test_a_step_that_draws_or_keeps_statistics_is_launched_as_usual(more, replays):
    trained(captions, 4, captioner(**more))
    assert not replays


def test_scheduled_sampling_is_launched_as_usual(replays):
    trained(lambda step: captions(step)._replace(scheduled_sampling=0.5), 4)
    assert not replays


def test_a_model_that_does_not_say_whether_its_steps_repeat_is_launched_as_usual(replays):
    model, batch = every_model.make("language model, lstm", SMALL)
    trained(lambda step: batch, 4, model)
    assert not replays


# --- where it cannot be ----------------------------------------------------------------------------------------------


def test_a_capture_that_fails_is_told_and_training_goes_on(monkeypatch, capsys, replays):
    compute, calls = Trainer._compute, itertools.count(1)

    def asks_the_host(self, batch):
        loss, norm, scale = compute(self, batch)
        if next(calls) == 3:  # the first is launched, the second before it is captured
            float(loss)
        return loss, norm, scale

    monkeypatch.setattr(Trainer, "_compute", asks_the_host)
    found = trained(captions)
    assert not replays
    assert capsys.readouterr().err.count("note: steps are launched kernel by kernel, not as graphs (") == 1
    assert_same(found, without_graphs(monkeypatch, captions))


def test_statistics_that_a_step_leaves_behind_are_noticed(capsys, replays):
    import cupy

    model = captioner()
    model.buffers["mean"] = cupy.zeros(3)

    def compute(batch):
        model.buffers["mean"] = model.buffers["mean"] + 1
        return (cupy.asarray(np.float32(1)),)

    graphs = StepGraphs(compute, model)
    for step in range(4):
        graphs(captions(step))
    np.testing.assert_array_equal(model.buffers["mean"].get(), 4)
    assert not replays
    assert "new statistics" in capsys.readouterr().err


def test_nobody_has_graphs_who_did_not_ask(monkeypatch, replays):
    use_step_graphs(False)
    trained(captions, 4)
    assert not replays


def test_a_cpu_has_none(capsys, tmp_path):
    assert main(["train", "caption", "--step-graphs", "--out", str(tmp_path / "run")]) == 2
    assert "--step-graphs goes with --backend cuda" in capsys.readouterr().err
