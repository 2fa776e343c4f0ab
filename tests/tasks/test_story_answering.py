"""Questions about stories as a task: its data, its figures, and any question about any story."""

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.tasks import story_answering, training

SMALL = ["steps=3", "batch=4", "warmup=1", "width=8", "restarts=1", "linear_steps=0"]
ROOMS = ("kitchen", "garden", "hall")


def babi(folder, n=20):
    """Stories of two moves of Mary; the last one counts."""
    folder.mkdir()
    stories = [
        f"1 Mary went to the {ROOMS[k % 3]}.\n2 Mary moved to the {ROOMS[k * k % 3]}.\n"
        f"3 Where is Mary? \t{ROOMS[k * k % 3]}\t2\n"
        for k in range(n)
    ]
    (folder / "qa1_single-supporting-fact_train.txt").write_text("".join(stories))
    return folder


def config(folder, *more, task=1):
    return story_answering.config("babi", f"babi:{folder}:{task}", "memory", "quick", 0, [*SMALL, *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("babi")
    training.train(root / "run", config(babi(root / "data")), show_progress=False, say=lambda line: None)
    return training.load(root / "run", "babi")


def story(tmp_path, *lines):
    (tmp_path / "story.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "story.txt"


def test_the_figures_and_the_prior_beside_them(run):
    figures = story_answering.evaluate(run)
    assert figures["n"] == 2  # the last tenth of twenty stories
    assert figures["loss"] > 0
    # k² mod 3 is 0 for a third of the stories and 1 for the others; of k = 18 and 19 one has either
    assert figures["prior_accuracy"] == 0.5
    assert story_answering.evaluate(run, "train")["prior_accuracy"] == pytest.approx(12 / 18)
    assert story_answering.evaluate(run, "train", n=5)["n"] == 5


def test_what_was_looked_at_stands_in_the_order_of_the_story(run, tmp_path, monkeypatch):
    """The model has the latest sentence first; the reader has the oldest first."""

    def answer(batch):
        latest = np.zeros((1, 3, batch.told.shape[1]))
        latest[:, :, 0] = 1
        return np.array([[0.75, 0.25]]), latest

    monkeypatch.setattr(run.model, "answer", answer)
    told = story_answering.answer(
        run, story(tmp_path, "Mary went to the hall.", "", "Mary moved to the garden."), "Where is Mary?"
    )
    assert told.sentences == ["Mary went to the hall.", "Mary moved to the garden."]
    assert told.alphas.tolist() == [[0, 1]] * 3
    assert told.answers == [(run.fitted.answers[0], 0.75), (run.fitted.answers[1], 0.25)]
    assert story_answering.picture(told).width > 200


def test_only_the_latest_sentences_are_remembered(run, tmp_path):
    lines = [f"Mary went to the {ROOMS[k % 3]}." for k in range(70)]
    told = story_answering.answer(run, story(tmp_path, *lines), "where is Mary")
    assert told.sentences == lines[-50:]
    assert told.alphas.shape == (3, 50)
    alone = story_answering.answer(run, story(tmp_path, *lines[-50:]), "where is Mary")
    assert told.answers == alone.answers
    last = f"'Mary went to the {ROOMS[19 % 3]}.'"
    assert told.notes == (
        f"{tmp_path / 'story.txt'} has 70 sentences, and 50 are remembered: the first 20 are dropped, "
        f"'Mary went to the kitchen.' to {last}",
    )
    assert alone.notes == ()


def test_unknown_words_of_the_story_and_of_the_question(run, tmp_path):
    told = story_answering.answer(run, story(tmp_path, "Zoe went to the hall.", "Zoe sat."), "where is Bob?")
    assert told.unknown == ["bob", "sat", "zoe"]


def test_bad_input(run, tmp_path):
    good = story(tmp_path, "Mary went to the hall.")
    with pytest.raises(UserError, match="question is empty"):
        story_answering.answer(run, good, " ? ")
    with pytest.raises(UserError, match=r"story\.txt has no sentences"):
        story_answering.answer(run, story(tmp_path, "", "..."), "where?")
    with pytest.raises(UserError, match=r"absent\.txt"):
        story_answering.answer(run, tmp_path / "absent.txt", "where?")
    with pytest.raises(UserError, match="--split test: this data has train, val"):
        story_answering.evaluate(run, "test")
    with pytest.raises(UserError, match="--n 0"):
        story_answering.evaluate(run, n=0)
    with pytest.raises(UserError, match="no training file of bAbI task 9; the tasks there are: 1"):
        story_answering.prepare(config(babi(tmp_path / "data"), task=9), None, False, print, tmp_path)
    with pytest.raises(UserError, match="hops=0"):
        config(tmp_path, "hops=0")


def test_settings_that_do_nothing(tmp_path):
    for setting in ("dropout=0.5", "label_smoothing=0.1", "n_train=4"):
        with pytest.raises(UserError, match=f"{setting}: .* does nothing with .*; leave it out"):
            config(tmp_path, setting)
