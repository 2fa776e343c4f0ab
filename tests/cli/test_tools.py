"""``gradcheck``, ``bench``, ``warmup`` and ``data``."""

import json

import pytest
from PIL import Image

from scratchlv.cli import main

from .helpers import fails, picture


@pytest.mark.parametrize("task", ["caption", "vqa", "translate", "summarize"])
def test_a_sheet_of_scenes(tmp_path, task):
    grammar = ["--grammar", "relations"] if task in ("caption", "translate") else []
    assert main(["data", "scenes", "--task", task, "--n", "5", *grammar, "--out", str(tmp_path / "sheet.png")]) == 0
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


def test_sheets_that_cannot_be(capsys, tmp_path):
    out = tmp_path / "x.png"
    for n in ("0", "-1", "1001"):
        fails(capsys, "data", "scenes", "--n", n, "--out", out, saying=[f"--n {n}"])
    fails(capsys, "data", "scenes", "--grammar", "definite", "--out", out, saying=["definite", "places"])
    fails(capsys, "data", "scenes", "--n", "1", "--out", tmp_path / "no" / "sheet.png", saying=["sheet.png"])
    fails(capsys, "data", "scenes", "--n", "1", "--out", tmp_path / "sheet.nonsense", saying=["sheet.nonsense"])


@pytest.mark.slow
def test_the_bench_of_one_operation(tmp_path, capsys, threads, monkeypatch):
    monkeypatch.setattr("scratchlv.bench.ceilings._SECONDS", 0.001)
    out, drawn = tmp_path / "run.json", tmp_path / "roofline.svg"
    assert main(["bench", "softmax_cross_entropy", "--threads", "1", "--json", str(out), "--plot", str(drawn)]) == 0
    assert "numba_cpu" in capsys.readouterr().out
    written = json.loads(out.read_text("utf-8"))
    assert written["machine"]["threads"] == 1
    assert {(row["version"], row["part"]) for row in written["rows"]} == {("reference", "both"), ("numba_cpu", "both")}
    assert drawn.read_text("utf-8").startswith("<svg")


def test_the_bench_refuses_what_is_not_there(capsys, tmp_path):
    fails(capsys, "bench", "lsmt", saying=["'lsmt'", "lstm", "adam"])
    fails(capsys, "bench", "relu", "--variant", "numpy", saying=["'numpy'", "numba_cpu", "cuda"])
    fails(capsys, "bench", "relu", "--json", tmp_path / "no" / "x.json", saying=["--json", "no/x.json"])
    fails(capsys, "bench", "relu", "--compare", tmp_path / "absent.json", saying=["--compare", "absent.json"])


@pytest.mark.parametrize("command", ["bench", "gradcheck"])
def test_a_version_is_one_of_a_variant(capsys, command):
    fails(capsys, command, "lstm", "--version", 2, saying=["--version 2", "--variant cuda"])
    both = "lstm", "relu", "--variant", "numba_cpu", "--version", 2
    fails(capsys, command, *both, saying=["no version 2 of the variant numba_cpu", "lstm has none; relu has none"])


def test_warming_up_says_how_long_it_took(capsys):
    assert main(["warmup", "babi", "lm:rnn"]) == 0
    first, *models = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in models] == ["babi:memory", "lm:rnn"]
    assert all("all there" in line or "compiled" in line for line in models)
    assert main(["warmup", "babi"]) == 0
    assert "all there" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lstm", "lm:mamba", ":lstm"])
def test_a_model_to_warm_up_that_is_not_there(capsys, name):
    fails(capsys, "warmup", name, saying=[repr(name), "lm (lstm, gru, rnn)", "task:model"])


def test_gradcheck_of_one_operation(capsys):
    assert main(["gradcheck", "linear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])


def test_operations_and_variants_that_there_are_not(capsys):
    fails(capsys, "gradcheck", "nonsense", saying=["nonsense", "linear"])
    fails(capsys, "gradcheck", "linear", "--variant", "nonsense", saying=["nonsense", "reference"])


def test_options_that_do_nothing(capsys, tmp_path):
    for task in ("vqa", "summarize"):
        sheet = "data", "scenes", "--task", task, "--grammar", "places", "--out", tmp_path / "x.png"
        fails(capsys, *sheet, saying=[f"--grammar does nothing with --task {task}"])
    fails(capsys, "bench", "relu", "--variant", "cuda", "--threads", 1, saying=["--threads is of the CPU's kernels"])


# --- data --check ----------------------------------------------------------------------------------------------------


def test_a_set_is_checked_and_drawn(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    names = [f"{i}.png" for i in range(4)]
    for name in names:
        picture(tmp_path / "images" / name)
    (tmp_path / "captions.txt").write_text("image,caption\n" + "".join(f"{name},A dog\n" for name in names))
    data, out = f"flickr8k:{tmp_path}", tmp_path / "sheet.png"
    assert main(["data", data, "--check", "--out", str(out), "--json"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == data and "by chance" in said[1] and out.exists()
    assert json.loads(said[-1])["splits"]["val"]["captions"] == 1
    (tmp_path / "images" / "0.png").write_bytes(b"")
    assert main(["data", data, "--check"]) == 1
    (tmp_path / "images" / "0.png").unlink()
    assert main(["data", data, "--check"]) == 1
    assert "missing      1 pictures are not there: 0.png" in capsys.readouterr().out


def test_options_of_data_that_do_not_go_together(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a b\nc d\n")
    data, out = f"text:{tmp_path / 'a.txt'}", tmp_path / "x.png"
    fails(capsys, "data", data, saying=["give --check", "--out SHEET.png"])
    fails(capsys, "data", data, "--out", out, "--json", saying=["--json is of what --check finds"])
    fails(capsys, "data", data, "--check", "--task", "vqa", saying=["--task is of scenes"])
    fails(capsys, "data", data, "--check", "--grammar", "places", saying=["--grammar is of scenes"])
    fails(
        capsys, "data", data, "--out", out, "--split", "compositional", saying=["--split compositional", "train, val"]
    )
    fails(capsys, "data", "scenes", "--check", "--out", out, saying=["scenes are drawn"])
    fails(capsys, "data", "scenes", saying=["--out is missing"])
    fails(capsys, "data", "scenes", "--split", "dev", "--out", out, saying=["--split dev", "compositional"])
    fails(capsys, "data", "knitting:x", "--check", saying=["knitting:x", "karpathy"])
