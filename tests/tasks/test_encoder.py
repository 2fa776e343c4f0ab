"""An encoder that was trained before, lent to another model."""

from dataclasses import replace

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.tasks import captioning, encoder, run_folder, training
from scratchlv.vision import conv_extractor

TINY = ["n_train=8", "n_val=4", "batch=4", "steps=2", "warmup=1", "hidden=8", "embedding=8", "attention=8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs") / "encoder"
    said = []
    encoder.train(made, 0, TINY, False, said.append)
    assert "first the encoder" in said[0]
    return made


def test_one_that_is_done_is_not_trained_again(folder, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it was done"))
    encoder.train(folder, 0, TINY, False, pytest.fail)


def test_one_that_was_interrupted_is_taken_up(folder, tmp_path, monkeypatch):
    config, fitted = run_folder.read(folder)
    longer = replace(config, settings=replace(config.settings, steps=99))
    run_folder.create(tmp_path / "run", longer, fitted)
    taken_up = []
    monkeypatch.setattr(training, "train", lambda folder, **_: taken_up.append(folder))
    encoder.train(tmp_path / "run", 0, TINY, False, pytest.fail)
    assert taken_up == [tmp_path / "run"]


def test_features_do_not_depend_on_how_many_pictures_go_together(folder):
    captioner = encoder.load(folder)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    found = encoder.encode(captioner, pictures, size=2)
    assert found.shape == (5, conv_extractor.GRID, conv_extractor.GRID, captioner.config.channels[-1])
    np.testing.assert_allclose(found, encoder.encode(captioner, pictures), rtol=1e-5, atol=1e-6)
    assert encoder.encode(captioner, pictures, np.float16).dtype == np.float16
    x = conv_extractor.preprocess(pictures[3:4])
    alone, _ = conv_extractor.forward(captioner.params, captioner.buffers, x, train=False)
    np.testing.assert_allclose(found[3], alone[0], rtol=1e-5, atol=1e-6)


def test_a_captioner_of_features_has_none_to_lend(folder, monkeypatch):
    run = training.load(folder, "caption")
    run.model = captioning.build(run.config, replace(run.fitted, feature_channels=7))
    monkeypatch.setattr(training, "load", lambda *_: run)
    with pytest.raises(UserError, match="no conv extractor of its own; give a captioner that was trained on scenes"):
        encoder.load(folder)
