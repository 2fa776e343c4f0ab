"""Fine-tuning by a metric: the run that it makes, what rewards it, and what is refused."""

import json
import os
import signal

import numpy as np
import pytest

from scratchlv.data.captions import CaptionSet
from scratchlv.data.scenes import caption, scene
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.decode import Generated
from scratchlv.errors import UserError
from scratchlv.metrics import CiderD
from scratchlv.tasks import backbone, captioning, finetune_metric, run_folder, training
from scratchlv.tokens import END, UNK
from scratchlv.training import checkpoint
from scratchlv.training.log import read_log
from scratchlv.training.trainer import Interrupted

SMALL = ["batch=8", "hidden=16", "embedding=8", "warmup=2"]
OF_SCENES = [*SMALL, "n_train=40", "n_val=8", "least_objects=3", "most_objects=3"]
WORDS = ["dog", "cat", "man", "girl", "bird", "horse", "boat", "car"]


def train(folder, config=None, say=lambda line: None):
    return training.train(folder, config, show_progress=False, say=say)


@pytest.fixture(scope="module")
def scenes_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "run"
    train(folder, captioning.config("caption", "scenes", "naive", "quick", 3, [*OF_SCENES, "steps=4", "dropout=0.2"]))
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A set whose pictures nobody opens: their features are their numbers, 1 of 8; a few have a rare word in a caption."""
    folder = tmp_path_factory.mktemp("photographs")
    names = [f"{i}.jpg" for i in range(16)]
    (folder / "images").mkdir()
    lines = []
    for i, name in enumerate(names):
        (folder / "images" / name).touch()
        word = WORDS[i % 8]
        lines += [f"{name}#0\tA {word} stands on the grass .", f"{name}#1\tThe {word} is there with a thing{i} ."]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (folder / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:8]) + "\n")
    (folder / "Flickr_8k.devImages.txt").write_text("\n".join(names[8:]) + "\n")

    def features(paths, extractor, show_progress, what="photograph"):
        found = np.zeros((len(paths), 2, 2, 8), np.float32)
        found[np.arange(len(paths)), :, :, [int(path.stem) % 8 for path in paths]] = 1
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captioning, "features_of", features)
        patch.setattr(backbone, "pretrained", lambda config, fitted: None)
        patch.setattr(backbone, "extractor", lambda config, weights: None if config.backbone == "conv" else object())
        yield folder


@pytest.fixture(scope="module")
def photographs_run(photographs):
    folder = photographs / "run"
    more = [*SMALL, "attention=8", "min_count=1", "steps=100", "learning_rate=0.01"]
    train(folder, captioning.config("caption", f"flickr8k:{photographs}", "attention", "quick", 0, more))
    return folder


def test_a_captioner_of_photographs_learns_by_cider(photographs_run, tmp_path):
    """Cross-entropy was stopped where no caption is right yet. The best that was validated is what the run then says."""
    said = []
    more = ["steps=40", "validate_every=20", "learning_rate=0.001", "warmup=5", "samples=4"]
    config = finetune_metric.config(photographs_run, "cider", {}, more)
    train(tmp_path / "run", config, said.append)
    assert any(line.startswith(f"beginning with {photographs_run}, step 100") for line in said)
    log = [line["validation"]["cider_d"] for line in read_log(tmp_path / "run" / "log.jsonl") if "validation" in line]
    assert len(log) == 3 and max(log) > log[0] + 0.5
    (best,) = checkpoint.latest_steps(tmp_path / "run" / "best")
    _, state = checkpoint.load(tmp_path / "run" / "best")
    assert state["validation"]["cider_d"] == max(log) and best == 20 * log.index(max(log))
    run = training.load(tmp_path / "run")
    assert captioning.evaluate(run)["cider_d"] == pytest.approx(max(log), rel=1e-12)
    assert (run.config.start_from, run.config.finetune_metric) == (str(photographs_run.resolve()), "cider")
    assert run.config.settings.dropout == 0


@pytest.mark.parametrize("samples", [1, 3])
def test_interrupted_and_resumed_it_ends_with_the_same_bits(scenes_run, tmp_path, monkeypatch, samples):
    config = finetune_metric.config(
        scenes_run, "truth", {}, ["steps=5", "batch=4", f"samples={samples}", "validate_every=2"]
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, config)
    prepare, pressed = captioning.prepare, []

    def prepared(*arguments):
        job = prepare(*arguments)

        def batch_at(step):
            if step == 2 and not pressed:
                pressed.append(step)
                os.kill(os.getpid(), signal.SIGINT)
            return job.batch_at(step)

        return job._replace(batch_at=batch_at)

    monkeypatch.setattr(captioning, "prepare", prepared)
    with pytest.raises(Interrupted):
        train(parts, config)
    assert checkpoint.load(parts)[1]["step"] == 3
    train(parts)
    (one, first), (other, second) = checkpoint.load(whole), checkpoint.load(parts)
    assert first["step"] == second["step"] == 5 and first["best_loss"] == second["best_loss"]
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_killed_before_its_first_checkpoint_it_begins_with_the_same_parameters(scenes_run, tmp_path):
    config = finetune_metric.config(scenes_run, "truth", {}, ["steps=2", "batch=4"])
    _, fitted = run_folder.read(scenes_run)
    run_folder.create(tmp_path / "killed", config, fitted)
    train(tmp_path / "killed")
    train(tmp_path / "whole", config)
    (one, _), (other, _) = checkpoint.load(tmp_path / "killed"), checkpoint.load(tmp_path / "whole")
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_what_it_begins_with_may_be_the_best(scenes_run, tmp_path, monkeypatch):
    """It only gets worse: what is used later are the parameters before the first step."""
    shares = iter([0.5, 0.4, 0.3])
    monkeypatch.setattr(finetune_metric, "_validate", lambda run, data: {"true_share": next(shares)})
    train(tmp_path / "run", finetune_metric.config(scenes_run, "truth", {}, ["steps=2", "batch=4", "validate_every=1"]))
    log = [line for line in read_log(tmp_path / "run" / "log.jsonl") if "validation" in line]
    assert [line["step"] for line in log] == [0, 1, 2]
    begun, _ = run_folder.load_weights(scenes_run)
    best, state = checkpoint.load(tmp_path / "run" / "best")
    assert state["step"] == 0 and all(best[name].tobytes() == begun[name].tobytes() for name in best)


# --- rewards ---------------------------------------------------------------------------------------------------------


def said(vocabulary, text, end=True):
    tokens = [*vocabulary.encode(text.split()), *([END] if end else [])]
    return Generated(np.array(tokens), np.ones(len(tokens)), None, 0.0)


def two_pictures():
    texts = ["A dog runs .", "A brown dog runs .", "The cat sleeps in a Gorblax ."]
    vocabulary = Vocabulary(["a", "dog", "runs", "brown", "the", "cat", "sleeps", "in"])
    captions = [vocabulary.encode(text.lower().rstrip(" .").split()) for text in texts]
    return CaptionSet(np.zeros((2, 1)), captions, np.array([0, 0, 1]), vocabulary, ["0", "1"], texts=texts)


def test_reward_is_cider_with_ends():
    data = two_pictures()
    reward = finetune_metric.cider_reward(data)
    ended, cut, other = (
        said(data.vocabulary, *a) for a in (("a dog runs",), ("a dog runs", False), ("the cat sleeps",))
    )
    end = "<end>"
    scorer = CiderD(
        [
            [["a", "dog", "runs", end], ["a", "brown", "dog", "runs", end]],
            [["the", "cat", "sleeps", "in", "a", "gorblax", "<end>"]],
        ]
    )
    expected = scorer.scores(
        [["a", "dog", "runs", end], ["a", "dog", "runs"], ["the", "cat", "sleeps", end]], np.array([0, 0, 1])
    )
    assert reward([ended, cut, other], np.array([0, 0, 1])) == pytest.approx(expected, rel=1e-12)
    assert reward([ended, cut], np.array([0, 0]))[0] > reward([ended, cut], np.array([0, 0]))[1]


def test_an_unknown_word_is_never_right():
    data = two_pictures()
    reward = finetune_metric.cider_reward(data)
    text = "the cat sleeps in a"
    words = data.vocabulary.encode(text.split())
    unknown = Generated(np.array([*words, UNK, END]), np.ones(7), None, 0.0)
    strange = Generated(np.array([*words, data.vocabulary.encode(["dog"])[0], END]), np.ones(7), None, 0.0)
    assert reward([unknown], np.array([1])) == pytest.approx(reward([strange], np.array([1])), rel=1e-12)


def test_pictures_without_captions_are_passed_over():
    """Of a blind run each picture has the captions of another; a picture without any has no number in the scorer."""
    data = two_pictures()
    more = CaptionSet(
        np.zeros((4, 1)), data.captions, np.array([1, 1, 3]), data.vocabulary, list("0123"), texts=data.texts
    )
    captions = [said(data.vocabulary, "a dog runs"), said(data.vocabulary, "the cat sleeps")]
    assert (
        finetune_metric.cider_reward(more)(captions, np.array([1, 3]))
        == finetune_metric.cider_reward(data)(captions, np.array([0, 1]))
    ).all()


def test_reward_of_scenes_is_their_truth():
    scenes = [scene(0, i) for i in range(3)]
    texts = [" ".join(caption(s).words) for s in scenes]
    vocabulary = Vocabulary(sorted({word for text in texts for word in text.split()}))
    data = CaptionSet(np.zeros((3, 1)), [[]] * 3, np.arange(3), vocabulary, ["a", "b", "c"], scenes)
    reward = finetune_metric.truth_reward(data)
    told = [said(vocabulary, texts[0]), said(vocabulary, texts[1], end=False), said(vocabulary, "")]
    assert reward(told, np.array([0, 1, 2])).tolist() == [1, 0, 0]


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(*arguments):
    with pytest.raises(UserError) as error:
        finetune_metric.config(*arguments)
    return str(error.value)


def test_what_goes_on_from_nothing(scenes_run, photographs_run, tmp_path):
    assert "--start-from RUN" in refused(None, "cider", {}, [])
    assert "--finetune-metric" in refused(scenes_run, None, {}, [])
    assert "rouge: there are cider, truth" in refused(scenes_run, "rouge", {}, [])
    assert "is not a run" in refused(tmp_path, "cider", {}, [])
    config, fitted = run_folder.read(photographs_run)
    run_folder.create(tmp_path / "untrained", config, fitted)
    assert "checkpoint" in refused(tmp_path / "untrained", "cider", {}, [])
    path = tmp_path / "lm" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"asked": {"task": "lm"}, "fitted": {}}))
    assert "a run of the task 'lm', not 'caption'" in refused(tmp_path / "lm", "cider", {}, [])


def test_a_metric_of_something_else(scenes_run, photographs_run, photographs, tmp_path):
    assert "give truth" in refused(scenes_run, "cider", {}, [])
    assert "give cider" in refused(photographs_run, "truth", {}, [])
    more = [*SMALL, "attention=8", "min_count=1", "steps=1"]
    letters = captioning.config("caption", f"flickr8k:{photographs}", "attention", "quick", 0, more, characters=True)
    train(tmp_path / "letters", letters)
    assert "writes characters" in refused(tmp_path / "letters", "cider", {}, [])


def test_what_the_run_says_already(scenes_run, photographs_run, photographs, tmp_path):
    assert "--model attention" in refused(scenes_run, "truth", {"model": "attention"}, [])
    assert "--blind" in refused(scenes_run, "truth", {"blind": True}, [])
    for setting in ("hidden=32", "dropout=0.1", "label_smoothing=0.1", "n_train=9", "grammar=relations"):
        assert f"{setting}: with --start-from" in refused(scenes_run, "truth", {}, [setting])
    same = {"model": "naive", "preset": "quick", "blind": False, "data": None, "seed": None}
    assert finetune_metric.config(scenes_run, "truth", same, ["samples=2"]).settings.samples == 2
    with pytest.raises(UserError, match="samples does nothing with training by cross-entropy"):
        captioning.config("caption", "scenes", "naive", "quick", 0, ["samples=2"])
    moved = tmp_path / "moved"
    moved.symlink_to(photographs)
    assert finetune_metric.config(photographs_run, "cider", {"data": f"flickr8k:{moved}"}, []).data.startswith(
        "flickr8k:"
    )
    assert "give flickr8k:DIR" in refused(photographs_run, "cider", {"data": "scenes"}, [])
