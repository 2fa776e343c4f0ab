"""Several captioners, or question answerers, as one run."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scratchlv import cli
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError
from scratchlv.tasks import backbone, captioning, ensembles, question_answering, training

SMALL = ["steps=4", "batch=4", "n_train=12", "n_val=6", "hidden=16", "embedding=8", "learning_rate=0.02"]


def trained(folder, model="attention", seed=0, more=(), **options):
    config = captioning.config("caption", "scenes", model, "quick", seed, [*SMALL, *more], **options)
    training.train(folder, config, show_progress=False, say=lambda line: None)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [
        trained(folder / "a"),
        trained(folder / "b", seed=1),
        trained(folder / "naive", "naive"),
        trained(folder / "blind", blind=True),
    ]


def test_what_is_said_together_is_worth_about_what_each_is(folders):
    """The loss is that of the mean of what they hold likely: below the mean of their losses."""
    together = ensembles.load(folders[0], folders[1:2])
    figures = captioning.evaluate(together, n=6, beam=2)
    each = [captioning.evaluate(training.load(folder), n=6)["loss"] for folder in folders[:2]]
    alone = captioning.evaluate(ensembles.load(folders[0], []), n=6)["loss"]
    assert alone == pytest.approx(each[0], rel=1e-5)
    same = training.load(folders[1])
    same.config = together.config  # its own seed would draw other scenes
    assert figures["loss"] < (each[0] + captioning.evaluate(same, n=6)["loss"]) / 2
    assert {"true_share", "pointing_accuracy", "n"} <= figures.keys()


def test_one_that_does_not_look_leaves_no_attention_to_speak_of(folders):
    together = ensembles.load(folders[0], [folders[2]])
    assert not together.looks
    assert "pointing_accuracy" not in captioning.evaluate(together, n=3)


def test_by_command_on_pictures(folders, tmp_path, capsys):
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for path in paths:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(path)
    a, b = map(str, folders[:2])
    assert (
        cli.main(["caption", a, *map(str, paths), "--ensemble", b, "--beam", "2", "--picture", str(tmp_path / "p.png")])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(path) for path in paths]
    assert len(list(tmp_path.glob("p*.png"))) == 2
    assert cli.main(["evaluate", a, "--ensemble", b, "--n", "4", "--no-repeat", "2"]) == 0
    assert "true_share" in capsys.readouterr().out


def test_runs_that_do_not_go_together_are_refused(folders, monkeypatch):
    with pytest.raises(UserError, match=r"--ensemble .*blind: a blind run is shown other pictures"):
        ensembles.load(folders[0], [folders[3]])
    a, b = (training.load(folder) for folder in folders[:2])
    b.fitted = replace(b.fitted, vocabulary=Vocabulary([*a.vocabulary.words[4:-1], "other"]))
    monkeypatch.setattr(training, "load", lambda folder, *tasks, weights: b if folder == folders[1] else a)
    with pytest.raises(UserError, match=r"--ensemble .*b: it has other words than .*a; .* the same min_count"):
        ensembles.load(folders[0], [folders[1]])
    b.fitted, b.config = a.fitted, replace(a.config, data="flickr8k:DIR", backbone="conv")
    with pytest.raises(UserError, match=r"it was trained on flickr8k:.*DIR, and .* on scenes"):
        ensembles.load(folders[0], [folders[1]])


def test_a_step_is_of_one_run(folders, capsys):
    assert cli.main(["evaluate", str(folders[0]), "--ensemble", str(folders[1]), "--step", "2"]) == 2
    assert "--step 2 is a checkpoint of one run" in capsys.readouterr().err


def test_a_run_that_may_not_repeat_itself_does_not(folders, tmp_path, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    for beam in ("1", "2"):
        for n, holds in (("0", False), ("1", True)):
            command = ["caption", str(folders[0]), str(tmp_path / "a.png"), "--json", "--beam", beam, "--no-repeat", n]
            assert cli.main(command) == 0
            words = json.loads(capsys.readouterr().out)["words"]
            assert (len(set(words)) == len(words)) == holds, (beam, n, words)
    assert cli.main(["evaluate", str(folders[0]), "--n", "2", "--no-repeat", "-1"]) == 2
    assert "--no-repeat -1" in capsys.readouterr().err


# --- questions -------------------------------------------------------------------------------------------------------

ASKED = ["steps=4", "batch=4", "n_train=8", "n_val=6", "hidden=16", "embedding=8", "attention=8", "learning_rate=0.02"]


def answering(folder, encoder, model="attention", seed=0, more=("hops=1",)):
    size = [one for one in ASKED if model == "attention" or not one.startswith("attention")]
    config = question_answering.config(
        "vqa", "scenes", model, "quick", seed, [*size, "blind_steps=2", *more], encoder=encoder
    )
    training.train(folder, config, show_progress=False, say=lambda line: None)
    return folder


@pytest.fixture(scope="module")
def answerers(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answerers")
    return [
        answering(folder / "a", folders[0]),
        answering(folder / "b", folders[0], seed=1),
        answering(folder / "two hops", folders[0], more=("hops=2",)),
        answering(folder / "another encoder", folders[1]),
    ]


def test_questions_are_answered_by_the_mean_of_what_each_holds_likely(answerers):
    together = ensembles.load_answerers(answerers[0], answerers[1:3])
    data = together.dataset("val")
    batch = data.batch(np.arange(20))
    each = [training.load(folder).model.answer(batch) for folder in answerers[:3]]
    probabilities, alphas = together.model.answer(batch)
    np.testing.assert_allclose(probabilities, np.mean([p for p, _ in each], axis=0), rtol=1e-6)
    assert alphas is None  # they do not look equally often
    _, alphas = ensembles.load_answerers(answerers[0], answerers[1:2]).model.answer(batch)
    np.testing.assert_allclose(alphas, (each[0][1] + each[1][1]) / 2, rtol=1e-6)
    loss, _ = together.model.forward(batch)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(20), data.answers[:20]]).mean(), rel=1e-6)
    some, _ = together.model.forward(batch._replace(answers=np.where(np.arange(20) < 5, data.answers[:20], -1)))
    assert some == pytest.approx(-np.log(probabilities[np.arange(5), data.answers[:5]]).mean(), rel=1e-6)


def test_answerers_by_command(answerers, capsys):
    a, b = map(str, answerers[:2])
    assert cli.main(["evaluate", a, "--ensemble", b, "--n", "4"]) == 0
    said = capsys.readouterr().out
    assert "question_only_accuracy" in said
    together = ensembles.load_answerers(answerers[0], answerers[1:2])
    assert f"accuracy                   {question_answering.evaluate(together, n=4)['accuracy']:.4f}" in said


def daquar(folder, n=30):
    (folder / "images").mkdir(parents=True)
    lines = []
    for k in range(1, n + 1):
        Image.new("RGB", (30, 20), (k, 0, 0)).save(folder / "images" / f"image{k}.png")
        lines += [f"what is left of the lamp in the image{k} ?", "chair" if k % 3 else "table"]
    (folder / "qa.train.txt").write_text("\n".join(lines) + "\n")
    return folder


def about_photographs(folder, data, name, seed, monkeypatch):
    """A run on features that say which layer and which photograph they are of."""
    wide = {"stage7": (7, 320), "stage5": (14, 112)}

    def features(paths, extractor, show_progress, what="photograph"):
        side, channels = wide[extractor]
        values = np.array([int(path.stem.removeprefix("image")) for path in paths], np.float32)
        return np.resize(values[:, None] % np.arange(1, channels), (len(paths), side, side, channels)).astype(
            np.float32
        )

    monkeypatch.setattr(question_answering, "features_of", features)
    monkeypatch.setattr(backbone, "pretrained", lambda config, fitted: None)
    monkeypatch.setattr(backbone, "extractor", lambda config, weights: config.layer)
    size = ["steps=2", "batch=4", "warmup=1", "hidden=16", "embedding=8", "attention=8", "blind_steps=2"]
    config = question_answering.config("vqa", f"daquar:{data}", "attention", "quick", seed, size, layer=name)
    training.train(folder, config, show_progress=False, say=lambda line: None)
    return folder


def test_of_photographs_each_answerer_sees_what_its_own_backbone_makes(tmp_path, monkeypatch):
    data = daquar(tmp_path / "data")
    layers = ("stage7", "stage5", "stage7")
    folders = [about_photographs(tmp_path / f"{k}", data, name, k, monkeypatch) for k, name in enumerate(layers)]
    runs = [training.load(folder, "vqa") for folder in folders]
    together = ensembles.load_answerers(folders[0], folders[1:])
    seen = together.dataset("val")
    every = np.arange(len(seen.answers))
    batch = seen.batch(every)
    assert [view.shape[1:] for view in batch.pictures] == [(7, 7, 320), (14, 14, 112), (7, 7, 320)]
    each = [run.model.answer(run.dataset("val").batch(every))[0] for run in runs]
    probabilities, alphas = together.model.answer(batch)
    np.testing.assert_allclose(probabilities, np.mean(each, axis=0), rtol=1e-5)
    assert alphas is None  # their grids differ
    figures = question_answering.evaluate(together)
    assert figures["accuracy"] == (np.mean(each, axis=0).argmax(axis=1) == seen.answers).mean()
    assert "question_only_accuracy" in figures
    alike = ensembles.load_answerers(folders[0], folders[2:]).dataset("val").batch(every)
    assert alike.pictures.shape[1:] == (7, 7, 320)  # one view serves both


def test_answerers_that_do_not_go_together_are_refused(answerers, monkeypatch):
    with pytest.raises(UserError, match=r"another encoder: it does not see scenes as .*a does; .* --encoder"):
        ensembles.load_answerers(answerers[0], [answerers[3]])
    a, b = (training.load(folder) for folder in answerers[:2])
    b.fitted = replace(b.fitted, answers=a.fitted.answers[1:])
    monkeypatch.setattr(training, "load", lambda folder, *tasks, weights: b if folder == answerers[1] else a)
    with pytest.raises(UserError, match=r"--ensemble .*b: it has other words or answers than .*a; .* min_count"):
        ensembles.load_answerers(answerers[0], [answerers[1]])
