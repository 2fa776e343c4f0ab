"""Questions about pictures and stories: batches, shuffles, and how well they were answered."""

from dataclasses import replace

import numpy as np
import pytest

from scratchlv.data import question_set
from scratchlv.data.question_set import (
    NO_ANSWER,
    InMirror,
    QuestionSet,
    StorySet,
    answers_of,
    numbers_of,
    scenes_questions,
)
from scratchlv.data.scenes import ANSWERS, World, answer, draw
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.parallel.shares import Share
from scratchlv.vision.feature_store import FeatureStore


@pytest.fixture
def data():
    """Four pictures with 2, 3, 0 and 1 questions."""
    pictures = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    questions = [[4], [5, 6], [4, 5, 6], [6], [5], [6, 6]]
    answers = np.array([0, 1, 2, NO_ANSWER, 1, 1])
    vocabulary = Vocabulary(["a", "b", "c"])
    return QuestionSet(
        pictures, questions, np.array([0, 0, 1, 1, 1, 3]), answers, vocabulary, ("x", "y", "z"), list("wxyz")
    )


def test_a_batch_holds_every_picture_once(data):
    batch = data.batch(np.array([1, 2, 4]))
    np.testing.assert_array_equal(batch.pictures, data.pictures[[0, 1]])
    assert batch.picture_of.tolist() == [0, 1, 1]
    assert batch.tokens.T.tolist() == [[5, 6, 0], [4, 5, 6], [5, 0, 0]]
    assert batch.lengths.tolist() == [2, 3, 1]
    assert batch.answers.tolist() == [1, 2, 1]


def test_rows_in_any_order_keep_their_pictures(data):
    batch = data.batch(np.array([5, 0, 4]))
    for n, k in enumerate((5, 0, 4)):
        np.testing.assert_array_equal(batch.pictures[batch.picture_of[n]], data.pictures[data.picture_of[k]])


def test_pictures_on_disk_make_the_batches_that_they_make_in_memory(data, tmp_path, monkeypatch):
    """Those of the next batch are asked for while this one is worked on."""
    ahead = []
    monkeypatch.setattr(question_set, "read_ahead", lambda pictures, rows: ahead.append(pictures[np.sort(rows)]))
    store = FeatureStore(tmp_path, (2, 2, 3))
    in_memory = replace(data, pictures=data.pictures.astype(np.float16), picture_of=np.array([0, 0, 1, 2, 2, 3]))
    with store.adding(lambda: None) as add:
        add([f"{k:032x}" for k in range(4)], in_memory.pictures)
    on_disk = replace(in_memory, pictures=store.open(range(4)))
    for step in range(5):
        a, b = (each.training_batch(step, size=2, seed=5) for each in (in_memory, on_disk))
        assert a.tokens.tobytes() == b.tokens.tobytes()
        assert a.pictures.tobytes() == b.pictures.tobytes()
        np.testing.assert_array_equal(ahead[-3] if step else b.pictures, b.pictures)  # -1 and -2 are of this step


def test_every_question_comes_once_an_epoch_and_the_order_changes(data):
    def epoch(e):
        batches = [data.training_batch(2 * e + k, size=2, seed=5) for k in range(2)]
        return [sorted(tuple(column) for column in b.tokens.T.tolist()) for b in batches]

    asked = [tuple(t for t in words if t) for batch in epoch(0) for words in batch]
    assert sorted(asked) == sorted(map(tuple, data.questions))
    assert epoch(0) == epoch(0)
    assert any(epoch(0) != epoch(e) for e in range(1, 5))


def test_a_batch_is_a_function_of_its_step(data):
    a, b = (data.training_batch(11, size=2, seed=1) for _ in range(2))
    assert a.tokens.tobytes() == b.tokens.tobytes()
    assert a.dropout_seed == b.dropout_seed != data.training_batch(12, size=2, seed=1).dropout_seed


def test_a_batch_larger_than_the_set_is_the_set(data):
    assert data.training_batch(3, size=100, seed=0).tokens.shape[1] == 6


@pytest.fixture
def both(data):
    """The same, and in a mirror: other pictures, words and answers."""
    turned = InMirror(
        255 - data.pictures, [[6 - (w - 4) for w in q] for q in data.questions], np.array([2, 0, 1, 1, 0, 0])
    )
    return replace(data, in_mirror=turned)


def test_half_of_the_pictures_are_asked_about_in_a_mirror(data, both):
    """A picture goes into the mirror with all its questions; chance is of a step, and the share of a batch has the same."""
    turned = 0
    data, both = (replace(each, picture_of=np.array([0, 0, 1, 2, 2, 3])) for each in (data, both))
    for step in range(40):
        batch, plain = (each.training_batch(step, size=3, seed=5) for each in (both, data))
        mirrored = (batch.pictures == 255 - plain.pictures).all(axis=(1, 2, 3))
        assert ((batch.pictures == plain.pictures).all(axis=(1, 2, 3)) ^ mirrored).all()
        of = mirrored[batch.picture_of]
        rows = [data.questions.index([t for t in words if t]) for words in plain.tokens.T.tolist()]
        for n, k in enumerate(rows):
            side = both.in_mirror if of[n] else data
            assert batch.tokens[: batch.lengths[n], n].tolist() == side.questions[k]
            assert batch.answers[n] == side.answers[k]
        turned += mirrored.mean()
        parts = [both.training_batch(step, 3, 5, Share(i, 2)) for i in range(2)]
        np.testing.assert_array_equal(np.concatenate([part.answers for part in parts]), batch.answers)
        np.testing.assert_array_equal(np.concatenate([part.pictures for part in parts]), batch.pictures)
        given = [(part.answers != NO_ANSWER).sum() for part in parts]
        assert [part.part.share for part in parts] == pytest.approx([n / max(1, sum(given)) for n in given])
    assert 8 < turned < 32


def test_what_is_validated_on_is_seen_as_it_is(data, both):
    a, b = (each.batch(np.arange(6)) for each in (data, both))
    np.testing.assert_array_equal(a.pictures, b.pictures)
    np.testing.assert_array_equal(a.tokens, b.tokens)


class Says:
    """A model that gives every question the answer whose number is its first word less 4."""

    def answer(self, batch):
        return np.eye(3)[batch.tokens[0] - 4], None

    def forward(self, batch, train):
        assert not train
        known = batch.answers >= 0
        return float(batch.lengths[known].mean()) if known.any() else 0.0, None


def test_accuracy_counts_what_cannot_be_answered_as_wrong(data):
    predicted = data.predict(Says(), size=4)
    assert predicted.tolist() == [0, 1, 0, 2, 1, 2]
    assert data.accuracy(predicted) == pytest.approx(3 / 6)
    assert data.accuracy_by(data.rights(predicted)) == {}
    assert data.prior() == 1
    assert data.accuracy(np.full(6, data.prior())) == pytest.approx(3 / 6)


def test_the_mean_loss_counts_every_question_alike(data):
    for size in (1, 4, 6):
        assert data.mean_loss(Says(), size=size) == pytest.approx((1 + 2 + 3 + 1 + 2) / 5)
    assert data.mean_loss(Says(), most=2) == pytest.approx(3 / 2)


def test_answers_and_their_numbers():
    names = answers_of(["b", "a", "c", "b", "a", "d"], min_count=2)
    assert names == ("a", "b")
    assert numbers_of(["b", "c", "a"], names).tolist() == [1, NO_ANSWER, 0]


# --- Scenes ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes():
    return scenes_questions(3, "val", 20, 6, World((4, 6)))


def test_questions_of_scenes_stand_with_their_pictures(scenes):
    for k, question in enumerate(scenes.truth):
        scene = scenes.scenes[scenes.picture_of[k]]
        assert tuple(scenes.vocabulary.decode(scenes.questions[k])) == question.words
        assert ANSWERS[scenes.answers[k]] == question.answer == answer(question.words, scene)
    np.testing.assert_array_equal(scenes.pictures[7], draw(scenes.scenes[7]))
    assert len(scenes.questions) == 20 * 6


def test_accuracy_by_type_and_by_hops(scenes):
    """A guess that is right for one template, and for it alone."""
    guess = np.where([q.template == "relation" for q in scenes.truth], scenes.answers, -2)
    by = scenes.accuracy_by(scenes.rights(guess))
    assert by["by_type"] == {t: float(t == "relation") for t in {q.template for q in scenes.truth}}
    two = [q.template == "relation" for q in scenes.truth if q.hops == 2]
    assert by["by_hops"] == {"1": 0, "2": pytest.approx(sum(two) / len(two)), "3": 0}
    assert scenes.accuracy(guess) == pytest.approx(sum(two) / 120)


def test_the_attention_target_is_on_what_each_step_depends_on(scenes):
    """Cell by cell: it is lit where the middle of the cell, or a part of it, is in the box of an object of the step."""
    taught = scenes.with_attention_target(2, (8, 8))
    for k, question in enumerate(scenes.truth):
        objects = scenes.scenes[scenes.picture_of[k]].objects
        for hop, step in ((0, question.steps[0]), (1, question.steps[-1])):
            lit = taught.attention_target[k, hop].reshape(8, 8)
            for row in range(8):
                for column in range(8):
                    middle = (8 * column + 4, 8 * row + 4)
                    boxes = [objects[i].box for i in step]
                    inside = [b[0] < middle[0] < b[2] and b[1] < middle[1] < b[3] for b in boxes]
                    near = [b[0] - 4 < middle[0] < b[2] + 4 and b[1] - 4 < middle[1] < b[3] + 4 for b in boxes]
                    assert any(inside) <= lit[row, column] == any(near)
    batch = taught.training_batch(0, 4, seed=1)
    assert batch.attention_target.shape == (len(batch.answers), 2, 64)
    assert scenes.training_batch(0, 4, seed=1).attention_target is None


def test_a_curriculum_asks_in_one_hop_first(scenes):
    taught = replace(scenes.with_attention_target(2, (8, 8)), curriculum=2)
    hops = lambda step: taught.training_batch(step, 4, seed=1)  # noqa: E731
    for step in (0, 1):
        batch, whole = hops(step), scenes.training_batch(step, 4, seed=1)
        one = [k for k in range(len(scenes.truth)) if scenes.truth[k].hops == 1]
        asked = {tuple(scenes.questions[k]) for k in one}
        words = [tuple(batch.tokens[: batch.lengths[n], n]) for n in range(len(batch.answers))]
        assert batch.hops == 1
        assert set(words) <= asked
        assert 0 < len(words) < len(whole.answers)
        assert batch.attention_target.shape == (len(words), 1, 64)
    assert hops(2).hops is None
    assert len(hops(2).answers) == len(scenes.training_batch(2, 4, seed=1).answers)


# --- stories -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stories():
    told = [[[4, 5], [6]], [[4], [5, 5, 5], [6, 6]], []]
    return StorySet(told, [[4], [5, 6], [6]], np.array([0, 1, 0]), Vocabulary(["a", "b", "c"]), ("x", "y"), memories=2)


def test_the_latest_sentence_comes_first_and_old_ones_are_forgotten(stories):
    batch = stories.batch(np.array([1, 0]))
    assert batch.sentences[batch.told].tolist() == [[[6, 6, 0], [5, 5, 5]], [[6, 0, 0], [4, 5, 0]]]
    assert not batch.sentences[0].any()
    assert batch.tokens.T.tolist() == [[5, 6], [4, 0]]
    assert batch.answers.tolist() == [1, 0]


def test_stories_are_shuffled_too(stories):
    seen = [stories.training_batch(step, size=1, seed=2).tokens[0, 0] for step in range(3)]
    assert sorted(seen) == [4, 5, 6]


def test_empty_sentences_in_training_move_the_others_back(stories):
    """Random noise (Sukhbaatar et al. 2015): the story is the same, but not the places of its sentences."""
    noisy = StorySet(
        stories.stories, stories.questions, stories.answers, stories.vocabulary, stories.answer_names, 2, 0.9
    )
    plain, moved = (s.training_batch(0, size=3, seed=0) for s in (stories, noisy))
    assert (moved.told == 0).sum() > (plain.told == 0).sum()
    batch = noisy.batch(np.array([1, 0]))
    told = [[row for row in story.tolist() if any(row)] for story in batch.sentences[batch.told]]
    assert told == [[[6, 6, 0], [5, 5, 5]], [[6, 0, 0], [4, 5, 0]]]  # only training is noisy
    again = noisy.training_batch(0, size=3, seed=0)
    np.testing.assert_array_equal(again.told, moved.told)


def test_the_empty_sentences_stand_where_they_were_drawn():
    """After a sentence, and so before it for who counts back from the question; what they push out is forgotten."""
    story = [[k] for k in range(4, 24)]
    noisy = StorySet([story[:5], story], [[4], [4]], np.zeros(2, int), Vocabulary("ab"), ("x",), 12, 0.5)
    batch = noisy.training_batch(3, size=2, seed=1)
    drawn = np.random.default_rng([batch.dropout_seed, 4]).random(25) < 0.5
    for told, sentences, empty in ((batch.told[0], story[:5], drawn[:5]), (batch.told[1], story, drawn[5:])):
        expected = [s for sentence, more in zip(sentences, empty, strict=True) for s in (sentence, *[[0]] * int(more))]
        expected = (expected[::-1] + [[0]] * 12)[: batch.told.shape[1]]
        assert batch.sentences[told].tolist() == expected
