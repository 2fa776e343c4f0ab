"""A run is a folder: it is never written over, and says what it is."""

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


def test_the_best_weights_are_used_unless_a_step_is_named(tmp_path):
    def save(folder, step):
        checkpoint.save(folder, {"w": np.array(float(step))}, {"step": step})

    save(tmp_path, 10)
    save(tmp_path, 20)
    assert run_folder.load_weights(tmp_path)[1]["step"] == 20
    save(tmp_path / "best", 10)
    assert run_folder.load_weights(tmp_path)[1]["step"] == 10
    assert run_folder.load_weights(tmp_path, step=20)[0]["w"] == 20
