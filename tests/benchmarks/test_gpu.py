"""``benchmarks/gpu.py`` without a GPU: all of it, on tiny sizes, with the stand-in for CuPy and PyTorch on the CPU."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import why_not

from ..bench.gpu import tiny
from ..cuda import stand_in
from .conftest import BENCHMARKS

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture
def gpu(benchmarks, monkeypatch):
    """The module, with the stand-in for CuPy."""
    tiny.forget()
    tiny.install(monkeypatch)
    yield benchmarks("gpu")
    tiny.forget()


@pytest.fixture
def small(gpu, monkeypatch):
    """Sizes that the CPU can bear, and PyTorch on the CPU, not compiled."""
    torch = pytest.importorskip("torch", reason="the baselines need PyTorch")
    monkeypatch.setattr(torch, "compile", lambda net=None, **options: net)
    for path, values in {
        "gpu_parts.recurrent": {"T": 2, "N": 3, "D": 5, "H": 4, "BLOCKS": 1},
        "cases.captioner": {
            "V": 30, "E": 4, "H": 4, "A": 4, "C": 6, "N": 2, "T": 3, "GRID": 2, "demo_problem": small_demo,
        },
        "cases.decoding": {"V": 40, "H": 4, "WORDS": 3},
        "cases.question_answerer": {"V": 20, "E": 4, "H": 4, "A": 4, "C": 6, "N": 2, "T": 3, "GRID": 2, "D": 8,
                                    "ANSWERS": 7},
        "cases.sweeps": {"PARAMETERS": 50, "ROWS": 3, "V": 11, "TOKENS": 9, "E": 4, "PICTURES": 1, "SIDE": 4, "C": 4},
        "cases.vision": {
            "VGG16": (2, "pool", 3, 3), "SIDE": 16, "SMALL": (2, 3), "SMALL_SIDE": 8, "SMALL_N": 2, "CLASSES": 3,
            "FLAT": 12,
        },
    }.items():  # fmt: skip
        module = importlib.import_module(path)
        for name, value in values.items():
            assert hasattr(module, name)
            monkeypatch.setattr(module, name, value)
    language_model = importlib.import_module("cases.language_model")
    for settings in (language_model.LSTM, language_model.RNN, language_model.SMALL):
        for name, value in {"vocabulary": 20, "embedding": 4, "hidden": 4, "streams": 2}.items():
            monkeypatch.setitem(settings, name, value)
    monkeypatch.setattr(importlib.import_module("baselines"), "use_device", lambda name: None)
    tiny.shrink(monkeypatch)
    return gpu


def small_demo():
    from dataclasses import replace

    from scratchlv.models.captioner import Captioner, CaptionerConfig
    from scratchlv.tasks.captioning import PRESETS, scenes_set

    settings = replace(PRESETS["scenes", "quick"], batch=1)
    data = scenes_set(0, "train", 2, settings)
    shape = CaptionerConfig(vocabulary=len(data.vocabulary), embedding=4, hidden=4, attention=4, channels=(2, 2, 3))
    batch = data.training_batch(0, 1, 0)
    noise = np.random.default_rng(0).integers(0, 256, batch.pictures.shape)  # of equal maxima each would take its own
    return Captioner(shape, seed=0), batch._replace(pictures=noise.astype(np.uint8)), settings


def run(gpu, tmp_path, parts):
    file = tmp_path / "gpu.json"
    gpu.write(file, {"parts": {}, "failed": {}})
    status = gpu.run_parts(file, parts, seconds=0.0)
    return status, gpu.read(file)


@needs_compiler
def test_all_of_it(small, tmp_path, capsys):
    other_sizes = ("step:vgg16-n8", "step:decode-n16", "compiled:decode-n16", "step:rnn-lm")  # of what is there anyway
    elsewhere = ("step:lstm-lm", "kernel:relu", "kernel:sgd")  # run below
    parts = [part for part in small.all_parts() if part not in other_sizes + elsewhere]
    status, document = run(small, tmp_path, parts)
    assert document["failed"] == {}
    assert status == 0
    assert small.missing(document, parts) == []
    table = small.summary(document)
    for words in ("softmax_cross_entropy", "cuBLAS", "LSTM layer: ours", "attention-captioner-tutorial", "compiled"):
        assert words in table
    assert "copy_gbs" in capsys.readouterr().out


@needs_compiler
def test_a_wrong_kernel_is_not_timed_and_the_others_are(small, tmp_path, monkeypatch, capsys):
    relu = ops.relu.variant("cuda")
    forward = relu.forward

    def wrong(x, **settings):
        y, cache = forward(x, **settings)
        return (y + 0.01 if relu.version(relu.VERSIONS) == 1 else y), cache

    monkeypatch.setattr(relu, "forward", wrong)
    status, document = run(small, tmp_path, ["kernel:relu", "kernel:sgd"])
    assert "version 1: output 0 is wrong by" in document["failed"]["kernel:relu"]
    assert {row["version"] for row in document["parts"]["kernel:relu"] if "us" in row} == {2}
    assert document["parts"]["kernel:sgd"]
    assert status == 0
    assert "WRONG" in capsys.readouterr().out


@needs_compiler
def test_a_step_with_other_results_is_not_timed(small, tmp_path, monkeypatch):
    baselines = importlib.import_module("baselines.language_model")
    monkeypatch.setattr(baselines.Layers, "forward", lambda net, tokens: 1.01 * Layers_forward(net, tokens))
    status, document = run(small, tmp_path, ["step:lstm-lm"])
    assert "nn.LSTM: loss differs from ours" in document["failed"]["step:lstm-lm"]
    (exact, _, _) = document["parts"]["step:lstm-lm"]
    assert exact["best"] == "nn.LSTMCell"


def Layers_forward(net, tokens):  # noqa: N802
    h, _ = net.recurrent(net.embedding(tokens[:-1]))
    loss = importlib.import_module("torch").nn.functional.cross_entropy
    return loss(net.output(h).flatten(0, 1), tokens[1:].flatten())


def test_a_failing_part_is_told_in_a_line_and_the_others_go_on(gpu, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="the baselines need PyTorch")
    monkeypatch.setattr(importlib.import_module("baselines"), "use_device", lambda name: None)
    monkeypatch.setattr(gpu, "do", lambda part, document, settings: 1 / 0 if part == "a" else [])
    status, document = run(gpu, tmp_path, ["a", "b"])
    assert status == 0
    assert document["failed"].keys() == {"a"}
    assert document["parts"].keys() == {"a", "b"}
    assert "a FAILED: ZeroDivisionError: division by zero (test_gpu.py:" in capsys.readouterr().out


def test_where_the_gpu_does_not_answer_the_process_ends(gpu, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the baselines need PyTorch")
    monkeypatch.setattr(importlib.import_module("baselines"), "use_device", lambda name: None)
    monkeypatch.setattr(gpu, "do", lambda part, document, settings: [])

    def broken(self):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(stand_in.Device, "synchronize", broken)
    status, document = run(gpu, tmp_path, ["a", "b"])
    assert status == gpu.FRESH_PROCESS
    assert document["parts"].keys() == {"a"}


# --- the parent ------------------------------------------------------------------------------------------------------

WORKER = """
import json, sys, time
from pathlib import Path
file, *parts = sys.argv[1:]
for part in parts:
    if part == "hangs":
        time.sleep(60)
    if part == "dies":
        sys.exit(9)
    document = json.loads(Path(file).read_text("utf-8"))
    document["parts"][part] = []
    Path(file + ".new").write_text(json.dumps(document))  # its parent may be reading
    Path(file + ".new").replace(file)
    if part == "ends":
        sys.exit(3)
"""


def supervised(gpu, tmp_path, parts, seconds=20.0, part_seconds=3.0):
    file, worker = tmp_path / "gpu.json", tmp_path / "worker.py"
    worker.write_text(WORKER)
    gpu.write(file, {"parts": {}, "failed": {}})
    gpu.supervise([sys.executable, str(worker), str(file)], parts, file, seconds, part_seconds)
    return gpu.read(file)


@pytest.mark.slow
def test_a_part_that_hangs_or_dies_costs_that_part_alone(gpu, tmp_path, capsys):
    document = supervised(gpu, tmp_path, ["a", "hangs", "b", "ends", "c", "dies", "d"])
    assert list(document["parts"]) == ["a", "b", "ends", "c", "d"]
    assert document["failed"].keys() == {"hangs", "dies"}
    assert "it hung" in document["failed"]["hangs"]
    assert "status 9" in document["failed"]["dies"]
    assert "hangs: it hung" in capsys.readouterr().out


def test_what_there_is_no_time_for_is_said(gpu, tmp_path):
    document = supervised(gpu, tmp_path, ["a", "hangs", "b"], seconds=1.0, part_seconds=30.0)
    assert list(document["parts"]) == ["a"]
    assert set(document["failed"].values()) == {"left out: the time was up"}


def test_parts_are_chosen_by_their_room_or_case(gpu, capsys):
    ceilings = ["header", *(f"ceiling:{name}" for name in ("bandwidths", "products", "launches", "grid_syncs"))]
    assert gpu.choose([]) == gpu.all_parts()
    assert gpu.choose(["adam"]) == [*ceilings, "kernel:adam", "step:adam"]
    assert gpu.all_parts()[5 : 5 + len(gpu.GOALS_FIRST)] == [*gpu.GOALS_FIRST]
    assert len(set(gpu.all_parts())) == len(gpu.all_parts())
    assert gpu.choose(["recurrent", "compiled:attention"])[-2:] == ["recurrent", "compiled:attention-captioner-hoisted"]
    with pytest.raises(SystemExit) as ended:
        gpu.choose(["adam", "mamba"])
    assert ended.value.code == 2
    assert "'mamba'" in capsys.readouterr().err


def test_without_a_gpu_it_says_so():
    done = subprocess.run([sys.executable, str(BENCHMARKS / "gpu.py")], capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_table_counts_ratios_and_goals(gpu):
    case = {
        "case": "w", "against": "torch", "precision": "float32", "ours_us": 10.0, "best": "eager", "best_us": 60.0, "ratio": 6.0,
    }  # fmt: skip
    layer = [
        {"side": "ours, version 1, float32", "precision": "float32", "us": 500.0},
        {"side": "ours, version 2, float32", "precision": "float32", "us": 180.0},
        {"side": "nn.LSTM, float32", "precision": "float32", "us": 360.0},
    ]
    parts = {"step:w": [case | {"goal": 5, "met": True}], "recurrent": layer}
    table = gpu.summary({"parts": parts, "failed": {"x": "it hung"}, "seconds": {"a": 61}})
    assert table.splitlines()[2].split()[-3:] == ["6.00", "5", "met"]
    assert "version 2, float32" in table
    assert "2.00" in table
    assert "x: it hung" in table
    assert "1:01 in all" in table
    parts["recurrent"][1]["us"] = 191.0
    assert "MISSED" in gpu.summary({"parts": parts, "failed": {}})


def test_the_json_can_be_read_back(gpu, tmp_path):
    gpu.write(tmp_path / "x.json", {"parts": {"a": [{"us": 1.5}]}, "failed": {}})
    assert json.loads((tmp_path / "x.json").read_text("utf-8"))["parts"]["a"] == [{"us": 1.5}]
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
