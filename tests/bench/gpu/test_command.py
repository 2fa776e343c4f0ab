"""``scratchlv bench --variant cuda``, on the stand-in for CuPy: right before fast, all versions or one, and no GPU at all."""

import json

import pytest

from scratchlv import ops
from scratchlv.bench import command
from scratchlv.bench.gpu import command as gpu
from scratchlv.cuda.emulator import why_not
from scratchlv.errors import UserError

from . import tiny

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture
def bench(monkeypatch):
    """The command, with the stand-in."""
    tiny.forget()
    tiny.install(monkeypatch)
    tiny.shrink(monkeypatch)
    monkeypatch.setattr(gpu, "SECONDS", 0.0)
    monkeypatch.setattr(gpu, "what_is_wrong", lambda: None)

    def run(*operations, **options):
        return command.run(list(operations), variant="cuda", **options)

    yield run
    tiny.forget()


@needs_compiler
def test_every_version_is_timed(bench, tmp_path, capsys):
    file = tmp_path / "gpu.json"
    assert bench("relu", "sgd", json_file=file) == 0
    said = capsys.readouterr().out
    for words in ("a stand-in, sm_90", "GFLOP/s", *ops.relu.variant("cuda").VERSIONS.values()):
        assert words in said
    written = json.loads(file.read_text("utf-8"))
    timed = [(row["room"], row["version"], row["pass"]) for row in written["rows"]]
    assert timed == [
        *(("relu", number, part) for number in (1, 2) for part in ("forward", "backward")),
        *(("sgd", number, "step") for number in (1, 2)),
    ]
    assert written["machine"]["gpu"].startswith("a stand-in")
    assert not written["interrupted"]


@needs_compiler
@pytest.mark.parametrize("number", [1, 2])
def test_one_version_alone_is_run_and_timed(bench, number, monkeypatch, tmp_path):
    relu, ran = ops.relu.variant("cuda"), set()
    forward = relu.forward

    def noted(x, **settings):
        ran.add(relu.version(relu.VERSIONS))
        return forward(x, **settings)

    monkeypatch.setattr(relu, "forward", noted)
    assert bench("relu", number=number, json_file=tmp_path / "gpu.json") == 0
    assert ran == {number}
    assert {row["version"] for row in json.loads((tmp_path / "gpu.json").read_text("utf-8"))["rows"]} == {number}


@needs_compiler
def test_a_wrong_version_is_not_timed(bench, monkeypatch, tmp_path, capsys):
    relu = ops.relu.variant("cuda")
    forward = relu.forward

    def wrong(x, **settings):
        y, cache = forward(x, **settings)
        return (y + 0.01 if relu.version(relu.VERSIONS) == 1 else y), cache

    monkeypatch.setattr(relu, "forward", wrong)
    assert bench("relu", json_file=tmp_path / "gpu.json") == 1
    rows = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["rows"]
    assert {row["version"] for row in rows if "us" in row} == {2}
    assert "WRONG: relu, version 1: output 0 is wrong by" in capsys.readouterr().out
    assert bench("relu", number=2) == 0


@needs_compiler
def test_an_unknown_version_lists_those_there_are(bench):
    with pytest.raises(
        UserError, match=r"version 3 of the variant cuda: relu has 1 \(a number for each thread\), 2 \("
    ):
        bench("relu", number=3)
    with pytest.raises(UserError, match=r"version 7 of the variant cuda: matmul has .*6 \(cuBLAS\)"):
        bench("matmul", number=7)


@needs_compiler
def test_rooms_without_that_version_are_left_out_which_is_told(bench, tmp_path, capsys):
    assert bench("relu", "tanh", number=2, json_file=tmp_path / "gpu.json") == 0
    assert {row["room"] for row in json.loads((tmp_path / "gpu.json").read_text("utf-8"))["rows"]} == {"relu"}
    assert "note: left out, without a version 2 of cuda: tanh" in capsys.readouterr().err


@needs_compiler
def test_an_interrupted_run_writes_what_it_has(bench, monkeypatch, tmp_path, capsys):
    measure = gpu._measure

    def pressed(name, *arguments):
        if name == "sgd":
            raise KeyboardInterrupt
        return measure(name, *arguments)

    monkeypatch.setattr(gpu, "_measure", pressed)
    assert bench("relu", "sgd", number=1, json_file=tmp_path / "gpu.json") == 130
    written = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert written["interrupted"]
    assert {row["room"] for row in written["rows"]} == {"relu"}
    assert "interrupted" in capsys.readouterr().out


def test_what_is_of_the_cpu_is_refused(tmp_path):
    with pytest.raises(UserError, match="--plot"):
        command.run(["relu"], None, None, tmp_path / "x.svg", variant="cuda")


def test_without_a_gpu_it_says_what_can_be_done(monkeypatch):
    monkeypatch.setattr(gpu, "what_is_wrong", lambda: "there is no driver; install one")
    with pytest.raises(
        UserError, match=r"no driver; install one; 'scratchlv gradcheck relu sgd --variant cuda' checks"
    ):
        command.run(["relu", "sgd"], variant="cuda")
    with pytest.raises(UserError, match="gradcheck relu --variant cuda --version 2'"):
        command.run(["relu"], variant="cuda", number=2)
