"""The commands that use a run: what they do, and what they say when something is wrong."""

import functools
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchlv.cli import main
from scratchlv.data.text import spaced_words
from scratchlv.tasks import TASKS, run_folder, training, translation
from scratchlv.training import checkpoint

from .helpers import TINY_FILES, fails, misused, picture


def test_texts_are_written_again_by_their_seed(runs, capsys):
    def generate(*arguments):
        assert main(["generate", str(runs("lm")), "--prompt", "a large", *arguments]) == 0
        return capsys.readouterr().out

    options = ["--temperature", "0.9", "--top-k", "9", "--top-p", "0.9", "--min-length", "8", "--max-length", "12"]
    runs("lm")
    capsys.readouterr()
    three = generate(*options, "-n", "3", "--seed", "5")
    assert three == generate(*options, "-n", "3", "--seed", "5")
    first, second, third = three.splitlines()
    assert all(line.startswith("a large ") and 10 <= len(line.split()) <= 14 for line in (first, second, third))
    assert generate(*options, "--seed", "6") == second + "\n"  # the texts are seeded one after the other
    assert len({first, second, third}) == 3
    assert generate("--greedy") == generate("--greedy")


def test_words_stream_as_they_are_drawn(runs):
    command = f"{sys.executable} -m scratchlv generate {runs('lm')} -n 100000 | head -c 20; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300)
    assert len(done.stdout) == 20
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("model", TASKS["translate"].models)
@pytest.mark.parametrize("beam", ["1", "3"])
def test_texts_are_translated(runs, capsys, tmp_path, model, beam):
    run, texts = runs("translate", model), ["a large red star and a small circle", "the cross"]
    capsys.readouterr()
    assert main(["translate", str(run), *texts, "--beam", beam]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_alignments_are_drawn(runs, capsys, tmp_path, monkeypatch):
    from scratchlv import decode
    from scratchlv.tasks import translation

    run, out = runs("translate"), tmp_path / "alignment.png"
    capsys.readouterr()
    # a run of six steps may well say nothing, and then there is nothing to draw
    monkeypatch.setattr(translation, "greedy", functools.partial(decode.greedy, min_length=3))
    assert main(["translate", str(run), "the zorp star", "a zorp", "--alignment", str(out)]) == 0
    assert capsys.readouterr().err.count("zorp") == 1  # an unknown word is told once
    for i in (1, 2):
        assert Image.open(tmp_path / f"alignment-{i}.png").height > 20


def test_files_and_standard_input_are_summarized(runs, capsys, tmp_path, monkeypatch):
    text = "a large red star is at the top . it is left of the last ."
    (tmp_path / "text.txt").write_text(text.replace(" . ", " .\n") + "\n")
    run = runs("summarize")
    capsys.readouterr()
    assert main(["summarize", str(run), str(tmp_path / "text.txt"), "--beam", "2"]) == 0
    from_file = capsys.readouterr().out
    for mark in ("", "\ufeff"):  # some editors begin a file with one, and a pipe passes it on
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((mark + text).encode()), encoding="utf-8"))
        assert main(["summarize", str(run), "-", "--beam", "2"]) == 0
        said = capsys.readouterr()
        assert said.out == from_file
        assert said.err == ""


def test_a_file_of_lines_is_translated_line_by_line(runs, capsys, tmp_path, monkeypatch):
    """Batches change nothing; what is empty stays so, and a long text is cut as alone."""
    texts = ["a large red star", "", "the cross is left of the zorp", "a star " * 150, "the cross"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    run = str(runs("translate"))
    capsys.readouterr()
    assert main(["translate", run, *(text for text in texts if text), "--beam", "2"]) == 0
    alone = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(translation, "_AT_ONCE", 2)
    assert main(["translate", run, str(tmp_path / "texts.txt"), "--lines", "--beam", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [alone[0], "", *alone[1:]]
    assert "zorp is a word" in said.err
    assert "1 of 5 lines is empty" in said.err
    assert "1 of 5 lines is longer than the 200 words" in said.err
    fails(capsys, "translate", run, tmp_path / "no.txt", "--lines", saying=["no.txt"])
    (tmp_path / "empty.txt").touch()
    fails(capsys, "translate", run, tmp_path / "empty.txt", "--lines", saying=["no line to read"])
    options = ["--lines", "--alignment", tmp_path / "x.png"]
    fails(capsys, "translate", run, tmp_path / "texts.txt", *options, saying=["leave one of the two out"])


def test_lines_of_standard_input_are_summarized(runs, capsys, monkeypatch):
    texts = ["a large red star is at the top .", "it is left of the last ."]
    run = str(runs("summarize"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(texts).encode()), encoding="utf-8"))
    capsys.readouterr()
    assert main(["summarize", run, "-", "--lines"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_is_said_of_a_split_is_written_a_line_each(runs, capsys, tmp_path):
    """As BLEU is counted on it."""
    run, out = training.load(runs("translate")), tmp_path / "said.txt"
    capsys.readouterr()
    assert main(["evaluate", str(run.folder), "--n", "6", "--results", str(out), "--json"]) == 0
    said = [spaced_words(line) for line in out.read_text("utf-8").splitlines()]
    pairs = translation.pairs(run.config).val[:6]
    assert len(said) == 6
    sentences = [" ".join(source) for source, _ in pairs]
    assert said == [spaced_words(translation.translate_text(run, sentence).text) for sentence in sentences]


@pytest.mark.parametrize("model", TASKS["vqa"].models)
def test_questions_about_pictures_are_answered(runs, capsys, tmp_path, model):
    run, image, out = runs("vqa", model), picture(tmp_path / "x.png"), tmp_path / "attention.png"
    capsys.readouterr()
    arguments = ["answer", str(run), str(image), "What colour is the zorp?"]
    assert main([*arguments, "--json"] + ([] if model == "naive" else ["--picture", str(out)])) == 0
    said = capsys.readouterr()
    answers = json.loads(said.out)["answers"]
    assert len(answers) == 5
    assert said.err.count("zorp") == 1
    assert main(arguments) == 0
    assert capsys.readouterr().out == "  ".join(f"{word}({p:.2f})" for word, p in answers.items()) + "\n"
    if model == "naive":
        fails(capsys, *arguments, "--picture", out, saying=["no attention", "--model attention"])
    else:
        assert Image.open(out).width > 300


def test_questions_about_stories_are_answered(runs, capsys, tmp_path):
    run, out = runs("babi"), tmp_path / "attention.png"
    (tmp_path / "story.txt").write_text("Mary went to the hall.\nJohn moved to the garden.\n")
    capsys.readouterr()
    assert main(["answer", str(run), str(tmp_path / "story.txt"), "Where is Mary?", "--picture", str(out)]) == 0
    assert {answer.partition("(")[0] for answer in capsys.readouterr().out.split()} == {"hall", "garden"}
    assert Image.open(out).width > 200


@pytest.mark.parametrize("model", TASKS["caption"].models)
def test_pictures_are_captioned_by_every_model(runs, capsys, tmp_path, model):
    run, image, out = runs("caption", model), picture(tmp_path / "x.png"), tmp_path / "attention.png"
    looks = model in ("attention", "hard-attention", "uniform")
    capsys.readouterr()
    drawn = ["--picture", str(out)] if looks else []
    assert main(["caption", str(run), str(image), "--json", "--beam", "2", *drawn]) == 0
    assert (json.loads(capsys.readouterr().out)["attention"] is not None) == out.exists() == looks
    if not looks:
        fails(capsys, "caption", run, image, "--picture", out, saying=["no attention", "--model attention"])


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "LA", "1"])
def test_any_kind_of_picture_is_captioned(trained, tmp_path, capsys, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    image = picture(tmp_path / f"picture{suffix}", mode)
    out = tmp_path / "attention.png"
    assert main(["caption", str(trained), str(image), "--json", "--picture", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["words"]) == len(said["probabilities"]) == len(said["attention"])
    assert all(0 <= p <= 1 for p in said["probabilities"])
    assert np.sum(said["attention"][0]) == pytest.approx(1, abs=1e-4)
    assert Image.open(out).width > 100


def test_one_pixel_is_a_picture(trained, tmp_path):
    assert main(["caption", str(trained), str(picture(tmp_path / "one.png", size=(1, 1)))]) == 0


def test_captions_of_a_folder_go_into_a_file_of_results(trained, tmp_path, capsys):
    folder, out = tmp_path / "val2014", tmp_path / "results.json"
    folder.mkdir()
    for i in (7, 12):
        picture(folder / f"COCO_val2014_{i:012}.jpg")
    assert main(["caption", str(trained), str(folder), "--json", "--results", str(out)]) == 0
    said = [json.loads(line)["caption"] for line in capsys.readouterr().out.splitlines()]
    assert json.loads(out.read_text("utf-8")) == [
        {"image_id": 7, "caption": said[0]},
        {"image_id": 12, "caption": said[1]},
    ]
    fails(capsys, "caption", trained, folder, "--results", tmp_path, saying=["is a folder"])
    fails(capsys, "caption", trained, folder, folder, "--results", out, saying=["the same image_id, 7"])


def test_results_of_a_split(trained, runs, tmp_path, capsys):
    out = tmp_path / "results.json"
    fails(capsys, "evaluate", runs("lm"), "--results", out, saying=["--results does not go with language modelling"])
    fails(capsys, "evaluate", trained, "--results", out, saying=["--results is of photographs, not of scenes"])
    fails(capsys, "evaluate", trained, "--results", tmp_path / "no" / "r.json", saying=["there is no folder"])


@pytest.mark.parametrize("command", [["evaluate"], ["caption"]])
def test_a_folder_that_is_no_run(capsys, tmp_path, command):
    image = [picture(tmp_path / "x.png")] if command == ["caption"] else []
    fails(capsys, *command, tmp_path, *image, saying=[str(tmp_path), "not a run"])
    fails(capsys, *command, tmp_path / "absent", *image, saying=["absent", "not a run"])
    (tmp_path / "config.json").write_text("{")
    fails(capsys, *command, tmp_path, *image, saying=["config.json"])
    (tmp_path / "config.json").write_text('{"task": "caption"}')
    fails(capsys, *command, tmp_path, *image, saying=["config.json"])
    (tmp_path / "config.json").write_text('{"task": "knitting"}')
    fails(capsys, *command, tmp_path, *image, saying=["knitting", "caption"])


def test_a_run_of_another_task(capsys, runs, tmp_path):
    image, text = picture(tmp_path / "x.png"), tmp_path / "text.txt"
    text.write_text("a star")
    commands = {
        "generate": ("translate", []),
        "translate": ("summarize", ["a star"]),
        "summarize": ("lm", [text]),
        "caption": ("vqa", [image]),
        "answer": ("caption", [image, "what?"]),
    }
    for command, (task, more) in commands.items():
        fits = f"scratchlv {TASKS[task].command} {runs(task)}"
        fails(capsys, command, runs(task), *more, saying=[str(runs(task)), repr(task), fits])
    fits = f"scratchlv train vqa --out {runs('vqa')} --resume"
    fails(capsys, "train", "lm", "--out", runs("vqa"), "--resume", saying=["'vqa', not 'lm'", fits])


def test_options_of_generating_that_cannot_be(capsys, runs):
    for options in (
        ["--temperature", "0"],
        ["--temperature", "-1"],
        ["--temperature", "nan"],
        ["--top-k", "0"],
        ["--top-k", "1000"],
        ["--top-p", "2"],
        ["-n", "0"],
        ["--max-length", "0"],
        ["--min-length", "50"],
        ["--greedy", "--temperature", "2"],
    ):
        run = runs("lm")
        capsys.readouterr()
        assert main(["generate", str(run), "--prompt", "a star", *options]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"scratchlv: {options[0]}")
        assert said.err.count("\n") == 1
    assert "invalid float" in misused(capsys, "generate", runs("lm"), "--temperature", "warm")


def test_beams_that_cannot_be(capsys, runs, tmp_path):
    image = picture(tmp_path / "x.png")
    fails(capsys, "translate", runs("translate"), "a star", "--beam", "0", saying=["--beam 0"])
    fails(capsys, "caption", runs("caption"), image, "--beam", "-1", saying=["--beam -1"])
    fails(capsys, "evaluate", runs("summarize"), "--beam", "0", saying=["--beam 0"])
    fails(capsys, "evaluate", runs("lm"), "--beam", "2", saying=["--beam", "language modelling"])


def test_texts_that_are_none(capsys, runs, tmp_path, monkeypatch):
    empty, latin = tmp_path / "empty.txt", tmp_path / "latin.txt"
    empty.write_text("\n\n")
    latin.write_bytes("a star\nun caf\xe9".encode("latin1"))
    image = picture(tmp_path / "x.png")
    fails(capsys, "translate", runs("translate"), " ", saying=["empty"])
    fails(capsys, "summarize", runs("summarize"), empty, saying=["empty.txt", "empty"])
    fails(capsys, "summarize", runs("summarize"), tmp_path / "no.txt", saying=["no.txt"])
    fails(capsys, "summarize", runs("summarize"), latin, saying=["latin.txt", "0xe9", "position 13", "line 2"])
    for given, saying in ((b"", ["empty"]), (b"un caf\xe9", ["standard input", "0xe9", "position 6"])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
        fails(capsys, "summarize", runs("summarize"), "-", saying=saying)
    fails(capsys, "answer", runs("vqa"), image, "?", saying=["question is empty"])
    fails(capsys, "answer", runs("vqa"), tmp_path / "no.png", "what?", saying=["no.png"])
    fails(capsys, "answer", runs("vqa"), latin, "what?", saying=["latin.txt"])
    fails(capsys, "answer", runs("babi"), empty, "where?", saying=["empty.txt"])
    fails(capsys, "answer", runs("babi"), image, "where?", saying=["x.png", "UTF-8"])


def test_a_text_of_many_words_is_cut_off_and_it_is_said(capsys, runs, tmp_path):
    (tmp_path / "long.txt").write_text("star " * 100_000)
    assert main(["summarize", str(runs("summarize")), str(tmp_path / "long.txt")]) == 0
    assert "100,000 words is cut off; this run reads the first 200" in capsys.readouterr().err
    (tmp_path / "words.txt").write_text(" ".join(f"w{i}" for i in range(150)))
    assert main(["summarize", str(runs("summarize")), str(tmp_path / "words.txt")]) == 0
    assert "and 140 more are words that this run does not know" in capsys.readouterr().err


def test_a_summarizer_that_copies_from_training_to_its_picture(capsys, tmp_path):
    rows = "".join(f"today name{k} met other{k % 7},name{k} other{k % 7}\n" for k in range(40))
    (tmp_path / "news.csv").write_text("text,headline\n" + rows)
    (tmp_path / "text.txt").write_text("today zorp met blorp\n")
    data, run = f"csv:{tmp_path / 'news.csv'}:text:headline", str(tmp_path / "run")
    small = [*TINY_FILES, *(f"--set={key}" for key in ("hidden=8", "embedding=8", "attention=8", "coverage=0.5"))]
    assert main(["train", "summarize", "--data", data, "--copy", "--out", run, *small]) == 0
    assert main(["train", "summarize", "--out", run, "--resume", "--set", "steps=8"]) == 0
    assert main(["evaluate", run, "--beam", "2", "--max-ratio", "1.5", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert {"rouge_1", "rouge_2", "rouge_l", "rouge_1_lead", "unknown_share"} <= metrics.keys()
    assert main(["summarize", run, str(tmp_path / "text.txt"), "--beam", "2"]) == 0
    assert "zorp" in capsys.readouterr().err  # it is told that it is unknown
    fails(capsys, "evaluate", run, "--replace-unknown", saying=["--replace-unknown does nothing", "copies by itself"])


def test_how_translations_are_looked_for_is_of_translations(capsys, runs):
    for option, value in (("--max-ratio", ["2"]), ("--replace-unknown", [])):
        fails(capsys, "evaluate", runs("lm"), option, *value, saying=[f"{option} does not go with language modelling"])
    translator = runs("translate")
    fails(
        capsys, "translate", translator, "a star", "--max-ratio", "-1", saying=["--max-ratio -1: give a number above 0"]
    )
    assert main(["translate", str(translator), "a zorp", "--replace-unknown", "--max-ratio", "2"]) == 0


def test_alignments_that_cannot_be(capsys, runs, tmp_path):
    out = tmp_path / "x.png"
    naive = runs("translate", "naive")
    fails(capsys, "translate", naive, "a star", "--alignment", out, saying=[str(naive), "--model additive"])
    assert not out.exists()


def test_pictures_that_are_none(capsys, trained, tmp_path):
    good = picture(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:900])
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
    for name in ("text.png", "empty.png", "cut.png", "bomb.png", "absent.png"):
        fails(capsys, "caption", trained, good, tmp_path / name, saying=[name])
    capsys.readouterr()
    assert main(["caption", str(trained), str(tmp_path), "--json", "--results", str(tmp_path / "results.json")]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["image"] == str(good)
    assert [entry["image_id"] for entry in json.loads((tmp_path / "results.json").read_text())] == ["good.png"]
    named = [line for line in said.err.splitlines() if line.startswith("not captioned: ")]
    assert [Path(line.split()[2]).stem for line in named] == ["bomb", "cut", "empty", "text"]
    assert said.err.splitlines()[-1] == "scratchlv: 4 of 5 pictures could not be read; the other one is captioned"
    fails(capsys, "caption", trained, good, "--picture", tmp_path / "no" / "attention.png", saying=["attention.png"])


def test_options_of_sampling_do_nothing_for_the_likeliest_word(capsys, runs):
    fails(capsys, "generate", runs("lm"), "--greedy", "--seed", 0, saying=["--greedy", "--seed"])
    fails(capsys, "generate", runs("lm"), "--greedy", "-n", 2, saying=["-n 2", "--greedy gives one text"])


def test_folders_are_captioned_with_progress_and_folders_in_them(capsys, trained, tmp_path):
    for i in range(12):
        picture(tmp_path / f"{i:02}.png")
    (tmp_path / "more" / "deep").mkdir(parents=True)
    for name in ("b.jpg", "deep/A.PNG", "deep/.hidden.png"):
        picture(tmp_path / "more" / name.replace(".hidden", "x")).rename(tmp_path / "more" / name)
    (tmp_path / ".cache").mkdir()
    picture(tmp_path / ".cache" / "c.png")
    for i in range(5):
        picture(tmp_path / "more" / f"{i}.png")
    capsys.readouterr()
    assert main(["caption", str(trained), str(tmp_path), "--beam", "2"]) == 0
    said = capsys.readouterr()
    names = [line.split(": ")[0].removeprefix(f"{tmp_path}/") for line in said.out.splitlines()]
    assert names == [
        *(f"{i:02}.png" for i in range(12)),
        *(f"more/{i}.png" for i in range(5)),
        "more/b.jpg",
        "more/deep/A.PNG",
    ]
    assert "picture 19/19" in said.err


@pytest.mark.parametrize("model", ["naive", "shortcut"])
def test_no_picture_of_where_nobody_looks(capsys, runs, tmp_path, model):
    image, out = picture(tmp_path / "x.png"), tmp_path / "attention.png"
    run = runs("caption", model)
    capsys.readouterr()
    fails(capsys, "caption", run, image, "--picture", out, saying=["no attention to draw", "--model attention"])
    assert capsys.readouterr().out == ""  # it is said before the work begins


# --- weights in fewer bits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["int8", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_weights_in_fewer_bits_say_and_are_evaluated(runs, capsys, kind):
    assert main(["generate", str(runs("lm")), "--weights", kind, "--greedy", "--max-length", "3"]) == 0
    assert main(["evaluate", str(runs("lm")), "--weights", kind, "--n", "3", "--json"]) == 0
    rounded = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["loss"]
    assert main(["evaluate", str(runs("lm")), "--n", "3", "--json"]) == 0
    exact = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["loss"]
    assert rounded != exact
    assert abs(rounded - exact) < 0.02


def test_weights_that_cannot_be(runs, tmp_path, capsys):
    run = runs("lm")
    assert "int4" in misused(capsys, "generate", run, "--weights", "int4")
    fails(capsys, "generate", run, "--weights", "int8", "--backend", "cuda", saying=["--precision bf16"])
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    tensors, state = run_folder.load_weights(damaged)
    tensors["params/output.W"][3, 4] = np.nan
    shutil.rmtree(damaged / "best", ignore_errors=True)
    checkpoint.save(damaged, tensors, state)
    fails(capsys, "evaluate", damaged, "--weights", "int8", saying=["output.W", "NaN"])
