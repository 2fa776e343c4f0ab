"""What runs look at pictures through: what is refused, what a run keeps of its backbone, and a backbone that is trained along."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from scratchlv.errors import UserError
from scratchlv.tasks import backbone, captioning, question_answering, run_folder, training
from scratchlv.training import old_runs
from scratchlv.vision import backbones, features


def small_networks():
    """The module of tests of vision: tests are no package that could be imported from."""
    name = "small_networks_of_vision"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "vision" / "small_networks.py"
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def networks(monkeypatch, tmp_path):
    """Small ones by name, and the folder of the files of their weights."""
    module = small_networks()
    for network in module.NETWORKS.values():
        monkeypatch.setitem(backbones.NETWORKS, network.name, network)
        save_file(module.weights_of(network), tmp_path / f"{network.name}.safetensors")
    monkeypatch.setattr(features, "cache_folder", lambda: tmp_path / "cache")  # kernels stay in theirs
    return tmp_path


def config(kind="scenes", model="attention", more=(), task="caption", **options):
    module = captioning if task == "caption" else question_answering
    return module.config(task, kind, model, "quick", 0, list(more), **options)


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"kind": "flickr8k:.", "backbone": "conv"},
            "conv learns to see from drawn pictures, not from --data flickr8k",
        ),
        (
            {"weights": Path("w.pth")},
            r"--weights w\.pth does not go with --backbone conv, which is trained from nothing",
        ),
        ({"layer": "stage5"}, "--layer stage5 does not go with --backbone conv"),
        ({"finetune": "stage5"}, "--finetune stage5 does not go with --backbone conv"),
        ({"backbone": "vgg16"}, "no package brings the weights of vgg16; give --weights FILE"),
        ({"backbone": "vgg19"}, "--backbone vgg19: there are efficientnet-lite0"),
        ({"backbone": "efficientnet-lite0", "layer": "stage8"}, "has no layer 'stage8'; .* stem, stage1, .* fc"),
        ({"backbone": "efficientnet-lite0", "layer": ""}, "has no layer ''; .* stem, stage1, .* fc"),
        (
            {"backbone": "efficientnet-lite0", "layer": "avgpool"},
            "is one vector for the whole picture, .* one of stem, ",
        ),
        (
            {"backbone": "efficientnet-lite0", "finetune": "layer4"},
            "--finetune layer4: efficientnet-lite0 has no such layer; it can be trained from one of stem, .*, stage7 up",
        ),
        ({"backbone": "efficientnet-lite0", "finetune": "head"}, "--finetune head: .* has it above --layer stage7"),
        (
            {"backbone": "resnet50", "weights": Path("w"), "model": "naive", "finetune": "avgpool"},
            "--finetune avgpool: resnet50 has no weights there; .* conv1, layer1, layer2, layer3, layer4 up",
        ),
        ({"more": ["crop=true"], "backbone": "efficientnet-lite0"}, "crop does nothing with --data scenes"),
        ({"more": ["finetune_rate=0.5"], "backbone": "efficientnet-lite0"}, "does nothing with a backbone that is not"),
        (
            {"more": ["batch_statistics=true"], "backbone": "vgg16", "weights": Path("w"), "finetune": "conv5_1"},
            "batch_statistics does nothing with vgg16, which has no batch normalisation",
        ),
        ({"task": "vqa", "backbone": "efficientnet-lite0", "encoder": Path("run")}, "leave one of the two out"),
        ({"task": "vqa", "backbone": "efficientnet-lite0", "more": ["encoder_steps=3"]}, "nothing with --backbone eff"),
    ],
)
def test_what_makes_no_sense_together(options, sentence):
    with pytest.raises(UserError, match=sentence):
        config(**options)


def test_defaults():
    assert (config().backbone, config().layer) == ("conv", None)
    assert config("flickr8k:.").layer == "stage7"
    assert config("flickr8k:.").backbone == config("daquar:.", task="vqa").backbone == "efficientnet-lite0"
    given = {"backbone": "vgg16", "weights": Path("w.pth")}
    assert [config("flickr8k:.", model, **given).layer for model in ("attention", "naive")] == ["conv5_3", "fc7"]
    given["backbone"] = "resnet50"
    assert [config("flickr8k:.", model, **given).layer for model in ("uniform", "shortcut")] == ["layer4", "avgpool"]
    assert Path(config("flickr8k:.", **given).weights).is_absolute()


def test_runs_of_before_look_through_what_they_did():
    def renamed(**asked):
        return old_runs.renamed_config({"asked": asked})["asked"]

    assert renamed(task="caption", encoder="conv") == {"task": "caption", "backbone": "conv"}
    lite = {"backbone": "efficientnet-lite0", "layer": "stage7"}
    assert renamed(task="caption", encoder="efficientnet-lite0") == {"task": "caption"} | lite
    asked = {"task": "vqa", "data": "daquar:/d", "encoder": None}
    assert renamed(**asked) == asked | lite
    assert renamed(task="vqa", data="easy-vqa")["backbone"] == "conv"
    assert renamed(task="lm", encoder="x") == {"task": "lm", "encoder": "x"}
    new = {"task": "caption", "backbone": "efficientnet-lite0", "layer": "head"}
    assert renamed(**new) == new


# --- a run ---------------------------------------------------------------------------------------------------------

TINY = ["n_train=8", "n_val=4", "batch=4", "steps=3", "warmup=1", "hidden=8", "embedding=8", "attention=8"]


def train(folder, networks, name="small-resnet", task="caption", more=(), **options):
    file = networks / f"{name}.safetensors"
    asked = config(task=task, more=[*TINY, *more], backbone=name, weights=file, **options)
    return training.train(folder, asked, show_progress=False, say=lambda line: None)


@pytest.mark.parametrize("finetune", [None, "layer2", "conv1"])
def test_a_run_keeps_what_it_trained_and_asks_for_the_rest(networks, finetune):
    """Checkpoints have the trained layers alone; the file of weights is needed as long as something of it is frozen."""
    folder, file = networks / "run", networks / "small-resnet.safetensors"
    made = train(folder, networks, finetune=finetune)
    tensors, _ = run_folder.load_weights(folder)
    trained = {name.split(".")[1] for name in tensors if name.startswith("params/backbone.")}
    expected = {None: set(), "layer2": {"layer2"}, "conv1": {"conv1", "layer1", "layer2"}}[finetune]
    assert trained == expected
    weights = backbones.read("small-resnet", file)
    assert made.fitted.weights_checksum == weights.checksum
    if finetune:  # they have moved away from the file's, and the frozen statistics have not
        own = tensors["params/backbone.layer2.0.conv1.W"]
        assert 0 < abs(own - weights.arrays["layer2.0.conv1.weight"][:, :, 0, 0].T).max() < 0.1
        before = weights.arrays["layer2.0.bn1.running_mean"]
        np.testing.assert_array_equal(tensors["buffers/backbone.layer2.0.mean".replace(".0.", ".0.conv1.")], before)
    again = training.load(folder, "caption")
    pictures = again.dataset("val").pictures
    assert [g.tokens.tolist() for g in again.caption(pictures)] == [g.tokens.tolist() for g in made.caption(pictures)]
    save_file(small_networks().weights_of(small_networks().RESNET, seed=1), file)
    if finetune == "conv1":
        training.load(folder, "caption").dataset("val")
        return
    with pytest.raises(UserError, match=r"small-resnet\.safetensors holds other weights than those that the run was"):
        training.load(folder, "caption").dataset("val")
    file.unlink()
    with pytest.raises(
        UserError, match=r"is no longer there, and the run looks through it at pictures; put these weights"
    ):
        training.load(folder, "caption").dataset("val")


def test_a_finetuned_run_that_was_resumed_ends_with_the_same_bits(networks):
    whole = train(networks / "whole", networks, finetune="layer2", more=["steps=6", "batch_statistics=true"])
    asked = config(
        more=[*TINY, "steps=6", "batch_statistics=true"],
        backbone="small-resnet",
        weights=networks / "small-resnet.safetensors",
        finetune="layer2",
    )
    job = captioning.prepare(asked, None, False, lambda line: None, networks)
    run_folder.create(networks / "run", asked, job.run.fitted)
    from scratchlv.training.trainer import Trainer

    trainer = Trainer(job.run.model, job.batch_at, training.train_settings(asked.settings), networks / "run")
    for _ in range(3):
        trainer.train_step()
    trainer.save()
    resumed = training.train(networks / "run", show_progress=False, say=lambda line: None)
    for name, array in whole.model.params.items():
        np.testing.assert_array_equal(resumed.model.params[name], array, err_msg=name)
    for name, array in whole.model.buffers.items():
        np.testing.assert_array_equal(resumed.model.buffers[name], array, err_msg=name)


def test_what_is_finetuned_learns_more_slowly(networks):
    """The first step of Adam moves every number by the learning rate."""
    small, far = (
        train(networks / rate, networks, finetune="layer2", more=[f"finetune_rate={rate}", "steps=1", "clip=1000"])
        for rate in ("0.1", "1")
    )
    started = backbones.read("small-resnet", networks / "small-resnet.safetensors").arrays["layer2.0.conv1.weight"]
    moved = [abs(run.model.params["backbone.layer2.0.conv1.W"] - started[:, :, 0, 0].T).max() for run in (small, far)]
    assert moved[1] == pytest.approx(10 * moved[0], rel=1e-2)
    np.testing.assert_array_equal(small.model.params["embedding.W"], far.model.params["embedding.W"])


@pytest.mark.parametrize(
    ("name", "model", "finetune"), [("small-lite", "memory", "stage3"), ("small-vgg", "naive", "fc7")]
)
def test_questions_too(networks, name, model, finetune):
    more = ["questions=2", "blind_steps=1", *(["attention_loss=0.3"] if model == "memory" else [])]
    tiny = [text for text in TINY if not text.startswith("attention=") or model == "attention"]
    file = networks / f"{name}.safetensors"
    asked = question_answering.config(
        "vqa", "scenes", model, "quick", 0, [*tiny, *more], backbone=name, weights=file, finetune=finetune
    )
    run = training.train(networks / "run", asked, show_progress=False, say=lambda line: None)
    assert f"backbone.{finetune}" in {".".join(key.split(".")[:2]) for key in run.model.params}
    assert 0 <= question_answering.evaluate(training.load(networks / "run"))["accuracy"] <= 1


def test_a_file_of_another_network_is_refused_before_anything_is_written(networks):
    asked = config(more=TINY, backbone="small-resnet", weights=networks / "small-vgg.safetensors")
    with pytest.raises(
        UserError, match=r"does not hold the weights of small-resnet: .* missing \(conv1\.weight, .* unknown"
    ):
        training.train(networks / "run", asked, show_progress=False)
    assert not (networks / "run").exists()


def test_the_record_of_a_run_says_it_all(networks):
    train(networks / "run", networks, finetune="layer2")
    found, fitted = run_folder.read(networks / "run")
    assert (found.backbone, found.layer, found.finetune) == ("small-resnet", "layer2", "layer2")
    assert found.weights == str((networks / "small-resnet.safetensors").resolve())
    assert fitted.feature_channels == found.network.shape("layer2")[2]
    assert isinstance(found, backbone.Config)
