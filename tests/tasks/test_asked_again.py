"""A run goes on as it was made; what differs is refused by name."""

import pytest

from scratchlv.errors import UserError
from scratchlv.tasks import asked_again, question_answering, training


@pytest.fixture
def config(tmp_path):
    return question_answering.config("vqa", "scenes", "attention", "quick", 3, [], encoder=tmp_path / "captioner")


def test_what_is_the_same_is_no_change(tmp_path, config):
    asked = {"data": "scenes", "model": "attention", "preset": None, "seed": 3, "encoder": config.encoder}
    assert asked_again.resumed(tmp_path, config, asked, [f"steps={config.settings.steps}"]) == (config, [])


def test_what_may_change_is_said(tmp_path, config):
    changed, news = asked_again.resumed(tmp_path, config, {}, ["steps=9000", "validate_every=3"])
    assert (changed.settings.steps, changed.settings.validate_every) == (9000, 3)
    assert news == ["steps: 9000, before 3000", "validate_every: 3, before 0"]
    assert training.train_settings(changed.settings).steps == 9000


def test_all_that_differs_is_named_at_once(tmp_path, config):
    asked = {"seed": 0, "encoder": "/other", "skip_missing": True}
    with pytest.raises(UserError) as refused:
        asked_again.resumed(tmp_path, config, asked, ["steps=9000", "hops=3", "optimiser=sgd"])
    assert str(refused.value) == (
        f"{tmp_path} cannot go on with --seed 0 (it was made with 3), --encoder /other (it was made with {config.encoder}), "
        "--skip-missing (it was made without), optimiser=sgd (it was made with adam), hops=3 (it was made with 2): only steps "
        "and validate_every can change with --resume; leave the rest out, or train anew with another --out"
    )


def test_other_data_of_the_same_kind(tmp_path, config):
    assert asked_again.with_data(tmp_path, config, None) is config
    assert asked_again.with_data(tmp_path, config, "scenes") == config
    with pytest.raises(UserError, match="was trained on scenes; give scenes"):
        asked_again.with_data(tmp_path, config, "easy-vqa")
