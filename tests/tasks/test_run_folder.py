"""A run is a folder: it is never written over, and says what it is."""

from dataclasses import dataclass

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.tasks import run_folder
from scratchlv.training import checkpoint


@dataclass(frozen=True)
class Settings:
    steps: int = 9
    learning_rate: float = 0.1
    grammar: str = "places"


def test_a_run_is_made_with_what_was_asked_for(tmp_path):
    run_folder.create(tmp_path / "new" / "run", {"task": "lm", "seed": 3})
    assert run_folder.read_config(tmp_path / "new" / "run") == {"task": "lm", "seed": 3}
    assert run_folder.read_config(tmp_path / "new" / "run", "translate", "lm")["seed"] == 3


def test_a_run_is_never_written_over_but_its_encoder_may_be_there_first(tmp_path):
    (tmp_path / run_folder.ENCODER).mkdir()
    run_folder.create(tmp_path, {"task": "vqa"})
    with pytest.raises(UserError, match=r"not empty; add --resume to go on with it, or choose another --out"):
        run_folder.create(tmp_path, {"task": "vqa"})
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    for taken in (tmp_path / "notes", tmp_path / "notes" / "a.txt"):
        with pytest.raises(UserError, match="not empty; choose another --out"):
            run_folder.create(taken, {"task": "vqa"})
    with pytest.raises(UserError, match="cannot be made"):
        run_folder.create(tmp_path / "notes" / "a.txt" / "run", {"task": "vqa"})


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(UserError, match="is not a run: it has no config.json"):
        run_folder.read_config(tmp_path)
    for task in ("knitting", None):
        checkpoint.write_json_atomically(tmp_path / "config.json", {"task": task})
        with pytest.raises(UserError, match=f"a run of the task {task!r}, not 'lm' .*; give another"):
            run_folder.read_config(tmp_path)


def test_the_best_weights_are_used_unless_a_step_is_named(tmp_path):
    def save(folder, step):
        checkpoint.save(folder, {"w": np.array(float(step))}, {"step": step})

    save(tmp_path, 10)
    save(tmp_path, 20)
    assert run_folder.load_weights(tmp_path)[1]["step"] == 20
    save(tmp_path / "best", 10)
    assert run_folder.load_weights(tmp_path)[1]["step"] == 10
    assert run_folder.load_weights(tmp_path, step=20)[0]["w"] == 20


def test_settings_are_changed_by_key_and_value():
    changed = run_folder.override(Settings(), ["steps=3", "learning_rate=1e-3", "grammar=a=b"])
    assert changed == Settings(3, 1e-3, "a=b")
    assert run_folder.override(Settings(), []) == Settings()


@pytest.mark.parametrize(
    ("assignment", "saying"),
    [
        ("stepz=3", "no such key; there are steps, learning_rate, grammar"),
        ("steps", "key=value"),
        ("steps=1.5", "steps is int, not '1.5'"),
        ("learning_rate=", "learning_rate is float, not ''"),
    ],
)
def test_settings_that_there_are_not(assignment, saying):
    with pytest.raises(UserError, match=f"--set {assignment}: .*{saying}"):
        run_folder.override(Settings(), [assignment])
