"""Runs of an earlier version load, go on and are used: those in ``old_runs`` were made by it, at commit fda1b5c, by

scratchlv train translate --model naive --set steps=8 --set batch=8 --set warmup=2 --set n_train=200 --set n_val=30
    --set embedding=4 --set hidden=4 --set attention=4 --set min_count=60 --set dropout=0.3 --set validate_every=2
    --set learning_rate=0.05 --out translate
scratchlv train lm --model rnn --set optimiser=sgd --set steps=8 --set batch=4 --set unroll=8 --set warmup=2
    --set n_train=200 --set n_val=30 --set embedding=4 --set hidden=4 --set min_count=40 --set learning_rate=2
    --set validate_every=2 --out lm
scratchlv train vqa --model attention --set steps=4 --set batch=2 --set warmup=1 --set n_train=12 --set n_val=20
    --set embedding=2 --set hidden=2 --set attention=2 --set eyes_steps=1 --set blind_steps=2 --set questions=2
    --set gaze=0.5 --set learning_rate=0.05 --out vqa

and interrupted by Ctrl-C in the midst of it: after 5, 5 and 3 steps. The weights in ``vqa/eyes`` are too large to keep.
"""

import json
import shutil
from pathlib import Path

import pytest

from scratchlv.data.scenes.entropy import Entropy
from scratchlv.tasks import TASKS, language_modelling, run_folder, training
from scratchlv.training import checkpoint, old_runs
from scratchlv.training.log import read_log

OLD = Path(__file__).parent / "old_runs"

# What that version said of them after `scratchlv train TASK --out RUN --resume`: "loss" and "norm" of the last step in its
# log, and the "loss" of `scratchlv evaluate RUN --json`. Another machine rounds elsewhere.
FIGURES = {
    "translate": (2.692784070968628, 0.2791074012208045, 2.68849515914917),
    "lm": (2.8741164207458496, 0.2746994962131115, 2.9555341490992793),
    "vqa": (4.199838638305664, 1.999899271239664, 2.9490296840667725),
}


@pytest.fixture
def old(tmp_path):
    """Copies of them; the encoder is trained again, as it was."""
    shutil.copytree(OLD, tmp_path / "old")
    config, _ = run_folder.read(OLD / "vqa" / "eyes")
    train(tmp_path / "captioner", config)
    for file in (tmp_path / "captioner").glob("checkpoint-*"):
        shutil.copy(file, tmp_path / "old" / "vqa" / "eyes")
    return tmp_path / "old"


def train(folder, config=None):
    return training.train(folder, config, show_progress=False, say=lambda line: None)


@pytest.mark.parametrize("task", FIGURES)
def test_an_old_run_is_used_and_goes_on_as_it_would_have(old, task, monkeypatch):
    known = Entropy(9.0, 1.0, 9.0, 0.1)  # it takes seconds to count
    monkeypatch.setattr(language_modelling, "caption_entropy", lambda world: known)
    evaluate = TASKS[task].load().evaluate
    assert evaluate(training.load(old / task, task), n=3)["loss"] > 0
    train(old / task)
    (last,) = [line for line in read_log(old / task / "log.jsonl") if "loss" in line]
    figures = evaluate(training.load(old / task, task))
    assert (last["loss"], last["norm"], figures["loss"]) == pytest.approx(FIGURES[task], rel=1e-4)
    assert task != "vqa" or "question_only_accuracy" in figures


def test_what_was_asked_for_has_the_names_of_today():
    config, fitted = run_folder.read(OLD / "vqa")
    assert (config.settings.attention_loss, config.settings.encoder_steps, config.encoder) == (0.5, 1, None)
    assert (config.task, config.model, config.scratchlv, config.settings.hops) == ("vqa", "attention", "0.1.0", 2)
    assert (len(fitted.vocabulary), len(fitted.answers), fitted.feature_channels, fitted.regions) == (48, 20, 64, 64)
    config, fitted = run_folder.read(OLD / "lm")
    assert (config.characters, config.settings.optimiser) == (False, "sgd")
    assert (len(fitted.opening), fitted.streams, fitted.unroll) == (85, 4, 8)


def test_the_captioner_that_an_old_run_named_is_its_encoder(tmp_path):
    found = json.loads((OLD / "vqa" / "config.json").read_text("utf-8")) | {"eyes": "/somewhere/captioner"}
    (tmp_path / "config.json").write_text(json.dumps(found))
    assert run_folder.read(tmp_path)[0].encoder == "/somewhere/captioner"


def test_parameters_have_the_names_of_today():
    tensors, _ = checkpoint.load(OLD / "translate")
    renamed = old_runs.renamed_tensors(tensors)
    assert {"params/begin.W", "params/begin.b"} == tensors.keys() - renamed.keys()
    assert {"params/init_state.W", "params/init_state.b"} == renamed.keys() - tensors.keys()
    assert renamed["params/init_state.W"] is tensors["params/begin.W"]


def test_a_run_that_stopped_at_its_encoder_goes_on_with_it(old, tmp_path):
    """The same command goes on, also where an earlier version had begun."""
    begun = tmp_path / "begun"
    shutil.copytree(old / "vqa" / "eyes", begun / "eyes")
    config, _ = run_folder.read(OLD / "vqa")
    train(begun, config)
    assert not (begun / "encoder").exists()
    assert (begun / "config.json").exists()
