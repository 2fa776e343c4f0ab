"""The commands with --backend cuda, on the stand-in for CuPy: they train, evaluate and generate in CUDA kernels."""

import pytest

from scratchlv import device
from scratchlv.cli import main
from scratchlv.cuda import availability
from scratchlv.cuda.emulator import why_not

from . import stand_in
from .stand_in import Gpu

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
SMALL = ["batch=2", "n_train=8", "n_val=2", "hidden=8", "embedding=8"]


@pytest.fixture
def launched(monkeypatch):
    """Runs a command, which must end well, and returns how often each kernel was launched."""
    stand_in.install(monkeypatch)
    monkeypatch.setattr(availability, "what_is_wrong", lambda: None)
    monkeypatch.setattr(device, "_backend", "cpu")

    def run(*arguments):
        Gpu.launches.clear()
        assert main([*map(str, arguments), "--backend", "cuda"]) == 0
        return dict(Gpu.launches)

    return run


def settings(*others):
    return [word for setting in (*SMALL, *others) for word in ("--set", setting)]


@pytest.mark.slow
def test_a_language_model(launched, tmp_path, capsys):
    run = tmp_path / "run"
    trained = launched("train", "lm", "--out", run, *settings("steps=3"))
    assert trained["adam_2"] == 3
    assert launched("evaluate", run, "--n", 3)["gemmEx"] > 0
    assert launched("generate", run, "-n", 2)["log_softmax_forward"] > 0
    assert "perplexity" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("optimiser", "kernel"), [("sgd", "sgd_momentum_2"), ("rmsprop", "rmsprop_2")])
def test_a_run_with_momentum_and_smoothed_labels_that_goes_on(launched, tmp_path, optimiser, kernel):
    run, how = tmp_path / "run", (f"optimiser={optimiser}", "momentum=0.9", "label_smoothing=0.1")
    assert launched("train", "lm", "--out", run, *settings("steps=2", *how))[kernel] == 2
    assert launched("train", "lm", "--out", run, "--resume", "--set", "steps=3")[kernel] == 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_translator(launched, tmp_path, capsys, precision):
    run = tmp_path / "run"
    trained = launched("train", "translate", "--out", run, *settings("steps=2"), "--precision", precision)
    assert trained["adam_2"] == 2
    assert ("round_to_bf16" in trained) == (precision == "bf16")
    assert launched("evaluate", run, "--n", 2, "--precision", precision)["gemmEx"] > 0
    said = launched("translate", run, "the red star is above the square", "--beam", 2, "--precision", precision)
    assert said["log_softmax_forward"] > 0
    assert "bleu" in capsys.readouterr().out


@pytest.mark.slow
def test_a_captioner_and_a_question_answerer_with_its_encoder(launched, tmp_path, capsys):
    run, asked = tmp_path / "run", tmp_path / "asked"
    trained = launched("train", "caption", "--out", run, *settings("steps=1"))
    assert trained["adam_2"] == 1
    assert any(name.startswith("conv2d_weight_gradient") for name in trained)
    assert launched("evaluate", run, "--n", 2)["log_softmax_forward"] > 0
    launched("train", "vqa", "--out", asked, "--encoder", run, *settings("steps=1", "blind_steps=1"))
    assert launched("evaluate", asked, "--n", 2)["gemmEx"] > 0
    assert "question_only_accuracy" in capsys.readouterr().out
