"""Runs side by side: what is known of a run that cannot see, who may stand beside whom, and the table."""

import json

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.metrics.grounding import Estimate
from scratchlv.tasks import captioning, probe, training

from .probing import made, probing


@pytest.fixture
def probed(monkeypatch):
    return probing(monkeypatch)


def test_a_run_that_cannot_see(probed):
    run = made("naive")
    run.model.params["init_state.W"][:] = 0
    (found,) = probed(run, n=8).runs
    f = found.figures
    assert f["image_dependence"].mean == pytest.approx(0, abs=1e-6)
    assert f["image_dependence_said"].mean == pytest.approx(0, abs=1e-6)
    assert f["reach"] == f["passed_early"] == f["passed_late"] == Estimate(0, 0, 0)
    assert f["same_caption"] == 1 and f["distinct"] == 1 / 8
    assert all(abs(each).max() < 1e-5 for each in found.dependence)
    assert len(found.generated) == len(found.words) == len(found.dependence) == 8


@pytest.mark.parametrize("model", ["attention", "shortcut", "uniform", "naive"])
def test_every_row_has_a_figure_or_a_reason(probed, model):
    (found,) = probed(made(model), n=6).runs
    assert found.figures.keys() | found.missing.keys() == probe.FIGURES.keys()
    assert not found.figures.keys() & found.missing.keys()
    looks = model in ("attention", "uniform")
    assert ("attention_entropy" in found.figures) == looks
    assert ("occlusion_random" in found.figures) == (model == "attention")
    assert "pointing_accuracy" not in found.figures  # an untrained run says nothing true
    assert (
        set(found.missing.values())
        == {
            "attention": {"no true captions, whose words would point"},
            "uniform": {"uniform attention does not choose"},
            "shortcut": {"no attention"},
            "naive": {"no attention"},
        }[model]
    )
    assert 0 < found.figures["reach"].mean < np.inf
    if model == "uniform":
        assert found.figures["attention_entropy"].mean == pytest.approx(np.log(64), rel=1e-5)


def test_image_dependence_is_what_the_loss_gains_by_the_right_picture(probed):
    """The mean over references, against the losses of the model with its own and with a single other picture."""
    run = made("attention")
    (found,) = probed(run, n=2).runs  # one other picture: its logarithm is the mean's
    data = run.dataset("val", 2)
    own, other = data.mean_loss(run.model), data.blind().mean_loss(run.model)
    assert found.figures["loss"].mean == pytest.approx(own, rel=1e-5)
    assert found.figures["image_dependence"].mean == pytest.approx(other - own, abs=1e-5)


def test_a_blind_run_is_shown_the_pictures_and_has_nothing_to_look_for(probed):
    seeing, blind = made("attention"), made("attention", blind=True)
    one, other = probed(seeing, blind, n=6).runs
    assert other.figures["loss"] == one.figures["loss"]  # the same weights, and the same pictures
    assert "blind" in other.missing["attention_entropy"] and "occlusion_random" not in other.figures


def test_scenes_are_the_same_for_runs_of_other_seeds(probed):
    found = probed(made("attention", seed=0), made("naive", seed=3), n=5)
    again = probed(made("naive", seed=0), n=5)
    assert found.names == again.names
    assert found.runs[1].config.seed == 3


def test_the_figures_do_not_depend_on_who_stands_beside(probed):
    alone = probed(made("attention"), n=6).runs[0]
    beside = probed(made("naive"), made("attention"), n=6).runs[1]
    assert alone.figures == beside.figures


def test_the_table_has_every_run_and_the_references(probed):
    found = probed(made("attention"), made("naive", blind=True), n=6)
    assert probe.header(found) == ["", "0-attention (attention)", "1-naive (blind naive)", "references"]
    rows = dict(probe.rows(found))
    assert list(rows) == [name for name in probe.FIGURES if not name.startswith("pointing")]  # nothing said is true
    assert rows["occlusion_random"][1] == ("—", "blind: it was trained on other pictures, and has nothing to look for")
    assert rows["distinct"][2][0] == f"{len({tuple(words) for words in found.references}) / 6:.1%}"
    assert rows["loss"][2] == ("—", "")
    assert all(len(cells) == 3 for cells in rows.values())
    text = json.dumps(probe.to_json(found), allow_nan=False)
    assert json.loads(text)["runs"][0]["captions"][0]["words"] == found.runs[0].words[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["most_objects=5"], "runs/1-attention: scenes (3 to 5 objects, grammar places)"),
        (["grammar=relations"], "grammar relations"),
    ],
)
def test_runs_of_different_data_are_told_apart(probed, more, said):
    with pytest.raises(UserError, match="these runs are of different data") as told:
        probed(made(), made(more=more))
    assert said in str(told.value)
    assert "runs/0-attention: scenes (3 to 4 objects, grammar places)" in str(told.value)


def test_a_picture_needs_another(probed):
    with pytest.raises(UserError, match="--n 1: give 2 or more"):
        probed(made(), n=1)
    with pytest.raises(UserError, match="no such split|--split"):
        probed(made(), n=4, split="nowhere")


@pytest.mark.slow
def test_the_lecture_is_right(tmp_path):
    """After three hundred steps the naive captioner's gradient hardly gets back from a late word; with a shortcut it does."""
    folders = [tmp_path / model for model in ("naive", "shortcut", "attention")]
    for folder in folders:
        more = ["steps=300", "n_train=8000"]
        config = captioning.config("caption", "scenes", folder.name, "quick", 0, more)
        training.train(folder, config, show_progress=False, say=lambda line: None)
    found = {run.name: run.figures for run in probe.probe(folders, n=100, show_progress=False).runs}
    late = {name: figures["passed_late"] for name, figures in found.items()}
    assert late["naive"].high < 0.5 * late["shortcut"].low
    assert late["naive"].high < 0.5 * late["attention"].low
    assert found["naive"]["image_dependence"].high < found["attention"]["image_dependence"].low
    assert found["attention"]["occlusion_random"].low > 0
    assert found["attention"]["pointing_accuracy"] > 2 * found["attention"]["pointing_chance"]
