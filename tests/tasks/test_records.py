"""What a run was asked for and what was fitted: two frozen records, with a JSON form that says the same."""

import dataclasses
import json

import pytest

from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError
from scratchlv.tasks import (
    TASKS,
    captioning,
    demo,
    language_modelling,
    question_answering,
    records,
    run_folder,
    story_answering,
    training,
    translation,
)
from scratchlv.tasks.records import from_json, override, to_json
from scratchlv.training import checkpoint

WORDS = Vocabulary(["a", "star"])
FITTED = {
    "lm": language_modelling.Fitted(vocabulary=WORDS, opening=("a", "<end>"), streams=3, unroll=7),
    "translate": translation.Fitted(vocabulary=WORDS, source_vocabulary=Vocabulary(["une", "étoile"])),
    "summarize": translation.Fitted(vocabulary=WORDS, source_vocabulary=None),
    "caption": captioning.Fitted(vocabulary=WORDS, feature_channels=None),
    "vqa": question_answering.Fitted(
        vocabulary=WORDS, answers=("yes", "no"), prior={"": 1}, feature_channels=66, regions=64
    ),
    "babi": story_answering.Fitted(vocabulary=WORDS, answers=("hall",), prior=0),
}


def config(task, *overrides, model=None):
    data = "babi:stories:1" if task == "babi" else "scenes"
    return TASKS[task].load().config(task, data, model or TASKS[task].models[0], "quick", 3, list(overrides))


@pytest.mark.parametrize("task", TASKS)
def test_a_run_says_what_was_asked_and_what_was_fitted_and_is_read_from_there(tmp_path, task):
    asked, fitted = config(task, "clip=0.25"), FITTED[task]
    run_folder.create(tmp_path / "run", asked, fitted)
    found = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert list(found) == ["asked", "fitted", "sha256"]
    assert found["asked"]["settings"]["clip"] == 0.25
    assert found["fitted"]["vocabulary"] == ["<pad>", "<start>", "<end>", "<unk>", "a", "star"]
    same, as_fitted = run_folder.read(tmp_path / "run")
    assert same == asked
    assert type(same.settings) is type(asked.settings)
    assert type(as_fitted) is type(fitted)
    for field in dataclasses.fields(fitted):
        one, other = getattr(fitted, field.name), getattr(as_fitted, field.name)
        assert type(one) is type(other)
        assert to_json(one) == to_json(other)


@pytest.mark.parametrize("task", TASKS)
def test_nothing_changes_a_record(task):
    for record in (config(task), config(task).settings, FITTED[task]):
        for field in dataclasses.fields(record):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(record, field.name, None)
        assert all(field.kw_only for field in dataclasses.fields(record))


def test_making_a_job_ready_leaves_the_config_as_it_was_asked(tmp_path):
    asked = config("translate", "n_train=20", "n_val=4", "hidden=4", "embedding=4", "attention=4")
    before = to_json(asked)
    job = translation.prepare(asked, None, False, lambda line: None, tmp_path)
    assert job.run.config is asked
    assert to_json(asked) == before
    again = translation.prepare(asked, FITTED["translate"], False, lambda line: None, tmp_path)
    assert again.run.fitted is FITTED["translate"]  # what was fitted once is not fitted again
    assert again.run.model.params["embedding.W"].shape == (6, 4)


@pytest.mark.parametrize(
    ("spoil", "saying"),
    [
        (lambda found: found["asked"].pop("seed"), "'seed' is missing"),
        (lambda found: found["asked"].update(colour="red"), "'colour' is not known"),
        (lambda found: found["asked"]["settings"].pop("steps"), "'steps' is missing"),
        (lambda found: found["asked"].update(settings=[]), "Settings is missing"),
        (lambda found: found["fitted"].pop("vocabulary"), "'vocabulary' is missing"),
        (lambda found: found.pop("fitted"), "Fitted is missing"),
        (lambda found: found["fitted"].update(vocabulary=["a"]), "vocabulary is damaged"),
        (lambda found: found.update(asked=[]), "task None"),
    ],
)
def test_a_config_that_is_damaged_is_named(tmp_path, spoil, saying):
    found = {"asked": to_json(config("lm")), "fitted": to_json(FITTED["lm"])}
    spoil(found)
    (tmp_path / "config.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match=saying):
        run_folder.read(tmp_path)


def test_what_a_record_leaves_out_has_its_default():
    """A run of a version that knew of fewer settings is read as it was."""
    found = to_json(config("lm"))
    del found["settings"]["clip"], found["characters"]
    read = from_json(language_modelling.Config, found)
    assert (read.settings.clip, read.characters) == (records.Settings.clip, False)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_twin_is_trained_as_its_run_is(tmp_path, monkeypatch, optimiser):
    """Of the demo, and of a question answerer: by its optimiser, clipped and warmed up alike."""
    made = []
    for module in (training, question_answering, demo):
        trainer = module.Trainer

        def note(model, batch_at, settings, *arguments, trainer=trainer, **more):
            made.append(settings)
            return trainer(model, batch_at, settings, *arguments, **more)

        monkeypatch.setattr(module, "Trainer", note)
    monkeypatch.setattr(demo, "_BLIND_STEPS", 2)
    monkeypatch.setattr(demo, "_BLIND_PICTURES", 24)
    monkeypatch.setattr(demo, "write_report", lambda *_: None)  # of large pictures
    small = ["n_train=24", "n_val=4", "hidden=4", "embedding=4", "attention=4", "steps=1", "batch=4"]
    how = [f"optimiser={optimiser}", "clip=0.5", "warmup=7", "learning_rate=0.01"]
    demo.demo(tmp_path / "demo", overrides=[*small, *how], show_progress=False, say=lambda line: None)
    run, twin = made
    assert twin == dataclasses.replace(run, steps=2)
    made.clear()
    asked = config("vqa", *small, *how, "encoder_steps=1", "blind_steps=2")
    training.train(tmp_path / "vqa", asked, show_progress=False, say=lambda line: None)
    _, run, twin = made  # the encoder's is the first
    assert twin == dataclasses.replace(run, steps=2)
    assert twin.optimiser == optimiser
    kept, _ = checkpoint.load(tmp_path / "vqa" / "blind")
    assert any(name.startswith("adam/") for name in kept) == (optimiser == "adam")


def test_settings_are_changed_by_key_and_value():
    before = config("lm").settings
    changed = override(before, ["steps=3", "learning_rate=1e-3", "optimiser=sgd", "momentum=0.5", "nesterov=True"])
    new = {"steps": 3, "learning_rate": 1e-3, "optimiser": "sgd", "momentum": 0.5, "nesterov": True}
    assert {name: getattr(changed, name) for name in new} == new
    assert dataclasses.replace(changed, **{name: getattr(before, name) for name in new}) == before
    assert override(changed, ["nesterov=false"]).nesterov is False
    assert override(before, []) == before


@pytest.mark.parametrize(
    ("assignment", "saying"),
    [
        ("stepz=3", "no such key; there are .*steps, "),
        ("steps", "key=value"),
        ("steps=1.5", "steps is int, not '1.5'"),
        ("learning_rate=", "learning_rate is float, not ''"),
    ],
)
def test_settings_that_there_are_not(assignment, saying):
    with pytest.raises(UserError, match=f"--set {assignment}: .*{saying}"):
        override(config("lm").settings, [assignment])
