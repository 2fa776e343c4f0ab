"""Translation and summarization as a task: their words, their figures, and texts that people give."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from scratchlv.decode import Generated
from scratchlv.errors import UserError
from scratchlv.models import recurrent
from scratchlv.tasks import CELLS, run_folder, translation
from scratchlv.tasks.translation import Decoding
from scratchlv.tokens import END, UNK

SMALL = ["batch=4", "hidden=16", "embedding=8", "min_count=1"]


def made(task="translate", data="scenes", model="additive", say=lambda line: None, more=(), **options):
    """A run that was never trained; its weights are large, so that it is sure of what it says."""
    size = ["n_train=30", "n_val=10"] if data == "scenes" else []
    size += ["attention=8"] if model == "additive" else []
    small = SMALL[:-1] if "bpe" in options else SMALL
    config = translation.config(task, data, model, "quick", 0, [*small, *size, *more], **options)
    run = translation.prepare(config, None, False, say, Path()).run
    rng = np.random.default_rng(1)
    for value in run.model.params.values():
        value[...] = rng.standard_normal(value.shape) * 0.7
    return run


@pytest.fixture(scope="module")
def translator():
    return made()


@pytest.fixture(scope="module")
def summarizer():
    return made("summarize")


def parallel(folder, source, target):
    (folder / "x.en").write_text("\n".join(source) + "\n", encoding="utf-8")
    (folder / "x.fr").write_text("\n".join(target) + "\n", encoding="utf-8")
    return f"parallel:{folder / 'x.en'},{folder / 'x.fr'}"


@pytest.mark.parametrize("model", ["additive", "naive"])
@pytest.mark.parametrize("cell", CELLS)
def test_encoder_and_decoder_are_made_of_the_cell_that_was_asked_for(model, cell):
    run = made(model=model, more=[f"cell={cell}"])
    wide, biases = {"lstm": (4, 4), "gru": (3, 4), "rnn": (1, 1)}[cell]
    there = "encoder.0" if model == "naive" else "encoder.0.backward"
    for layer in (there, "decoder"):
        assert run.model.params[f"{layer}.Wh"].shape == (16, wide * 16)
        assert run.model.params[f"{layer}.b"].shape == (biases * 16,)
    (said,) = run.translate(run.encode([(["a", "red", "star"], [])]), Decoding(beam=2))
    assert len(said.tokens) and np.isfinite(said.probabilities).all()


def test_a_cell_that_is_none_is_named():
    with pytest.raises(UserError, match="^cell=mamba: there are lstm, gru, rnn$"):
        made(more=["cell=mamba"])
    assert CELLS == recurrent.CELLS


# --- words -------------------------------------------------------------------------------------------------------


def test_a_summary_shares_its_words_with_its_source_and_a_translation_does_not(translator, summarizer):
    assert summarizer.source_vocabulary is summarizer.vocabulary
    assert {"among", "is"} <= set(summarizer.vocabulary.words)  # of headlines, of descriptions
    assert "étoile" in translator.vocabulary
    assert "étoile" not in translator.source_vocabulary
    assert "star" in translator.source_vocabulary


def test_long_texts_lose_their_ends_and_it_is_said(tmp_path):
    said = []
    source, target = ["w " * 100_000, "a b", "c"], ["x", "y " * 100_000, "z"]
    run = made(data=parallel(tmp_path, source, target), say=said.append, more=["most_words=30"])
    assert any(line.startswith("2 pairs cut off") and "most_words=30" in line for line in said)
    encoded = run.encode([(s.split(), t.split()) for s, t in zip(source, target, strict=True)])
    assert [len(s) for s in encoded.sources] == [30, 2, 1]
    assert [len(t) for t in encoded.targets] == [1, 30, 1]
    assert len(encoded.words[1]) == 100_000  # what it is measured by is whole
    told = translation.translate_text(run, "a " * 100_000)
    assert (len(told.source), told.cut) == (30, 99_970)
    assert translation.translate_text(run, "a " * 30).cut == 0


def test_pairs_that_are_left_out_are_told(tmp_path):
    said = []
    made(data=parallel(tmp_path, ["a", "", "b", "c", "c"], ["x", "y", "", "z", "z"]), say=said.append)
    assert any(line.startswith("2 pairs left out") for line in said)
    assert any(line.startswith("1 training pairs left out") for line in said)


def test_files_that_do_not_belong_together(tmp_path):
    with pytest.raises(UserError, match=r"x\.en has 3 lines and .*x\.fr has 2"):
        made(data=parallel(tmp_path, ["a", "b", "c"], ["x", "y"]))


def test_a_grammar_that_is_none():
    with pytest.raises(UserError, match=r"grammar=klingon: there are .*definite"):
        made(more=["grammar=klingon"])


# --- figures -----------------------------------------------------------------------------------------------------


def saying(words_of):
    """A stand-in for ``Run.translate`` that says ``words_of(run, k)`` of the k-th source."""

    def translate(run, data, how, size=100):
        tokens = [[*run.vocabulary.encode(words_of(run, k)), END] for k in range(len(data.sources))]
        return [Generated(np.array(t), np.ones(len(t)), None, 0.0) for t in tokens]

    return translate


@pytest.mark.parametrize("task", ["translate", "summarize"])
def test_who_says_what_was_to_be_said_has_full_marks(monkeypatch, task):
    run = made(task)
    val = translation.pairs(run.config).val
    monkeypatch.setattr(translation.Run, "translate", saying(lambda run, k: val[k][1]))
    figures = translation.evaluate(run)
    assert figures["exact_match"] == 1
    assert figures["n"] == len(val) == 10
    assert figures["rouge_l" if task == "summarize" else "bleu"] == pytest.approx(1 if task == "summarize" else 100)
    monkeypatch.setattr(translation.Run, "translate", saying(lambda run, k: val[k][1] if k % 2 else []))
    assert translation.evaluate(run)["exact_match"] == 0.5
    assert translation.evaluate(run, n=1)["exact_match"] == 0


def test_the_lead_is_as_long_as_a_summary(tmp_path):
    """Summaries that are the first three words of their sources: the lead cannot be beaten."""
    rows = [[f"w{i} x{i % 7} y{i % 3} and so on and on", f"w{i} x{i % 7} y{i % 3}"] for i in range(30)]
    with open(tmp_path / "news.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "headline"], *rows])
    run = made("summarize", f"csv:{tmp_path / 'news.csv'}:text:headline")
    figures = translation.evaluate(run)
    assert figures["rouge_l_lead"] == pytest.approx(1)
    assert figures["rouge_l"] < 1


def test_splits_and_counts_that_are_not_there(translator):
    with pytest.raises(UserError, match="--split test: this data has train, val"):
        translation.evaluate(translator, "test")
    with pytest.raises(UserError, match="--n -1"):
        translation.evaluate(translator, n=-1)
    with pytest.raises(UserError, match="--beam 0"):
        translation.evaluate(translator, beam=0)


# --- texts that people give ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("model", ["additive", "dot", "naive"])
def test_a_source_is_translated_alike_alone_and_among_longer_ones(model, beam):
    run = made(model=model)
    pairs = translation.pairs(run.config).train[:9]
    pairs[4] = pairs[4][0][:2], pairs[4][1]
    together = run.translate(run.encode(pairs), Decoding(beam), size=4)
    assert len({tuple(g.tokens.tolist()) for g in together}) > 1
    for pair, among in zip(pairs, together, strict=True):
        (alone,) = run.translate(run.encode([pair]), Decoding(beam))
        assert alone.tokens.tolist() == among.tokens.tolist()
        assert UNK not in alone.tokens


def test_where_it_looked_has_a_row_for_each_word_said(translator, summarizer):
    for run in (translator, summarizer):
        told = translation.translate_text(run, "the red star is left of the blue square")
        assert told.alphas.shape == (len(told.words), 9)
        np.testing.assert_allclose(told.alphas.sum(axis=1), 1, atol=1e-5)
    assert translation.translate_text(made(model="naive"), "the star").alphas is None


def test_unknown_words_and_capitals(translator):
    told = translation.translate_text(translator, "The zebra is left of the blorp zebra")
    assert told.unknown == ["blorp", "zebra"]
    assert told.source[0] == "the"


def test_french_is_printed_as_it_is_written(translator, monkeypatch):
    words = ["l'", "étoile", "est", "à", "gauche", "du", "carré"]
    monkeypatch.setattr(translation.Run, "translate", saying(lambda run, k: words))
    assert str(translation.translate_text(translator, "the star")) == "l'étoile est à gauche du carré"


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_text(translator, text):
    with pytest.raises(UserError, match="empty"):
        translation.translate_text(translator, text)


def test_alignments_that_cannot_be_drawn(translator, monkeypatch):
    assert translation.alignment_of(translation.translate_text(translator, "the star")).width > 20
    with pytest.raises(UserError, match="--model additive or --model dot"):
        translation.alignment_of(translation.translate_text(made(model="naive"), "the star"))

    def silent(run, data, how):
        return [Generated(np.array([END]), np.ones(1), np.ones((1, len(data.sources[0]))), 0.0)]

    monkeypatch.setattr(translation.Run, "translate", silent)
    with pytest.raises(UserError, match="nothing was said"):
        translation.alignment_of(translation.translate_text(translator, "the star"))


# --- texts that are cut otherwise ------------------------------------------------------------------------------------

CHINESE = ["黑猫睡觉。", "白狗跑了。", "黑狗睡觉。", "白猫跑了。", "猫和狗跑了。"]
FRENCH = ["le chat noir dort.", "le chien blanc court.", "le chien noir dort.", "le chat blanc court.", "ils courent."]


def of_files(tmp_path, sources, targets, **options):
    (tmp_path / "source.txt").write_text("\n".join(sources) + "\n", encoding="utf-8")
    (tmp_path / "target.txt").write_text("\n".join(targets) + "\n", encoding="utf-8")
    return made(data=f"parallel:{tmp_path / 'source.txt'},{tmp_path / 'target.txt'}", **options)


def test_the_share_of_unknown_words_is_said_and_what_to_do_about_it(tmp_path):
    said = []
    of_files(tmp_path, [f"文{i}字" for i in range(20)], FRENCH * 4, say=said.append)
    assert "100.0% of the words of the sources to validate on are unknown, and read as <unk>" in said
    assert any("--characters" in line for line in said)
    assert not any("targets to validate on are unknown" in line for line in said)
    said.clear()
    of_files(tmp_path, CHINESE[:4] * 5, FRENCH[:4] * 5, say=said.append, characters=True)
    assert not any("unknown" in line for line in said)


def test_both_sides_character_by_character(tmp_path):
    run = of_files(tmp_path, CHINESE * 4, FRENCH * 4, characters=True)
    assert {"黑", "猫", "。"} <= set(run.source_vocabulary.words)
    assert {"l", "é"} & set(run.vocabulary.words) == {"l"}
    assert run.config.settings.most_words == 300
    told = translation.translate_text(run, " 黑 猫睡觉。 ")
    assert told.source == list("黑 猫睡觉。")
    assert told.text == "".join(told.words)
    figures = translation.evaluate(run)
    assert "bleu_of_characters" in figures
    assert "bleu" not in figures  # it is of words
    assert of_files(tmp_path, CHINESE, FRENCH, characters=True, more=["most_words=7"]).config.settings.most_words == 7


def test_summaries_character_by_character(tmp_path):
    rows = [["text", "headline"], *([x, y] for x, y in zip(FRENCH * 4, CHINESE * 4, strict=True))]
    with open(tmp_path / "news.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    run = made("summarize", f"csv:{tmp_path / 'news.csv'}:text:headline", characters=True)
    assert {"rouge_l_of_characters", "rouge_l_of_characters_lead"} <= translation.evaluate(run).keys()


def test_scenes_have_no_use_for_characters():
    with pytest.raises(UserError, match="--characters goes with texts of your own"):
        made(characters=True)


def test_markers_in_the_data_are_left_out_and_said(tmp_path):
    """They were taken for the model's own: the perplexity was 1.001, and no text right."""
    said = []
    run = of_files(tmp_path, CHINESE * 4, [f"<start> {line} <end>" for line in FRENCH * 4], say=said.append)
    assert any(line.startswith("20 texts stand between markers such as <start> and <end>") for line in said)
    plain = of_files(tmp_path, CHINESE * 4, FRENCH * 4)
    assert run.vocabulary.words == plain.vocabulary.words
    (tokens,) = {
        tuple(run.encode(translation.pairs(r.config).val).batch(np.arange(2)).tokens.ravel()) for r in (run, plain)
    }
    assert tokens.count(END) == 2


def test_decomposed_letters_are_known(tmp_path):
    run = of_files(tmp_path, ["tr\u00e8s bien", "bien"] * 5, ["very well", "well"] * 5)
    assert translation.translate_text(run, "tre\u0300s bien").unknown == []


def test_references_are_what_was_written(tmp_path):
    """A rare word is none that a hypothesis can have, not even as <unk>."""
    run = of_files(tmp_path, CHINESE * 4, [f"rare{i}" for i in range(20)], more=["min_count=2"])
    figures = translation.evaluate(run)
    assert figures["unknown_share"] == 1
    assert figures["exact_match"] == figures["bleu"] == 0


@pytest.mark.parametrize(
    ("task", "model", "setting"),
    [
        ("translate", "dot", "attention=8"),
        ("summarize", "additive", "grammar=places"),
        ("translate", "naive", "attention=8"),
    ],
)
def test_settings_that_do_nothing(task, model, setting):
    with pytest.raises(UserError, match=f"{setting}: .* does nothing with .*; leave it out"):
        made(task, model=model, more=[setting])


# --- in other formats ------------------------------------------------------------------------------------------------


def in_format(folder, kind):
    rows = [(f"Cat {i}.", f"Chat {i} !") for i in range(20)]
    file = folder / f"all.{kind}"
    if kind == "tsv":
        file.write_text("".join(f"{x}\t{y}\n" for x, y in rows))
        return f"tsv:{file}"
    if kind == "jsonl":
        file.write_text("".join(f'{{"en": "{x}", "fr": "{y}"}}\n' for x, y in rows))
        return f"jsonl:{file}:en:fr"
    for part in ("train", "val", "test"):
        for side, language in enumerate(("en", "fr")):
            (folder / f"{part}.{language}").write_text("".join(row[side] + "\n" for row in rows))
    return f"multi30k:{folder}:en:fr"


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "multi30k"])
def test_raw_text_of_every_format_is_cut_and_set_alike(tmp_path, kind):
    run = made(data=in_format(tmp_path, kind))
    assert {"cat", "."} <= set(run.source_vocabulary.words) and {"chat", "!"} <= set(run.vocabulary.words)
    assert translation._typeset(run, ["chat", "1", "!"]) == "chat 1!"
    assert translation.translate_text(run, "Cat 3.").source == ["cat", "3", "."]
    if kind == "multi30k":
        assert translation.evaluate(run, "test")["n"] == 20
    else:
        with pytest.raises(UserError, match="--split test: this data has train, val"):
            translation.evaluate(run, "test")


def test_what_looks_like_no_plain_text_is_said(tmp_path):
    said = []
    made(data=parallel(tmp_path, ["a\tb", "c\td"], ["e", "f"]), say=said.append)
    assert sum("x.en looks like texts between tabs, but is read as plain text" in line for line in said) == 1


# --- in pieces -------------------------------------------------------------------------------------------------------

TOWERS = ["the lowest newest tower", "a newer lower tower", "the widest tower"] * 4
TOURS = ["la tour la plus basse", "une tour plus neuve", "la tour la plus large"] * 4


@pytest.fixture(scope="module")
def in_pieces(tmp_path_factory):
    return made(data=parallel(tmp_path_factory.mktemp("pieces"), TOWERS, TOURS), bpe=12)


def test_a_run_in_pieces_knows_words_that_it_has_never_seen(in_pieces):
    said = translation.translate_text(in_pieces, "the towest tower", Decoding(beam=2))
    assert not said.unknown
    assert any(piece.endswith("@@") for piece in said.source)
    assert "@@" not in said.text
    assert translation.translate_text(in_pieces, "the zzz").unknown == ["zzz"]


def test_pieces_are_aligned_and_words_are_judged(in_pieces):
    t = translation.translate_text(in_pieces, "a newer tower")
    assert t.alphas.shape == (len(t.words), len(t.source))
    figures = translation.evaluate(in_pieces, "val")
    assert 0 <= figures["bleu"] <= 100
    assert in_pieces.units_said(Generated(np.array([END]), None, None, 0.0), ["a"]) == []


def test_a_run_in_pieces_is_written_and_read(in_pieces, tmp_path):
    run_folder.create(tmp_path / "run", in_pieces.config, in_pieces.fitted)
    config, fitted = run_folder.read(tmp_path / "run", "translate")
    assert fitted.merges == in_pieces.fitted.merges
    assert config.bpe == 12
    assert translation.Run(config, fitted, None).units(["lowest"]) == in_pieces.units(["lowest"])


def test_damaged_merges_are_refused(in_pieces):
    damaged = dataclasses.replace(in_pieces.fitted, merges=("a b", "c"))
    with pytest.raises(UserError, match="the merges of byte-pair encoding are damaged"):
        _ = translation.Run(in_pieces.config, damaged, None).byte_pairs


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({"bpe": 0}, [], "--bpe 0: give the number of merges, 1 or more"),
        ({"bpe": 5, "characters": True}, [], "--bpe and --characters are two ways"),
        ({"bpe": 5}, ["min_count=2"], "min_count does nothing with --bpe"),
    ],
)
def test_pieces_that_make_no_sense_are_refused(tmp_path, options, more, message):
    data = parallel(tmp_path, TOWERS, TOURS)
    with pytest.raises(UserError, match=message):
        translation.config("translate", data, "additive", "quick", 0, more, **options)


def test_scenes_have_no_pieces():
    with pytest.raises(UserError, match="--bpe goes with texts of your own"):
        translation.config("translate", "scenes", "additive", "quick", 0, [], bpe=5)


def test_more_merges_than_the_training_texts_allow(tmp_path):
    data = parallel(tmp_path, TOWERS, TOURS)
    with pytest.raises(UserError, match=r"--bpe 100000: the texts allow \d+ merges"):
        made(data=data, bpe=100_000)


def test_texts_are_cut_off_by_their_pieces(tmp_path):
    said = []
    made(data=parallel(tmp_path, TOWERS, TOURS), bpe=2, more=["most_words=9"], say=said.append)
    assert any("texts longer than most_words=9 pieces lose their ends" in line for line in said)


# --- copying ---------------------------------------------------------------------------------------------------------

NAMES = [f"{name} met {other}" for name in "abcdefghij" for other in "klmnopqrst"]


def copier(tmp_path, task="summarize", **options):
    """A run whose rarer words are unknown, and in which only copying is left."""
    rows = [["text", "headline"], *([f"today {text} in town {k}", f"{text} {k}"] for k, text in enumerate(NAMES))]
    with open(tmp_path / "news.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    options = {"more": ["min_count=20"]} | options
    run = made(task, f"csv:{tmp_path / 'news.csv'}:text:headline", copy=True, **options)
    run.model.params["copy.b"][...] = -50
    return run


@pytest.mark.parametrize("task", ["summarize", "translate"])
@pytest.mark.parametrize("beam", [1, 3])
def test_unknown_words_are_copied_as_they_are_written(tmp_path, task, beam):
    run = copier(tmp_path, task)
    told = translation.translate_text(run, "today zoë met 4711", Decoding(beam))
    assert told.words and set(told.words) <= set(told.source)
    assert {"zoë", "4711"} <= set(told.unknown)
    np.testing.assert_allclose(told.copied, 1, atol=1e-6)
    assert told.copied.shape == (len(told.words),)
    assert translation.alignment_of(told).width > 20


def test_a_source_of_only_unknown_words_can_be_copied(tmp_path):
    told = translation.translate_text(copier(tmp_path), "xavier yvonne xavier")
    assert told.unknown == ["xavier", "yvonne"]
    assert told.words and set(told.words) <= {"xavier", "yvonne"}


def test_what_was_copied_counts(tmp_path, monkeypatch):
    """A headline of words that the vocabulary lacks can be right, and only what its source lacks as well is unknown."""
    run = copier(tmp_path)
    val = translation.pairs(run.config).val
    data = run.encode(val)
    assert max(max(target) for target in data.targets) >= len(run.vocabulary)
    assert all(UNK not in target for target in data.targets)

    def repeat(run, data, how):
        return [Generated(np.array([*target, END]), None, None, 0.0) for target in data.targets]

    monkeypatch.setattr(translation.Run, "translate", repeat)
    figures = translation.evaluate(run)
    assert figures["exact_match"] == figures["rouge_1"] == figures["rouge_2"] == figures["rouge_l"] == 1
    assert figures["unknown_share"] == 0
    assert figures["rouge_2_lead"] < 1


def test_a_copier_is_trained_written_and_read(tmp_path):
    run = copier(tmp_path, more=["min_count=20", "coverage=0.5", "query=current"])
    run_folder.create(tmp_path / "run", run.config, run.fitted)
    config, fitted = run_folder.read(tmp_path / "run", "summarize")
    assert config.copy and config.settings.coverage == 0.5
    assert translation.build(config, fitted).config.decoder.copy
    batch = run.encode(translation.pairs(config).train).training_batch(0, 4, 0)
    loss, cache = run.model.forward(batch)
    assert np.isfinite(loss)
    assert run.model.backward(cache).keys() == run.model.params.keys()


def test_pieces_may_be_copied_too(tmp_path):
    run = copier(tmp_path, bpe=3, more=[])
    told = translation.translate_text(run, "today zoë met 4711")
    assert told.words and set(told.words) <= set(told.source)
    assert "@@" not in told.text


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("naive", [], "--copy: what is copied is what attention looks at"),
        ("additive", ["cell=gru"], "--copy goes with cell=lstm"),
        ("dot", ["label_smoothing=0.1"], "--copy smooths no labels"),
    ],
)
def test_decoders_that_cannot_copy(model, more, message):
    with pytest.raises(UserError, match=message):
        made("summarize", model=model, more=more, copy=True)


def test_coverage_without_copying():
    with pytest.raises(UserError, match="coverage=1: coverage does nothing with a decoder that does not copy"):
        made(more=["coverage=1"])


# --- how it is looked for --------------------------------------------------------------------------------------------


def test_an_unknown_word_gives_way_to_what_was_looked_at(translator):
    alphas = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    said = Generated(np.array([UNK, translator.vocabulary.encode(["rouge"])[0], END]), None, alphas, 0.0)
    assert translator.units_said(said, ["the", "zebra"]) == ["zebra", "rouge"]


@pytest.mark.parametrize("beam", [1, 3])
def test_an_unknown_word_is_said_only_where_it_is_replaced(translator, monkeypatch, beam):
    likely = translator.model.params["output.b"].copy()
    likely[UNK] = 1000
    monkeypatch.setitem(translator.model.params, "output.b", likely)
    source = ["the", "zebra", "blorp"]
    data = translator.encode([(source, [])])
    (said,) = translator.translate(data, Decoding(beam))
    assert UNK not in said.tokens
    (said,) = translator.translate(data, Decoding(beam, replace_unknown=True))
    assert UNK in said.tokens
    told = translation.translate_text(translator, "the zebra blorp", Decoding(beam, replace_unknown=True))
    assert set(told.words) <= set(source)


def test_unknown_words_that_cannot_be_replaced(tmp_path, in_pieces):
    replacing = Decoding(replace_unknown=True)
    for run, why in (
        (made(model="naive"), "no attention"),
        (copier(tmp_path), "copies by itself"),
        (in_pieces, "pieces"),
    ):
        with pytest.raises(UserError, match=f"--replace-unknown does nothing for this run: .*{why}"):
            translation.translate_text(run, "the star", replacing)


@pytest.mark.parametrize("beam", [1, 3])
def test_no_translation_is_longer_than_its_ratio_allows(translator, beam):
    pairs = [(["the", "star"] * k, []) for k in (1, 2, 5)]
    endless = [len(g.tokens) for g in translator.translate(translator.encode(pairs), Decoding(beam))]
    for ratio in (0.5, 1.5):
        said = translator.translate(translator.encode(pairs), Decoding(beam, max_ratio=ratio))
        lengths = [len(generated.tokens) for generated in said]
        most = [int(np.ceil(ratio * len(source))) for source, _ in pairs]
        assert all(length <= longest for length, longest in zip(lengths, most, strict=True))
        if ratio == 0.5:
            assert lengths != endless
    with pytest.raises(UserError, match="--max-ratio 0: give a number above 0"):
        translation.translate_text(translator, "the star", Decoding(max_ratio=0))
