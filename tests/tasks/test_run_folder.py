"""A run is a folder: it is never written over, and says what it is."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError
from scratchlv.tasks import language_modelling, run_folder
from scratchlv.training import checkpoint

ASKED = language_modelling.config("lm", "scenes", "rnn", "quick", 3, ["steps=9"])
FITTED = language_modelling.Fitted(vocabulary=Vocabulary(["a", "star"]), opening=("a",), streams=2, unroll=3)


def test_a_run_is_made_with_what_was_asked_for_and_what_was_fitted(tmp_path):
    folder = tmp_path / "new" / "run"
    run_folder.create(folder, ASKED, FITTED)
    for tasks in ((), ("translate", "lm")):
        config, fitted = run_folder.read(folder, *tasks)
        assert config == ASKED
        assert fitted.vocabulary.words == FITTED.vocabulary.words


def test_a_run_is_never_written_over_but_its_encoder_may_be_there_first(tmp_path):
    (tmp_path / run_folder.ENCODER).mkdir()
    run_folder.create(tmp_path, ASKED, FITTED)
    with pytest.raises(UserError, match=r"not empty; add --resume to go on with it, or choose another --out"):
        run_folder.create(tmp_path, ASKED, FITTED)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    for taken in (tmp_path / "notes", tmp_path / "notes" / "a.txt"):
        with pytest.raises(UserError, match="not empty; choose another --out"):
            run_folder.create(taken, ASKED, FITTED)
    with pytest.raises(UserError, match=r"a\.txt"):
        run_folder.create(tmp_path / "notes" / "a.txt" / "run", ASKED, FITTED)


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(UserError, match="is not a run: it has no config.json"):
        run_folder.read(tmp_path)
    for task in ("knitting", None):
        checkpoint.write_json_atomically(tmp_path / "config.json", {"task": task})
        with pytest.raises(UserError, match=f"a run of the task {task!r}, not 'lm' .*; give another"):
            run_folder.read(tmp_path)


# --- a config that was changed -------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path):
    """A run with a checkpoint, its ``config.json`` read, and how to change that."""
    folder = tmp_path / "run"
    run_folder.create(folder, ASKED, FITTED)
    state = {"step": 5, run_folder.KEPT: run_folder.records_of(ASKED, FITTED)}
    checkpoint.save(folder, {"w": np.zeros(1)}, state)
    return folder


def change(folder, how):
    path = folder / "config.json"
    found = json.loads(path.read_text("utf-8"))
    how(found)
    path.write_text(json.dumps(found))


CHANGES = {
    "seed is 4, and was 3": lambda found: found["asked"].update(seed=4),
    "warmup is 7, and was 100": lambda found: found["asked"]["settings"].update(warmup=7),
    "vocabulary[5] is 'sta2', and was 'star'": lambda found: found["fitted"]["vocabulary"].__setitem__(5, "sta2"),
    "the length of opening is 0, and was 1": lambda found: found["fitted"].update(opening=[]),
    "streams is True, and was 2": lambda found: found["fitted"].update(streams=True),
    "task is 'lx', and was 'lm'": lambda found: found["asked"].update(task="lx"),
}


@pytest.mark.parametrize("saying", CHANGES)
def test_a_config_that_was_changed_is_refused_with_what_differs_and_the_copy_takes_its_place(made, saying):
    change(made, CHANGES[saying])
    with pytest.raises(UserError) as refused:
        run_folder.read(made)
    assert f"config.json is not what the run was trained with: {saying}" in str(refused.value)
    assert "delete it: the copy in the newest checkpoint is then used" in str(refused.value)
    (made / "config.json").unlink()
    assert run_folder.read(made)[0] == ASKED
    run_folder.restore(made, *run_folder.read(made))
    assert run_folder.read(made)[0] == ASKED


@pytest.mark.parametrize("saying", CHANGES)
def test_a_change_is_found_before_there_is_a_checkpoint(made, saying):
    for file in made.glob("checkpoint*"):
        file.unlink()
    change(made, CHANGES[saying])
    with pytest.raises(UserError, match="was changed or damaged .*SHA-256.*; restore the file from a copy"):
        run_folder.read(made)


def test_a_flipped_bit_anywhere_in_a_config_changes_nothing_unseen(made):
    path = made / "config.json"
    whole, found = path.read_bytes(), 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            config, fitted = run_folder.read(made)
            assert (config, fitted.vocabulary.words) == (ASKED, FITTED.vocabulary.words)
        except UserError:
            found += 1
    assert found > 0.8 * len(whole)


@pytest.mark.parametrize("text", ["null", "[]", "3", "{}", '{"asked": []}', '{"fitted": {}}'])
def test_of_a_config_that_says_nothing_the_copy_is_offered(made, text):
    (made / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json does not say what a run was asked for; delete it: the copy in"):
        run_folder.read(made)


def test_what_may_change_when_a_run_goes_on_is_no_difference(made):
    more = replace(ASKED, settings=replace(ASKED.settings, steps=20, validate_every=3))
    run_folder.write(made, more, FITTED)
    assert run_folder.read(made)[0] == more


def test_a_run_from_before_there_was_a_checksum_is_read(tmp_path):
    found = run_folder.records_of(ASKED, FITTED)
    checkpoint.write_json_atomically(tmp_path / "config.json", found)
    checkpoint.save(tmp_path, {"w": np.zeros(1)}, {"step": 5})
    assert run_folder.read(tmp_path)[0] == ASKED


BROKEN = {
    "nested": "[" * 100_000,
    "nested tables": '{"asked":' * 100_000,
    "no object": "3",
    "a task that is a list": '{"asked": {"task": []}}',
    "asked that is a list": '{"asked": []}',
    "many digits": '{"asked": {"task": "lm", "seed": ' + "9" * 5000 + "}}",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_config_that_makes_no_sense_is_one_sentence(made, tmp_path, text):
    for folder in (made, tmp_path):
        (folder / "config.json").write_text(text)
        with pytest.raises(UserError):
            run_folder.read(folder)


@pytest.mark.parametrize("value", [None, [], {}, "x", True, -1, 1e300, 10**30, [[1]], {"a": 1}])
def test_a_value_of_another_type_is_one_sentence(tmp_path, value):
    found = run_folder.records_of(ASKED, FITTED)
    refused = 0
    for part in (found["asked"], found["asked"]["settings"], found["fitted"]):
        for name, right in part.items():
            part[name] = value
            checkpoint.write_json_atomically(tmp_path / "config.json", found)
            part[name] = right
            try:
                run_folder.read(tmp_path)
            except UserError as error:
                assert len(str(error)) < 800 + len(str(tmp_path))
                refused += 1
    assert refused >= 15


# --- one process at a time, and what a kill leaves ------------------------------------------------------------------


def test_what_a_kill_leaves_of_a_config_is_no_reason_to_refuse(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(os, "replace", killed)
        context.setattr(type(tmp_path), "unlink", lambda *_, **__: None)  # a kill takes no file away
        with pytest.raises(Killed):
            run_folder.create(tmp_path / "run", ASKED, FITTED)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".config.json.partial"]
    with pytest.raises(UserError, match=r"no config\.json yet .*the same command without --resume begins again"):
        run_folder.read(tmp_path / "run")
    run_folder.create(tmp_path / "run", ASKED, FITTED)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_folder_is_trained_into_by_one_process_and_a_killed_one_is_out(tmp_path):
    code = "import sys, time\nfrom pathlib import Path\nfrom scratchlv.tasks import run_folder\n"
    code += (
        "with run_folder.training_in(Path(sys.argv[1]), new=True):\n    print('in', flush=True)\n    time.sleep(600)"
    )
    folder = tmp_path / "a" / "run"
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"in\n"
        for new in (True, False):
            with (
                pytest.raises(UserError, match=r"run is being trained into by another process; wait for it, or"),
                run_folder.training_in(folder, new),
            ):
                pass
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with run_folder.training_in(folder, new=True), run_folder.training_in(folder, new=False):
        run_folder.create(folder, ASKED, FITTED)
    assert folder.is_dir()


def test_a_folder_in_which_nothing_was_begun_is_not_left_behind(tmp_path):
    with pytest.raises(KeyError), run_folder.training_in(tmp_path / "run", new=True):
        raise KeyError
    assert not (tmp_path / "run").exists()


def test_the_best_weights_are_used_unless_a_step_is_named(tmp_path):
    def save(folder, step):
        checkpoint.save(folder, {"w": np.array(float(step))}, {"step": step})

    save(tmp_path, 10)
    save(tmp_path, 20)
    assert run_folder.load_weights(tmp_path)[1]["step"] == 20
    save(tmp_path / "best", 10)
    assert run_folder.load_weights(tmp_path)[1]["step"] == 10
    assert run_folder.load_weights(tmp_path, step=20)[0]["w"] == 20
