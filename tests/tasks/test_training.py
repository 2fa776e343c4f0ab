"""What training is in every task: settings, a run's folder, and that an interrupted run ends with the same bits."""

import json
import os
import signal

import pytest

from scratchlv.data.question_set import QuestionSet
from scratchlv.errors import UserError
from scratchlv.tasks import TASKS, language_modelling, run_folder, training
from scratchlv.tasks.records import Settings, to_json
from scratchlv.training import checkpoint
from scratchlv.training.trainer import Interrupted

SMALL = ["steps=6", "batch=4", "warmup=2", "n_train=60", "n_val=8", "hidden=16", "embedding=8", "dropout=0.3"]
STEPS = 6


def config(task, *more, model=None, data="scenes"):
    of_task = TASKS[task]
    return of_task.load().config(task, data, model or of_task.models[0], "quick", 3, [*SMALL, *more])


def train(folder, of_config=None):
    return training.train(folder, of_config, show_progress=False, say=lambda line: None)


def interrupt_at(monkeypatch, task, step):
    """Ctrl-C while batch number ``step`` is made, the first time that it is asked for."""
    module, prepare = TASKS[task].load(), TASKS[task].load().prepare
    pressed = []

    def prepared(*arguments):
        job = prepare(*arguments)

        def batch_at(k):
            if k == step and not pressed:
                pressed.append(k)
                os.kill(os.getpid(), signal.SIGINT)
            return job.batch_at(k)

        return job._replace(batch_at=batch_at)

    monkeypatch.setattr(module, "prepare", prepared)


def assert_same_bits(a, b, step):
    (one, _), (other, state) = checkpoint.load(a), checkpoint.load(b)
    assert state["step"] == step
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.tobytes() == other[name].tobytes(), name


CASES = [
    ("lm", "lstm", ["layers=2", "unroll=10"]),
    ("lm", "gru", ["unroll=10"]),
    ("lm", "rnn", ["unroll=10"]),
    ("translate", "additive", ["attention=8"]),
    ("translate", "naive", ["layers=2", "cell=gru"]),
    ("summarize", "dot", []),
    ("lm", "lstm", ["scheduled_sampling=0.9", "own_words=greedy", "unroll=10"]),
    ("translate", "additive", ["attention=8", "scheduled_sampling=0.9", "schedule=inverse-sigmoid"]),
    ("caption", "attention", ["gate=true", "init_state=mean", "doubly_stochastic=0.1", "scheduled_sampling=0.9"]),
    ("caption", "hard-attention", ["gate=true"]),
    ("vqa", "attention", ["attention=8", "hops=2", "blind_steps=3", "encoder_steps=2"]),
]


@pytest.mark.parametrize(("task", "model", "more"), CASES)
def test_interrupted_and_resumed_it_ends_with_the_same_bits(tmp_path, monkeypatch, task, model, more):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, config(task, *more, model=model))
    interrupt_at(monkeypatch, task, 2)
    with pytest.raises(Interrupted):
        train(parts, config(task, *more, model=model))
    assert 0 < checkpoint.load(parts)[1]["step"] < STEPS
    assert not (parts / "blind").exists()
    train(parts)
    assert_same_bits(whole, parts, STEPS)
    if task == "vqa":
        assert_same_bits(whole / "blind", parts / "blind", 3)


def test_the_state_of_a_language_model_is_carried_over_the_interruption(tmp_path, monkeypatch):
    """The test above would see a difference: a model that begins again with an empty state ends with other bits."""
    for folder in ("kept", "lost"):
        interrupt_at(monkeypatch, "lm", 2)
        with pytest.raises(Interrupted):
            train(tmp_path / folder, config("lm", "unroll=10"))
        monkeypatch.undo()
    tensors, state = checkpoint.load(tmp_path / "lost")
    carried = {name: value for name, value in tensors.items() if name.startswith("buffers/state")}
    assert carried
    assert all(value.any() for value in carried.values())
    checkpoint.save(tmp_path / "lost", {**tensors, **{name: 0 * value for name, value in carried.items()}}, state)
    kept, lost = train(tmp_path / "kept"), train(tmp_path / "lost")
    assert any((kept.model.params[name] != value).any() for name, value in lost.model.params.items())


def test_the_baseline_of_hard_attention_is_carried_over_the_interruption(tmp_path, monkeypatch):
    """The test above would see a difference: it is no parameter, and lies beside them."""
    interrupt_at(monkeypatch, "caption", 2)
    with pytest.raises(Interrupted):
        train(tmp_path / "run", config("caption", model="hard-attention"))
    tensors, state = checkpoint.load(tmp_path / "run")
    name = "buffers/hard_attention.baseline"
    run = training.new(*run_folder.read(tmp_path / "run", "caption"))
    assert tensors[name] != run.model.buffers["hard_attention.baseline"]  # it began at ln V
    checkpoint.save(tmp_path / "run", tensors | {name: 0 * tensors[name]}, state)
    lost = train(tmp_path / "run")
    kept = train(tmp_path / "whole", config("caption", model="hard-attention"))
    assert any((kept.model.params[name] != value).any() for name, value in lost.model.params.items())


@pytest.mark.parametrize("task", ["lm", "translate", "caption"])
def test_the_models_own_words_come_in_as_the_schedule_says(tmp_path, task):
    asked = config(task, "scheduled_sampling=0.6", "steps=10")
    job = TASKS[task].load().prepare(asked, None, False, lambda line: None, tmp_path)
    found = [job.batch_at(step).scheduled_sampling for step in (0, 5, 10)]
    assert found == pytest.approx([0, 0.3, 0.6])
    plain = TASKS[task].load().prepare(config(task, "steps=10"), None, False, lambda line: None, tmp_path)
    assert plain.batch_at(5).scheduled_sampling == 0


def test_what_keeps_a_batch_from_being_learned_by_heart_is_left_out():
    more = ["label_smoothing=0.1", "doubly_stochastic=1", "scheduled_sampling=0.5"]
    s = config("caption", *more).settings.unregularised()
    assert (s.label_smoothing, s.doubly_stochastic, s.scheduled_sampling, s.entropy) == (0, 0, 0, 0)
    assert s.dropout == 0.3
    assert config("vqa").settings.unregularised() == config("vqa").settings


def test_the_blind_twin_is_taken_up_where_it_was_interrupted(tmp_path, monkeypatch):
    more = ["attention=8", "blind_steps=5", "encoder_steps=2"]
    train(tmp_path / "whole", config("vqa", *more))
    made, batch = [], QuestionSet.training_batch

    def training_batch(self, *arguments):
        made.append(arguments)
        if len(made) == 1 + STEPS + 3:  # the check of the first loss, the model, and half of the twin
            os.kill(os.getpid(), signal.SIGINT)
        return batch(self, *arguments)

    monkeypatch.setattr(QuestionSet, "training_batch", training_batch)
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", config("vqa", *more))
    assert 0 < checkpoint.load(tmp_path / "parts" / "blind")[1]["step"] < 5
    module = TASKS["vqa"].load()
    assert "question_only_accuracy" not in module.evaluate(training.load(tmp_path / "parts"))
    train(tmp_path / "parts")
    assert_same_bits(tmp_path / "whole", tmp_path / "parts", STEPS)
    assert_same_bits(tmp_path / "whole" / "blind", tmp_path / "parts" / "blind", 5)
    assert "question_only_accuracy" in module.evaluate(training.load(tmp_path / "parts"))


def test_a_run_says_what_it_was_asked_for_and_is_used_from_there(tmp_path):
    asked = config("lm")
    run = train(tmp_path / "run", asked)
    kept = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert kept.pop("sha256")
    assert kept == {"asked": to_json(asked), "fitted": to_json(run.fitted)}
    assert checkpoint.load(tmp_path / "run")[1]["config"] == kept
    assert run_folder.read(tmp_path / "run")[0] == asked
    loaded = training.load(tmp_path / "run", "lm")
    assert loaded.vocabulary.to_json() == run.vocabulary.to_json()
    for name, value in run.model.params.items():
        assert (loaded.model.params[name] == value).all()
    assert language_modelling.evaluate(loaded) == language_modelling.evaluate(run)


def test_a_run_of_another_task_is_named_with_the_command_that_fits(tmp_path):
    for task in ("lm", "vqa", "babi"):
        folder = tmp_path / task
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"asked": {"task": task}}))
        with pytest.raises(UserError) as refused:
            training.load(folder, "translate")
        for part in (str(folder), repr(task), "'translate'", f"scratchlv {TASKS[task].command} {folder}"):
            assert part in str(refused.value)
    with pytest.raises(UserError, match="not a run"):
        train(tmp_path / "absent")


@pytest.mark.parametrize(
    ("wrong", "saying"),
    [
        (["stepz=1"], "no such key"),
        (["steps"], "key=value"),
        (["steps=x"], "int"),
        (["steps=0"], "1 or more"),
        (["warmup=-1"], "0 or more"),
        (["dropout=1"], "below 1"),
        (["label_smoothing=1"], "label_smoothing=1.0: it must be 0 or more and below 1"),
        (["label_smoothing=-0.1"], "0 or more and below 1"),
        (["learning_rate=inf"], "above 0"),
        (["clip=0"], "above 0"),
        (["optimiser=momentum"], "adam, sgd, rmsprop"),
        (["optimiser=sgd", "momentum=1"], "momentum=1.0: it must be 0 or more and below 1"),
        (["optimiser=sgd", "momentum=-0.5"], "0 or more and below 1"),
        (["momentum=0.9"], "momentum=0.9: optimiser=adam takes none; set optimiser=sgd or optimiser=rmsprop"),
        (
            ["optimiser=rmsprop", "momentum=0.9", "nesterov=true"],
            "nesterov=True: optimiser=rmsprop takes none; set optimiser=sgd",
        ),
        (["optimiser=sgd", "nesterov=true"], "give it momentum"),
        (["optimiser=sgd", "nesterov=yes"], "nesterov is true or false, not 'yes'"),
        (["least_objects=4", "most_objects=3"], "least_objects"),
    ],
)
@pytest.mark.parametrize("task", ["lm", "translate", "summarize", "caption", "vqa"])
def test_settings_that_cannot_be(task, wrong, saying):
    with pytest.raises(UserError, match=saying):
        TASKS[task].load().config(task, "scenes", TASKS[task].models[0], "quick", 0, wrong)


@pytest.mark.parametrize("task", ["lm", "translate", "summarize", "caption"])
def test_smoothed_labels_reach_the_model_and_not_the_batch_that_is_learnt_by_heart(tmp_path, monkeypatch, task):
    smoothing, models = ["label_smoothing=0.25"], []
    trainer = training.Trainer
    monkeypatch.setattr(
        training, "Trainer", lambda model, *rest, **more: models.append(model) or trainer(model, *rest, **more)
    )
    monkeypatch.setattr(trainer, "overfit_one_batch", lambda self: "")
    run = train(tmp_path / "run", config(task, *smoothing, "steps=1"))
    training.train(
        tmp_path, config(task, *smoothing), overfit_one_batch=True, show_progress=False, say=lambda line: None
    )
    assert [model.config.label_smoothing for model in models] == [0.25, 0.0]
    assert training.load(tmp_path / "run", task).model.config.label_smoothing == 0.25
    assert run.model is models[0]


def test_models_and_presets_that_are_not_there():
    with pytest.raises(UserError, match="--model mamba: language modelling has lstm, gru, rnn"):
        language_modelling.config("lm", "scenes", "mamba", "quick", 0, [])
    with pytest.raises(UserError, match="--preset huge: for --data scenes there is quick"):
        language_modelling.config("lm", "scenes", "lstm", "huge", 0, [])


def test_a_folder_that_is_taken_is_left_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"not empty; choose another --out"):
        train(tmp_path, config("lm"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_all_settings_that_are_the_trainers_reach_it():
    settings = Settings(
        steps=7, batch=3, learning_rate=0.5, warmup=2, clip=4.0, optimiser="sgd", momentum=0.5, nesterov=True,
        validate_every=5, n_train=9
    )  # fmt: skip
    found = training.train_settings(settings)
    for name in ("steps", "learning_rate", "warmup", "clip", "optimiser", "momentum", "nesterov", "validate_every"):
        assert getattr(found, name) == getattr(settings, name), name


def test_a_run_whose_config_cannot_be_is_refused_when_it_goes_on(tmp_path, monkeypatch):
    """Values that are each of the right kind, and make no model together."""
    train(tmp_path / "run", config("lm"))

    def build(*arguments):
        raise ValueError("negative dimensions are not allowed")

    monkeypatch.setattr(TASKS["lm"].load(), "build", build)
    with pytest.raises(
        UserError, match=r"config\.json is wrong \(negative dimensions are not allowed\); this run cannot"
    ):
        train(tmp_path / "run")
