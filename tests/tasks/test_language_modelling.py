"""Language modelling as a task: its text, its figures, and what it writes."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.tasks import language_modelling
from scratchlv.tokens import END, UNK

SMALL = ["steps=3", "batch=4", "warmup=1", "hidden=16", "embedding=8", "unroll=10"]
LINES = ["the cat sees a dog .", "a dog sees the cat .", "the dog sleeps ."] * 8


def made(*more, data="scenes", model="lstm", **options):
    """A run that was never trained."""
    size = ["n_train=60", "n_val=20"] if data == "scenes" else []
    config = language_modelling.config("lm", data, model, "quick", 0, [*SMALL, *size, *more], **options)
    return language_modelling.prepare(config, None, False, lambda line: None, Path()).run


def of_file(tmp_path, text, *more, **options):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    return made(*more, data=f"text:{tmp_path / 'text.txt'}", **options)


@pytest.fixture(scope="module")
def scenes():
    return made()


@pytest.fixture
def words(tmp_path):
    return of_file(tmp_path, "\n".join(LINES) + "\n")


# --- its text ----------------------------------------------------------------------------------------------------


def test_every_sentence_ends_in_its_end_symbol(words):
    stream = words.encode([["the", "cat"], ["zebra"]])
    assert stream.ids.tolist() == [*words.vocabulary.encode(["the", "cat"]), END, UNK, END]


def test_characters_with_their_line_ends_are_the_file(tmp_path):
    text = "Été, naïve.\n\n  two  spaces\n" + "more\n" * 9
    run = of_file(tmp_path, text, "min_count=1", characters=True)
    parts = [language_modelling.sentences(run.config, split)[0] for split in ("train", "val")]
    ids = np.concatenate([run.encode(part).ids for part in parts])
    assert "".join(run.vocabulary.words[i] for i in ids) == text


@pytest.mark.parametrize("text", ["a b\n", "no " * 30 + "\n", "no\n" * 30, "one\ntwo\nthree\n"])
def test_the_smallest_texts_can_be_trained_on(tmp_path, text):
    run = of_file(tmp_path, text, "min_count=1")
    job = language_modelling.prepare(run.config, run.fitted, False, lambda line: None, Path())
    for step in range(3):
        loss, cache = job.run.model.forward(job.batch_at(step))
        assert math.isfinite(loss)
        job.run.model.backward(cache)
    assert math.isfinite(job.validate()["loss"])
    assert isinstance("".join(language_modelling.write(run, [], seed=1)), str)


def test_a_line_of_many_words_is_read_as_a_text(tmp_path):
    run = of_file(tmp_path, " ".join(f"w{i % 50}" for i in range(100_000)), "min_count=1")
    assert len(run.encode(language_modelling.sentences(run.config, "train")[0]).ids) == 90_001
    assert (run.fitted.streams, run.fitted.unroll) == (4, 10)


@pytest.mark.parametrize(("text", "saying"), [("", "no words"), ("\n\n", "no words"), ("one\n", "1 word")])
def test_texts_that_are_too_short(tmp_path, text, saying):
    with pytest.raises(UserError, match=saying):
        of_file(tmp_path, text)


def test_a_part_that_is_one_empty_line_is_found_before_training(tmp_path):
    with pytest.raises(UserError, match=r"text\.txt.*empty line"):
        of_file(tmp_path, "abc\n\n", characters=True)


def test_characters_are_of_files_only():
    with pytest.raises(UserError, match="--characters goes with --data text:FILE"):
        made(characters=True)


# --- its figures -------------------------------------------------------------------------------------------------


def test_a_model_that_knows_nothing_is_as_perplexed_as_there_are_words(words):
    for value in words.model.params.values():
        value[...] = 0
    figures = language_modelling.evaluate(words)
    assert figures["perplexity"] == pytest.approx(len(words.vocabulary), rel=1e-5)
    assert figures["loss"] == pytest.approx(math.log(len(words.vocabulary)), rel=1e-5)


def test_a_model_of_frequencies_is_as_perplexed_as_the_unigram(words):
    """Weights that give log((count + 1) / (n + V)) whatever was read are the baseline that is printed beside the score."""
    train = words.encode(language_modelling.sentences(words.config, "train")[0]).ids
    V = len(words.vocabulary)
    for value in words.model.params.values():
        value[...] = 0
    words.model.params["output.b"][...] = np.log((np.bincount(train, minlength=V) + 1) / (len(train) + V))
    text = [*LINES[-2:]]
    figures = language_modelling.evaluate(words)
    assert figures["words"] == sum(len(line.split()) + 1 for line in text)
    ids = words.encode([line.split() for line in text]).ids
    first = math.exp(words.model.params["output.b"][ids[0]])  # the first word is read, not predicted
    n = len(ids)
    log_unigram = -math.log(figures["unigram_perplexity"]) * n
    assert figures["loss"] == pytest.approx(-(log_unigram - math.log(first)) / (n - 1), rel=1e-5)


def test_on_scenes_the_truth_stands_beside_it(scenes):
    figures = language_modelling.evaluate(scenes, n=10)
    assert figures["perplexity_of_the_truth"] == pytest.approx(math.exp(figures["entropy"]))
    assert figures["above_entropy"] == pytest.approx(figures["loss"] / figures["entropy"] - 1)
    assert figures["above_entropy"] > 0  # it was never trained
    held_out = language_modelling.evaluate(scenes, "compositional", n=5)
    assert "entropy" not in held_out  # the counting holds for the other splits only
    assert held_out["words"] < figures["words"]


def test_splits_and_counts_that_are_not_there(scenes, words):
    with pytest.raises(UserError, match="--split nonsense: this data has train, val, test, compositional"):
        language_modelling.evaluate(scenes, "nonsense")
    with pytest.raises(UserError, match="--split test: this data has train, val"):
        language_modelling.evaluate(words, "test")
    with pytest.raises(UserError, match="--n 0"):
        language_modelling.evaluate(words, n=0)


# --- writing -----------------------------------------------------------------------------------------------------


def written(run, text="", **options):
    prompt, _ = language_modelling.read_prompt(run, text)
    return "".join(language_modelling.write(run, prompt, **options))


def test_a_text_begins_with_the_prompt_and_the_seed_makes_it_again(scenes):
    text = written(scenes, "a large star", seed=4, min_length=10)
    assert text.startswith("a large star ")
    assert len(text.split()) >= 13
    assert text == written(scenes, "a large star", seed=4, min_length=10)
    assert len({written(scenes, seed=seed, min_length=10) for seed in range(5)}) == 5


def test_it_goes_on_from_what_it_has_read_and_says_it_as_drawn(scenes):
    pieces = language_modelling.write(scenes, scenes.vocabulary.encode(["a"]), seed=0, max_length=6, min_length=6)
    assert list(itertools.islice(pieces, 1)) == ["a"]
    rest = list(pieces)
    assert len(rest) == 6  # a piece for every word
    assert all(piece.startswith(" ") for piece in rest)


def test_without_a_prompt_there_is_no_space_before_the_first_word(scenes):
    assert not written(scenes, seed=0, min_length=3).startswith(" ")
    assert not written(scenes, "   ", seed=0, min_length=3).startswith(" ")


def test_what_is_never_said(scenes):
    scenes.model.params["output.b"][UNK] += 50
    try:
        assert "<unk>" not in written(scenes, seed=0)
    finally:
        scenes.model.params["output.b"][UNK] -= 50


def test_characters_are_written_without_spaces(tmp_path):
    run = of_file(tmp_path, "abcdefgh\n" * 30, characters=True)
    text = written(run, "abc", seed=1, max_length=20, min_length=20)
    assert len(text) == 23
    assert set(text) <= set("abcdefgh\n")


def test_unknown_words_are_told_once_each(words, tmp_path):
    prompt, unknown = language_modelling.read_prompt(words, "the zebra sees zebra okapi")
    assert unknown == ["okapi", "zebra"]
    assert prompt.count(UNK) == 3
    run = of_file(tmp_path, "abc\n" * 30, characters=True)
    assert language_modelling.read_prompt(run, "axbx")[1] == ["x"]


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({"temperature": 0.0}, "--temperature 0"),
        ({"temperature": -1.0}, "--temperature -1"),
        ({"top_k": 0}, "--top-k 0"),
        ({"top_k": 10_000}, "--top-k 10000: the vocabulary has"),
        ({"top_p": 0.0}, "--top-p 0"),
        ({"max_length": 0}, "--max-length 0"),
        ({"min_length": 41}, "--min-length 41"),
    ],
)
def test_options_out_of_range_show_before_anything_is_said(scenes, options, saying):
    pieces = language_modelling.write(scenes, scenes.vocabulary.encode(["a"]), seed=0, **options)
    with pytest.raises(UserError, match=saying):
        next(pieces)


def test_it_reads_a_beginning_of_the_text_before_it_writes(scenes, monkeypatch):
    """A run needs no data to write; and in training, too, a sentence never began from nothing."""
    train = language_modelling.sentences(scenes.config, "train")[0]
    opening = [word for sentence in train[:5] for word in (*sentence, "<end>")]
    read = []

    def stream(model, n, *, prompt, **options):
        read.extend(prompt[:, 0].tolist())
        yield END

    monkeypatch.setattr(language_modelling.decode, "stream", stream)
    assert written(scenes, "a star") == "a star"
    assert read == scenes.vocabulary.encode([*opening, "a", "star"])


# --- text as others have it ------------------------------------------------------------------------------------------


def prepared(tmp_path, text, **options):
    """The run, and what was said of its data."""
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    config = language_modelling.config("lm", f"text:{tmp_path / 'text.txt'}", "lstm", "quick", 0, SMALL, **options)
    said = []
    return language_modelling.prepare(config, None, False, said.append, Path()).run, said


def test_text_without_spaces_is_unknown_and_characters_are_not(tmp_path):
    text = "".join(f"黑猫睡觉{sign}白狗跑了。\n" for sign in "一二三四五六七八九十")
    run, said = prepared(tmp_path, text)
    assert "100.0% of the words of the part to validate on are unknown, and read as <unk>" in said
    assert any("--characters" in line for line in said)
    assert language_modelling.evaluate(run)["unknown_share"] == 1
    run, said = prepared(tmp_path, text.replace("十", "一").replace("二", "一"), characters=True)
    assert not any("unknown" in line for line in said)
    assert language_modelling.evaluate(run)["unknown_share"] == 0


@pytest.mark.parametrize("characters", [False, True])
def test_markers_around_lines_are_left_out_and_said(tmp_path, characters):
    plain = "the cat sees a dog\n" * 20
    run, said = prepared(tmp_path, plain.replace("the", "<s> the").replace("dog", "dog </s>"), characters=characters)
    assert any(line.startswith("20 texts stand between markers") for line in said)
    without, said = prepared(tmp_path, plain, characters=characters)
    assert not any("markers" in line for line in said)
    assert run.vocabulary.words == without.vocabulary.words


def test_what_looks_like_no_text_is_said(tmp_path):
    said = []
    (tmp_path / "a.jsonl").write_text('{"a": "b"}\n' * 20)
    config = language_modelling.config("lm", f"text:{tmp_path / 'a.jsonl'}", "lstm", "quick", 0, SMALL)
    language_modelling.prepare(config, None, False, said.append, Path())
    assert any("looks like JSON lines, but is read as plain text" in line for line in said)


def test_a_prompt_is_cut_as_the_text_was(tmp_path):
    run, _ = prepared(tmp_path, "tr\u00e8s bien\n" * 20)
    assert language_modelling.read_prompt(run, "\ufefftre\u0300s")[1] == []


def test_settings_of_scenes_do_nothing_for_a_text(tmp_path):
    with pytest.raises(UserError, match="n_val=5: n_val does nothing with --data text; leave it out"):
        of_file(tmp_path, "a b\n" * 9, "n_val=5")


# --- what regularises, and what is read beside it ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["decay=1.5"], "decay=1.5: it must be 0 to 1"),
        (["variational=true"], "variational=true: dropout=0 drops nothing"),
        (["weight_drop=1"], "weight_drop=1.0: it must be 0 or more and below 1"),
        (["embedding_dropout=-0.1"], "embedding_dropout=-0.1: it must be 0 or more and below 1"),
        (["init_scale=-1"], "init_scale=-1.0: it must be 0 or more"),
    ],
)
def test_settings_that_cannot_be(more, message):
    with pytest.raises(UserError, match=message):
        made(*more)


def test_all_that_regularises_can_be_asked_for():
    more = ["tied=true", "hidden=8", "dropout=0.3", "variational=true", "weight_drop=0.4", "embedding_dropout=0.1"]
    run = made(*more, "init_scale=0.1")
    assert "output.W" not in run.model.params
    assert math.isfinite(language_modelling.evaluate(run, n=5)["perplexity"])


def test_a_sentence_alone_is_read_from_nothing(words):
    text = [["the", "cat"], ["a", "dog", "sleeps", "."]]
    total, count = 0.0, 0
    for sentence in text:
        tokens = np.array([END, *words.vocabulary.encode(sentence), END])[:, None]
        losses, _, _ = words.model.losses(tokens, words.model.zero_state(1))
        total, count = total + float(losses.sum()), count + len(losses)
    assert language_modelling._loss_per_sentence(words, text, size=2) == pytest.approx(total / count, rel=1e-6)


def test_a_model_that_has_learned_its_text_by_heart_says_nothing_new(words):
    """Weights that make every word certain: after the cat comes sees, and so on, round and round."""
    figures = language_modelling.evaluate(words)
    assert 0 <= figures["seen_4grams"] <= 1
    assert 0 <= figures["repeated_4grams"] <= 1
    for value in words.model.params.values():
        value[...] = 0
    words.model.params["output.b"][words.vocabulary.encode(["dog"])] = 1e3
    figures = language_modelling.evaluate(words)
    assert figures["repeated_4grams"] == pytest.approx(36 / 37)  # dog, dog, dog …: all but the first of each text
    assert figures["seen_4grams"] == 0


def test_figures_with_a_neural_cache(words):
    plain = language_modelling.evaluate(words)
    assert "perplexity_with_cache" not in plain
    cached = language_modelling.evaluate(words, neural_cache="20,0.5,0.3")
    assert cached["perplexity_with_cache"] != cached["perplexity"] == plain["perplexity"]
    nothing = language_modelling.evaluate(words, neural_cache="20,0.5,0")
    assert nothing["perplexity_with_cache"] == pytest.approx(plain["perplexity"], rel=1e-5)


@pytest.mark.parametrize("wrong", ["", "x", "0", "5,1,1", "5,-1", "5,1,0.1,2", "5,nan"])
def test_a_cache_that_cannot_be_is_refused(words, wrong):
    with pytest.raises(UserError, match=f"--neural-cache {wrong}: "):
        language_modelling.evaluate(words, neural_cache=wrong)


@pytest.mark.parametrize(("name", "epochs", "flat"), [("zaremba-small", 13, 4), ("zaremba-medium", 39, 6)])
def test_the_schedules_of_zaremba_are_whole_epochs_of_the_penn_treebank(name, epochs, flat):
    """929,589 words; the learning rate and the clip times the steps unrolled are theirs: 1 and 5."""
    s = language_modelling.PRESETS["ptb", name]
    epoch = (929_589 // s.batch - 1) // s.unroll
    assert (s.steps, s.decay_from, s.decay_every) == (epochs * epoch, flat * epoch, epoch)
    assert (s.learning_rate / s.unroll, s.clip * s.unroll) == (1, pytest.approx(5, rel=1e-5))


def test_when_a_rate_is_lowered_says_nothing_without_by_how_much():
    with pytest.raises(UserError, match="set by how much, as decay=0.5"):
        made("decay_every=10")
